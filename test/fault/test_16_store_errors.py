"""What is committed cannot be written to the local store: it stays in memory, nothing new is taken, and the write is tried
again until it succeeds. Even if the process ends before, nothing is lost: the changelog has it."""
import pytest

import app as apps
import events
import faults
import stream as streams

FIRST = 20  # of the writes to fail: by then there are customers to be written
FAILURES = 6  # then it succeeds; tries are a second apart for each worker
FOR_EVER = 1_000_000
PAUSED, WRITTEN = "taking no events until it can be written", "local state can be written again"


@pytest.fixture
def scene(new_app):
    app = new_app()
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(16), share=0.05)
    app.create_inputs()
    return app, history, streams.Stream(app, history)


def start_failing(app, stream):
    """A process that cannot write any more, and would take no events if there were some."""
    daemon = faults.start(app, faults={"ERROR": f"store.write:{FIRST}:{FOR_EVER},store.flush:1:{FOR_EVER}"})
    stream.until("failed writes of both workers",
                 lambda: all(f"worker {number}: local state: writing: I/O error; {PAUSED}" in app.log() for number in (0, 1)))
    return daemon


@pytest.mark.row(16, "I/O error after the commit")
def test_writes_fail_for_a_while(scene, row):
    app, history, stream = scene
    daemon = faults.start(app, faults={"ERROR": f"store.write:{FIRST}:{FAILURES}"})
    stream.until("a failed write", lambda: PAUSED in app.log())
    # No more events, which would make up for what is lost.
    apps.wait_for("successful ones", lambda: app.log().count(PAUSED) == app.log().count(WRITTEN), 60)
    assert daemon.stop() == 0
    # From here on all depends on what was written.
    second = app.start()
    restored = second.metrics().total("heartbeatd_restored_records_total")
    stream.rest()
    app.end(history.until)
    row.figure(f"{FAILURES} failed writes, then {restored:.0f} records replayed at the next start")
    row.judge(app, history, least=1000)
    assert restored <= 2 * apps.PARTITIONS, "the local state was not used"


@pytest.mark.row(16, "I/O error after the commit")
def test_killed_while_writes_fail(scene, row):
    app, history, stream = scene
    start_failing(app, stream).kill()
    app.start()
    stream.rest()
    app.end(history.until)
    row.judge(app, history, least=1000)


@pytest.mark.row(16, "I/O error after the commit")
def test_stopped_while_writes_fail(scene, row):
    """SIGTERM ends it in good order, with less on the disk than it could be."""
    app, history, stream = scene
    assert start_failing(app, stream).stop() == 0
    app.start()
    stream.rest()
    app.end(history.until)
    row.judge(app, history, least=1000)
