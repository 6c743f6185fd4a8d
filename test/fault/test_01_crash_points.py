"""The process ends at each named point of its work, as if killed there: what is committed stays, what is not is done again."""
import shutil

import pytest

import app as apps
import daemon as daemons
import events
import faults
import stream as streams

SESSION_SECONDS = 2
# At which passage of each point the process ends, counted over its two workers and four shards.
PASSAGES = {
    "worker.processed": (1, 10, 40),
    "commit.begin": (1, 3, 8),
    "commit.produced": (1, 3, 8),
    "commit.flushed": (1, 3, 8),
    "commit.offsets-sent": (1, 3, 8),
    "commit.committed": (1, 3, 8),
    "store.saved": (1, 2, 6),
    "store.flushed": (1, 2, 4),
    "restore.read": (1, 50, 500),
    "restore.spilled": (1, 2, 4),
    "group.assigned": (1, 2, 3),
    "group.revoked": (1, 2, 3),
}


class Scene:
    """A stream of events, one process that is to crash, and what it takes to lead it there."""

    def __init__(self, app, stream):
        self.app, self.stream = app, stream
        self.log = app.folder / "passages"

    def crash(self, point, passage):
        daemon = faults.process(self.app, faults={"CRASH": f"{point}:{passage}", "FAULT_LOG": self.log})
        if point.startswith("restore."):  # all of the changelog is to be read, not only its end
            shutil.rmtree(self.app.state_directory())
        daemon.start(wait_ready=False)
        if point == "store.flushed":  # at the end of a run
            self.stream.until("the process is ready", daemon.ready)
            daemon.stop()
        elif point.startswith("group."):
            self.stir(daemon)
        else:
            self.stream.until(f"{point} is passed {passage} times", lambda: daemon.exit_code() is not None)
        assert daemon.exit_code() == faults.EXIT_CRASHED, f"{point} was not passed {passage} times"

    def stir(self, daemon):
        """A second process joins, and goes, and joins, until the first one has crashed over it."""
        def crashed_or(condition):
            return lambda: daemon.exit_code() is not None or condition()

        while daemon.exit_code() is None:
            self.stream.until("all partitions at the first", crashed_or(lambda: apps.partitions_of(daemon) == apps.PARTITIONS))
            second = self.app.process("b")
            second.start(wait_ready=False)
            self.stream.until("some partitions at the second", crashed_or(lambda: apps.partitions_of(second) > 0))
            second.kill()

    def crashes(self):
        lines = self.log.read_text().splitlines()
        return [line.removeprefix("crash ") for line in lines if line.startswith("crash ")]


@pytest.mark.row(1, "crash at each step")
def test_crash_at_every_point(new_app, row):
    assert sorted(PASSAGES) == faults.names("POINT"), "a point has been added or taken away: see to its passages here"
    app = new_app(kafka={"session_timeout": f"{SESSION_SECONDS}s"})
    random = events.seeded(1)
    history = events.part_of_demo(app.folder / "history.jsonl", random)
    app.create_inputs()
    scene = Scene(app, streams.Stream(app, history, rate=150))
    plan = [(point, passage) for point, passages in PASSAGES.items() for passage in passages]
    random.shuffle(plan)
    # Those of a restore when there is much to read; last the group's, since the second process's session has to end each time.
    plan.sort(key=lambda item: (item[0].startswith("group."), item[0].startswith("restore.")))
    for point, passage in plan:
        scene.crash(point, passage)
    app.start()
    scene.stream.rest()
    app.end(history.until)
    crashes = scene.crashes()
    row.figure(f"{len(crashes)} crashes at {len(set(crashes))} of {len(PASSAGES)} points")
    assert sorted(crashes) == sorted(point for point, _ in plan)
    row.judge(app, history, least=1000)


def test_the_released_binary_has_no_places():
    """They are in the test's own daemon only."""
    names = [name.encode() for macro in ("POINT", "ERROR", "MUTANT") for name in faults.names(macro)] + [b"HEARTBEATD_CRASH"]
    assert len(names) > 20
    released, faulty = daemons.RELEASED.read_bytes(), daemons.FAULTY.read_bytes()
    assert [name for name in names if name in released] == []
    assert [name for name in names if name not in faulty] == []
