"""Silence sends no message: alerts that come because time passes, and do not come because nobody could be heard."""
import json
import pathlib
import time

import app as apps
import events

WATCH = pathlib.Path(__file__).with_name("silence.yaml")
AFTER_SECONDS = 5  # of rule no-purchase
DELAY_SECONDS = 0.5
# From when an alert is due until it is on the topic: the delay, a look at the ends a second, a commit, a slow machine.
LATE_SECONDS_MAX = 20
WEEK = 7 * 86400


def new_wall_app(new_app, **sections):
    return new_app(watch=WATCH, time={"source": "wall", "delay": f"{int(DELAY_SECONDS * 1000)}ms", "outage_after": "off"}, **sections)


def weekly(customer, last, number):
    """Ten logins, one a week."""
    return [events.event(f"{number}-{week}", customer, last - (9 - week) * WEEK) for week in range(10)]


def rhythm_seconds(app):
    """How long after its last event a weekly customer is silent for too long, as a backtest says."""
    last = events.unix("2020-06-01T12:00:00Z")
    history = events.write(app.folder / "rhythm.jsonl", weekly("someone", last, 0), last + 52 * WEEK)
    (alert,) = [one for one in app.backtest(history) if one["data"]["rule"] == "no-login"]
    return events.unix(alert["time"]) - last


def wait_for_clocks(daemon, moment):
    apps.wait_for_clocks(daemon, moment, moment - time.time() + LATE_SECONDS_MAX)


def wait_until_applied(daemon, count):
    """On a slow machine an event may come after its time, which changes no alert here."""
    def applied():
        metrics = daemon.metrics()
        return sum(metrics.total("heartbeatd_events_total", outcome=outcome) for outcome in ("applied", "late"))

    apps.wait_for(f"{count} events", lambda: applied() >= count, 20)


def write_filler(path):
    """Many messages that change nothing: ticks of a time that has long passed."""
    old = json.dumps({"type": "tick", "timestamp": "2020-01-01T00:00:00Z", "padding": "x" * 400})
    path.write_text("".join(json.dumps({"partition": number % apps.PARTITIONS, "value": old}) + "\n" for number in range(60_000)))
    return path


def test_alert_with_nobody_sending(new_app):
    """Events dated so that the rule falls due in a few seconds; then no message at all.

    They come in a transaction, and others that were taken back follow: the topic ends in control records, which no
    consumer sees, and the partition counts as read all the same.
    """
    app = new_wall_app(new_app)
    app.create_inputs()
    rhythm = rhythm_seconds(app)
    due = [time.time() + 5 + number / 2 for number in range(4)]
    rows = [row for number, moment in enumerate(due) for row in weekly(f"weekly{number}", moment - rhythm, number)]
    rows.sort(key=lambda row: row["timestamp"])
    history = events.write(app.folder / "history.jsonl", rows, max(due) + 1)
    # Before the daemon starts: an event that comes when time is far ahead is judged as of then.
    app.send(events.messages(rows), transaction="commit")
    app.send(events.messages(events.event(f"taken-back-{number}", f"weekly{number}", time.time()) for number in range(4)), transaction="abort")
    daemon = app.start()
    wait_for_clocks(daemon, max(due) + 1)
    app.wait_for_alerts(history)
    assert len(app.check(history)) == 4
    for message in app.kit.dump(app.alerts):
        alert = json.loads(message["value"])
        lateness = message["timestamp"] / 1000 - events.unix(alert["time"])
        assert DELAY_SECONDS <= lateness < LATE_SECONDS_MAX, f"{alert['time']} came {lateness:.3f} s after it was due"


def test_no_alert_while_events_wait(new_app):
    """Whoever was heard of in time is not silent, even if the daemon was asleep or away when the rule fell due."""
    app = new_wall_app(new_app)
    app.create_inputs()
    daemon = app.start()
    rows = []
    filler = write_filler(app.folder / "filler.jsonl")

    def send(*customers):
        new = [events.event(f"{len(rows)}-{customer}", customer, time.time(), "purchase") for customer in customers]
        rows.extend(new)
        app.send(events.messages(new))

    def stay_away(suffix, leave, come_back):
        send(f"heard-{suffix}", f"silent-{suffix}")
        wait_until_applied(daemon, len(rows))
        leave()
        left = time.time()
        app.kit.send(app.inputs[0], filler)  # there is much to read before what matters
        # Slept, not polled: that time passes is what is tested. In the end the first purchase is too long ago, the
        # second is not; and so that the second does not grow too old meanwhile, there is a third.
        time.sleep(max(0, left + AFTER_SECONDS * 0.7 - time.time()))
        send(f"heard-{suffix}")
        time.sleep(max(0, left + AFTER_SECONDS + DELAY_SECONDS + 1 - time.time()))
        send(f"heard-{suffix}")
        come_back()

    stay_away("asleep", daemon.freeze, daemon.thaw)
    wait_until_applied(daemon, len(rows))
    stay_away("away", daemon.kill, daemon.start)

    until = time.time() + AFTER_SECONDS
    wait_for_clocks(daemon, until + 1)
    history = events.write(app.folder / "history.jsonl", rows, until)
    app.wait_for_alerts(history)
    app.check(history, least=4)


def test_no_alert_while_the_broker_is_frozen(new_app, broker):
    """A broker that does not answer cannot tell whether customers are silent: time stands still until it does."""
    app = new_wall_app(new_app)
    app.create_inputs()
    daemon = app.start()
    rows = [events.event(number, f"frozen{number}", time.time(), "purchase") for number in range(8)]
    due = events.unix(rows[-1]["timestamp"]) + AFTER_SECONDS
    app.send(events.messages(rows))
    wait_until_applied(daemon, len(rows))
    assert time.time() < due - 1, "the machine is too slow for this test: the rule is already due"
    broker.freeze()
    frozen = time.time()
    try:
        while time.time() < due + DELAY_SECONDS + 3:
            metrics = daemon.metrics()
            assert metrics.total("heartbeatd_alerts_total") == 0
            assert all(value <= frozen for value in apps.clocks_of(daemon))
            time.sleep(0.2)
    finally:
        broker.thaw()
    wait_for_clocks(daemon, due + 1)
    history = events.write(app.folder / "history.jsonl", rows, due + 1)
    app.wait_for_alerts(history)
    assert len(app.check(history)) == len(rows)
    assert daemon.exit_code() is None
