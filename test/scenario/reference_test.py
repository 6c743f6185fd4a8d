#!/usr/bin/env python3
"""reference_test.py HEARTBEATD DATA_SET FOLDER: the reference numbers of `silence` and `dropping` (docs/statistics.md), exactly.

The alert counts come from independent implementations of the rules in another language, on the data sets of test/data; what
the alerts are worth comes from judge.py: customers and times must be right too, or precision, recall, delay and false alerts
would not come out."""
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import judge

RULES = """
time: {{source: event, zone: UTC}}
measures:
  activity: {{type: {type}, population_gap: {gap}d}}
rules:
  - {{id: silence-0.05, detector: silence, measure: activity, false_alerts: 0.05, minimum: {{days: 4}}}}
  - {{id: silence-0.02, detector: silence, measure: activity, false_alerts: 0.02, minimum: {{days: 4}}}}
  - {{id: silence-0.01, detector: silence, measure: activity, false_alerts: 0.01, minimum: {{days: 4}}}}
  - {{id: dropping-28d-0.01, detector: dropping, measure: activity, window: 28d, ratio: 0.5, p_value: 0.01,
     minimum: {{baseline_count: 20, observed_for: 112d}}}}
  - {{id: dropping-28d-0.001, detector: dropping, measure: activity, window: 28d, ratio: 0.5, p_value: 0.001,
     minimum: {{baseline_count: 20, observed_for: 112d}}}}
  - {{id: dropping-7d, detector: dropping, measure: activity, window: 7d, ratio: 0.5,
     minimum: {{baseline_count: 4, observed_for: 28d}}}}
  - {{id: weekly, detector: dropping, measure: activity, window: 7d, ratio: 0.99, baseline: {{compare: mean}},
     minimum: {{baseline_count: 1, observed_for: 28d}}}}
"""

# type, mean gap of the training half (and the events that a customer of it must have); the scenarios (B, N0, H) with their
# customer-weeks and drops; then until when ({rule: (alerts in the whole log, then for each scenario P, R, delay, fa)}).
# `silence` until a year after the last event, so that every customer's last gap is in; `dropping` until the midnight after it.
CDNOW = ("purchase", 74.357, 4, {(182, 4, 90): (23_976, 702)}, {
    "1999-06-30": {
        "silence-0.05": (10_287, (35.8, 57.8, 52, 41)),
        "silence-0.02": (7_188, (46.4, 3.6, 81, 8.9)),
        "silence-0.01": (6_177, (34.7, 0.6, 85, 2.7)),
    },
    "1998-07-01": {
        "dropping-28d-0.01": (8, None),   # one alert judged
        "dropping-28d-0.001": (2, None),  # none
        "dropping-7d": (800, (9.1, 2.1, 7, 16)),
        "weekly": (37_159, (19.6, 94.2, 7, 198)),
    }})
CONTRIBUTORS = ("login", 16.224, 8, {(84, 8, 90): (29_663, 558), (84, 20, 28): (10_252, 533)}, {
    "2021-12-31": {
        "silence-0.05": (5_553, (31.6, 82.6, 42, 32), (55.8, 34.0, 21, 20)),
        "silence-0.02": (3_413, (46.5, 63.4, 53, 15), (67.2, 15.0, 25, 7.8)),
        "silence-0.01": (2_516, (58.3, 47.7, 60, 6.8), (76.6, 3.9, 26, 3.8)),
    },
    "2021-01-01": {
        "dropping-28d-0.01": (1_185, (32.1, 34.1, 38, 22), (44.2, 28.0, 28, 31)),
        "dropping-28d-0.001": (536, (49.4, 21.5, 45.5, 6.6), (58.9, 5.3, 28, 12)),
        "dropping-7d": (11_422, (9.1, 82.4, 7, 246), (16.3, 88.7, 7, 305)),
        "weekly": (24_280, (6.5, 97.8, 7, 378), (12.1, 86.9, 6, 443)),
    }})
DATA_SETS = {"cdnow_full": CDNOW, "contributor_sessions": CONTRIBUTORS}


def backtest(heartbeatd, config, data, until, rules, folder):
    """{rule: {customer: [times]}} of the firing alerts."""
    out = pathlib.Path(folder) / "alerts.jsonl"
    subprocess.run([heartbeatd, "backtest", "--config", config, "--input", data, "--until", until + "T00:00:00Z",
                    "--alerts", str(out)], check=True, stdout=subprocess.DEVNULL)
    alerts = {rule: {} for rule in rules}
    with open(out) as lines:
        for line in lines:
            alert = json.loads(line)
            of_rule = alerts.get(alert["data"]["rule"])
            if of_rule is not None and alert["data"]["status"] == "firing":
                of_rule.setdefault(alert["subject"], []).append(judge.days_of(alert["time"]))
    return alerts


def same(found, expected):
    """As the table rounds: P and R to a tenth, fa to two digits, or to a whole number from 100 on."""
    p, r, delay, fa = expected
    digits = 0 if fa >= 10 else 1
    return (math.isclose(round(found[0], 1), p) and math.isclose(round(found[1], 1), r) and found[2] == delay
            and math.isclose(round(found[3], digits), fa))


def main():
    heartbeatd, name, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    event_type, gap, gap_events_min, scenarios, tables = DATA_SETS[name]
    data = folder / (name + ".jsonl.gz")
    wrong = 0

    def check(ok, text):
        nonlocal wrong
        wrong += not ok
        print("same " if ok else "WRONG", text)

    log = judge.Log(data)
    found_gap = round(log.mean_gap(gap_events_min), 3)
    check(found_gap == gap, f"mean gap {found_gap}, expected {gap}")
    judges = []
    for (back, events_min, ahead), size in scenarios.items():
        judges.append(judge.Scenario(log, back, events_min, ahead))
        check(judges[-1].size() == size, f"B {back}, N0 {events_min}, H {ahead}: weeks and drops {judges[-1].size()}, expected {size}")
    with tempfile.TemporaryDirectory() as temporary:
        config = pathlib.Path(temporary) / "rules.yaml"
        config.write_text(RULES.format(type=event_type, gap=gap))
        for until, rules in tables.items():
            alerts = backtest(heartbeatd, str(config), str(data), until, rules, temporary)
            for rule, (number, *worth) in rules.items():
                found = sum(map(len, alerts[rule].values()))
                check(found == number, f"{rule}: {found} alerts until {until}, expected {number}")
                for scenario, expected in zip(judges, worth):
                    if expected is not None:
                        *figures, judged = scenario.judge(alerts[rule])
                        check(same(figures, expected), "  {}: P {:.1f} R {:.1f} delay {:g} fa {:.1f} of {} alerts, expected {}".format(
                            rule, *figures, judged, expected))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
