"""Alerts and dead letters: those on the topics beside those that the log leads to."""
import json

from . import findings, log, values

# Refusals that the message alone does not decide.
BELIEVED = ("poison", "state_too_large")


def shown(identity, content):
    rule, customer, starts_at, ends_at, time, reason = content
    return f"{time} {rule} {identity[1]} ({reason}) of {customer!r}, starts_at {starts_at}, ends_at {ends_at}, id {identity[0]}"


def expected_content(alert):
    ends_ms = alert.starts_ms if alert.instant else alert.time_ms if alert.status == "resolved" else None
    return (alert.rule, alert.customer, values.show(alert.starts_ms), None if ends_ms is None else values.show(ends_ms),
            values.show(alert.time_ms), alert.reason)


def actual_content(alert):
    data = alert["data"]
    return data["rule"], data["customer_id"], data["starts_at"], data["ends_at"], alert["time"], data["reason"]


def read(rows):
    """Alerts as the kit dumps them, or bare ones."""
    return [json.loads(log.bytes_of(row, "value")) if "partition" in row else row for row in rows]


def compare(expected, rows):
    found = [((alert["id"], alert["data"]["status"]), actual_content(alert)) for alert in read(rows)]
    wrong_keys = [f"key {row.get('key')!r}, customer {json.loads(row['value'])['subject']!r}" for row in rows
                  if "partition" in row and row.get("key") != json.loads(row["value"])["subject"]]
    return (findings.compared("alerts", [(alert.identity, expected_content(alert)) for alert in expected], found, shown) +
            findings.of("different", "alerts under another key than the customer", wrong_keys))


def dead_letters(rows):
    """[((topic, partition, offset), reason)] of the dumped dead letters."""
    return [((headers["source_topic"], int(headers["source_partition"]), int(headers["source_offset"])), headers["reason"])
            for headers in (row["headers"] for row in rows)]


def believed(rows, messages, skew_ms):
    """{place: reason} of the refusals that cannot be told from the message, as far as it allows them."""
    by_place = {message.place: message for message in messages}
    out = {}
    for place, reason in dead_letters(rows):
        message = by_place.get(place)
        possible = reason in BELIEVED
        if reason == "future_timestamp" and message and message.event and message.written_ms is not None:
            possible = message.event.ms > message.written_ms + skew_ms
        if possible:
            out[place] = reason
    return out


def compare_dead_letters(expected, rows):
    return findings.compared("dead letters", list(expected.items()), dead_letters(rows),
                             lambda place, reason: f"{reason} of offset {place[2]} in {place[0]}[{place[1]}]")
