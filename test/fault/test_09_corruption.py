"""The local state is damaged or gone: that is noticed, and it comes back from the changelog, counted."""
import base64
import contextlib
import json
import shutil

import pytest

import app as apps
import damage
import events
import stream as streams

EXIT_BROKEN, EXIT_TEMPORARY = 70, 75
REBUILDS_MAX = 3  # of one shard within an hour
NOTICED_SECONDS_MAX = 60
RATE = 1500  # events per second
DUE_BYTES = 8  # before a stored state (docs/state-format.md)
# So that most customers are not in memory and have to be read.
SMALL = {"memory": "32MiB", "workers": 1}


def database(app):
    return app.state_directory() / "rocksdb"


def rebuilds(daemon, **labels):
    return daemon.metrics().total("heartbeatd_state_rebuilds_total", **labels)


def stopped_half_way(app, history):
    """A daemon that has stopped in good order after half of the history."""
    app.create_inputs()
    daemon = app.start()
    app.feed(history, limit=history.count // 2)
    app.wait_consumed()
    assert daemon.stop() == 0
    return daemon


def goes_on(app, daemon, history, reason):
    """With the other half, after each partition was rebuilt once, for this reason."""
    daemon.start()
    app.feed(history, skip=history.count // 2)
    app.end(history.until)
    assert rebuilds(daemon) == rebuilds(daemon, reason=reason) == apps.PARTITIONS


@pytest.mark.row(9, "corruption")
@pytest.mark.parametrize("files, reason", [("*.sst", "damaged"), ("MANIFEST-*", "damaged"), (None, "missing")])
def test_found_at_the_start(new_app, row, files, reason):
    """Damaged while no process runs, or taken away."""
    app = new_app(instance="shop-1", **SMALL)
    random = events.seeded(9)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=0.02)
    daemon = stopped_half_way(app, history)
    if files is None:
        shutil.rmtree(app.state_directory())
    for path in database(app).glob(files or "*"):
        damage.flip_bits(path, random)
    goes_on(app, daemon, history, reason)
    row.figure(f"{files or 'directory gone'}: {apps.PARTITIONS} rebuilt")
    row.judge(app, history, least=500)


@pytest.mark.row(9, "corruption")
def test_unreadable_states(new_app, row, tmp_path):
    """The files are whole, but what they hold of the customers is not what the daemon wrote."""
    app = new_app(instance="shop-1", **SMALL)
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(9), share=0.02)
    daemon = stopped_half_way(app, history)
    rows = [one for one in app.kit.dump_state(app.state_directory()) if one["kind"] == "customer"]
    for one in rows:
        kept = base64.b64decode(one["value_base64"])[:DUE_BYTES]
        one["value_base64"] = base64.b64encode(kept + b"\xff").decode()
    (tmp_path / "unreadable.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    app.kit.load_state(app.state_directory(), tmp_path / "unreadable.jsonl")
    goes_on(app, daemon, history, "damaged")
    row.figure(f"unreadable states: {apps.PARTITIONS} rebuilt")
    row.judge(app, history, least=500)


@pytest.mark.row(9, "corruption")
def test_found_while_running(new_app, row):
    """The directory goes under a running process; then it is damaged again and again until the process gives up."""
    app = new_app(instance="shop-1", **SMALL)
    random = events.seeded(90)
    history = events.generated(app.folder / "history.jsonl", app.kit, count=120_000, customers=50_000)
    app.create_inputs()
    daemon = app.start()
    stream = streams.Stream(app, history, rate=RATE)

    def ends():
        stream.until("the end of the process", lambda: daemon.exit_code() is not None, NOTICED_SECONDS_MAX)
        return daemon.exit_code()

    def tables():
        return list(database(app).glob("*.sst"))

    stream.until("tables on the disk", lambda: len(tables()) >= apps.PARTITIONS)
    shutil.rmtree(database(app))
    assert ends() == EXIT_TEMPORARY
    assert "start again" in app.log().splitlines()[-1]
    daemon.start()
    assert rebuilds(daemon) == rebuilds(daemon, reason="missing") == apps.PARTITIONS

    def damage_all():
        for path in tables():
            with contextlib.suppress(FileNotFoundError):  # that of a restore is gone as soon as it is read
                damage.flip_bits(path, random)

    damage_all()
    stream.until("a rebuild", lambda: rebuilds(daemon, reason="damaged"), NOTICED_SECONDS_MAX)
    counted = [1]  # that one
    restarts = []

    def gives_up():
        if daemon.exit_code() is None:
            counted.append(rebuilds(daemon, reason="damaged"))
            damage_all()
        elif daemon.exit_code() == EXIT_TEMPORARY:
            # RocksDB has met the damage in what it does by itself, and takes nothing any more from anybody.
            restarts.append(app.log().splitlines()[-1])
            daemon.start(wait_ready=False)
        return daemon.exit_code() is not None

    stream.until("the end of the process", gives_up, 2 * NOTICED_SECONDS_MAX)
    assert daemon.exit_code() == EXIT_BROKEN
    assert f"has been rebuilt {REBUILDS_MAX} times within an hour" in app.log().splitlines()[-1]
    assert all("start again" in line for line in restarts)
    assert REBUILDS_MAX <= max(counted) <= REBUILDS_MAX * apps.PARTITIONS
    row.figure(f"while running: exit {EXIT_TEMPORARY} without a directory, {max(counted):.0f} rebuilt, then exit {EXIT_BROKEN}")

    daemon.start()
    stream.rest()
    app.end(history.until)
    row.judge(app, history, least=500)
