#!/usr/bin/env python3
"""schema_test.py SCENARIO_TESTS HEARTBEATD ROOT: every alert of every scenario, and of a backtest with all of config/rules, obeys
docs/alert.schema.json; the schema allows no more than they need; every reason and every detector occurs; and schema,
docs/alerts.md and the code name the same reasons and fields."""
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonschema

FREE_MAPS = {"data.labels", "data.annotations"}  # their keys are the user's
MAY_BE_ABSENT = {"follow_up.observed.after_at"}  # of an expectation that newer ones have driven out: it takes 33 at once
ALERTS_MIN = 900
SAME_MAX = 20  # alerts of one rule, status and reason with the same fields that are looked at: the validator is slow
failures = []


def expect_equal(what, a, b):
    if set(a) != set(b):
        failures.append(f"{what}: {sorted(set(a) ^ set(b))}")


def scenarios(runner, root, out):
    files = sorted(map(str, (root / "test/scenario").glob("*.yaml")))
    subprocess.run([runner, "--alerts", str(out), *files], check=True, stdout=subprocess.DEVNULL)


def backtest(heartbeatd, root, out):
    config = out.with_suffix(".yaml")
    config.write_text(f"rule_files: ['{root}/config/rules/*.yaml']\npreset: e-commerce\n")
    subprocess.run([heartbeatd, "backtest", "--config", str(config), "--input", str(root / "test/data/demo.jsonl.gz"),
                    "--alerts", str(out)], check=True, stdout=subprocess.DEVNULL)


def read(make, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "alerts.jsonl"
        make(*arguments, out)
        alerts, seen = [], collections.Counter()
        with open(out) as lines:
            for alert in map(json.loads, lines):
                kind = (*(alert["data"][name] for name in ("rule", "status", "reason")), shape(alert))
                seen[kind] += 1
                if seen[kind] <= SAME_MAX:
                    alerts.append(alert)
        return alerts


def shape(value):
    """All but the values themselves."""
    if isinstance(value, dict):
        return tuple((name, shape(member)) for name, member in value.items())
    if isinstance(value, list):
        return tuple({shape(item) for item in value})
    return type(value).__name__


def check_valid(validator, alerts):
    for alert in alerts:
        for error in validator.iter_errors(alert):
            failures.append(f"{error.json_path}: {error.message[:300]}\n    in {json.dumps(alert)[:1500]}")


def check_tight(schema, node, instances, path):
    """The node of the schema lists what these instances have, and no more: every property occurs in some, those that occur in
    all are required, others are forbidden."""
    node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    instances = [one for one in instances if one is not None]
    if "items" in node:
        check_tight(schema, node["items"], [item for one in instances for item in one], path + "[]")
    if not instances or not isinstance(instances[0], dict) or path in FREE_MAPS:
        return
    properties = node.get("properties", {})
    if node.get("additionalProperties", node.get("unevaluatedProperties")) is not False:
        failures.append(f"schema: {path} may have any members")
    for name, part in properties.items():
        having = [one[name] for one in instances if name in one]
        if not having:
            failures.append(f"schema: {path}.{name} never occurs: a scenario with it is missing, or it is no field")
        if len(having) == len(instances) and name not in node.get("required", []) and f"{path}.{name}" not in MAY_BE_ABSENT:
            failures.append(f"schema: {path}.{name} is always there, and not required")
        check_tight(schema, part, having, f"{path}.{name}" if path else name)


def branches(data):
    """The part of the schema that is a detector's own: {detector: part}."""
    return {branch["if"]["properties"]["detector"]["const"]: branch["then"] for branch in data["allOf"]
            if "detector" in branch["if"]["properties"] and "required" in branch["then"]}


def check_tight_alerts(schema, alerts):
    data = schema["$defs"]["data"]
    check_tight(schema, {**schema, "properties": {**schema["properties"], "data": {}}}, [{**one, "data": 0} for one in alerts], "")
    check_tight(schema, data, [alert["data"] for alert in alerts], "data")
    for detector, own in branches(data).items():
        mine = [alert["data"] for alert in alerts if alert["data"]["detector"] == detector]
        # What is more than the common members; which are forbidden is said there.
        properties = {name: part for name, part in own["properties"].items() if name not in data["properties"]}
        check_tight(schema, {**own, "properties": properties, "additionalProperties": False}, mine, detector)
        expect_equal(f"reasons of {detector} in the schema and in its alerts", own["properties"]["reason"]["enum"],
                     {one["reason"] for one in mine})


def check_documented(root, schema, alerts):
    page = (root / "docs/alerts.md").read_text()
    data = schema["$defs"]["data"]
    tables = {status: re.findall(r"^\| `(\w+)` \|", part, re.M)
              for status, part in re.findall(r"^\| `(firing|resolved)` \| detector \|.*?$(.*?)^$", page, re.M | re.S)}
    documented = {(status, reason) for status, reasons in tables.items() for reason in reasons}
    reasons = {reason for _, reason in documented}
    expect_equal("reasons of schema and docs/alerts.md", data["properties"]["reason"]["enum"], reasons)
    expect_equal("reasons that no alert has, or that docs/alerts.md does not name",
                 {(alert["data"]["status"], alert["data"]["reason"]) for alert in alerts}, documented)
    expect_equal("detectors of the schema and of the alerts", data["properties"]["detector"]["enum"],
                 {alert["data"]["detector"] for alert in alerts})
    source = (root / "lib/detect/reason.h").read_text().split("// Never alerts")[0]
    names = [re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in re.findall(r"^  k(\w+),", source, re.M)]
    expect_equal("reasons of the code and of docs/alerts.md", set(names) - {"none"}, reasons)
    for word in sorted(property_names(schema) | enumerated(schema)):
        if not re.search(rf"\b{word}\b", page):
            failures.append(f"docs/alerts.md does not explain {word}")


def property_names(node):
    """Of all objects in the schema."""
    if isinstance(node, list):
        return set().union(*map(property_names, node), set())
    if not isinstance(node, dict):
        return set()
    return {*node.get("properties", {})}.union(*map(property_names, node.values()))


def enumerated(node):
    """All words that some field may be."""
    if isinstance(node, list):
        return set().union(*map(enumerated, node), set())
    if not isinstance(node, dict):
        return set()
    return {*node.get("enum", [])}.union(*map(enumerated, node.values()))


def main():
    runner, heartbeatd, root = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    schema = json.loads((root / "docs/alert.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    alerts = read(scenarios, runner, root) + read(backtest, heartbeatd, root)
    check_valid(validator, alerts)
    check_tight_alerts(schema, alerts)
    check_documented(root, schema, alerts)
    print(f"{len(alerts)} alerts, {len(failures)} failures")
    for failure in failures[:20]:
        print(failure)
    return 1 if failures or len(alerts) < ALERTS_MIN else 0


if __name__ == "__main__":
    sys.exit(main())
