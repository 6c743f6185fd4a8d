"""The rules' conditions, one class a detector. A detector sees one customer and a time, and says for each of its keys whether
the condition holds (True), does not (False), or whether too little is known (None); and when that changes if no event comes.
Of a key of which it says nothing the condition does not hold."""
import bisect
import dataclasses
import math
import statistics
from fractions import Fraction

from . import lapse, values
from .configuration import as_list


@dataclasses.dataclass
class Verdict:
    holds: bool | None
    since_ms: int = 0
    reason: str = ""
    value: float = 0  # the number it is about
    key: str = ""
    instant: bool = False  # a change, without an end


class Silence:
    def __init__(self, fields, configuration):
        self.measure = configuration.measures[fields["measure"]]
        self.after_ms = values.duration_ms(fields["after"]) if "after" in fields else None
        self.score = lapse.threshold(float(fields.get("false_alerts", 0.05)))
        gap = fields.get("population_gap")
        self.m0 = values.days_of(gap) if gap else self.measure.population_gap_days or configuration.lifecycle.population_gap_days
        self.days_min = int((fields.get("minimum") or {}).get("days", 4))
        self.horizon_ms = values.duration_ms(fields.get("horizon", "3650d"))

    def deadline(self, customer):
        """When the silence since the last event is too long; None: too little is known."""
        series = customer.series[self.measure.name]
        if series.days < self.days_min or not series.count:
            return None
        if self.after_ms is not None:
            return series.last_ms + self.after_ms
        return lapse.due_ms(series, self.m0, self.score, self.horizon_ms)

    def judge(self, customer, now, late, episode):
        """Verdicts, and when the answer changes if no event comes."""
        deadline = self.deadline(customer)
        if deadline is None:
            return [Verdict(None)], values.NEVER
        last = customer.series[self.measure.name].last_ms
        is_open = episode.phase in ("pending", "firing")
        heard = is_open and last != episode.value and episode.clear_since_ms is None  # since the crossing
        if deadline <= now and not heard:
            return [Verdict(True, deadline, "silent_too_long", last)], values.NEVER
        # A late event may leave the next crossing in the past too: it is judged right after this end.
        after = max(deadline, now + 1)
        if is_open and last >= episode.starts_ms:
            return [Verdict(False, last, "activity_resumed")], after
        return [Verdict(False, now, "corrected")], after


class Dropping:
    """This period against the customer's own earlier periods, judged when a bucket closes."""

    def __init__(self, fields, configuration):
        self.measure = configuration.measures[fields["measure"]]
        self.kind = fields.get("value", "count")
        bucket_ms = values.duration_ms(self.measure.resolution)
        self.width = values.duration_ms(fields["window"]) // bucket_ms  # buckets
        baseline = fields.get("baseline") or {}
        self.periods = int(baseline.get("periods", 3))
        self.compare = baseline.get("compare", "mean")
        minimum = fields.get("minimum") or {}
        self.count_min = int(minimum.get("baseline_count", 8))
        observed = minimum.get("observed_for")
        self.observed = math.ceil(values.duration_ms(observed) / bucket_ms) if observed else self.width * (1 + self.periods)
        self.fire = self.thresholds(fields, {})
        self.resolve = self.thresholds(fields.get("resolve") or {}, self.fire)

    @staticmethod
    def thresholds(fields, default):
        return {name: Fraction(fields[name]) if name in fields else default.get(name) for name in ("ratio", "p_value")}

    def lookback(self):
        return self.width * (1 + self.periods)

    def periods_before(self, series, close, kind):
        """The values of the window and of the baseline's periods, newest first."""
        ends = range(close, close - self.lookback(), -self.width)
        return [series.value(kind, end - self.width, end) for end in ends]

    def level(self, baseline):
        """What the window is held against: of the earlier periods the mean, the smallest (`each`) or the median."""
        if self.compare == "mean":
            return Fraction(sum(baseline), self.periods)
        return min(baseline) if self.compare == "each" else Fraction(statistics.median(baseline))

    def is_low(self, window, baseline, thresholds):
        ratio, p_value = thresholds["ratio"], thresholds["p_value"]
        limit = self.level(baseline) * (1 if ratio is None else ratio)
        if self.compare == "each" and window >= limit or ratio is not None and window > limit:
            return False
        return p_value is None or self.p(window, sum(baseline)) <= p_value

    def p(self, k, others):
        """P(X <= k), X ~ Bin(n, p0): how probable so few of all n are in the window, if nothing has changed."""
        n = k + others
        return Fraction(sum(math.comb(n, i) * self.periods ** (n - i) for i in range(k + 1)), (self.periods + 1) ** n)

    def is_known(self, series, close, baseline):
        if series.first_ms is None or close - 1 - series.bucket_of(series.first_ms) < self.observed:
            return False
        count = sum(baseline) if self.kind == "count" else sum(self.periods_before(series, close, "count")[1:])
        return count >= self.count_min and self.level(baseline) > 0

    def judge(self, customer, now, late, episode):
        series = customer.series[self.measure.name]
        close = series.bucket_of(now)
        return [self.verdict(series, close, now, late, episode)], self.next_ms(series, close)

    def verdict(self, series, close, now, late, episode):
        window, *baseline = self.periods_before(series, close, self.kind)
        firing, rose = episode.phase == "firing", window > episode.value
        if not self.is_known(series, close, baseline):
            return Verdict(False, now, "corrected" if late else "recovered") if firing and rose else Verdict(None)
        if self.is_low(window, baseline, self.resolve if firing else self.fire):
            return Verdict(True, now, "below_baseline", window)
        return Verdict(False, now, "corrected" if late else "recovered" if rose else "baseline_faded")

    def next_ms(self, series, now_close):
        """The next close at which a bucket comes into a period or leaves one, or the customer has been seen for long enough."""
        if series.first_ms is None:
            return values.NEVER
        observed = series.bucket_of(series.first_ms) + self.observed + 1
        closes = [observed] if observed > now_close else []
        for number in range(self.periods + 2):
            # A bucket comes into the window at the close behind it, and moves on, and at last out, every `width` closes.
            age = 1 + number * self.width
            at = bisect.bisect_right(series.indexes, now_close - age)
            if at < len(series.indexes):
                closes.append(series.indexes[at] + age)
        return series.start_of(min(closes)) if closes else values.NEVER


class Transition:
    """The newest change of the customer's activity is one of those asked for."""

    def __init__(self, fields, _):
        self.sources, self.targets = as_list(fields.get("from")), as_list(fields.get("to"))

    def judge(self, customer, now, late, episode):
        source, target = customer.lifecycle.previous, customer.lifecycle.activity
        # Being seen for the first time is a change only for those who ask for it.
        wanted = source in self.sources if self.sources else source != "none"
        if target == "none" or not wanted or self.targets and target not in self.targets:
            return [], values.NEVER
        key = f"activity:{source}:{target}"
        return [Verdict(True, customer.lifecycle.since_ms, "activity_changed", key=key, instant=True)], values.NEVER


BY_NAME = {"silence": Silence, "dropping": Dropping, "transition": Transition}
