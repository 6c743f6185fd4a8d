"""States: what the changelog folds to, beside what the log leads to (docs/state-format.md, lib/customer/state.proto)."""
import copy
import functools
import importlib.util
import itertools
import json
import subprocess
import tempfile

import xxhash

from . import configuration as configurations
from . import detectors, findings, log, values
from .lifecycle import Lifecycle
from .series import FORGET

PROTO = configurations.ROOT / "lib" / "customer" / "state.proto"
FORMAT_VERSION = 2
ACTIVITIES = ["none", "new", "active", "at_risk", "dormant", "lost", "reactivated"]
PHASES = ["closed", "pending", "firing", "waiting"]
RESOLUTIONS = ["1d", "1h", "1m"]


@functools.cache
def messages():
    """The module that protoc makes of state.proto."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"--python_out={folder}", f"--proto_path={PROTO.parent}", PROTO.name], check=True)
        spec = importlib.util.spec_from_file_location("state_pb2", f"{folder}/state_pb2.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


class Partition:
    """What one partition of the changelog folds to."""

    def __init__(self):
        self.customers = {}  # name -> bytes
        self.meta = None  # bytes
        self.meta_offset = self.last_offset = -1

    def decoded_meta(self):
        return messages().Meta.FromString(self.meta)


def fold(rows):
    """{partition: Partition} of the dumped changelog."""
    folded = {}
    for row in sorted(rows, key=lambda row: row["offset"]):
        partition = folded.setdefault(row["partition"], Partition())
        key, value = log.bytes_of(row, "key"), log.bytes_of(row, "value")
        partition.last_offset = row["offset"]
        if key == b"m":
            partition.meta, partition.meta_offset = value, row["offset"]
        elif value is None:
            partition.customers.pop(key[1:].decode(), None)
        else:
            partition.customers[key[1:].decode()] = value
    return folded


def customer_of(value):
    """A customer's record with everything in it and all times whole, as in format version 1, whatever the version."""
    customer = messages().Customer.FromString(value)
    last = customer.last_seen_ms
    life = customer.lifecycle
    if life.HasField("since_after_ms"):
        life.since_ms_v1 = last + life.since_after_ms
        life.since_day_v1 = life.since_ms_v1 // values.DAY_MS + life.since_days_after
    for measure in customer.measures:
        customer.measures_v1.append(whole(measure, customer.first_seen_ms, last))
    for rule in customer.rules:
        if rule.HasField("due_after_ms"):
            rule.due_ms_v1, rule.has_due_v1 = last + rule.due_after_ms, True
    if customer.HasField("due_after_ms"):
        customer.due_ms_v1, customer.has_due_v1 = last + customer.due_after_ms, True
    if customer.recent_after_ms:
        first, *others = customer.recent_after_ms
        customer.recent_ms_v1[:] = [last + first, *others]
    return customer


def whole(measure, first_seen_ms, last_seen_ms):
    """The measure as format version 1 would have it."""
    out = messages().MeasureV1(key=measure.key, count=measure.count, sum_micros=measure.sum_micros, days=measure.days, s=measure.s)
    if measure.count:
        out.first_ms = first_seen_ms + measure.first_after_ms
        out.last_ms = last_seen_ms - measure.last_before_ms
    if measure.days:
        out.last_day = out.last_ms // values.DAY_MS + measure.last_days_after
    if measure.HasField("x"):
        out.x = measure.x
    else:
        for _ in range(measure.days - 1):
            out.x = FORGET * out.x + 1
    buckets = len(measure.bucket_index)
    out.bucket_index.extend(measure.bucket_index)
    out.bucket_count.extend(measure.bucket_count or [1] * buckets)
    out.bucket_sum_micros.extend(measure.bucket_sum_micros or [10_000 * each for each in measure.bucket_sum_hundredths])
    out.bucket_distinct.extend(measure.bucket_distinct or ([1] * buckets if measure.distinct else []))
    out.distinct.extend(measure.distinct)
    return out


def hash_of(text):
    return xxhash.xxh64_intdigest(text.encode())


def quoted(texts):
    return "[" + ", ".join(json.dumps(text, ensure_ascii=False) for text in texts) + "]"


