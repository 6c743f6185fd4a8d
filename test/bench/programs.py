"""What `./dev bench` runs: heartbeatd or its peer, each from nothing, with a new group, a new changelog and an empty state."""
import pathlib
import string
import time

import daemon
import peer
import processes

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "build" / "bench"
TOPIC = "bench-events"
ALERTS = "bench-alerts"
RULE_SETS = {"two": HERE / "two.yaml", "e-commerce": ROOT / "config" / "e-commerce.yaml", "saas": ROOT / "config" / "saas.yaml"}
PEERS = {"kafka-streams": "two", "kafka-streams-e-commerce": "e-commerce"}  # each with the rule set whose job it does
BEFORE = "before"  # another build, with the first rule set


class BenchError(Exception):
    """The measurement cannot be finished; the message says why."""


def new_folder(name):
    """Its name is an app's, too, and so names the group and the changelog."""
    folder = FOLDER / f"bench-{int(time.time())}-{name}"
    folder.mkdir(parents=True)
    return folder


class Heartbeatd:
    """A process of it with the rules of a file; `more`: files on top of them, `over`: YAML on top of everything.

    `binary`: of another build than the tests' own. Those of one `app` (default: the folder's name) share its work, if each has a
    folder and an `instance` of its own.
    """

    def __init__(self, folder, server, options, rules, topic=TOPIC, more=(), over="", app=None, instance="bench", alerts=ALERTS,
                 binary=None):
        http = f"127.0.0.1:{processes.free_port()}"
        self.app = app or folder.name
        self.changelog = f"{self.app}-changelog"
        self.state = folder / "state"
        configuration = folder / "bench.yaml"
        configuration.write_text(string.Template((HERE / "bench.yaml").read_text()).substitute(
            APP=self.app, INSTANCE=instance, WORKERS=options.workers, BROKERS=server.address, TOPIC=topic, ALERTS=alerts,
            STATE=self.state, HTTP=http))
        topmost = folder / "over.yaml"
        topmost.write_text(over or "{}\n")
        self.configurations = [rules, *more, configuration, topmost]
        self.process = daemon.Daemon(self.configurations, http, folder / "heartbeatd.log", binary=binary)

    def start(self):
        self.process.start(wait_ready=False)

    def more_figures(self):
        metrics = self.process.metrics()
        return {"alerts": metrics.total("heartbeatd_alerts_total"),
                "amplification": write_amplification(self),
                "commit_p50": metrics.quantile("heartbeatd_commit_duration_seconds", 0.5),
                "commit_p99": metrics.quantile("heartbeatd_commit_duration_seconds", 0.99)}


class KafkaStreams:
    """The program of peer/. It has workers as threads."""

    def __init__(self, folder, server, options, rules):
        self.app = folder.name
        self.changelog = f"{self.app}-customers-changelog"
        self.state = folder / "state"
        self.process = peer.Peer(server.address, (TOPIC, ALERTS), self.app, self.state, options.peer_threads,
                                 not options.peer_without_timers, rules, folder / "peer.log")

    def start(self):
        self.process.start()

    def more_figures(self):
        return {"alerts": None, "amplification": None, "commit_p50": None, "commit_p99": None}


def forget(tool, server, program):
    """Deletes its own topics, as its changelog: the broker must not compact them while something else is measured."""
    partitions = pathlib.Path(server.directory, "data").glob(f"{program.app}-*")
    topics = {partition.name.rpartition("-")[0] for partition in partitions}
    if topics:
        tool.delete_topics(*topics)


def check_runs(program):
    """BenchError, with the end of its log, if the process has ended."""
    code = program.process.exit_code()
    if code is not None:
        raise BenchError(f"{program.app} ended with {code}; the end of its log:\n{processes.tail(program.process.log)}")


def write_amplification(program):
    """Bytes that heartbeatd has had written to disks, for each that it has handed to its store; None before the first."""
    saved = program.process.metrics().total("heartbeatd_saved_bytes_total")
    return processes.disk_written_bytes(program.process.pid) / saved if saved else None


def stored_bytes(program):
    """In its state directory now."""
    return sum(file.stat().st_size for file in program.state.rglob("*") if file.is_file())
