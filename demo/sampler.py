"""Follows the alert topic as a subscriber would, counts, and picks a few alerts to show."""
import collections
import json
import threading
import time

import alerts

SHOWN_PER_SECOND_MAX = 4


class Sampler:
    """A reader thread of its own; the other methods are for the thread that made it."""

    def __init__(self, kit, topic):
        self._process = kit.open("dump", topic, "--follow", "--values-only", "--isolation", "read_committed")
        self._lock = threading.Lock()
        self._newest = {}                      # guarded by _lock: one alert of each kind
        self._counts = collections.Counter()   # guarded by _lock
        self._shown = collections.Counter()
        self._next = 0.0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            try:
                alert = json.loads(line)
                kind = alerts.kind(alert)
            except (ValueError, KeyError, TypeError):
                continue  # the comparison at the end complains about it
            with self._lock:
                self._newest[kind] = alert
                self._counts[kind] += 1

    def total(self):
        with self._lock:
            return self._counts.total()

    def pick(self):
        """An alert to show now, of the kind that was shown least; None if it is too early or nothing is new."""
        now = time.monotonic()
        if now < self._next:
            return None
        with self._lock:
            if not self._newest:
                return None
            kind = min(self._newest, key=lambda candidate: self._shown[candidate])
            alert = self._newest.pop(kind)
        self._shown[kind] += 1
        self._next = now + 1 / SHOWN_PER_SECOND_MAX
        return alert

    def close(self):
        self._process.kill()
        self._process.wait()
