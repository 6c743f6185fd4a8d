"""The machine's clock jumps by an hour, forwards and backwards, while customers are heard of all the time."""
import pathlib
import time

import pytest

import app as apps
import events
import faults

WATCH = pathlib.Path(__file__).with_name("clocks.yaml")
PURCHASE_SECONDS = 5  # rule no-purchase
HOUR_MS = 3_600_000
SHIFTS_MS = (0, HOUR_MS, 0, -HOUR_MS, 0)
ROUNDS = 8  # of each shift
ROUND_SECONDS = 0.5
TALKERS = 40
LATE_SECONDS_MAX = 30


@pytest.mark.row(10, "clock jumps")
def test_an_hour_forth_and_back(new_app, row):
    # No protection by a look at the traffic: this is about the clock alone.
    app = new_app(watch=WATCH, time={"source": "wall", "delay": "2s", "outage_after": "off"})
    app.create_inputs()
    shift = app.folder / "shift"
    daemon = faults.start(app, faults={"CLOCK_SHIFT": shift})
    rows = []

    def send():
        """All talkers once more, and somebody who will never buy again."""
        new = [events.event(f"{len(rows)}-{number}", f"talker{number}", time.time()) for number in range(TALKERS)]
        new += [events.event(f"{len(rows)}-{number}", f"buyer{len(rows)}-{number}", time.time(), "purchase") for number in range(4)]
        app.send(events.messages(new))
        rows.extend(new)

    for shift_ms in SHIFTS_MS:
        shift.write_text(str(shift_ms))
        for _ in range(ROUNDS):
            send()
            time.sleep(ROUND_SECONDS)
    until = time.time() + PURCHASE_SECONDS + 1
    apps.wait_for_clocks(daemon, until, until - time.time() + LATE_SECONDS_MAX)
    history = events.write(app.folder / "history.jsonl", rows, until)
    app.wait_for_alerts(history)
    false = sum(alert["data"]["rule"] == "no-login" for alert in app.topic_alerts())
    row.figure(f"{false} false silences, {len(app.kit.dump(app.dead_letters))} events refused as from the future")
    row.judge(app, history)
