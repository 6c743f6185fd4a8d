"""A history that flows while something else happens."""
import time

PART = 100
RATE = 700  # events per second: slow enough for a quick machine not to run out of them
TAKE_OVER_SECONDS_MAX = 45  # joining waits for a heartbeat, leaving for the end of a session; with room for a slow machine


class Stream:
    """Events in small parts for as long as something is waited for: `rate` a second, low enough for them to last. Not
    thread-safe."""

    def __init__(self, app, history, rate=RATE):
        self.app, self.history, self.rate, self.sent = app, history, rate, 0
        self.part = PART * rate // RATE  # a seventh of a second

    def until(self, what, condition, seconds=TAKE_OVER_SECONDS_MAX):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            self.app.feed(self.history, skip=self.sent, limit=self.part, rate=self.rate)
            self.sent += self.part

    def open(self, count, seconds):
        """So many more, in so many seconds: a running feed, to be given to finish()."""
        feed = self.app.kit.open("feed", self.history.path, "--topic", self.app.inputs[0], "--skip", self.sent, "--limit", count,
                                 "--rate", count / seconds)
        self.sent += count
        return feed

    def during(self, act, seconds=0.6):
        """Calls `act` in the middle of some more."""
        feed = self.open(5 * PART, seconds)
        time.sleep(seconds / 2)
        result = act()
        finish(feed)
        return result

    def rest(self):
        assert self.sent < self.history.count, "the events ran out: the machine is too slow for this test"
        self.app.feed(self.history, skip=self.sent)
        self.sent = self.history.count


def finish(feed):
    feed.communicate()
    assert feed.returncode == 0
