"""new, active, at_risk, dormant, lost, reactivated."""
from . import lapse, values

NEW_DAYS = 4  # activity days from which a customer has a rhythm
NEXT_DOWN = {"new": "at_risk", "active": "at_risk", "reactivated": "at_risk", "at_risk": "dormant", "dormant": "lost"}


class Lifecycle:
    """Of one customer: the activity, since when, and the one before."""

    def __init__(self, configuration):
        self.configuration = configuration
        self.activity = self.previous = "none"
        self.since_ms = None
        self.since_day = 0

    def move(self, activity, since_ms, day):
        self.previous, self.activity = self.activity, activity
        self.since_ms, self.since_day = since_ms, day

    def on_event(self, series, event_ms, now, last_before_ms):
        """A sign of life, already in the series; the newest one before it was at last_before_ms."""
        if last_before_ms is not None and event_ms < last_before_ms:
            return  # says nothing new of the customer's silence
        usual = "new" if series.days < NEW_DAYS else "active"
        # From before the customer became so silent: known, and true, only now.
        since = event_ms if self.since_ms is None or event_ms >= self.since_ms else now
        target = self.activity
        if self.activity in ("none", "new", "at_risk"):
            target = usual
        elif self.activity in ("dormant", "lost"):
            target = "reactivated"
        elif self.activity == "reactivated" and series.last_day > self.since_day:
            target = "active"
        if target != self.activity:
            self.move(target, since, series.last_day)

    def next_ms(self, series):
        """When silence takes the customer a step down."""
        target = NEXT_DOWN.get(self.activity)
        if target is None:
            return values.NEVER
        step, last = self.configuration.steps[target], series.last_ms
        if step.after_ms is not None:
            return last + step.after_ms
        m0 = self.configuration.population_gap_days
        if series.days < NEW_DAYS:
            return last + min(round(step.new_gaps * m0 * values.DAY_MS), self.configuration.horizon_ms)
        return lapse.due_ms(series, m0, lapse.threshold(step.false_alerts), self.configuration.horizon_ms)

    def step_down(self, series, now):
        due = self.next_ms(series)
        if due > now:
            return False
        self.move(NEXT_DOWN[self.activity], max(due, self.since_ms), series.last_day)
        return True
