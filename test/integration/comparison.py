"""Two sets of alerts compared: those on the topic with those that a backtest computes."""
import collections
import json

SHOWN_MAX = 5


def identity(alert):
    return alert["id"], alert["data"]["status"]


def content(alert):
    """All but how late it was noticed, which depends on when the process ran."""
    return {**alert, "data": {key: value for key, value in alert["data"].items() if key != "late_by"}}


def describe(alert):
    data = alert["data"]
    return f"  {alert['time']} {data['rule']} {data['status']} ({data['reason']}) of {data['customer_id']}, id {alert['id']}"


def differences(actual, expected):
    """Readable lines; none if the same alerts stand in both, each once, with the same content."""
    have, want = (collections.Counter(map(identity, alerts)) for alerts in (actual, expected))
    samples = {identity(alert): alert for alert in [*expected, *actual]}
    twice = {key: 1 for key, count in have.items() if count > 1 and key in want}
    extra = {key: 1 for key in have if key not in want}
    missing = {key: 1 for key in want if key not in have}
    lines = []
    for title, keys in (("missing on the topic", missing), ("more than once on the topic", twice), ("extra on the topic", extra)):
        if keys:
            lines.append(f"{len(keys)} {title}:")
            lines += [describe(samples[key]) for key in list(keys)[:SHOWN_MAX]]
    if lines:
        return lines
    wanted = {identity(alert): content(alert) for alert in expected}
    other = [alert for alert in actual if content(alert) != wanted[identity(alert)]]
    if other:
        lines.append(f"{len(other)} with another content:")
    for alert in other[:SHOWN_MAX]:
        lines += [f"  topic    {json.dumps(content(alert), sort_keys=True)}",
                  f"  backtest {json.dumps(wanted[identity(alert)], sort_keys=True)}"]
    return lines