def measure_key(measure):
    where = sorted(f"{name}={quoted(sorted(allowed))}" for name, allowed in measure.where)
    kind = 0 if measure.sum is None else 1 if measure.sum == "amount" else 2
    return hash_of(f"{measure.name}|{quoted(sorted(measure.types))}|{quoted(where)}|{kind}:{measure.sum if kind == 2 else ''}|"
                   f"{measure.distinct or ''}|{RESOLUTIONS.index(measure.resolution)}")


def kept_buckets(rules):
    """{measure's name: how many closed buckets some rule looks at}"""
    kept = {}
    for _, detector in rules:
        if isinstance(detector, detectors.Dropping):
            kept[detector.measure.name] = max(kept.get(detector.measure.name, 0), detector.lookback())
    return kept


class Comparison:
    """One customer's stored state beside the expected one; `differences` are lines."""

    def __init__(self, partition, customer, stored, clock_ms):
        self.label = f"{customer.name!r} in partition {partition}"
        self.customer, self.stored, self.clock_ms = customer, stored, clock_ms
        self.differences = []

    def same(self, what, expected, found):
        if isinstance(expected, float):
            equal = abs(expected - found) <= 1e-9 * max(1, abs(expected))
        else:
            equal = expected == found
        if not equal:
            self.differences.append(f"{self.label}: {what} should be {expected}, is {found}")

    def all(self):
        customer, stored = self.customer, self.stored
        self.same("first_seen_ms", customer.first_seen_ms, stored.first_seen_ms)
        self.same("last_seen_ms", customer.last_seen_ms, stored.last_seen_ms)
        self.lifecycle()
        self.measures()
        self.rules()
        came = list(itertools.accumulate(stored.recent_ms_v1))
        expected = [ms for _, ms in customer.recent]
        if customer.configuration.source == "wall" and len(came) == len(expected):
            expected = [max(both) for both in zip(expected, came)]  # when exactly only the daemon's clock knew; not before
        self.same("recent ids", list(zip([hash_of(known) for known, _ in customer.recent], expected)),
                  list(zip(stored.recent_ids, came)))
        return self.differences

    def lifecycle(self):
        expected, stored = self.customer.lifecycle, self.stored.lifecycle
        found = Lifecycle(expected.configuration)
        found.activity, found.previous = ACTIVITIES[stored.activity], ACTIVITIES[stored.previous]
        found.since_ms, found.since_day = stored.since_ms_v1, stored.since_day_v1
        if not self.customer.activity_is_watched:  # each is as of when somebody has looked: both go on from there
            expected = copy.copy(expected)
            for one in (expected, found):
                while one.step_down(self.customer.pulse, self.clock_ms):
                    pass
        self.same("activity", expected.activity, found.activity)
        if expected.activity != "none":
            self.same("activity before", expected.previous, found.previous)
            self.same("activity since", expected.since_ms, found.since_ms)
            self.same("activity since day", expected.since_day, found.since_day)

    # --- measures ---

    def measures(self):
        stored = {measure.key: measure for measure in self.stored.measures_v1}
        keys = [measure.key for measure in self.stored.measures_v1]
        self.same("order of measures", sorted(keys), keys)
        kept = kept_buckets(self.customer.rules)
        for name, series in self.customer.series.items():
            one = stored.pop(measure_key(series.measure), messages().MeasureV1())
            self.same(f"{name} count", series.count, one.count)
            self.same(f"{name} sum", series.sum_micros, one.sum_micros)
            if series.count:
                self.same(f"{name} first", series.first_ms, one.first_ms)
                self.same(f"{name} last", series.last_ms, one.last_ms)
                self.same(f"{name} days", series.days, one.days)
                self.same(f"{name} last day", series.last_day, one.last_day)
                self.same(f"{name} x", series.x, one.x)
                self.same(f"{name} S", series.s, one.s)
            self.buckets(name, series, one, kept.get(name, 0))
        self.same("measures nobody knows", [], list(stored))

    def buckets(self, name, series, stored, kept):
        """Those that some rule can still look at must be there; older ones may be; all must be right."""
        indexes = list(itertools.accumulate(stored.bucket_index))
        sums = stored.bucket_sum_micros or [0] * len(indexes)
        sizes = stored.bucket_distinct or [0] * len(indexes)
        hashes = iter(stored.distinct)
        have = {index: (count, total, sorted(itertools.islice(hashes, size)))
                for index, count, total, size in zip(indexes, stored.bucket_count, sums, sizes)}
        oldest = series.bucket_of(self.clock_ms) - kept
        for index in sorted(have.keys() | {index for index in series.indexes if kept and index >= oldest}):
            bucket = series.buckets.get(index)
            expected = (bucket.count, bucket.sum_micros, sorted(hash_of(text) & 0xffffffff for text in bucket.distinct)) \
                if bucket else (0, 0, [])
            self.same(f"{name} bucket {index}", expected, have.get(index, (0, 0, [])))

    # --- rules ---

    def rules(self):
        stored = {rule.key: rule for rule in self.stored.rules}
        keys = [rule.key for rule in self.stored.rules]
        self.same("order of rules", sorted(keys), keys)
        due = [self.customer.activity_due_ms()] if self.customer.pulse.count else []
        for number, (rule, detector) in enumerate(self.customer.rules):
            one = stored.pop(hash_of("rule:" + rule.id), messages().Rule())
            at = one.due_ms_v1 if one.has_due_v1 else values.NEVER
            due.append(at)
            # `dropping` may leave out closes at which it cannot fire; the others say exactly when they change.
            if not isinstance(detector, detectors.Dropping):
                self.same(f"{rule.id} due", self.customer.due[number], at)
            self.episodes(rule, self.customer.episodes[number], {one.key.decode(): one for one in one.episodes})
        self.same("rules nobody knows", [], list(stored))
        self.same("due", min(due, default=values.NEVER), self.stored.due_ms_v1 if self.stored.has_due_v1 else values.NEVER)
        if self.stored.has_due_v1 and self.stored.due_ms_v1 <= self.clock_ms:
            self.differences.append(f"{self.label}: due {values.show(self.stored.due_ms_v1)}, but the clock is at "
                                    f"{values.show(self.clock_ms)}")

    def episodes(self, rule, expected, stored):
        for key in sorted(expected.keys() | stored.keys()):
            name, want, have = f"{rule.id} episode {key!r}".replace(" ''", ""), expected.get(key), stored.get(key)
            phase = want.phase if want else "closed"
            self.same(f"{name} phase", phase, PHASES[have.phase] if have else "closed")
            last_fired_ms = have.last_fired_ms if have and have.HasField("last_fired_ms") else None
            # A closed one is remembered for its cool-down, and for ever where once is once; else it may be forgotten.
            matters = want and want.last_fired_ms is not None and (
                phase == "firing" or rule.policy.once or (want.cool_ms or 0) > self.clock_ms)
            if matters or last_fired_ms is not None:
                self.same(f"{name} last fired", want.last_fired_ms if want else None, last_fired_ms)
            if not have:
                continue
            if phase in ("pending", "firing"):
                self.same(f"{name} starts_at", want.starts_ms, have.starts_at_ms)
                self.same(f"{name} instant", want.instant, have.instant)
            if phase == "firing":
                clear = have.clear_since_ms if have.HasField("clear_since_ms") else None
                self.same(f"{name} clear since", want.clear_since_ms, clear)
                self.same(f"{name} muted", want.muted, have.muted)


