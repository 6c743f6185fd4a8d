"""Two processes, and again and again one of them is killed at any moment: while it reads, commits, starts or restores."""
import statistics
import threading
import time

import pytest

import events
import stream as streams

KILLS = 40
PAUSE_SECONDS = (0.3, 2.0)
SHARE = 0.15  # of the demo's buyers: enough for all that time
LABELS = ("a", "b")
WORKING_SECONDS_MAX = 5  # at the 95th percentile
POLL_SECONDS = 0.05


class Stopwatch:
    """How long after each kill the process has committed something again, further kills meanwhile included.

    A thread of its own looks at the processes' metrics; everything else is called by the test.
    """

    def __init__(self, daemons):
        self.daemons = daemons
        self.seconds = []
        self.killed = {label: [] for label in daemons}  # when, and nothing committed since; guarded by lock
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def kill(self, label):
        with self.lock:
            self.daemons[label].kill()
            self.killed[label].append(time.monotonic())

    def stop(self):
        self.stopped.set()
        self.thread.join()

    def waiting(self):
        with self.lock:
            return any(self.killed.values())

    def _watch(self):
        while not self.stopped.wait(POLL_SECONDS):
            for label, daemon in self.daemons.items():
                with self.lock:
                    pid = daemon.pid if self.killed[label] else None
                if pid is None or not daemon.metrics().total("heartbeatd_commits_total", result="committed"):
                    continue
                with self.lock:
                    if daemon.pid == pid:  # not killed meanwhile
                        self.seconds += [time.monotonic() - at for at in self.killed[label]]
                        self.killed[label].clear()


@pytest.mark.row(2, "random crash")
def test_killed_forty_times(new_app, row):
    app = new_app()
    random = events.seeded(2)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemons = {label: app.start(label) for label in LABELS}
    stopwatch = Stopwatch(daemons)
    pauses = [random.uniform(*PAUSE_SECONDS) for _ in range(KILLS)]
    stream = streams.Stream(app, history)
    feed = stream.open(history.count, sum(pauses) + 5)
    for pause in pauses:
        time.sleep(pause)
        label = random.choice(LABELS)
        stopwatch.kill(label)
        daemons[label].start(wait_ready=False)
    streams.finish(feed)
    app.end(history.until)
    stopwatch.stop()
    assert len(stopwatch.seconds) == KILLS
    p95 = statistics.quantiles(stopwatch.seconds, n=20)[-1]
    row.figure(f"{KILLS} kills, working again p95 {p95:.1f} s")
    row.judge(app, history, least=1000)
    assert p95 < WORKING_SECONDS_MAX
