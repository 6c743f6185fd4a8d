"""The same alerts as `heartbeatd backtest`, which is another way to the same end; and the verifier sees what differs."""
import copy
import gzip
import json
import os
import random
import subprocess
import sys

import pytest

from verifier import alerts, configuration, log, predict, values
from verifier.conftest import HERE

import daemon  # test/broker

ROOT = configuration.ROOT
DATA = ROOT / "test" / "data"
BROKER = "kafka: {brokers: none}\ninput: {topics: [events]}\ntime: {source: event}\n"
CONFIGURATIONS = {"demo": ROOT / "demo" / "demo.yaml", "watch": ROOT / "test" / "broker" / "watch.yaml",
                  "many": HERE / "many_rules.yaml"}
QUIET_DAYS = 60  # after the last event: the last timers fire
SEEDS = [int(os.environ["HEARTBEATD_TEST_SEED"])] if "HEARTBEATD_TEST_SEED" in os.environ else [1]
# What each data set's customers are cut down to. All of the data takes minutes: HEARTBEATD_TEST_SHARE=1.
SHARES = {"demo": 0.03, "cdnow_sample": 0.3, "contributor_sessions": 0.03}
SHARE = os.environ.get("HEARTBEATD_TEST_SHARE")


def part(data_set, generator, share):
    """Some of the customers, all of their events."""
    keep = {}
    with gzip.open(DATA / f"{data_set}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if keep.setdefault(row["customer_id"], generator.random() < share)]


def disturbed(rows, generator, in_order):
    """The rows with properties, refunds, erasures, other types, and some twice; some come late, up to months."""
    out = []
    for row in rows:
        ms = values.rfc3339_ms(row["timestamp"]) + generator.randrange(40_000_000)
        row = {**row, "timestamp": values.show(ms),
               "properties": {"channel": generator.choice(["app", "web", 3, 3.0, "3"]), "category": generator.choice("abcdefgh")}}
        out.append((ms, row))
        chance = generator.random()
        if chance < 0.03:
            out.append((ms + generator.randrange(3 * values.DAY_MS), row))
        elif chance < 0.06:
            amount = generator.choice([1, -1]) * round(generator.uniform(0, 60), 2)
            out.append((ms, {**row, "event_id": row["event_id"] + "-back", "type": "refund", "amount": amount}))
        elif chance < 0.065:
            out.append((ms, {**row, "event_id": row["event_id"] + "-erase", "type": "erase"}))
        elif chance < 0.075:
            out.append((ms, {**row, "event_id": row["event_id"] + "-other", "type": generator.choice(["feedback", "visit"])}))
    if not in_order:
        out = [(ms + lateness(generator), row) for ms, row in out]
    return [row for _, row in sorted(out, key=lambda pair: pair[0])]


def lateness(generator):
    chance = generator.random()
    days = 0 if chance < 0.7 else 2 if chance < 0.85 else 20 if chance < 0.97 else 200
    return generator.randrange(days * values.DAY_MS) if days else 0


def both(tmp_path, files, rows):
    """What the verifier predicts of the rows, and the alerts of a backtest."""
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    until = max(values.rfc3339_ms(row["timestamp"]) for row in rows) + QUIET_DAYS * values.DAY_MS
    (tmp_path / "broker.yaml").write_text(BROKER)
    files = [tmp_path / "broker.yaml", *files]
    daemon.backtest(files, tmp_path / "events.jsonl", tmp_path / "alerts.jsonl", values.show(until))
    config = configuration.read(files)
    (messages,) = log.by_partition(log.plain(tmp_path / "events.jsonl"), config).values()
    predicted = predict.run(messages, config, until).alerts
    return predicted, [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]


def report(found):
    return "\n".join(map(str, found))


@pytest.mark.parametrize("data_set", SHARES)
@pytest.mark.parametrize("name", ["demo", "watch"])
def test_data_sets(tmp_path, data_set, name):
    predicted, found = both(tmp_path, [CONFIGURATIONS[name]], part(data_set, random.Random(1), float(SHARE or SHARES[data_set])))
    assert len(found) > 100
    assert not alerts.compare(predicted, found), report(alerts.compare(predicted, found))


@pytest.mark.parametrize("zone", ["UTC", "America/Santiago"])
@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "shuffled"])
@pytest.mark.parametrize("seed", SEEDS)
def test_disturbed(tmp_path, seed, in_order, zone):
    print(f"seed {seed} (HEARTBEATD_TEST_SEED={seed} repeats this run)")
    generator = random.Random(seed)
    rows = disturbed(part("demo", generator, float(SHARE or 0.015)), generator, in_order)
    (tmp_path / "zone.yaml").write_text(f"time: {{zone: {zone}}}")
    predicted, found = both(tmp_path, [CONFIGURATIONS["many"], tmp_path / "zone.yaml"], rows)
    assert len(found) > 500
    assert not alerts.compare(predicted, found), report(alerts.compare(predicted, found))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return both(tmp_path_factory.mktemp("good"), [CONFIGURATIONS["watch"]], part("demo", random.Random(3), 0.02))


def later(row):
    row["time"] = "2030-01-01T00:00:00Z"


def other_reason(row):
    row["data"]["reason"] = "recovered_somehow"


def other_id(row):
    row["id"] = "0" + row["id"][1:] if row["id"][0] != "0" else "1" + row["id"][1:]


@pytest.mark.parametrize("spoil,kinds", [
    (lambda rows: rows.pop(7), {"missing"}),
    (lambda rows: rows.append(rows[7]), {"twice"}),
    (lambda rows: rows.append({**rows[7], "id": "another"}), {"extra"}),
    (lambda rows: later(rows[7]), {"different"}),
    (lambda rows: other_reason(rows[7]), {"different"}),
    (lambda rows: other_id(rows[7]), {"missing", "extra"}),
], ids=["one lost", "one twice", "one made up", "another time", "another reason", "another id"])
def test_it_sees(good, spoil, kinds):
    predicted, rows = good
    assert not alerts.compare(predicted, rows)
    rows = copy.deepcopy(rows)
    spoil(rows)
    assert {finding.kind for finding in alerts.compare(predicted, rows)} == kinds


def test_at_most_ten_examples(good):
    predicted, _ = good
    (finding,) = alerts.compare(predicted, [])
    assert len(finding.text.splitlines()) == 12
    assert f"and {len(predicted) - 10} more" in finding.text


def test_command_line(tmp_path):
    """Exit code 1 and a sentence where something is wrong; --predict says what there should be."""
    predicted, rows = both(tmp_path, [CONFIGURATIONS["watch"]], part("cdnow_sample", random.Random(4), 0.02))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    until = max(values.rfc3339_ms(row["timestamp"]) for row in events) + QUIET_DAYS * values.DAY_MS
    (tmp_path / "one lost.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))

    def run(*arguments):
        command = [sys.executable, "-B", "-m", "verifier", "--config", tmp_path / "broker.yaml", CONFIGURATIONS["watch"],
                   "--input", tmp_path / "events.jsonl", "--until", values.show(until), *arguments]
        return subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)

    right = run("--alerts", tmp_path / "alerts.jsonl")
    assert (right.returncode, right.stdout) == (0, f"{len(events)} messages, all as it must be\n"), right.stderr
    wrong = run("--alerts", tmp_path / "one lost.jsonl")
    assert wrong.returncode == 1
    assert "1 alerts missing:\n" in wrong.stdout
    assert [json.loads(line)["id"] for line in run("--predict").stdout.splitlines()] == [alert.id for alert in predicted]
