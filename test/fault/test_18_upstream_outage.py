"""For hours nothing comes, since the upstream holds its events back; then all of them come at once. Nobody is taken for
silent who was only not heard. The daemon's clocks run fast: an hour in two seconds."""
import os
import pathlib
import time

import pytest

import app as apps
import events
import faults

WATCH = pathlib.Path(__file__).with_name("outage.yaml")
MINUTE = 60
CUSTOMERS = 240
EVERY_SECONDS = 5 * MINUTE  # each customer's logins
BEFORE_SECONDS, OUTAGE_SECONDS, AFTER_SECONDS = 120 * MINUTE, 360 * MINUTE, 30 * MINUTE
SILENT_SHARE = 0.4  # of the customers fall silent for good, in the first half of the outage or before
STEP_SECONDS, PAUSE_SECONDS = 6 * MINUTE, 0.2
LATE_SECONDS_MAX = 60


class FastClock:
    """The daemon's clock: begins so many seconds ago; wall time and monotonic time move together, so that it is no jump."""

    def __init__(self, path, ago):
        self.path, self.ago, self.moved = path, ago, 0
        self.advance(0)

    def now(self):
        return time.time() - self.ago + self.moved

    def advance(self, seconds):
        """By whole seconds."""
        self.moved += seconds
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{(self.moved - self.ago) * 1000} {self.moved * 1000}")
        os.replace(temporary, self.path)

    def run_until(self, moment):
        while self.now() < moment:
            self.advance(min(STEP_SECONDS, max(1, int(moment - self.now()))))
            time.sleep(PAUSE_SECONDS)


def logins(random, start, end):
    """All customers', in the order of time."""
    rows = []
    for number in range(CUSTOMERS):
        silent = random.random() < SILENT_SHARE
        until = start + random.uniform(0.1, 0.6) * (end - start) if silent else end
        moment = start + random.uniform(0, EVERY_SECONDS)
        while moment < until:
            rows.append(events.event(f"{number}-{moment:.3f}", f"customer{number}", moment))
            moment += random.uniform(0.5, 1.5) * EVERY_SECONDS
    return sorted(rows, key=lambda one: one["timestamp"])


def states(daemon):
    """What moves the clock of each partition."""
    return [labels["state"] for labels, value in daemon.metrics().rows("heartbeatd_clock_state") if value == 1]


@pytest.mark.row(18, "upstream outage")
def test_held_back_for_six_hours(new_app, row):
    app = new_app(watch=WATCH, time={"source": "wall", "delay": "2s"})
    app.create_inputs()
    # It all lies in the past: a backtest refuses what is from the future.
    clock = FastClock(app.folder / "shift", OUTAGE_SECONDS + 2 * AFTER_SECONDS)
    cut = clock.now()
    back = cut + OUTAGE_SECONDS
    end = back + AFTER_SECONDS
    rows = logins(events.seeded(18), cut - BEFORE_SECONDS, end)

    def send(start, end):
        app.send(events.messages(one for one in rows if start <= events.unix(one["timestamp"]) < end))

    send(0, cut)
    daemon = faults.start(app, faults={"CLOCK_SHIFT": clock.path})
    apps.wait_for_clocks(daemon, cut - 1, LATE_SECONDS_MAX)
    clock.run_until(back)
    apps.wait_for("the outage to be noticed", lambda: states(daemon) == ["outage"] * apps.PARTITIONS, LATE_SECONDS_MAX)
    silent_before = len(app.topic_alerts())
    furthest = max(apps.clocks_of(daemon)) - cut
    # The burst; and then events come as they happen.
    send(cut, back)
    moment = back
    while moment < end:
        clock.run_until(moment + EVERY_SECONDS)
        send(moment, moment + EVERY_SECONDS)
        moment += EVERY_SECONDS
    until = clock.now()
    app.kit.tick(events.rfc3339(until), *app.inputs)
    apps.wait_for_clocks(daemon, until - 0.01, LATE_SECONDS_MAX)
    app.wait_consumed()
    row.figure(f"{OUTAGE_SECONDS // 3600} h of outage, T stood after {furthest / MINUTE:.0f} min, {silent_before} alerts before the burst")
    row.judge(app, events.write(app.folder / "history.jsonl", rows, until), least=50)
