"""Alerts as people read them, and two sets of alerts compared."""
import collections
import datetime
import json

VERBS = {"purchases": ("buys", "bought"), "logins": ("logs in", "logged in")}
DIFFERENCES_SHOWN_MAX = 5


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
    times = "once" if observed["count"] == 1 else f"{observed['count']} times"
    text = f"{past} {times} in {observed['window']}, usually {usual:.0f}"
    return text + (f" (p = {data['p_value']:.2g})" if data.get("p_value") is not None else "")


def describe_recovery(data):
    return describe_drop(data).split(" (p")[0] + f": {data['reason'].replace('_', ' ')}"


def describe_silence(data):
    observed = data["observed"]
    present, past = verbs(observed["measure"])
    silent, days = observed["silent_days"], observed["activity_days"]
    # The customer's own mean gap. (`expected_gap_days` leans towards the population's while little is known of one.)
    # In the demo's data nobody does two kinds of things, so first_seen belongs to this measure.
    known_days = days_between(data["customer"]["first_seen"], observed["last_event"])
    usual = known_days / (days - 1)
    if silent < usual:  # one long gap among short ones: the mean tells nothing
        return f"{past} on {days} days in {known_days:.0f}, silent for {silent:.0f}"
    return f"usually {present} every {usual:.0f} days, silent for {silent:.0f}".replace("every 1 days", "every day")


def days_between(first, last):
    first, last = (datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in (first, last))
    return (last - first).total_seconds() / 86400


def describe_return(data):
    past = verbs(data["observed"]["measure"])[1]
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
    return {**alert, "data": {key: value for key, value in alert["data"].items() if key != "late_by"}}


def differences(actual, expected):
    """What `actual` lacks, has too often or says differently: readable lines, none if the two are equal."""
    have, want = (collections.Counter(map(identity, alerts)) for alerts in (actual, expected))
    samples = {identity(alert): alert for alert in [*actual, *expected]}
    lines = []
    for title, surplus in (("missing on the topic", want - have), ("extra or twice on the topic", have - want)):
        if surplus:
            lines.append(f"{surplus.total()} {title}:")
            lines += ["  " + describe(samples[key]) + f"  id {key[0]}" for key in list(surplus)[:DIFFERENCES_SHOWN_MAX]]
    if not lines:
        lines += payload_differences(actual, expected)
    return lines


def payload_differences(actual, expected):
    """Of two sets with the same identities."""
    want = {identity(alert): payload(alert) for alert in expected}
    different = [alert for alert in actual if payload(alert) != want[identity(alert)]]
    lines = [f"{len(different)} alerts with another payload:"] if different else []
    for alert in different[:DIFFERENCES_SHOWN_MAX]:
        lines += [f"  topic    {json.dumps(payload(alert))}", f"  backtest {json.dumps(want[identity(alert)])}"]
    return lines
