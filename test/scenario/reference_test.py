#!/usr/bin/env python3
"""reference_test.py HEARTBEATD DATA: the alert counts of independent implementations (docs/statistics.md), exactly.

The counts come from implementations of the rules in another language, on the data sets of test/data."""
import json
import pathlib
import subprocess
import sys
import tempfile

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

# (file, type, mean gap of the training half, until, {rule: alerts}): silence until a year after the last event, so that
# every customer's last gap is in; dropping until the midnight after it.
EXPECTED = [
    ("cdnow_full", "purchase", 74.357, "1999-06-30", {"silence-0.05": 10287, "silence-0.02": 7188, "silence-0.01": 6177}),
    ("cdnow_full", "purchase", 74.357, "1998-07-01",
     {"dropping-28d-0.01": 8, "dropping-28d-0.001": 2, "dropping-7d": 800, "weekly": 37159}),
    ("contributor_sessions", "login", 16.224, "2021-12-31",
     {"silence-0.05": 5553, "silence-0.02": 3413, "silence-0.01": 2516}),
    ("contributor_sessions", "login", 16.224, "2021-01-01",
     {"dropping-28d-0.01": 1185, "dropping-28d-0.001": 536, "dropping-7d": 11422, "weekly": 24280}),
]


def counts(heartbeatd, config, data, until):
    done = subprocess.run([heartbeatd, "backtest", "--config", config, "--input", data, "--until", until + "T00:00:00Z",
                           "--format", "json"], check=True, stdout=subprocess.PIPE, text=True)
    return {a["rule"]: a["count"] for a in json.loads(done.stdout)["alerts"] if a["status"] == "firing"}


def main():
    heartbeatd, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    wrong = 0
    for name, event_type, gap, until, expected in EXPECTED:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(RULES.format(type=event_type, gap=gap))
            config.flush()
            found = counts(heartbeatd, config.name, str(folder / (name + ".jsonl.gz")), until)
        for rule, number in expected.items():
            same = found.get(rule, 0) == number
            wrong += not same
            print(f"{'same ' if same else 'WRONG'} {name} until {until}: {rule} {found.get(rule, 0)}, expected {number}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
