"""Starting and stopping: what is missing or wrong is said in one sentence that names the cure, and the exit code tells
whether another try may help."""
import re
import socket
import threading
import time

import pytest

import app as apps
import events
import processes

EXIT_TEMPORARY, EXIT_CONFIG = 75, 78
AT_ONCE_SECONDS = 10  # for a process on a busy machine
STOP_SECONDS_MAX = 20


class Forwarder:
    """A port that leads to the broker once it is opened: to a client, a broker that comes up later."""

    def __init__(self, target):
        self.target = target
        self.port = processes.free_port()
        self.listener = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        if self.listener:
            self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            host, port = self.target.split(":")
            server = socket.create_connection((host, int(port)))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=ends, daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while part := source.recv(65536):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def last_words(app, code, label="a", seconds=AT_ONCE_SECONDS, **sections):
    """What a process says that ends by itself with this code: its last line, which people see without any log."""
    daemon = app.process(label, **sections)
    daemon.start(wait_ready=False)
    assert apps.exit_code_of(daemon, seconds) == code
    return app.log(label).strip().splitlines()[-1]


# --- the broker ---

def test_no_broker(new_app):
    app = new_app(kafka={"brokers": f"127.0.0.1:{processes.free_port()}", "startup_timeout": "2s"})
    began = time.monotonic()
    message = last_words(app, EXIT_TEMPORARY, seconds=2 + AT_ONCE_SECONDS)
    assert time.monotonic() - began > 2
    assert re.search(r"no Kafka broker answers at 127\.0\.0\.1:\d+: gave up after 2s", message)
    assert re.search(r"warning .*waiting for a broker at 127\.0\.0\.1:\d+ .*giving up in \d s", app.log())


def test_broker_comes_later(new_app, broker):
    forwarder = Forwarder(broker.address)
    app = new_app(kafka={"brokers": forwarder.address, "startup_timeout": "60s"})
    app.create_inputs()
    daemon = app.process()
    daemon.start(wait_ready=False)
    apps.wait_for("the line about waiting", lambda: "waiting for a broker" in app.log(), AT_ONCE_SECONDS)
    assert daemon.get("/livez") is not None
    assert not daemon.ready()
    forwarder.open()
    daemon.wait_ready()
    forwarder.close()


def test_stopped_while_waiting(new_app):
    app = new_app(kafka={"brokers": f"127.0.0.1:{processes.free_port()}", "startup_timeout": "60s"})
    daemon = app.process()
    daemon.start(wait_ready=False)
    apps.wait_for("the line about waiting", lambda: "waiting for a broker" in app.log(), AT_ONCE_SECONDS)
    assert daemon.stop() == 0


# --- topics ---

def test_topics_missing(new_app):
    """With create_topics: false each missing one is refused with the command that makes it."""
    app = new_app(create_topics=False)
    for topic, partitions, config in ((app.inputs[0], 3, ()), (app.alerts, 3, ()), (app.dead_letters, 3, ()),
                                      (app.changelog, 3, ("cleanup.policy=compact", "delete.retention.ms=604800000"))):
        message = last_words(app, EXIT_CONFIG)
        assert f"topic '{topic}' does not exist and create_topics is false; create it: kafka-topics.sh" in message
        assert f"--create --topic {topic}" in message
        assert topic == app.inputs[0] or f"--partitions {partitions}" in message
        for setting in config:
            assert f"--config {setting}" in message
        app.kit.create_topics(topic, partitions=partitions, config=config)
    app.start()


def test_topics_created(new_app):
    """Inputs with as many partitions as their sisters, outputs likewise, and a changelog that is compacted."""
    app = new_app(inputs=("purchases", "logins"))
    app.kit.create_topics(app.inputs[0], partitions=3)
    app.start()
    counts = {topic: len(app.kit.offsets(topic)) for topic in (*app.inputs, app.alerts, app.dead_letters, app.changelog)}
    assert set(counts.values()) == {3}, counts
    changelog = app.kit.config(app.changelog)
    assert changelog["cleanup.policy"] == "compact"
    assert changelog["delete.retention.ms"] == str(7 * 86400 * 1000)
    assert changelog["segment.bytes"] == str(64 << 20)
    assert changelog["min.cleanable.dirty.ratio"] == "0.2"
    for topic in (app.alerts, app.dead_letters, app.changelog):
        assert int(app.kit.config(topic)["max.message.bytes"]) >= 1_000_000


def test_partition_counts_differ(new_app):
    app = new_app(inputs=("purchases", "logins"))
    app.kit.create_topics(app.inputs[0], partitions=2)
    app.kit.create_topics(app.inputs[1], partitions=4)
    message = last_words(app, EXIT_CONFIG)
    assert f"'{app.inputs[0]}' has 2 and '{app.inputs[1]}' has 4" in message
    assert f"--alter --topic {app.inputs[0]} --partitions 4" in message


