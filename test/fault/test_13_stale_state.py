"""An old copy of the data directory comes back after the changelog has forgotten what happened since."""
import shutil

import pytest

import app as apps
import events

RETENTION_MS = 1000  # of tombstones
CHANGELOG = ["cleanup.policy=compact", f"delete.retention.ms={RETENTION_MS}", "min.cleanable.dirty.ratio=0.01",
             "segment.ms=500", "segment.bytes=1048576", "max.message.bytes=1048588"]
ERASED = 40
COMPACTED_SECONDS_MAX = 90


@pytest.mark.row(13, "stale local state")
def test_old_copy_comes_back(new_app, row):
    app = new_app(instance="shop-1")
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(13), share=0.05, forgotten=())
    rows = events.read(history)
    app.create_inputs()
    app.kit.create_topics(app.changelog, partitions=apps.PARTITIONS, config=CHANGELOG)
    daemon = app.start()
    third = history.count // 3
    app.feed(history, limit=third)
    app.wait_consumed()
    assert daemon.stop() == 0
    copy = app.folder / "copy"
    shutil.copytree(app.state_directory(), copy)

    # Those who were seen first and come again in the last third only: if they came back from the copy, alerts would tell.
    first, middle, last = ({row["customer_id"] for row in part} for part in (rows[:third], rows[third:2 * third], rows[2 * third:]))
    erased = sorted((first & last) - middle)[:ERASED]
    assert len(erased) == ERASED
    at = rows[third]["timestamp"]
    erasures = [events.event(f"erase-{customer}", customer, at, "erase") for customer in erased]
    history = events.write(history.path, rows[:third] + erasures + rows[third:], history.until)
    daemon.start()
    app.feed(history, skip=third, limit=ERASED)
    app.wait_consumed()
    sent = third + ERASED

    def forgotten():
        """Nothing of the erased customers stands in the changelog any more, not even that they were erased. It is
        compacted when something is written."""
        nonlocal sent
        app.feed(history, skip=sent, limit=20)
        sent += 20
        return not {"c" + customer for customer in erased} & {message["key"] for message in app.kit.dump(app.changelog)}

    apps.wait_for("a compacted changelog", forgotten, COMPACTED_SECONDS_MAX, pause=0.5)
    assert sent < 2 * third, "the events ran out"
    app.wait_consumed()
    assert daemon.stop() == 0
    shutil.rmtree(app.state_directory())
    shutil.copytree(copy, app.state_directory())

    daemon.start()
    assert daemon.metrics().total("heartbeatd_state_rebuilds_total", reason="too_old") == apps.PARTITIONS
    app.feed(history, skip=sent)
    app.end(history.until)
    row.figure(f"{ERASED} erased customers stay erased")
    row.judge(app, history, least=1000)
