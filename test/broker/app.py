"""One application on the tests' broker: its topics, its processes, and the verdict: a comparison with a backtest, and the
independent verifier's."""
import json
import pathlib

import comparison
import daemon
import events
import processes
import verifier
import yaml

WATCH = pathlib.Path(__file__).with_name("watch.yaml")
PARTITIONS = 4
CONSUME_SECONDS_MAX = 120
REPORT_SECONDS_MAX = 20


def wait_for(what, condition, seconds, pause=0.05):
    """The value of `condition()` as soon as it is true; fails with `what` after that many seconds."""
    value = []

    def holds():
        value[:] = [condition()]
        return value[0]

    assert processes.wait_until(holds, seconds, pause), f"not within {seconds} s: {what}"
    return value[0]


def merge(base, changes):
    """Nested dictionaries; `changes` win."""
    out = dict(base)
    for key, value in changes.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class App:
    """Names of its own for everything that two tests must not share. Not thread-safe.

    `sections` are the configuration's, on top of what all tests use; `watch`: the file with measures and rules.
    """

    def __init__(self, brokers, kit, folder, name, inputs=("events",), watch=WATCH, **sections):
        self.brokers = brokers
        self.kit = kit
        self.folder = folder
        self.name = name
        self.watch = watch
        self.inputs = [f"{name}-{topic}" for topic in inputs]
        self.alerts, self.dead_letters, self.changelog = (f"{name}-{topic}" for topic in ("alerts", "dlq", "changelog"))
        self.daemons = []
        self.sections = merge({
            "app": name,
            "workers": 2,
            "kafka": {"brokers": brokers, "session_timeout": "10s", "startup_timeout": "30s",
                      # A member that joins is waited for until the others' next heartbeat.
                      "properties": {"heartbeat.interval.ms": 300}},
            "input": {"topics": self.inputs},
            "output": {"alerts": self.alerts, "dead_letter": {"topic": self.dead_letters}},
            # Short: tests live for seconds, and the local state shall be older than the last commit.
            "state": {"flush_interval": "500ms"},
            "time": {"source": "event"},
        }, sections)

    # --- topics ---

    def create_inputs(self, partitions=PARTITIONS):
        self.kit.create_topics(*self.inputs, partitions=partitions)

    def feed(self, history, **options):
        return self.kit.feed(history.path, self.inputs[0], **options)

    def send(self, messages, topic=None, transaction=None):
        """Messages as the kit's dump prints them."""
        path = self.folder / "send.jsonl"
        path.write_text("".join(json.dumps(message) + "\n" for message in messages))
        self.kit.send(topic or self.inputs[0], path, transaction)

    def end(self, until):
        """The tick that lets the last timers fire; returns when all is consumed and committed."""
        self.kit.tick(until, *self.inputs)
        self.wait_consumed()

    def wait_consumed(self, seconds=CONSUME_SECONDS_MAX):
        self.kit.wait_consumed(self.name, *self.inputs, seconds=seconds)

    def offsets(self, *topics):
        return self.kit.offsets(*topics, group=self.name)

    # --- processes ---

    def state_directory(self, label="a"):
        return self.folder / f"state-{label}"

    def configure(self, label="a", **sections):
        """Writes a process's configuration. Returns its path and its address for HTTP."""
        http = f"127.0.0.1:{processes.free_port()}"
        own = {"state": {"directory": str(self.state_directory(label))}, "http": {"listen": http}}
        path = self.folder / f"{label}.yaml"
        path.write_text(yaml.safe_dump(merge(merge(self.sections, own), sections)))
        return path, http

    def process(self, label="a", arguments=(), binary=None, environment=None, prefix=(), **sections):
        """A process that is not started yet; each label has a state directory and a log of its own."""
        path, http = self.configure(label, **sections)
        made = daemon.Daemon([self.watch, path], http, self.folder / f"{label}.log", arguments=arguments, binary=binary,
                             environment=environment, prefix=prefix)
        self.daemons.append(made)
        return made

    def start(self, label="a", **options):
        made = self.process(label, **options)
        made.start()
        return made

    def log(self, label="a"):
        path = self.folder / f"{label}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop_all(self):
        """In good order, those that have not ended yet."""
        for one in self.daemons:
            assert one.process is None or one.exit_code() is not None or one.stop() == 0

    def close(self):
        for made in self.daemons:
            if made.process is not None and made.exit_code() is None:
                made.kill()

    # --- verdict ---

    def backtest(self, history):
        path, _ = self.configure("backtest")
        out = self.folder / "backtest.jsonl"
        daemon.backtest([self.watch, path], history.path, out, history.until)
        return [json.loads(line) for line in out.read_text().splitlines()]

    def logged(self, until, name="logged"):
        """What stands on the input topic now, in the order of the log: a history for each partition, in files of that name."""
        rows = [[] for _ in range(PARTITIONS)]
        for message in self.kit.dump(self.inputs[0]):
            rows[message["partition"]].append(message["value"] + "\n")
        histories = []
        for partition, lines in enumerate(rows):
            path = self.folder / f"{name}-{partition}.jsonl"
            path.write_text("".join(lines))
            histories.append(events.History(path, len(lines), until))
        return histories

    def compare(self, *histories):
        """What a subscriber has seen against the backtests of the histories, of which each is one partition's, or the only
        one is sorted by time: (the backtests' alerts, comparison.Comparison)."""
        expected = [alert for history in histories for alert in self.backtest(history)]
        return expected, comparison.compare(self.topic_alerts(), expected)

    def topic_alerts(self):
        """What a subscriber who reads committed messages has seen by now."""
        found = []
        for message in self.kit.dump(self.alerts):
            alert = json.loads(message["value"])
            assert message["key"] == alert["subject"] == alert["data"]["customer_id"]
            found.append(alert)
        return found

    def wait_for_alerts(self, history):
        """Returns when as many alerts are on the topic as the backtest has. Where time alone makes them due, a clock tells of
        itself before they are committed, and there is no offset to wait for."""
        expected = len(self.backtest(history))
        wait_for(f"{expected} alerts", lambda: len(self.topic_alerts()) >= expected, REPORT_SECONDS_MAX, pause=0.5)

    def check(self, history, least=1, whole_log=True, stop=False):
        """The alerts on the topic are exactly those of the backtest, and `least` of them; and the verifier agrees, who looks
        at all topics. `whole_log`: the input topic holds all that was read; if not, the history must do. `stop`: all processes
        are stopped as they should be, so that the verifier can look at what they leave on the disk, too."""
        expected, found = self.compare(history)
        assert len(expected) >= least, f"the backtest has {len(expected)} alerts only: too few for this test to mean anything"
        assert not found.lines(), "the alerts on the topic are not those of the backtest:\n" + "\n".join(found.lines())
        if stop:
            self.stop_all()
        said = self.verify(stop) if whole_log else self.verify_alerts(history)
        assert not said, "the verifier says:\n" + "\n".join(map(str, said))
        return expected

    def verify(self, stopped):
        """What the verifier finds wrong with all that is on the topics; `stopped`: and on the disks."""
        path, _ = self.configure("verifier")
        directories = [one for one in self.folder.glob("state-*") if (one / "rocksdb").exists()] if stopped else []
        return verifier.verify(self.kit, [self.watch, path], directories, all_current=stopped)

    def verify_alerts(self, history):
        path, _ = self.configure("verifier")
        return verifier.verify_alerts([self.watch, path], history.path, self.kit.dump(self.alerts), history.until)


