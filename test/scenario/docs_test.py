#!/usr/bin/env python3
"""docs_test.py HEARTBEATD FILE.md [--write]: runs the examples of a page and compares their alerts with what stands there.

An example is a block of YAML with a configuration, then `events:`, a list as in rule tests (type, at, every, times, customer,
amount, properties), then perhaps `until:`; and after it a block of JSON with one alert, which must be among those that
`heartbeatd backtest` gives, to the last digit. --write puts the first alert of each example there instead."""
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

EXAMPLE = re.compile(r"```yaml\n(?P<config>(?:(?!```).)*?)^events:\n(?P<events>(?:(?!```).)*?)^```\n(?P<text>(?:(?!```).)*?)"
                     r"^```json\n(?P<alert>.*?)^```$", re.S | re.M)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text):
    return float(text[:-1]) * UNITS[text[-1]]


def moment(text):
    if len(text) == 10:
        text += "T00:00:00Z"
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def expand(events):
    """The events as JSON lines, sorted by time."""
    out = []
    for event in events:
        at = moment(event["at"])
        for _ in range(int(event.get("times", "1"))):
            out.append((at, event))
            at += datetime.timedelta(seconds=seconds(event.get("every", "1d")))
    out.sort(key=lambda one: one[0])
    lines = []
    for i, (at, event) in enumerate(out):
        message = {"event_id": f"e{i}", "type": event["type"], "customer_id": event.get("customer", "c42"),
                   "timestamp": at.isoformat().replace("+00:00", "Z")}
        if "amount" in event:
            message["amount"] = float(event["amount"])
        if "properties" in event:
            message["properties"] = {key: yaml.safe_load(value) if re.fullmatch(r"-?[0-9.]+", value) else value
                                     for key, value in event["properties"].items()}
        lines.append(json.dumps(message))
    return "\n".join(lines) + "\n"


def run(heartbeatd, example):
    tail = yaml.load("events:\n" + example["events"], yaml.BaseLoader)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rules.yaml").write_text(example["config"])
        (folder / "events.jsonl").write_text(expand(tail["events"]))
        until = ["--until", moment(tail["until"]).strftime("%Y-%m-%dT%H:%M:%SZ")] if "until" in tail else []
        subprocess.run([heartbeatd, "backtest", "--config", str(folder / "rules.yaml"), "--input",
                        str(folder / "events.jsonl"), "--alerts", str(folder / "alerts.jsonl"), *until],
                       check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in (folder / "alerts.jsonl").read_text().splitlines()]


def show(alert):
    """One alert for people: the envelope, then the data, in lines that fit."""
    def members(value, indent):
        lines, line = [], indent
        for name, member in value.items():
            text = f"{json.dumps(name)}:{json.dumps(member, separators=(',', ':'))},"
            if len(line) + len(text) > 118 and line.strip():
                lines.append(line)
                line = indent
            line += text
        return lines + [line]
    envelope = {name: value for name, value in alert.items() if name != "data"}
    head, body = members(envelope, ""), members(alert["data"], "  ")
    return "{" + "\n ".join(head) + "\n \"data\":{\n" + "\n".join(body).rstrip(",") + "}}\n"


def main():
    heartbeatd, page = sys.argv[1], pathlib.Path(sys.argv[2])
    text = page.read_text()
    examples = list(EXAMPLE.finditer(text))
    wrong = 0
    new_text, done = "", 0
    for example in examples:
        line = text.count("\n", 0, example.start()) + 1
        alerts = run(heartbeatd, example)
        new_text += text[done:example.start("alert")] + (show(alerts[0]) if alerts else "{}\n")
        done = example.end("alert")
        if "--write" in sys.argv[3:]:
            continue
        same = json.loads(example["alert"]) in alerts
        wrong += not same
        print("same " if same else "WRONG", f"{page.name}:{line}")
        if not same:
            print("  the run says:\n" + "\n".join(json.dumps(alert) for alert in alerts))
    if "--write" in sys.argv[3:]:
        page.write_text(new_text + text[done:])
    if wrong:
        print("if the new alerts are right: docs_test.py", heartbeatd, page, "--write")
    if not examples:
        print("WRONG no example found in", page)
    return 1 if wrong or not examples else 0


if __name__ == "__main__":
    sys.exit(main())
