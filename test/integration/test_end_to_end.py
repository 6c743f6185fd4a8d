"""The main job on a real broker: events in, alerts out, and what operators see of it."""
import json
import urllib.error
import urllib.request

import app as apps
import events

METRICS = {  # name: labels
    "heartbeatd_events_total": {"outcome"},
    "heartbeatd_dead_letters_total": {"reason"},
    "heartbeatd_alerts_total": {"rule", "status"},
    "heartbeatd_alert_reasons_total": {"reason"},
    "heartbeatd_noted_total": {"kind"},
    "heartbeatd_commits_total": {"result"},
    "heartbeatd_commit_duration_seconds_count": set(),
    "heartbeatd_committed_records_total": set(),
    "heartbeatd_save_duration_seconds_count": set(),
    "heartbeatd_saved_customers_total": set(),
    "heartbeatd_saved_bytes_total": set(),
    "heartbeatd_restored_records_total": set(),
    "heartbeatd_restore_remaining_records": {"partition"},
    "heartbeatd_lag_messages": {"partition"},
    "heartbeatd_lag_seconds": {"partition"},
    "heartbeatd_clock_seconds": {"partition"},
    "heartbeatd_clock_state": {"partition", "state"},
    "heartbeatd_customers": {"partition"},
}


def test_history(new_app):
    """Real history through two workers and four partitions gives exactly the alerts of a backtest."""
    app = new_app()
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(1))
    app.create_inputs()
    daemon = app.start()
    app.feed(history)
    app.end(history.until)
    apps.wait_for_last_report(daemon, history.until)  # of all partitions
    expected = app.check(history, least=1000, stop=True)
    rules = {alert["data"]["rule"] for alert in expected}
    assert rules == {"dropping-logins", "dropping-money", "no-purchase", "no-login", "life-cycle"}
    assert not app.kit.dump(app.dead_letters)


def late(daemon):
    return daemon.metrics().total("heartbeatd_events_total", outcome="late")


def test_two_input_topics(new_app):
    """Topics that are read as fast as they come, one before the other, are merged by time: no event is late. Nor after a
    SIGKILL, when each goes on from an offset of its own."""
    app = new_app(inputs=("purchases", "logins"))
    # All that is not a login goes to the first topic. Which of two comes first that are of one time and not of one topic
    # is open; so nobody is forgotten at the very moment of a login.
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(10), forgotten=("purchase",))
    app.create_inputs()
    app.feed(history, route={"login": app.inputs[1]})
    app.kit.tick(history.until, *app.inputs)
    daemon = app.start()
    apps.wait_for("some progress", lambda: sum(row["committed"] or 0 for row in app.offsets(*app.inputs)) > 1000, 30, pause=0)
    assert late(daemon) == 0
    daemon.kill()
    daemon.start()
    app.wait_consumed()
    app.check(history, least=1000)
    apps.wait_for_last_report(daemon, history.until)
    assert late(daemon) == 0


def status_of(daemon, path):
    try:
        with urllib.request.urlopen(f"http://{daemon.http}{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_what_operators_see(new_app):
    """Metrics under their documented names, health, logs for people and as JSON; no customer's id in any of it."""
    app = new_app(currency="USD")
    history = events.part_of_demo(app.folder / "plain.jsonl", events.seeded(11), share=0.02)
    rows = [json.loads(line) for line in history.path.read_text().splitlines()]
    secret = "secret-customer-"
    history = events.write(app.folder / "history.jsonl",
                           ({**row, "customer_id": secret + row["customer_id"]} for row in rows), history.until)
    app.create_inputs()
    daemon = app.start(arguments=["--log-level", "trace", "--log-format", "json"])
    app.feed(history)
    # A repeated one, a late one, and bad ones that name their customer.
    first = json.loads(history.path.read_text().splitlines()[0])
    oddities = [json.dumps(row) for row in (
        {**first, "event_id": "late"}, {**first, "timestamp": secret}, {**first, "event_id": "x", "amount": secret},
        {**first, "event_id": "y", "currency": "EUR"}, {**first, "customer_id": secret * 20})]
    app.send({"key": f"{secret}key", "value": value} for value in [*oddities, f"{secret} is not JSON", oddities[0]])
    app.end(history.until)
    text = daemon.get("/metrics")
    apps.wait_for_last_report(daemon, history.until)
    apps.wait_for_total(daemon, "heartbeatd_alerts_total", len(app.topic_alerts()))
    apps.wait_for_total(daemon, "heartbeatd_dead_letters_total", len(app.kit.dump(app.dead_letters)))

    metrics = daemon.metrics()
    for name, labels in METRICS.items():
        found = metrics.rows(name)
        assert found, f"{name} is missing"
        assert all(set(have) == labels for have, _ in found), name
    assert all(sample.startswith("heartbeatd_") for sample, _, _ in metrics.samples)
    assert metrics.total("heartbeatd_events_total", outcome="late") == 1
    assert metrics.total("heartbeatd_events_total", outcome="tick") == apps.PARTITIONS
    assert metrics.total("heartbeatd_dead_letters_total") == 5
    assert {value for _, value in metrics.rows("heartbeatd_clock_seconds")} == {events.unix(history.until)}

    assert status_of(daemon, "/livez") == status_of(daemon, "/readyz") == status_of(daemon, "/") == 200
    assert status_of(daemon, "/no-such-page") == 404
    assert secret not in text
    assert daemon.stop() == 0
    assert secret not in app.log()
    for line in app.log().splitlines():
        assert {"time", "level", "message"} <= json.loads(line).keys()