def partitions_of(process):
    """How many partitions a process has now."""
    return len(process.metrics().rows("heartbeatd_clock_seconds"))


def share_partitions(*processes):
    """Whether they have all partitions between them, and each at least one."""
    have = [partitions_of(process) for process in processes]
    return min(have) > 0 and sum(have) == PARTITIONS


def clocks_of(process):
    """Each partition's clock T, as Unix time."""
    return [value for _, value in process.metrics().rows("heartbeatd_clock_seconds")]


def wait_for_clocks(process, moment, seconds):
    """Returns when T is beyond that Unix time in all partitions."""
    def beyond():
        clocks = clocks_of(process)
        return len(clocks) == PARTITIONS and min(clocks) > moment

    wait_for("all clocks beyond the moment", beyond, seconds)


def wait_for_last_report(process, until):
    """Returns when the metrics tell of all events up to the tick of `until` in every partition, and that nothing follows.

    They come a moment after the commit. What counts commits may be behind them by one: see `wait_for_total`.
    """
    def told():
        metrics = process.metrics()
        clocks = [value for _, value in metrics.rows("heartbeatd_clock_seconds")]
        lag = metrics.total("heartbeatd_lag_messages") + metrics.total("heartbeatd_lag_seconds")
        return clocks == [events.unix(until)] * PARTITIONS and lag == 0

    wait_for("a report of the last tick", told, REPORT_SECONDS_MAX)


def wait_for_total(process, name, value, **labels):
    """Returns when a metric is exactly that, in sum."""
    wait_for(f"{name} {labels} of {value}", lambda: process.metrics().total(name, **labels) == value, REPORT_SECONDS_MAX)


def exit_code_of(process, seconds):
    """Waits for a process to end by itself."""
    wait_for("the end of the process", lambda: process.exit_code() is not None, seconds)
    return process.exit_code()
