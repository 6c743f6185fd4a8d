"""Messages that cannot be understood: one dead letter each, with the reason and the place, and the daemon goes on."""
import collections
import time

import app as apps
import events
from bad_messages import BAD, ODD, bad_messages, check_dead_letters

# As large as a record can be: with the dead letter's own headers there is no room for all of them, and what does not
# fit is left out.
FULL = {  # name: reason, key, value, headers
    "full-value": ("too_long", "k", "x" * 1_048_000, {"trace": "t"}),
    "full-header": ("not_json", "k", "x", {"trace": "t" * 1_048_000}),
    "full-key": ("not_json", "k" * 1_048_000, "x", {"trace": "t"}),
}


def test_each_kind(new_app):
    """Every kind of bad message amid good ones, which give the same alerts as without them."""
    app = new_app(currency="USD")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(5))
    app.create_inputs()
    daemon = app.start()
    half = history.count // 2
    app.feed(history, limit=half)
    app.send(bad_messages(BAD, 0))
    app.feed(history, skip=half)
    app.send({"partition": number % apps.PARTITIONS, "key": None if number % 2 else "of-somebody-else", "value": value}
             for number, value in enumerate(ODD))
    app.end(history.until)
    with open(history.path, "a") as file:
        file.writelines(line + "\n" for line in ODD)
    app.check(history, least=1000)
    check_dead_letters(app, list(BAD), with_payload=False)

    apps.wait_for_last_report(daemon, history.until)
    apps.wait_for_total(daemon, "heartbeatd_dead_letters_total", len(BAD))
    metrics = daemon.metrics()
    by_reason = {labels["reason"]: value for labels, value in metrics.rows("heartbeatd_dead_letters_total")}
    assert by_reason == collections.Counter(reason for reason, _ in BAD.values())
    assert metrics.total("heartbeatd_events_total", outcome="dead_letter") == len(BAD)
    understood = sum(metrics.total("heartbeatd_events_total", outcome=outcome) for outcome in ("applied", "duplicate", "erased"))
    assert understood == history.count + len(ODD)


def test_payload_on_request(new_app):
    """output.dead_letter.payload: true keeps the whole payload, also one that nearly fills a record."""
    app = new_app(currency="USD", output={"dead_letter": {"payload": True}})
    app.create_inputs()
    daemon = app.start()
    app.send(bad_messages(BAD, 1))
    app.wait_consumed(60)
    check_dead_letters(app, list(BAD), with_payload=True)
    assert daemon.exit_code() is None


def test_full_records(new_app):
    app = new_app(output={"dead_letter": {"payload": True}})
    app.create_inputs()
    app.start()
    for name, (_, key, value, headers) in FULL.items():
        app.send([{"partition": 0, "key": key, "value": value, "headers": {"case": name, **headers}}])
    app.wait_consumed(30)
    found = [(message["headers"]["reason"], message["key"], message["value"], "trace" in message["headers"])
             for message in app.kit.dump(app.dead_letters)]
    assert sorted(found, key=str) == sorted([("too_long", "k", "", True), ("not_json", "k", "x", False),
                                             ("not_json", None, "x", True)], key=str)


def test_poison(new_app):
    """A message that leads to a record that the broker refuses: it is found, and all the others are handled."""
    app = new_app(output={"dead_letter": {"payload": True}})
    random = events.seeded(7)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=0.02)
    app.create_inputs()
    daemon = app.start()
    # Behind the daemon's back, which has checked the limit at its start.
    app.kit.delete_topics(app.dead_letters)
    app.kit.create_topics(app.dead_letters, partitions=1, config=["max.message.bytes=10000"])
    half = history.count // 2
    app.feed(history, limit=half)
    app.send([{"key": "k", "partition": 1, "value": value} for value in ("short", random.randbytes(20_000).hex(), "shorter")])
    app.feed(history, skip=half)
    app.end(history.until)
    app.check(history, least=500)
    found = sorted((message["headers"]["reason"], message["key"], message["value"]) for message in app.kit.dump(app.dead_letters))
    assert found == [("not_json", "k", "short"), ("not_json", "k", "shorter"), ("poison", "k", "")]
    assert daemon.metrics().total("heartbeatd_commits_total", result="aborted") > 0


def test_not_doubled_by_kills(new_app):
    """Killed while bad messages flow."""
    app = new_app(currency="USD")
    random = events.seeded(6)
    names = [name for name in BAD if len(BAD[name][1] or "") < 10_000] * 20
    app.create_inputs()
    daemon = app.start()
    sent = 0
    for _ in range(3):
        part = names[sent:sent + len(names) // 3 + 1]
        app.send(bad_messages(part, sent))
        sent += len(part)
        time.sleep(random.uniform(0, 0.3))
        daemon.kill()
        daemon.start(wait_ready=False)
    app.wait_consumed(60)
    check_dead_letters(app, names, with_payload=False)
