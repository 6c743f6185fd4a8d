"""Data that Kafka has lost: the daemon stops and says what is gone, rather than to go on with half a memory."""
import json
import shutil

import pytest

import app as apps
import events

EXIT_BROKEN = 70
END_SECONDS_MAX = 30


def some_days(app, days=6, customers=40):
    """A day's login of each customer, one after the other."""
    start = events.unix("2024-03-01T08:00:00Z")
    rows = [events.event(f"{day}-{number}", f"customer{number}", start + day * 86400 + number)
            for day in range(days) for number in range(customers)]
    return events.write(app.folder / "history.jsonl", rows, start + 400 * 86400)


def run_and_stop(app, history, limit):
    """A first run that ends as it should, with so many events committed."""
    app.create_inputs()
    daemon = app.start()
    app.feed(history, limit=limit)
    app.wait_consumed()
    assert daemon.stop() == 0


def fails(app, *words, label="a"):
    """A run that ends by itself, naming all these."""
    before = len(app.log(label))
    daemon = app.process(label)
    daemon.start(wait_ready=False)
    assert apps.exit_code_of(daemon, END_SECONDS_MAX) == EXIT_BROKEN
    last_line = app.log(label)[before:].strip().splitlines()[-1]
    for word in words:
        assert word in last_line
    return last_line


def remaining_events(app, history):
    """The events that are still on the input topic, in the order of time, as a history of its own."""
    rows = [json.loads(message["value"]) for message in app.kit.dump(app.inputs[0])]
    rows = [row for row in rows if row["type"] != "tick"]
    return events.write(app.folder / "remaining.jsonl", sorted(rows, key=lambda row: row["timestamp"]), history.until)


@pytest.mark.parametrize("local_state", ["kept", "lost-too"])
def test_changelog_recreated(new_app, local_state):
    """An empty changelog, while the group has offsets: both causes are named, lost data and moved offsets."""
    app = new_app(instance="shop-1")  # a new name would have to wait for the end of the old one's session
    run_and_stop(app, some_days(app), limit=120)
    app.kit.delete_topics(app.changelog)
    app.kit.create_topics(app.changelog, partitions=apps.PARTITIONS, config=["cleanup.policy=compact"])
    if local_state == "lost-too":
        shutil.rmtree(app.state_directory())
    fails(app, app.changelog, "knows nothing of it", "lost data or was deleted", "moved the group's offsets")
    fails(app, app.changelog)  # and it stays so


def test_changelog_from_an_old_backup(new_app):
    """A changelog that is whole and older than the group's offsets."""
    app = new_app()
    history = some_days(app)
    run_and_stop(app, history, limit=120)
    backup = app.kit.dump(app.changelog)
    daemon = app.start()
    app.feed(history, skip=120)
    app.wait_consumed()
    assert daemon.stop() == 0
    app.kit.delete_topics(app.changelog)
    app.kit.create_topics(app.changelog, partitions=apps.PARTITIONS, config=["cleanup.policy=compact"])
    app.send(backup, topic=app.changelog)
    fails(app, app.changelog, "knows only", "lost data or was deleted", "moved the group's offsets")


def test_input_retention(new_app):
    """Events that nobody has read yet are gone."""
    app = new_app()
    history = some_days(app)
    run_and_stop(app, history, limit=120)
    committed = {row["partition"]: row["committed"] for row in app.offsets(app.inputs[0])}
    app.feed(history, skip=120)
    app.kit.delete_records(app.inputs[0], keep=5)
    begins = {row["partition"]: row["begin"] for row in app.offsets(app.inputs[0])}
    message = fails(app, app.inputs[0], "are gone (retention)", "--accept-lost-input")
    lost = [f"[{partition}]: offsets {committed[partition]} to {begins[partition] - 1} " for partition in committed]
    assert any(text in message for text in lost), f"{message} names none of {lost}"

    daemon = app.process(arguments=["--accept-lost-input"])
    daemon.start()
    assert "going on at offset" in app.log()
    app.end(history.until)
    read = history_read(app, history, first=120)
    app.check(read, least=40, whole_log=False)


def history_read(app, history, first):
    """The first events, which were read before the loss, and those that remained."""
    lines = history.path.read_text().splitlines()[:first]
    rows = [json.loads(line) for line in lines] + [
        json.loads(line) for line in remaining_events(app, history).path.read_text().splitlines()]
    return events.write(app.folder / "read.jsonl", rows, history.until)


def test_input_recreated(new_app):
    """The input topic ends before the position: it is another one."""
    app = new_app()
    history = some_days(app)
    run_and_stop(app, history, limit=120)
    app.kit.delete_topics(app.inputs[0])
    app.create_inputs()
    fails(app, app.inputs[0], "recreated", "--accept-lost-input")

    daemon = app.process(arguments=["--accept-lost-input"])
    daemon.start()
    app.feed(history, skip=120)
    app.end(history.until)
    app.check(history, least=40, whole_log=False)


def test_input_lost_while_running(new_app):
    """Retention overtakes a daemon that is too slow."""
    app = new_app()
    history = some_days(app)
    app.create_inputs()
    daemon = app.start()
    app.feed(history, limit=120)
    app.wait_consumed()
    daemon.freeze()
    app.feed(history, skip=120)
    app.kit.delete_records(app.inputs[0])
    daemon.thaw()
    assert apps.exit_code_of(daemon, END_SECONDS_MAX) == EXIT_BROKEN
    assert "--accept-lost-input" in app.log().splitlines()[-1]
