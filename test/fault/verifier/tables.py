"""Small logs and configurations for the tests."""
import json

from verifier import configuration, log, predict, values

BASE = """
kafka: {brokers: none}
input: {topics: [events]}
time: {source: event}
"""


def settings(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    base = tmp_path / "base.yaml"
    base.write_text(BASE)
    return configuration.read([base, path])


def every(first, step, times, kind="purchase", **fields):
    """So many events of one customer, one each `step`."""
    begin = values.configured_ms(first)
    return [event(begin + number * values.duration_ms(step), kind, **fields) for number in range(times)]


NUMBERS = iter(range(10**9))


def event(time, kind="purchase", customer="c", id=None, **fields):
    """`time`: milliseconds, RFC 3339 or a date."""
    ms = time if isinstance(time, int) else values.configured_ms(time)
    return {"event_id": id or f"e{next(NUMBERS)}", "type": kind, "customer_id": customer, "timestamp": values.show(ms), **fields}


def messages(rows):
    """A log of one partition; rows are events or raw bytes."""
    return [log.Message("events", 0, number, None, row if isinstance(row, bytes) else json.dumps(row).encode())
            for number, row in enumerate(rows)]


def shard(tmp_path, text, rows, until=None):
    config = settings(tmp_path, text)
    (ordered,) = log.by_partition(messages(rows), config).values()
    return predict.run(ordered, config, None if until is None else values.configured_ms(until))


def short(ms):
    """2026-03-01T00:00:00Z is 2026-03-01."""
    return values.show(ms).removesuffix("T00:00:00Z")


def lines(shard_):
    """Alerts as words: rule, status, reason, starts_at, time."""
    return [f"{one.rule} {one.status} {one.reason} {short(one.starts_ms)} {short(one.time_ms)}" for one in shard_.alerts]
