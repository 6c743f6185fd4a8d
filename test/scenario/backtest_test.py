#!/usr/bin/env python3
"""backtest_test.py HEARTBEATD ROOT: what `heartbeatd backtest` says besides the alerts: warnings, and how long the states are, as
docs/state-format.md tells it."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

CONFIG = """\
measures:
  app_purchases: {type: purchase, where: {chanel: app, channel: app}}
  web_purchases: {type: purchase, where: {chanel: web}, sum: discount}
rules:
  - id: cart-left
    detector: follow_up
    after: {type: cart, where: {shop: [berlin, paris]}}
    expect: {type: purchase}
    within: 1h
  - id: never-asked
    enabled: false
    detector: follow_up
    after: {type: cart, where: {country: de}}
    expect: {type: purchase}
    within: 1h
"""
EVENTS = [
    {"event_id": "1", "type": "purchase", "customer_id": "a", "timestamp": "2026-03-01T09:00:00Z", "properties": {"channel": "tv"}},
    {"event_id": "2", "type": "cart", "customer_id": "b", "timestamp": "2026-03-01T09:00:00Z"},
    {"event_id": "3", "type": "cart", "customer_id": "b", "timestamp": "2026-03-01T10:00:00Z"},
]
NOT_READ = {"event_id": "x", "type": "cart", "customer_id": "b", "timestamp": "never", "properties": {"shop": "berlin"}}
WARNINGS = """\
warning: {file}:2:43: 'where' of measure 'app_purchases' names the property 'chanel', which no event of this run carried \
(did you mean 'channel'?)
warning: {file}:3:43: 'where' of measure 'web_purchases' names the property 'chanel', which no event of this run carried \
(did you mean 'channel'?)
warning: {file}:7:33: 'where' of 'after' of rule 'cart-left' names the property 'shop', which no event of this run carried
"""
failures = []


def expect(what, found, expected):
    if found != expected:
        failures.append(f"{what}:\n--- found\n{found}\n--- expected\n{expected}")


def backtest(heartbeatd, folder, events):
    config, file = folder / "config.yaml", folder / "events.jsonl"
    config.write_text(CONFIG)
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    done = subprocess.run([heartbeatd, "backtest", "--config", config, "--input", file, "--format", "json"], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout), done.stderr.replace(str(config), "{file}")


def check_page(heartbeatd, root, folder):
    rows = re.findall(r"^\| ([a-z-]+) \| (\w+): .*?\|((?: [0-9,]+(?: B)? \|){5})$", (root / "docs/state-format.md").read_text(), re.M)
    expect("rows of the page", [row[0] for row in rows], ["e-commerce", "saas"])
    for preset, data, told in rows:
        (folder / "preset.yaml").write_text(f"preset: {preset}\n")
        done = subprocess.run([heartbeatd, "backtest", "--config", folder / "preset.yaml", "--format", "json", "--input",
                               root / "test" / "data" / f"{data}.jsonl.gz"], check=True, capture_output=True, text=True)
        summary = json.loads(done.stdout)
        expect(f"docs/state-format.md, {preset}", [int(number.replace(",", "")) for number in re.findall("[0-9,]+", told)],
               [summary["customers"], *summary["state_bytes"].values()])


def main():
    heartbeatd, root = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _, said = backtest(heartbeatd, folder, [*EVENTS, NOT_READ])
        expect("properties that nobody carried, once for each place", said, WARNINGS)
        _, said = backtest(heartbeatd, folder, [{**EVENTS[0], "properties": {"chanel": 1, "channel": 1, "shop": None}}, *EVENTS[1:]])
        expect("one is left", said, WARNINGS.splitlines(keepends=True)[2])
        summary, said = backtest(heartbeatd, folder, [])
        expect("without events nothing can be said", (said, summary["state_bytes"]), ("", None))

        summary, _ = backtest(heartbeatd, folder, EVENTS)
        size = summary["state_bytes"]
        expect("two customers", summary["customers"], 2)
        if not 20 < size["mean"] <= size["max"] < 300:
            failures.append(f"bytes per customer: {size}")
        alone = [backtest(heartbeatd, folder, events)[0]["state_bytes"] for events in (EVENTS[:1], EVENTS[1:])]
        for one in alone:
            expect("of one customer all are the same", len(set(one.values())), 1)
        expect("of two", (size["mean"], size["max"]), (sum(one["mean"] for one in alone) // 2, max(one["max"] for one in alone)))
        check_page(heartbeatd, root, folder)
    for failure in failures:
        print(failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
