"""The daemon's YAML files, as far as they decide what alerts and states there must be."""
import dataclasses
import glob
import os
import pathlib
import re

import yaml

from . import values

ROOT = pathlib.Path(__file__).resolve().parents[3]
EVERY_EVENT = "(every event)"  # the name of the life cycle's measure if none is configured


class Quoted(str):
    """A scalar in quotes: text even if it looks like a number."""


class Loader(yaml.BaseLoader):
    """Scalars stay as they are written."""

    def construct_scalar(self, node):
        text = substitute(super().construct_scalar(node))
        return Quoted(text) if node.style in ("'", '"') else text


Loader.add_constructor("tag:yaml.org,2002:str", lambda loader, node: loader.construct_scalar(node))


def substitute(text):
    """${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:PATH}."""
    def value(found):
        inside = found.group(1)
        if inside.startswith("file:"):
            return pathlib.Path(inside[5:]).read_text().rstrip("\n")
        name, _, rest = inside.partition(":")
        return os.environ.get(name) or rest[1:]
    return re.sub(r"\$\{([^}]*)\}", value, text)


def laid_over(base, top):
    """Maps are merged, rules by their id; everything else is replaced."""
    if isinstance(base, dict) and isinstance(top, dict):
        merged = dict(base)
        for key, value in top.items():
            merged[key] = laid_over_rules(base.get(key), value) if key == "rules" else laid_over(base.get(key), value)
        return merged
    return top


def laid_over_rules(base, top):
    merged = {rule["id"]: rule for rule in base or []}
    for rule in top or []:
        merged[rule["id"]] = laid_over(merged.get(rule["id"]), rule)
    return list(merged.values())


def read_file(path):
    """A file and those that its `rule_files` name, which lie under it."""
    path = pathlib.Path(path)
    with open(path) as text:
        tree = yaml.load(text, Loader) or {}
    below = {}
    for pattern in tree.pop("rule_files", None) or []:
        for name in sorted(glob.glob(str(path.parent / pattern))):
            below = laid_over(below, read_file(name))
    return laid_over(below, tree)


def read_tree(paths):
    tree = {}
    for path in paths:
        tree = laid_over(tree, read_file(path))
    if tree.get("preset"):
        tree = laid_over(read_file(ROOT / "config" / "presets" / f"{tree['preset']}.yaml"), tree)
    return tree


def as_list(value):
    if value in (None, ""):
        return []
    return list(value) if isinstance(value, list) else [value]


def canonical(scalar):
    return str(scalar) if isinstance(scalar, Quoted) else values.canonical_scalar(scalar)


@dataclasses.dataclass(frozen=True)
class Measure:
    name: str
    types: tuple  # empty: every event that shows life
    where: tuple  # (property, allowed texts)
    sum: str | None  # "amount", a property, or nothing
    distinct: str | None
    resolution: str
    population_gap_days: float | None


@dataclasses.dataclass(frozen=True)
class Policy:
    hold_ms: int
    resolve_hold_ms: int
    cooldown_ms: int
    once: bool
    active_from_ms: int | None


@dataclasses.dataclass(frozen=True)
class Rule:
    id: str
    detector: str
    policy: Policy
    fields: dict  # the rule as it is written, for its detector


@dataclasses.dataclass(frozen=True)
class Step:
    """How a customer gets into at_risk, dormant or lost."""
    false_alerts: float
    new_gaps: float
    after_ms: int | None


@dataclasses.dataclass(frozen=True)
class Lifecycle:
    measure: Measure
    population_gap_days: float
    horizon_ms: int
    steps: dict  # activity -> Step


STEPS = {"at_risk": (0.05, 2.0), "dormant": (0.01, 3.0), "lost": (0.002, 6.0)}


class Configuration:
    """Constant after it is read."""

    def __init__(self, tree):
        self.app = tree.get("app", "heartbeatd")
        time = tree.get("time") or {}
        self.source = time.get("source", "wall")
        self.zone = values.Zone(time.get("zone", "UTC"))
        self.future_skew_ms = values.duration_ms(time.get("future_skew", "5m"))
        self.currency = tree.get("currency")
        dedupe = tree.get("dedupe") or {}
        self.dedupe_ids = int(dedupe.get("ids", 64))
        self.dedupe_within_ms = values.duration_ms(dedupe.get("within", "48h"))
        self.input_topics = as_list((tree.get("input") or {}).get("topics"))
        output = tree.get("output") or {}
        self.alerts_topic = output.get("alerts", "customer-alerts")
        self.dead_letter_topic = (output.get("dead_letter") or {}).get("topic", "customer-events-dlq")
        self.changelog_topic = output.get("changelog", f"{self.app}-changelog")
        lifecycle = tree.get("lifecycle") or {}
        self.measures = {name: read_measure(name, fields, lifecycle.get("population_gap"))
                         for name, fields in (tree.get("measures") or {}).items()}
        self.lifecycle = read_lifecycle(lifecycle, self.measures)
        self.rules = [read_rule(fields) for fields in tree.get("rules") or [] if fields.get("enabled", "true") == "true"]

    def all_measures(self):
        """Those of the configuration and the one that the life cycle looks at."""
        return list(dict.fromkeys([*self.measures.values(), self.lifecycle.measure]))


def read(paths):
    return Configuration(read_tree(paths))


def read_measure(name, fields, default_gap):
    gap = fields.get("population_gap", default_gap)
    return Measure(
        name=name,
        types=tuple(as_list(fields["type"])),
        where=tuple((key, tuple(canonical(one) for one in as_list(allowed)))
                    for key, allowed in (fields.get("where") or {}).items()),
        sum=fields.get("sum"),
        distinct=fields.get("distinct"),
        resolution=fields.get("resolution", "1d"),
        population_gap_days=values.days_of(gap) if gap else None)


def read_lifecycle(fields, measures):
    # Without one of its own the life cycle looks at every sign of life.
    measure = measures.get(fields.get("measure")) or Measure(EVERY_EVENT, (), (), None, None, "1d", None)
    gap = fields.get("population_gap")
    steps = {}
    for activity, (false_alerts, new_gaps) in STEPS.items():
        step = fields.get(activity) or {}
        after = step.get("after")
        steps[activity] = Step(float(step.get("false_alerts", false_alerts)), float(step.get("new_gaps", new_gaps)),
                               values.duration_ms(after) if after else None)
    return Lifecycle(measure, values.days_of(gap) if gap else measure.population_gap_days or 60.0,
                     values.duration_ms(fields.get("horizon", "3650d")), steps)


def read_rule(fields):
    active_from = fields.get("active_from")
    policy = Policy(
        hold_ms=values.duration_ms(fields.get("hold", "0s")),
        resolve_hold_ms=values.duration_ms((fields.get("resolve") or {}).get("hold", "0s")),
        cooldown_ms=values.duration_ms(fields.get("cooldown", "0s")),
        once=fields.get("reentry", "every") == "once",
        active_from_ms=values.configured_ms(active_from) if active_from else None)
    return Rule(fields["id"], fields["detector"], policy, fields)
