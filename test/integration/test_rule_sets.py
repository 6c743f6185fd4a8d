"""The rule sets of config/, whole: every rule of them speaks, and through kills and rebalances the alerts are a backtest's."""
import pathlib

import pytest
import yaml

import app as apps
import events
import lives
import processes
import stream as streams

CONFIG = processes.ROOT / "config"
SESSION_SECONDS = 3
ALERTS_MIN = 1000


def rules_of(name):
    """Those of the set and of its preset."""
    set_ = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    preset = yaml.safe_load((CONFIG / "presets" / f"{set_['preset']}.yaml").read_text())
    return {rule["id"] for rule in set_["rules"] + preset["rules"]}


@pytest.mark.parametrize("name, live, customers", [("e-commerce", lives.shopper, 250), ("saas", lives.user, 120)])
def test_kills_and_rebalances(new_app, name, live, customers):
    app = new_app(watch=pathlib.Path(CONFIG / f"{name}.yaml"), kafka={"session_timeout": f"{SESSION_SECONDS}s"})
    history = lives.write(app.folder / "history.jsonl", events.seeded(5), live, customers, days=900)
    app.create_inputs()
    first, second = app.start("a"), app.process("b")
    stream = streams.Stream(app, history)

    def shared():
        return apps.share_partitions(first, second)

    for leave in (second.stop, second.kill):
        second.start(wait_ready=False)
        stream.until("some partitions for each", shared)
        stream.during(first.kill)
        first.start(wait_ready=False)
        stream.until("some partitions for each again", shared)
        stream.during(leave)
        stream.until("all partitions back at the first", lambda: apps.partitions_of(first) == apps.PARTITIONS)
    stream.rest()
    app.end(history.until)
    # The verifier does not know all of these detectors: the backtest is the judge.
    expected, found = app.compare(history)
    assert not found.lines(), "the alerts on the topic are not those of the backtest:\n" + "\n".join(found.lines())
    assert len(expected) >= ALERTS_MIN
    assert {alert["data"]["rule"] for alert in expected} == rules_of(name)
