#!/usr/bin/env python3
"""events_test.py HEARTBEATD SCENARIO_TESTS EVENTS.md: the page shows one purchase in every format, and each of them gives the same
alert: the JSON messages in `heartbeatd backtest`, and all of them in a rule test."""
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

WATCH = {
    "currency": "EUR",
    "measures": {"books": {"type": "purchase", "sum": "amount", "where": {"channel": "app", "category": "books"}}},
    "rules": [{"id": "spent", "detector": "threshold", "measure": "books", "value": "sum", "window": "1d", "above": 12.5}],
}
EXAMPLES = 5  # flat, segment, cloudevents in both modes, fields


def examples(page):
    """Of each message of the page: (section, `input` of the configuration, a step of a rule test)."""
    for section in re.split(r"^#+ ", page, flags=re.M)[1:]:
        title = section.split("\n")[0]
        settings = {"format": title}
        for kind, text in re.findall(r"^```(yaml|json)\n(.*?)^```$", section, re.M | re.S):
            if kind == "json":
                yield title, settings, {"raw": text.replace("\n", "")}
                continue
            read = yaml.safe_load(text)
            if "input" in read:
                settings = read["input"]
            else:
                yield title, settings, read


def main():
    heartbeatd, runner, page = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]).read_text()
    alerts = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        found = folder / "alerts"
        for section, settings, step in examples(page):
            config = {**WATCH, "input": settings}
            test = {"config": config, "name": section, "steps": [step, {"expect": [{"rule": "spent", "status": "firing"}]}]}
            (folder / "test.yaml").write_text(yaml.safe_dump(test))
            print(subprocess.run([runner, "--alerts", found, folder / "test.yaml"], check=True, capture_output=True,
                                 text=True).stdout.strip())
            alerts.append(found.read_text())
            if "headers" in step:
                continue
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            (folder / "events.jsonl").write_text(step["raw"] + "\n")
            subprocess.run([heartbeatd, "backtest", "--config", folder / "config.yaml", "--input", folder / "events.jsonl",
                            "--alerts", found], check=True, stdout=subprocess.DEVNULL)
            alerts.append(found.read_text())
    print(f"{len(alerts)} runs, {len(set(alerts))} different alerts")
    return 0 if len(alerts) == 2 * EXAMPLES - 1 and len(set(alerts)) == 1 and alerts[0].strip() else 1


if __name__ == "__main__":
    sys.exit(main())