@pytest.mark.parametrize("partitions, config, words", [
    (3, ["cleanup.policy=compact"], ["has 3 partitions but the input topics have 4", "kafka-topics.sh"]),
    (4, ["cleanup.policy=delete"], ["cleanup.policy=delete", "kafka-configs.sh", "cleanup.policy=compact"]),
    (4, ["cleanup.policy=compact", "max.message.bytes=100000"], ["takes records of 100000 bytes only", "kafka-configs.sh"]),
], ids=["partitions", "policy", "record-size"])
def test_unfit_changelog(new_app, partitions, config, words):
    app = new_app()
    app.create_inputs(partitions=4)
    app.kit.create_topics(app.changelog, partitions=partitions, config=config)
    message = last_words(app, EXIT_CONFIG)
    for word in [app.changelog, *words]:
        assert word in message


# --- two processes that must not be ---

def test_same_state_directory(new_app):
    app = new_app()
    app.create_inputs()
    first = app.start("a")
    directory = str(app.state_directory("a"))
    message = last_words(app, EXIT_TEMPORARY, "b", state={"directory": directory})
    assert f"{directory} is in use by another heartbeatd" in message
    assert first.ready()


def test_same_instance(new_app):
    """Two with one name and two disks fence each other until one gives up; no alert is lost or doubled by it."""
    app = new_app(instance="twin")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(8), share=0.02)
    app.create_inputs()
    first = app.start("a")
    feed = app.kit.open("feed", history.path, "--topic", app.inputs[0], "--rate", history.count / 10)
    second = app.process("b")
    second.start(wait_ready=False)
    began = time.monotonic()
    apps.wait_for("the end of one of them", lambda: (first.exit_code(), second.exit_code()) != (None, None), 60)
    print(f"one of them gave up after {time.monotonic() - began:.1f} s")
    loser, label, winner = (first, "a", second) if first.exit_code() is not None else (second, "b", first)
    assert loser.exit_code() == EXIT_TEMPORARY
    assert "Another process seems to run with the same 'instance': give each its own" in app.log(label).splitlines()[-1]
    feed.communicate()
    app.end(history.until)
    assert winner.exit_code() is None
    app.check(history, least=100)


# --- configuration ---

def test_mistakes_with_their_place(new_app):
    """All of them at once, each as file:line:column: message."""
    app = new_app()
    path = app.folder / "mistakes.yaml"
    path.write_text("app: x\n"
                    "kafka:\n"
                    "  brokers: 127.0.0.1:1\n"
                    "  properties: {no.such.property: 1, enable.idempotence: false, linger.ms: soon}\n"
                    "input: {topics: [events], formt: flat}\n"
                    "commit: {interval: fast}\n")
    daemon = app.process()
    daemon.configurations = [str(path)]
    daemon.start(wait_ready=False)
    assert apps.exit_code_of(daemon, AT_ONCE_SECONDS) == EXIT_CONFIG
    lines = app.log().splitlines()
    for place, words in ((r"4:\d+", ["no.such.property", "has no such property"]),
                         (r"4:\d+", ["enable.idempotence", "exactly-once"]),
                         (r"4:\d+", ["linger.ms", "refuses it"]),
                         (r"5:\d+", ["formt", "format"]),
                         (r"6:\d+", ["interval", "fast"])):
        matching = [line for line in lines if re.match(re.escape(str(path)) + f":{place}: ", line) and all(w in line for w in words)]
        assert len(matching) == 1, (place, words, lines)


# --- the end ---

def test_terminated(new_app):
    """SIGTERM commits, saves and ends with 0; the next run reads no event twice and replays nothing."""
    app = new_app(state={"flush_interval": "60s"})  # so that all of it is left to the end
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(9))
    app.create_inputs()
    daemon = app.start()
    half = history.count // 2
    feed = app.kit.open("feed", history.path, "--topic", app.inputs[0], "--limit", half, "--rate", half / 3)
    apps.wait_for("some progress", lambda: daemon.metrics().total("heartbeatd_events_total") > half / 4, 30)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS_MAX
    feed.communicate()
    done = sum(row["committed"] for row in app.offsets(app.inputs[0]))

    daemon.start()
    assert daemon.metrics().total("heartbeatd_restored_records_total") <= 2 * apps.PARTITIONS
    app.feed(history, skip=half)
    app.end(history.until)
    rest = history.count + apps.PARTITIONS - done
    apps.wait_for_last_report(daemon, history.until)
    assert daemon.metrics().total("heartbeatd_events_total") == rest
    app.check(history, least=1000, stop=True)
