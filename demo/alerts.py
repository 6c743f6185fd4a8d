"""Alerts as people read them, and two sets of alerts compared."""
import collections
import json

VERBS = {"purchases": ("buys", "bought"), "logins": ("logs in", "logged in")}
CHANGES_SHOWN_MAX = 5


def verbs(measure):
    return VERBS.get(measure, (f"has {measure}", f"had {measure}"))


def describe(alert):
    """One line: when, who, what and why. Alerts with unknown or missing fields still give a line."""
    data = alert.get("data", {})
    say = DESCRIPTIONS.get((data.get("detector"), data.get("status")), describe_any)
    try:
        text = say(data)
    except (KeyError, TypeError, ZeroDivisionError):
        text = describe_any(data)
    return f"{alert.get('time', '?')[:10]}  customer {data.get('customer_id', '?'):<12}  {text}"


def describe_any(data):
    return f"{data.get('rule')} {data.get('status')} ({data.get('reason')})"


def describe_drop(data):
    observed, baseline = data["observed"], data["baseline"]
    past = verbs(observed["measure"])[1]
    usual = baseline["per_period"]["count"]
    times = {0: "not at all", 1: "once"}.get(observed["count"], f"{observed['count']} times")
    text = f"{past} {times} in {observed['window']}, usually {usual:.0f} times"
    return text + (f" (p = {data['p_value']:.2g})" if data.get("p_value") is not None else "")


def describe_recovery(data):
    return describe_drop(data).split(" (p")[0] + f": {data['reason'].replace('_', ' ')}"


def describe_silence(data):
    present, _ = verbs(data["observed"]["measure"])
    silent, usual = data["observed"]["silent_days"], data["expected_gap_days"]
    return f"usually {present} every {usual:.0f} days, silent for {silent:.0f}"


def describe_return(data):
    _, past = verbs(data["observed"]["measure"])
    return f"{past} again after a long silence"


def describe_transition(data):
    return f"was {data['from'].replace('_', ' ')}, is now {data['to'].replace('_', ' ')}"


DESCRIPTIONS = {
    ("dropping", "firing"): describe_drop,
    ("dropping", "resolved"): describe_recovery,
    ("silence", "firing"): describe_silence,
    ("silence", "resolved"): describe_return,
    ("transition", "firing"): describe_transition,
}


def read(path):
    """The alerts of a file, one a line."""
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def kind(alert):
    return alert["data"]["rule"], alert["data"]["status"]


def identity(alert):
    return alert["id"], alert["data"]["status"]


def payload(alert):
    """All that must be equal wherever an alert is computed: everything but how late it was noticed."""
    data = {key: value for key, value in alert["data"].items() if key != "late_by"}
    return json.dumps({**alert, "data": data}, sort_keys=True)


def differences(actual, expected):
    """What `actual` lacks, has too often or says differently: readable lines, none if the two are equal."""
    have, want = (collections.Counter(map(identity, alerts)) for alerts in (actual, expected))
    samples = {identity(alert): alert for alert in [*actual, *expected]}
    lines = []
    for title, surplus in (("missing on the topic", want - have), ("extra or twice on the topic", have - want)):
        if surplus:
            lines.append(f"{surplus.total()} {title}:")
            lines += ["  " + describe(samples[key]) + f"  id {key[0]}" for key in list(surplus)[:CHANGES_SHOWN_MAX]]
    if not lines:
        lines += payload_differences(actual, expected)
    return lines


def payload_differences(actual, expected):
    have, want = (collections.Counter(map(payload, alerts)) for alerts in (actual, expected))
    if have == want:
        return []
    other = {identity(json.loads(text)): text for text in want - have}
    lines = [f"{(have - want).total()} alerts with another payload:"]
    for text in list(have - want)[:CHANGES_SHOWN_MAX]:
        lines += [f"  topic    {text}", f"  backtest {other.get(identity(json.loads(text)))}"]
    return lines
