"""The broker is killed, and frozen, and comes back; of three that replicate those are killed that matter most."""
import time

import pytest

import app as apps
import broker as brokers
import events
import kit as kits
import stream as streams
import wire

RESUMES_SECONDS_MAX = 30
EVENTS, SECONDS = 600, 1.5  # around each strike
FROZEN_SECONDS = 12  # longer than a transaction may take, and a session
SHARE = 0.1
INSTANCE = "shop-1"
REPLICAS = 3
IN_SYNC_SECONDS_MAX = 90  # a broker starts, and catches up
INTERNAL = ("__consumer_offsets", "__transaction_state")


def resumed(app, since, feed):
    """Waits until all that the feed sends is consumed; seconds after `since`."""
    streams.finish(feed)

    def consumed():
        try:
            return all(partition["lag"] == 0 for partition in app.offsets(app.inputs[0]))
        except kits.KitError:
            return False

    apps.wait_for("all to be consumed", consumed, 3 * RESUMES_SECONDS_MAX, pause=0.1)
    return time.monotonic() - since


def judge(app, row, stream, daemon, took):
    stream.rest()
    app.end(stream.history.until)
    assert daemon.exit_code() is None
    row.figure(", ".join(f"{what}: resumes after {seconds:.1f} s" for what, seconds in took.items()))
    row.judge(app, stream.history, least=1000)
    assert max(took.values()) < RESUMES_SECONDS_MAX


@pytest.mark.row(6, "broker loss")
def test_one_broker(new_app, row, broker):
    app = new_app()
    random = events.seeded(6)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemon = app.start()
    stream = streams.Stream(app, history)
    took = {}

    def strike(name, act):
        """`act` in the middle of some events; it ends when the broker is back."""
        feed = stream.open(EVENTS, SECONDS)
        time.sleep(random.uniform(0, SECONDS))
        act()
        took[name] = resumed(app, time.monotonic(), feed)

    def kill():
        broker.kill()
        broker.start()

    def freeze():
        broker.freeze()
        time.sleep(FROZEN_SECONDS)
        broker.thaw()

    strike("killed", kill)
    strike("frozen", freeze)
    judge(app, row, stream, daemon, took)


@pytest.fixture
def cluster(tmp_path):
    with brokers.Cluster(tmp_path / "cluster", REPLICAS) as running:
        yield running


@pytest.mark.row(6, "broker loss")
def test_three_brokers(row, request, tmp_path, cluster):
    """Killed one after the other: who coordinates the group, who coordinates a worker's transactions, who leads a topic."""
    # librdkafka 2.0's idempotent producer does not get over a new leader while several requests are under way.
    kit = kits.Kit(cluster.address, {"max.in.flight.requests.per.connection": 1})
    app = apps.App(cluster.address, kit, tmp_path, "three-brokers", instance=INSTANCE)
    request.node.apps = [app]
    random = events.seeded(60)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemon = app.start()
    stream = streams.Stream(app, history)
    stream.until("a commit", lambda: daemon.metrics().total("heartbeatd_committed_records_total"))
    took = {}

    def alive():
        return next(broker.address for broker in cluster.brokers.values() if broker.running)

    def whole():
        """Whether every replica of every topic is up to date."""
        try:
            topics = [app.inputs[0], app.alerts, app.changelog, *INTERNAL]
            return all(len(partition.in_sync) == REPLICAS for topic in topics
                       for partition in wire.partitions(alive(), topic).values())
        except wire.WireError:
            return False

    def strike(name, number):
        feed = stream.open(EVENTS, SECONDS)
        time.sleep(random.uniform(0, SECONDS))
        cluster.brokers[number].kill()
        took[name] = resumed(app, time.monotonic(), feed)
        cluster.brokers[number].start()
        apps.wait_for("all replicas", whole, IN_SYNC_SECONDS_MAX, pause=0.3)

    try:
        strike("the group's coordinator killed", wire.coordinator(alive(), app.name, wire.GROUP))
        strike("the transactions'", wire.coordinator(alive(), f"{app.name}-{INSTANCE}-0", wire.TRANSACTION))
        strike("a leader", wire.partitions(alive(), app.inputs[0])[0].leader)
        judge(app, row, stream, daemon, took)
    finally:
        app.close()
