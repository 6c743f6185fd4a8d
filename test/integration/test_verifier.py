"""The verifier sees what is wrong: a real run, of which one thing at a time is changed afterwards."""
import base64
import copy
import json

import pytest
import verifier
from verifier import configuration, states, values
from verifier.test_backtest import disturbed, part

import app as apps
import events

MANY_RULES = configuration.ROOT / "test" / "fault" / "verifier" / "many_rules.yaml"


@pytest.fixture(scope="module")
def good(request, tmp_path_factory):
    """The settings and the evidence of a run that ended as it should, with every kind of thing in it: late and repeated
    events, refunds, erasures, messages that are none."""
    kit, broker = request.getfixturevalue("kit"), request.getfixturevalue("broker")
    app = apps.App(broker.address, kit, tmp_path_factory.mktemp("app"), "verified", watch=MANY_RULES, currency="USD")
    generator = events.seeded(21)
    rows = part("demo", generator, 0.004) + [row for row in part("demo", generator, 0.04) if row["type"] == "login"]
    rows = disturbed(rows, generator, in_order=False)
    history = events.write(app.folder / "history.jsonl", rows, "2011-09-01T00:00:00Z")
    app.create_inputs()
    daemon = app.start()
    try:
        app.feed(history, limit=history.count // 2)
        app.send([{"key": "k", "partition": 1, "value": "no JSON"}, {"key": "k", "partition": 2, "value": "neither"}])
        app.feed(history, skip=history.count // 2)
        app.end(history.until)
        assert daemon.stop() == 0
    finally:
        app.close()
    path, _ = app.configure("verifier")
    settings = configuration.read([app.watch, path])
    return settings, verifier.collect(kit, settings, [app.state_directory()])


def kinds(settings, evidence):
    return {finding.kind for finding in verifier.judge(settings, evidence, all_current=True)}


def test_nothing_is_wrong(good):
    assert not verifier.judge(*good, all_current=True)


# --- what may go wrong: each changes a copy of the evidence ---

def change_state(change):
    """`change`(Customer) in the newest state of some customer, in the changelog and so not in RocksDB."""
    def spoil(evidence):
        newest = {}
        for row in evidence.changelog:
            if row["key"] != "m":
                newest[row["key"]] = row
        for row in newest.values():
            if row.get("value", "") is None:
                continue
            value = base64.b64decode(row["value_base64"]) if "value_base64" in row else row["value"].encode()
            state = states.messages().Customer.FromString(value)
            if change(state) is not False:
                row.pop("value", None)
                row["value_base64"] = base64.b64encode(state.SerializeToString()).decode()
                return
        raise AssertionError("no customer fits")
    return spoil


def one_more(state):
    state.measures[0].count += 1


def another_rhythm(state):
    measure = state.measures[0]
    if measure.s < 1:
        return False
    measure.s *= 1.0001


def other_bucket(state):
    measure = state.measures[0]
    if not measure.bucket_index:
        return False
    if not measure.bucket_count:  # all one
        measure.bucket_count.extend([1] * len(measure.bucket_index))
    measure.bucket_count[0] += 1


def other_activity(state):
    state.lifecycle.activity = (state.lifecycle.activity + 1) % 7


def forgotten_episode(state):
    firing = [rule for rule in state.rules for episode in rule.episodes if episode.phase == states.PHASES.index("firing")]
    if not firing:
        return False
    del firing[0].episodes[:]


def later_crossing(state):
    firing = [episode for rule in state.rules for episode in rule.episodes if episode.phase == states.PHASES.index("firing")]
    if not firing:
        return False
    firing[0].starts_at_ms += 1


def forgotten_id(state):
    del state.recent_ids[0]
    first, *rest = state.recent_after_ms
    del state.recent_after_ms[:]
    state.recent_after_ms.extend([first + rest[0], *rest[1:]] if rest else [])


def later_deadline(state):
    if not state.HasField("due_after_ms"):
        return False
    state.due_after_ms += 86_400_000


def lost_customer(evidence):
    key = next(row["key"] for row in evidence.changelog if row["key"] != "m")
    evidence.changelog = [row for row in evidence.changelog if row["key"] != key]


def store_row(kind):
    def find(evidence):
        (rows,) = evidence.stores
        return next(row for row in rows if row["kind"] == kind)
    return find


def lost_row(kind):
    def spoil(evidence):
        evidence.stores[0].remove(store_row(kind)(evidence))
    return spoil


def late_entry(evidence):
    """A customer's entry, in the value and in the index, lies behind the deadline."""
    row = store_row("customer")(evidence)
    value = base64.b64decode(row["value_base64"])
    row["value_base64"] = base64.b64encode((values.NEVER - 1).to_bytes(8, "little") + value[8:]).decode()


def missed_deadline(evidence):
    """The shard's clock on the disk has gone on, and nobody was looked at."""
    row = store_row("meta")(evidence)
    meta = states.messages().LocalMeta.FromString(base64.b64decode(row["value_base64"]))
    meta.meta.clock_ms = values.NEVER - 1
    row["value_base64"] = base64.b64encode(meta.SerializeToString()).decode()


def input_offsets(evidence):
    return next(row for row in evidence.offsets if row["topic"].endswith("events") and row["committed"])


def alerts_offsets(evidence):
    return next(row for row in evidence.offsets if row["topic"].endswith("alerts") and row["end"])


def change_first_alert(change):
    def spoil(evidence):
        alert = json.loads(evidence.alerts[0]["value"])
        change(alert)
        evidence.alerts[0]["value"] = json.dumps(alert)
    return spoil


def lost_event(evidence):
    """As if the daemon had made up an event: the last one of some customer is not on the input."""
    evidence.messages.remove(next(one for one in reversed(evidence.messages) if b'"login"' in one.payload))


WRONG = {
    "an alert lost": (lambda e: e.alerts.pop(3), {"missing"}),
    "an alert twice": (lambda e: e.alerts.append(e.alerts[3]), {"twice"}),
    "an alert of another time": (change_first_alert(lambda alert: alert.update(time="2030-01-01T00:00:00Z")), {"different"}),
    "an alert made up": (change_first_alert(lambda alert: alert.update(id="x")), {"missing", "extra"}),
    "an alert under another key": (lambda e: e.alerts[0].update(key="nobody"), {"different"}),
    "a dead letter lost": (lambda e: e.dead_letters.pop(), {"missing"}),
    "a dead letter twice": (lambda e: e.dead_letters.append(e.dead_letters[0]), {"twice"}),
    "a dead letter for another reason": (lambda e: e.dead_letters[0]["headers"].update(reason="too_deep"), {"different"}),
    "a count": (change_state(one_more), {"state", "store"}),
    "a rhythm": (change_state(another_rhythm), {"state", "store"}),
    "a bucket": (change_state(other_bucket), {"state", "store"}),
    "an activity": (change_state(other_activity), {"state", "store"}),
    "an episode lost": (change_state(forgotten_episode), {"state", "store"}),
    "a crossing": (change_state(later_crossing), {"state", "store"}),
    "an event id forgotten": (change_state(forgotten_id), {"state", "store"}),
    "a deadline": (change_state(later_deadline), {"state", "store"}),
    "a customer lost": (lost_customer, {"state", "store"}),
    "a customer lost on the disk": (lost_row("customer"), {"store"}),
    "an index entry lost": (lost_row("timer"), {"timer"}),
    "an index entry too late": (late_entry, {"timer"}),
    "a deadline missed": (missed_deadline, {"timer"}),
    "a partition of which the disk knows nothing": (lost_row("meta"), {"store"}),
    "a group that is behind": (lambda e: input_offsets(e).update(committed=input_offsets(e)["committed"] - 1), {"offset"}),
    "a transaction left open": (lambda e: alerts_offsets(e).update(stable=alerts_offsets(e)["end"] - 1), {"offset"}),
    "an event nobody sent": (lost_event, {"state"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_sees(good, name):
    settings, evidence = good
    evidence = copy.deepcopy(evidence)
    spoil, expected = WRONG[name]
    spoil(evidence)
    assert expected <= kinds(settings, evidence)
