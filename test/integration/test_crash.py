"""SIGKILL at random moments, and the loss of the local state: no alert is lost, none comes twice."""
import shutil
import time

import app as apps
import events
from stream import finish

KILLS = 10
FEED_SECONDS = 1.2  # of each part: a kill falls somewhere into it


def part_feed(app, history, number, parts, seconds=FEED_SECONDS):
    """A running feed of one of so many equal parts."""
    size = history.count // parts + 1
    return app.kit.open("feed", history.path, "--topic", app.inputs[0], "--skip", number * size, "--limit", size,
                        "--rate", size / seconds)


def test_killed_ten_times(new_app):
    """Killed in the middle of the stream, ten times; also while it is still starting or restoring. Twice it is stopped
    properly before: only then there is a local state on the disk, which the next kill makes too old."""
    app = new_app(memory="32MiB")
    random = events.seeded(2)
    history = events.part_of_demo(app.folder / "history.jsonl", random)
    app.create_inputs()
    daemon = app.start()
    for kill in range(KILLS):
        feed = part_feed(app, history, kill, KILLS)
        if kill in (3, 6):
            time.sleep(random.uniform(0, FEED_SECONDS / 2))
            assert daemon.stop() == 0
            daemon.start()
        time.sleep(random.uniform(0, FEED_SECONDS))
        daemon.kill()
        daemon.start(wait_ready=False)
        if random.random() < 0.3:  # once more before it has caught up
            time.sleep(random.uniform(0, 0.5))
            daemon.kill()
            daemon.start(wait_ready=False)
        finish(feed)
        daemon.wait_ready()
    app.end(history.until)
    app.check(history, least=1000, stop=True)


def test_broker_killed(new_app, broker):
    """The broker dies in the middle of a transaction, and comes back."""
    app = new_app()
    random = events.seeded(12)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=0.3)
    app.create_inputs()
    daemon = app.start()
    feed = part_feed(app, history, 0, 2, seconds=3)
    time.sleep(random.uniform(1, 2))
    broker.kill()
    broker.start()
    finish(feed)
    finish(part_feed(app, history, 1, 2, seconds=1))
    app.end(history.until)
    assert daemon.exit_code() is None
    app.check(history, least=1000)


def test_lost_data_directory(new_app):
    """Killed, and the disk is gone: all comes back from the changelog under the same name."""
    app = new_app(instance="shop-1")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(3))
    app.create_inputs()
    daemon = app.start()
    half = history.count // 2
    app.feed(history, limit=half)
    apps.wait_for("some progress", lambda: daemon.metrics().total("heartbeatd_events_total") > half / 2, 60)
    daemon.kill()
    shutil.rmtree(app.state_directory())
    daemon.start()
    assert daemon.metrics().total("heartbeatd_restored_records_total") > 0
    app.feed(history, skip=half)
    app.end(history.until)
    app.check(history, least=1000)


def test_latest_is_resolved_once(new_app):
    """With input.start: latest, a partition begins at its end as of the first assignment, and never again."""
    app = new_app(input={"start": "latest"})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(13), share=0.02)
    app.create_inputs()
    before = 1000
    app.feed(history, limit=before)
    daemon = app.start()
    daemon.kill()  # before any event of its own
    app.feed(history, skip=before)
    daemon.start()
    app.end(history.until)
    lines = history.path.read_text().splitlines(keepends=True)
    history.path.write_text("".join(lines[before:]))
    app.check(history, least=300, whole_log=False)
