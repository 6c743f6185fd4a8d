"""Events for the tests: a seeded part of the demo's real history, and small ones made by hand."""
import dataclasses
import datetime
import gzip
import json
import os
import pathlib
import random

import processes

DEMO = processes.ROOT / "test" / "data" / "demo.jsonl.gz"
QUIET_DAYS = 45  # after the last event: the last timers fire


def seeded(default):
    """A random generator whose seed a failing test shows; HEARTBEATD_TEST_SEED sets another."""
    seed = int(os.environ.get("HEARTBEATD_TEST_SEED", default))
    print(f"seed {seed} (HEARTBEATD_TEST_SEED={seed} repeats this run)")
    return random.Random(seed)


def rfc3339(seconds):
    """Unix time as text, in milliseconds."""
    moment = datetime.datetime.fromtimestamp(round(seconds, 3), datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def event(number, customer, time, kind="login", **fields):
    """`time`: RFC 3339 text or Unix seconds."""
    time = time if isinstance(time, str) else rfc3339(time)
    return {"event_id": f"e{number}", "type": kind, "customer_id": customer, "timestamp": time, **fields}


def messages(rows):
    """Events as messages that App.send() takes."""
    return [{"key": row["customer_id"], "value": json.dumps(row)} for row in rows]


@dataclasses.dataclass
class History:
    """A file of events, sorted by time, and the time of the tick that ends it."""

    path: pathlib.Path
    count: int
    until: str


def write(path, rows, until):
    """`rows`: events as dictionaries; `until`: RFC 3339 text or Unix seconds."""
    rows = list(rows)
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    return History(path, len(rows), until if isinstance(until, str) else rfc3339(until))


def joined(first, second):
    """Both, one after the other, in the place of the first."""
    path = first.path.with_stem(first.path.stem + "+")
    path.write_text(first.path.read_text() + second.path.read_text())
    return History(path, first.count + second.count, second.until)


def read(history):
    """Its events as dictionaries."""
    return [json.loads(line) for line in history.path.read_text().splitlines()]


def generated(path, kit, count, customers, seed=1):
    """The benchmark's load: many customers with few events each."""
    kit.generate(path, count, customers, seed=seed)
    return History(path, count, "2026-02-15T00:00:00Z")


def part_of_demo(path, random_source, share=0.1, forgotten=("purchase", "login")):
    """All logins and that share of the buyers; some events come twice, some purchases are given back, and after some
    events of the types `forgotten` the customer wants to be forgotten, and may come again."""
    rows, keep = [], {}
    with gzip.open(DEMO, "rt") as lines:
        for row in map(json.loads, lines):
            customer = row["customer_id"]
            if customer not in keep:
                keep[customer] = row["type"] == "login" or random_source.random() < share
            if not keep[customer]:
                continue
            rows.append(row)
            chance = random_source.random()
            if chance < 0.01:
                rows.append(row)
            elif chance < 0.02 and row["type"] == "purchase":
                rows.append({**row, "event_id": row["event_id"] + "-back", "type": "refund"})
            elif chance < 0.023 and row["type"] in forgotten:
                rows.append({**row, "event_id": row["event_id"] + "-erase", "type": "erase"})
    last = datetime.datetime.fromtimestamp(unix(rows[-1]["timestamp"]), datetime.timezone.utc)
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=QUIET_DAYS)
    return write(path, rows, midnight.strftime("%Y-%m-%dT%H:%M:%SZ"))
