"""Two sets of alerts compared: those on the topic with those that a backtest computes."""
import collections
import dataclasses
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


@dataclasses.dataclass
class Comparison:
    """Alerts of each kind of difference; the same alerts in both, each once, with the same content, leave all empty."""

    missing: list
    twice: list
    extra: list
    other: list  # (actual, expected) with another content

    def lines(self):
        """The first of each kind, for people."""
        lines = []
        for title, alerts in (("missing on the topic", self.missing), ("more than once on the topic", self.twice),
                              ("extra on the topic", self.extra)):
            if alerts:
                lines.append(f"{len(alerts)} {title}:")
                lines += [describe(alert) for alert in alerts[:SHOWN_MAX]]
        if self.other:
            lines.append(f"{len(self.other)} with another content:")
        for actual, expected in self.other[:SHOWN_MAX]:
            lines += [f"  topic    {json.dumps(content(actual), sort_keys=True)}",
                      f"  backtest {json.dumps(content(expected), sort_keys=True)}"]
        return lines


def compare(actual, expected):
    have = collections.Counter(map(identity, actual))
    found = {identity(alert): alert for alert in actual}
    wanted = {identity(alert): alert for alert in expected}
    return Comparison(missing=[alert for key, alert in wanted.items() if key not in have],
                      twice=[found[key] for key, count in have.items() if count > 1 and key in wanted],
                      extra=[alert for key, alert in found.items() if key not in wanted],
                      other=[(alert, wanted[key]) for key, alert in found.items()
                             if key in wanted and content(alert) != content(wanted[key])])
