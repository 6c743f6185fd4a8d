"""What must have become of a log: every partition's clock, customers, alerts and dead letters."""
import dataclasses
import uuid

from . import detectors, values
from .episodes import Episode
from .lifecycle import Lifecycle
from .series import Series

NAME_SPACE = uuid.UUID("6f1d2c1e-5b0a-4c57-9a43-8d0b1c7a2e94")


@dataclasses.dataclass(frozen=True)
class Alert:
    id: str
    status: str
    rule: str
    customer: str
    starts_ms: int
    time_ms: int
    reason: str
    instant: bool = False  # a change, without an end

    @property
    def identity(self):
        return self.id, self.status


def uuid_of(*fields):
    """UUIDv5 of the fields, each written as a netstring."""
    name = b"".join(b"%d:%s," % (len(field), field) for field in (field.encode() for field in fields))
    return str(uuid.uuid5(NAME_SPACE, name.decode()))


class Customer:
    """All that is known of one customer of one partition; `alerts` goes to the partition's list."""

    def __init__(self, name, configuration, rules, alerts):
        self.name, self.configuration, self.rules, self.alerts = name, configuration, rules, alerts
        # Else the activity is brought up to date only when the customer is looked at.
        self.activity_is_watched = any(isinstance(detector, detectors.Transition) for _, detector in rules)
        self.forget()

    def forget(self):
        zone = self.configuration.zone
        self.exists = False
        self.series = {measure.name: Series(measure, zone) for measure in self.configuration.all_measures()}
        self.lifecycle = Lifecycle(self.configuration.lifecycle)
        self.episodes = [{} for _ in self.rules]  # key -> Episode
        self.due = [values.NEVER for _ in self.rules]  # when time alone can change what the rule says
        self.recent = []  # (event id, the clock when it came), oldest arrival first
        self.first_seen_ms = self.last_seen_ms = None

    @property
    def pulse(self):
        return self.series[self.configuration.lifecycle.measure.name]

    # --- time ---

    def pass_time(self, end):
        """Everything that happens by itself up to `end`, each at its own time."""
        while self.exists and (now := min([self.activity_due_ms(), *self.due])) <= end:
            self.step_down(now)
            for number, due in enumerate(self.due):
                if due <= now:
                    self.judge_rule(number, now)

    def activity_due_ms(self):
        return self.lifecycle.next_ms(self.pulse) if self.activity_is_watched else values.NEVER

    def step_down(self, now):
        while self.lifecycle.step_down(self.pulse, now):
            for number, (_, detector) in enumerate(self.rules):
                if isinstance(detector, detectors.Transition):
                    self.judge_rule(number, now)

    # --- events ---

    def apply(self, event, now):
        """`now`: the shard's clock, this event included. False for an erasure, or if the event has been there before."""
        if event.type == "erase":
            self.forget()
            return False
        if any(event.id == known for known, _ in self.recent):
            return False
        self.remember(event, now)
        self.step_down(now)
        self.exists = True
        self.first_seen_ms = event.ms if self.first_seen_ms is None else min(event.ms, self.first_seen_ms)
        self.last_seen_ms = event.ms if self.last_seen_ms is None else max(event.ms, self.last_seen_ms)
        last_before_ms = self.pulse.last_ms
        for series in self.series.values():
            if series.add(event) and series is self.pulse:
                self.lifecycle.on_event(series, event.ms, now, last_before_ms)
        self.judge(now, late=event.ms < now or event.type == "refund")
        self.step_down(now)
        return True

    def remember(self, event, now):
        """The event's id. Older ones are forgotten from the oldest arrival on, as far as they are too old or too many."""
        while self.recent and (self.recent[0][1] < now - self.configuration.dedupe_within_ms or
                               len(self.recent) >= self.configuration.dedupe_ids):
            self.recent.pop(0)
        if self.configuration.dedupe_ids:
            self.recent.append((event.id, now))

    # --- rules ---

    def judge(self, now, late=False):
        for number in range(len(self.rules)):
            self.judge_rule(number, now, late)

    def judge_rule(self, number, now, late=False):
        (rule, detector), episodes = self.rules[number], self.episodes[number]
        edges = {}  # how often the same one in this evaluation
        # A detector of one condition has one episode, with the empty key.
        verdicts, due = detector.judge(self, now, late, episodes.get("") or Episode(rule.policy))
        said = [verdict.key for verdict in verdicts]
        for key, episode in episodes.items():
            if key not in said:
                episode.advance(detectors.Verdict(False, now), now)
        for verdict in verdicts:
            episode = episodes.setdefault(verdict.key, Episode(rule.policy))
            for edge in episode.advance(verdict, now):
                self.alert(rule, verdict.key, edge, edges)
        self.due[number] = min([due, *(episode.next_ms(now) for episode in episodes.values())])

    def alert(self, rule, key, edge, edges):
        fields = rule.id, self.name, key, str(edge.starts_ms), edge.status
        n = edges[fields] = edges.get(fields, -1) + 1
        self.alerts.append(Alert(uuid_of(self.configuration.app, *fields, str(n)), edge.status, rule.id, self.name, edge.starts_ms,
                                 edge.time_ms, edge.reason, edge.instant))


@dataclasses.dataclass
class Shard:
    """What a partition's log comes to."""
    customers: dict
    clock_ms: int | None
    alerts: list
    refused: dict  # (topic, partition, offset) -> reason
    counted: int = 0  # events that were neither repeated nor erasures
    last_event_ms: int | None = None  # of these


def run(messages, configuration, until_ms=None, refused_by_others=None):
    """A partition's Shard. `messages` in the order of application; `until_ms`: where time moves to after the last one;
    `refused_by_others`: {place: reason} of refusals that the message alone does not decide."""
    rules = [(rule, detectors.BY_NAME[rule.detector](rule.fields, configuration)) for rule in configuration.rules]
    shard = Shard({}, None, [], {})
    for message in messages:
        reason = (refused_by_others or {}).get(message.place) or message.refused
        if reason:
            shard.refused[message.place] = reason
            continue
        event = message.event
        shard.clock_ms = event.ms if shard.clock_ms is None else max(shard.clock_ms, event.ms)
        if event.type == "tick":
            continue
        customer = shard.customers.get(event.customer)
        if customer is None:
            customer = shard.customers[event.customer] = Customer(event.customer, configuration, rules, shard.alerts)
        customer.pass_time(shard.clock_ms)
        if customer.apply(event, shard.clock_ms):
            shard.counted += 1
            shard.last_event_ms = event.ms if shard.last_event_ms is None else max(shard.last_event_ms, event.ms)
    if until_ms is not None and (shard.clock_ms is None or shard.clock_ms < until_ms):
        shard.clock_ms = until_ms
    for customer in shard.customers.values():
        customer.pass_time(shard.clock_ms)
    return shard
