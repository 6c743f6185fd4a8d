"""CloudEvents on a real broker, in both modes, give the alerts of the same events in the flat format."""
import json

import app as apps
import comparison
import daemon
import events


def binary(row):
    """A flat event with its attributes in headers. Purchases have data, other events have not even that."""
    data = {name: row[name] for name in ("amount", "currency") if name in row}
    headers = {"ce_specversion": "1.0", "ce_id": row["event_id"], "ce_source": "/shop", "ce_type": row["type"],
               "ce_subject": row["customer_id"], "ce_time": row["timestamp"], "content-type": "application/json"}
    return {"key": row["customer_id"], "headers": headers, "value": json.dumps(data) if data else None}


def structured(row):
    """The same as one document."""
    event = {"specversion": "1.0", "id": row["event_id"], "source": "/shop", "type": row["type"], "subject": row["customer_id"],
             "time": row["timestamp"], "data": {name: row[name] for name in ("amount", "currency") if name in row}}
    return {"key": row["customer_id"], "headers": {"content-type": "application/cloudevents+json"}, "value": json.dumps(event)}


def test_cloud_events(new_app):
    app = new_app(input={"format": "cloudevents"})
    random = events.seeded(31)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=0.03)
    app.create_inputs()
    running = app.start()
    app.send(binary(row) if random.random() < 0.7 else structured(row) for row in events.read(history))
    nobody = {"ce_specversion": "1.0", "ce_id": "x", "ce_source": "/shop", "ce_type": "login", "ce_time": history.until}
    app.send([{"key": "k", "headers": nobody, "value": "{}"}])
    app.send({"partition": partition, "value": None,
              "headers": {"ce_specversion": "1.0", "ce_id": "t", "ce_source": "/shop", "ce_type": "tick", "ce_time": history.until}}
             for partition in range(apps.PARTITIONS))
    app.wait_consumed()

    flat, _ = app.configure("backtest", input={"format": "flat"})
    out = app.folder / "backtest.jsonl"
    daemon.backtest([app.watch, flat], history.path, out, history.until)
    expected = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(expected) >= 500
    assert {alert["data"]["rule"] for alert in expected} >= {"dropping-logins", "dropping-money", "no-purchase"}  # money came, too
    found = comparison.compare(app.topic_alerts(), expected).lines()
    assert not found, "the alerts on the topic are not those of the backtest of flat events:\n" + "\n".join(found)
    apps.wait_for_last_report(running, history.until)
    assert running.metrics().total("heartbeatd_events_total", outcome="duplicate") > 0

    [dead] = app.kit.dump(app.dead_letters)
    assert dead["headers"]["reason"] == "missing_customer_id"
    assert nobody.items() <= dead["headers"].items()
