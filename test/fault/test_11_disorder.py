"""Events that come twice, late and out of order, in every partition: the alerts are those of the log's own order."""
import datetime
import json

import pytest

import app as apps
import events

DAY = 86400
START = events.unix("2024-01-01T00:00:00Z")
DAYS = 200
CUSTOMERS = 400
QUIET_DAYS = 60
# Shares of all events.
REPEATED, REPEATED_MUCH_LATER, A_LITTLE_LATE, LATE, BEYOND_RETENTION = 0.05, 0.02, 0.10, 0.03, 0.01


def regular(random):
    """Customers with rhythms of their own, some of whom leave or come less often from some day on; by time."""
    for customer in range(CUSTOMERS):
        gap, change = random.uniform(0.5, 8), random.uniform(0.3, 1.5) * DAYS
        factor = random.choice([1, 3, 6, 1000])
        day = random.uniform(0, 20)
        while day < DAYS:
            kind = "login" if random.random() < 0.7 else "purchase"
            extra = {"amount": round(random.uniform(1, 99), 2)} if kind == "purchase" else {}
            yield START + day * DAY, f"c{customer}", kind, extra
            day += random.expovariate(1 / gap) * (factor if day > change else 1)


def disorder(random):
    """The same in the order of arrival: (arrives, event)."""
    for number, (time, customer, kind, extra) in enumerate(sorted(regular(random), key=lambda row: row[0])):
        row = events.event(number, customer, time, kind, **extra)
        chance = random.random()
        arrives = time
        if chance < A_LITTLE_LATE:
            arrives += random.uniform(0, 2 * 3600)
        elif chance < A_LITTLE_LATE + LATE:
            arrives += random.uniform(0, 20) * DAY
        elif chance < A_LITTLE_LATE + LATE + BEYOND_RETENTION:
            arrives += random.uniform(120, 190) * DAY
        yield arrives, row
        if random.random() < REPEATED:
            yield arrives + random.uniform(0, 3600), row
        if random.random() < REPEATED_MUCH_LATER:  # perhaps after the ids that are remembered have been forgotten
            yield arrives + random.uniform(1, 10) * DAY, row
        if kind == "purchase" and random.random() < 0.03:
            yield arrives + random.uniform(0, 5) * DAY, {**row, "event_id": f"{row['event_id']}-back", "type": "refund"}


@pytest.mark.row(11, "duplicate, late and out-of-order events")
def test_out_of_order(new_app, row):
    app = new_app()
    random = events.seeded(11)
    arrivals = [event for arrives, event in sorted(disorder(random), key=lambda pair: pair[0]) if arrives < START + DAYS * DAY]
    until = START + (DAYS + QUIET_DAYS) * DAY
    history = events.write(app.folder / "history.jsonl", arrivals, until)
    app.create_inputs()
    daemon = app.start()
    half = history.count // 2
    app.feed(history, limit=half)
    apps.wait_for("some progress", lambda: daemon.metrics().total("heartbeatd_events_total") > half / 2, 60)
    daemon.kill()  # and what is remembered of ids and late events survives that
    daemon.start()
    app.feed(history, skip=half)
    app.end(history.until)
    apps.wait_for_last_report(daemon, history.until)
    metrics = daemon.metrics()
    counted = {outcome: int(metrics.total("heartbeatd_events_total", outcome=outcome)) for outcome in ("late", "duplicate")}
    assert all(counted.values()), counted
    row.figure(f"of the second half late: {counted['late']}, twice: {counted['duplicate']}")
    row.judge(app, *app.logged(history.until), least=1000)
