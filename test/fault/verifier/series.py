"""What a customer's events are to one measure: every one is kept, by bucket."""
import bisect
import dataclasses

from . import events, values

FORGET = 0.9
DISTINCT_MAX = 64


@dataclasses.dataclass
class Bucket:
    count: int = 0
    sum_micros: int = 0
    distinct: set = dataclasses.field(default_factory=set)


def length_ms(measure):
    return values.duration_ms(measure.resolution)


class Series:
    """One measure of one customer. `days`, `last_day`, `x` and `s` are the cadence."""

    def __init__(self, measure, zone):
        self.measure, self.zone = measure, zone
        self.first_ms = self.last_ms = None
        self.count = self.sum_micros = 0
        self.days = self.last_day = 0
        self.x = self.s = 0.0
        self.buckets = {}  # index -> Bucket
        self.indexes = []  # of the buckets, sorted

    def bucket_of(self, ms):
        return self.zone.day(ms) if self.measure.resolution == "1d" else ms // length_ms(self.measure)

    def start_of(self, index):
        return self.zone.start(index) if self.measure.resolution == "1d" else index * length_ms(self.measure)

    def accepts(self, event):
        """Whether it is an event of this measure."""
        if event.type in self.measure.types or not self.measure.types and event.type not in events.NO_PULSE:
            return self.conditions_hold(event)
        return False

    def conditions_hold(self, event):
        return all(event.properties.get(name) in allowed for name, allowed in self.measure.where)

    def add(self, event):
        """True if it is an event of this measure; a refund only takes its money."""
        if self.accepts(event):
            bucket = self.bucket(event.ms)
            bucket.count += 1
            amount = event.amount_micros if self.measure.sum == "amount" else event.numbers.get(self.measure.sum)
            self.add_money(bucket, amount or 0)
            if self.measure.distinct in event.properties and len(bucket.distinct) < DISTINCT_MAX:
                bucket.distinct.add(event.properties[self.measure.distinct])
            self.count += 1
            self.first_ms = event.ms if self.first_ms is None else min(event.ms, self.first_ms)
            self.last_ms = event.ms if self.last_ms is None else max(event.ms, self.last_ms)
            self.add_day(self.zone.day(event.ms))
            return True
        if event.type == "refund" and self.measure.sum == "amount" and event.amount_micros and self.conditions_hold(event):
            self.add_money(self.bucket(event.ms), -abs(event.amount_micros))
        return False

    def bucket(self, ms):
        index = self.bucket_of(ms)
        if index not in self.buckets:
            self.buckets[index] = Bucket()
            bisect.insort(self.indexes, index)
        return self.buckets[index]

    def add_money(self, bucket, amount_micros):
        bucket.sum_micros += amount_micros
        self.sum_micros += amount_micros

    def add_day(self, day):
        if self.days == 0:
            self.days, self.last_day = 1, day
        elif day > self.last_day:
            self.x = FORGET * self.x + 1
            self.s = FORGET * self.s + (day - self.last_day)
            self.days, self.last_day = self.days + 1, day

    def value(self, kind, begin, end):
        """count, sum (micro-units), distinct or days of the buckets with begin <= index < end."""
        at, to = bisect.bisect_left(self.indexes, begin), bisect.bisect_left(self.indexes, end)
        buckets = [self.buckets[index] for index in self.indexes[at:to]]
        if kind == "count":
            return sum([bucket.count for bucket in buckets])
        if kind == "sum":
            return sum([bucket.sum_micros for bucket in buckets])
        if kind == "distinct":
            return len(set().union(*[bucket.distinct for bucket in buckets]))
        return len({self.zone.day(self.start_of(index)) for index in self.indexes[at:to] if self.buckets[index].count})
