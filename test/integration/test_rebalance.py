"""One process, then two, then one again, while events flow."""
import time

import app as apps
import events

SESSION_SECONDS = 3
# Joining waits for a heartbeat, leaving for the end of a session; both with room for a slow machine.
TAKE_OVER_SECONDS_MAX = 45
PART = 100
RATE = 700  # events per second: slow enough for a quick machine not to run out of them


class Stream:
    """Events in small parts for as long as something is waited for, so that they never run out before."""

    def __init__(self, app, history):
        self.app, self.history, self.sent = app, history, 0

    def until(self, what, condition):
        deadline = time.monotonic() + TAKE_OVER_SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, f"not within {TAKE_OVER_SECONDS_MAX} s: {what}"
            self.app.feed(self.history, skip=self.sent, limit=PART, rate=RATE)
            self.sent += PART

    def during(self, act, seconds=0.6):
        """Calls `act` in the middle of some more."""
        count = 5 * PART
        feed = self.app.kit.open("feed", self.history.path, "--topic", self.app.inputs[0], "--skip", self.sent, "--limit", count,
                                 "--rate", count / seconds)
        self.sent += count
        time.sleep(seconds / 2)
        result = act()
        feed.communicate()
        assert feed.returncode == 0
        return result

    def rest(self):
        assert self.sent < self.history.count, "the events ran out: the machine is too slow for this test"
        self.app.feed(self.history, skip=self.sent)


def test_second_process_comes_and_goes(new_app):
    """It joins in the middle of the stream and ends by SIGTERM, joins again and ends by SIGKILL."""
    app = new_app(kafka={"session_timeout": f"{SESSION_SECONDS}s"})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(4), share=0.3)
    app.create_inputs()
    first, second = app.start("a"), app.process("b")
    stream = Stream(app, history)

    def shared():
        have = apps.partitions_of(first), apps.partitions_of(second)
        return min(have) > 0 and sum(have) == apps.PARTITIONS

    for leave in (second.stop, second.kill):
        second.start(wait_ready=False)
        stream.until("some partitions for each", shared)
        stream.until("events in the second", lambda: second.metrics().total("heartbeatd_events_total", outcome="applied") > PART)
        assert stream.during(leave) in (0, None)
        stream.until("all partitions back at the first", lambda: apps.partitions_of(first) == apps.PARTITIONS)
    stream.rest()
    app.end(history.until)
    assert first.exit_code() is None
    app.check(history, least=1000)
    app.verify_stopped()
