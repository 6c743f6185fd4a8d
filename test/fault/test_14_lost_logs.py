"""Somebody moves or deletes offsets, and logs lose their begin, their end or all: no alert comes twice, and where state is lost
the daemon stops and says so."""
import shutil

import pytest

import app as apps
import events
import kit as kits

EXIT_BROKEN = 70
END_SECONDS_MAX = 30
EMPTY_GROUP_SECONDS_MAX = 30
SHORT_SESSION = {"kafka": {"session_timeout": "3s"}}  # a group that has no members any more can be changed
SHARE = 0.03
META_KEY = "m"  # of the shards' own records in the changelog


def reset(app, to):
    """As soon as the group has no members."""
    def done():
        try:
            app.kit.reset_offsets(app.name, app.inputs[0], to)
            return True
        except kits.KitError:
            return False

    apps.wait_for("a group without members", done, EMPTY_GROUP_SECONDS_MAX, pause=0.3)


def stops(app, daemon, *words):
    """The daemon ends by itself at its start, and its last line says all these words."""
    daemon.start(wait_ready=False)
    assert apps.exit_code_of(daemon, END_SECONDS_MAX) == EXIT_BROKEN
    line = app.log().splitlines()[-1]
    assert all(word in line for word in words), line


def parts(history, count):
    """(first line, lines) of so many equal parts."""
    size = -(-history.count // count)
    return [(at, size) for at in range(0, history.count, size)]


@pytest.mark.row(14, "offsets reset, expired, log truncated")
def test_group_offsets(new_app, row):
    """Moved back and deleted they do not matter: the changelog knows better. Moved forward they stop the daemon."""
    app = new_app(instance="shop-1", **SHORT_SESSION)
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(14), share=SHARE)
    app.create_inputs()
    daemon = app.process()
    first, second, third, fourth = parts(history, 4)
    for (skip, limit), to in ((first, None), (second, "begin"), (third, "nothing")):
        if to:
            reset(app, to)
        daemon.start()
        app.feed(history, skip=skip, limit=limit)
        app.wait_consumed()
        assert daemon.stop() == 0
    app.feed(history, skip=fourth[0])
    reset(app, "end")
    stops(app, daemon, app.inputs[0], app.changelog, "somebody has moved the group's offsets")
    reset(app, "begin")
    daemon.start()
    app.end(history.until)
    row.figure("group offsets back, deleted: as if nothing had been; forward: exit 70")
    row.judge(app, history, least=1000)


@pytest.mark.row(14, "offsets reset, expired, log truncated")
def test_input(new_app, row):
    """Its begin expires before it is read; then it ends before what was read. Both are accepted when asked to be."""
    app = new_app(instance="shop-1")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(140), share=SHARE)
    app.create_inputs()
    daemon = app.start()
    accepting = app.process(arguments=["--accept-lost-input"])
    first, second, third = parts(history, 3)
    app.feed(history, skip=first[0], limit=first[1])
    app.wait_consumed()
    assert daemon.stop() == 0
    read = app.logged(history.until, "first")

    app.feed(history, skip=second[0], limit=second[1])
    app.kit.delete_records(app.inputs[0], keep=50)
    stops(app, daemon, app.inputs[0], "are gone (retention)", "--accept-lost-input")
    accepting.start()
    app.wait_consumed()
    assert accepting.stop() == 0
    read = [events.joined(*both) for both in zip(read, app.logged(history.until, "second"))]

    app.kit.delete_topics(app.inputs[0])
    app.create_inputs()
    app.feed(history, skip=third[0], limit=50)
    stops(app, daemon, app.inputs[0], "recreated", "--accept-lost-input")
    accepting.start()
    app.feed(history, skip=third[0] + 50)
    app.end(history.until)
    read = [events.joined(*both) for both in zip(read, app.logged(history.until, "third"))]
    row.figure("input expired, truncated: exit 70, and on with --accept-lost-input")
    row.judge(app, *read, least=500, whole_log=False)


@pytest.mark.row(14, "offsets reset, expired, log truncated")
def test_changelog(new_app, row):
    """The local state is gone, and of the changelog the begin, the end, or everything: each stops the daemon. From a whole
    backup all is well."""
    app = new_app(instance="shop-1")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(141), share=SHARE)
    app.create_inputs()
    daemon = app.start()
    quarter, half = history.count // 4, history.count // 2
    app.feed(history, limit=quarter)
    app.wait_consumed()
    old_backup = app.kit.dump(app.changelog)
    app.feed(history, skip=quarter, limit=half - quarter)
    app.wait_consumed()
    assert daemon.stop() == 0
    backup = app.kit.dump(app.changelog)

    def restored(messages):
        shutil.rmtree(app.state_directory())
        app.kit.delete_topics(app.changelog)
        app.kit.create_topics(app.changelog, partitions=apps.PARTITIONS, config=["cleanup.policy=compact"])
        app.send(messages, topic=app.changelog)

    restored([message for i, message in enumerate(backup) if i >= len(backup) // 4 or message.get("key") == META_KEY])
    stops(app, daemon, app.changelog, "customers but says that there are", "has lost data")
    stops(app, daemon, app.changelog, "has lost data")  # the local state that this left does not count
    restored(old_backup)
    stops(app, daemon, app.changelog, "knows only", "lost data or was deleted")
    restored([])
    stops(app, daemon, app.changelog, "knows nothing of it", "lost data or was deleted")
    restored(backup)
    daemon.start()
    app.feed(history, skip=half)
    app.end(history.until)
    row.figure("changelog without its begin, its end, or anything: exit 70; whole again: on")
    row.judge(app, history, least=1000)