def compare(number, shard, partition):
    """A partition's findings: its Shard and its Partition."""
    meta = partition.decoded_meta()
    wrong = []
    expected = {name: customer for name, customer in shard.customers.items() if customer.exists}
    known = partition.customers
    wrong += findings.of("state", f"customers missing in partition {number} of the changelog",
                         [repr(name) for name in expected if name not in known])
    wrong += findings.of("state", f"customers extra in partition {number} of the changelog",
                         [repr(name) for name in known if name not in expected])
    differences = []
    for name, customer in expected.items():
        if name in known:
            stored = customer_of(known[name])
            differences += Comparison(number, customer, stored, meta.clock_ms).all()
    wrong += findings.of("state", "differences in states", differences)
    checks = [("format_version", FORMAT_VERSION, meta.format_version), ("customers", len(expected), meta.customers),
              ("events", shard.counted, meta.events)]
    if shard.clock_ms is not None:
        checks.append(("clock", values.show(shard.clock_ms), values.show(meta.clock_ms)))
    if shard.last_event_ms is not None:
        checks.append(("last event", values.show(shard.last_event_ms), values.show(meta.last_event_ms)))
    return wrong + findings.of("state", f"differences in the record of partition {number}",
                               [f"{name} should be {want}, is {have}" for name, want, have in checks if want != have])
