"""From conditions to alerts: hold, cool-down, re-entry, activation."""
import dataclasses

from . import values


@dataclasses.dataclass
class Edge:
    """An alert, but for its identity."""
    status: str
    starts_ms: int
    time_ms: int
    reason: str
    instant: bool = False


class Episode:
    """One key of one rule of one customer. closed -> pending -> firing -> closed; a crossing within the cool-down waits."""

    def __init__(self, policy):
        self.policy = policy
        self.phase = "closed"
        self.starts_ms = None
        self.value = 0
        self.muted = self.instant = False  # no alert for its beginning, so none for its end; it has no end
        self.clear_since_ms = None
        self.last_fired_ms = None

    @property
    def cool_ms(self):
        """When the cool-down is over; None: there is none."""
        if self.last_fired_ms is None or not self.policy.cooldown_ms:
            return None
        return self.last_fired_ms + self.policy.cooldown_ms

    def next_ms(self, now):
        """When time alone moves it on."""
        due = []
        if self.phase == "pending":
            due.append(self.starts_ms + self.policy.hold_ms)
        elif self.phase == "waiting":
            due.append(self.cool_ms)
        elif self.phase == "firing" and self.clear_since_ms is not None:
            due.append(self.clear_since_ms + self.policy.resolve_hold_ms)
        return min((moment for moment in due if moment > now), default=values.NEVER)

    def advance(self, verdict, now):
        """The alerts that a verdict leads to."""
        if verdict.holds is None:
            # Too little is known: no end of an alert, but what has not fired yet must have been true all the time, and an
            # end that is held must have been clear all the time.
            self.phase = "firing" if self.phase == "firing" else "closed"
            self.clear_since_ms = None
            return []
        return self.on_true(verdict, now) if verdict.holds else self.on_false(verdict, now)

    def on_true(self, verdict, now):
        if self.phase == "firing":
            if self.clear_since_ms is not None:
                # Back before its end was held for long enough: the same episode, crossed anew.
                self.clear_since_ms, self.value = None, verdict.value
            return []
        if self.phase in ("closed", "waiting"):
            if self.policy.once and self.last_fired_ms is not None:
                return []
            if self.cool_ms is not None and now < self.cool_ms:
                self.phase = "waiting"
                return []
            self.begin(verdict, max(verdict.since_ms, self.cool_ms) if self.phase == "waiting" else verdict.since_ms)
        if now < self.starts_ms + self.policy.hold_ms:
            return []
        return self.fire(verdict)

    def begin(self, verdict, starts_ms):
        self.phase, self.starts_ms = "pending", starts_ms
        self.value, self.instant = verdict.value, verdict.instant

    def fire(self, verdict):
        self.phase = "firing"
        self.clear_since_ms = None
        self.muted = self.policy.active_from_ms is not None and self.starts_ms < self.policy.active_from_ms
        self.last_fired_ms = time = self.starts_ms + self.policy.hold_ms
        return [] if self.muted else [Edge("firing", self.starts_ms, time, verdict.reason, verdict.instant)]

    def on_false(self, verdict, now):
        if self.phase != "firing" or self.instant:
            self.phase = "closed"
            return []
        if self.clear_since_ms is None:
            self.clear_since_ms = max(verdict.since_ms, self.starts_ms)
        ends = self.clear_since_ms + self.policy.resolve_hold_ms
        if now < ends:
            return []
        self.phase, self.clear_since_ms = "closed", None
        return [] if self.muted else [Edge("resolved", self.starts_ms, ends, verdict.reason)]
