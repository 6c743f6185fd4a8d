"""heartbeatd-kit (test/kit) as Python calls."""
import json
import subprocess

import processes

BINARY = processes.build_folder() / "bin" / "heartbeatd-kit"


class KitError(Exception):
    """The kit failed; the message is its own."""


class Kit:
    """The kit against one broker. Calls wait for the end and raise KitError; open() does not wait."""

    def __init__(self, brokers, properties=None):
        """`properties`: librdkafka's."""
        if not BINARY.exists():
            raise KitError(f"{BINARY} is missing: run ./dev build")
        self.brokers = brokers
        self.properties = [f"-X{name}={value}" for name, value in (properties or {}).items()]

    def command(self, *arguments):
        return [str(BINARY), "--brokers", self.brokers, *self.properties, *map(str, arguments)]

    def open(self, *arguments, **popen):
        """A running kit whose standard output can be read by lines. It dies with the thread that opened it."""
        return subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, text=True,
                                preexec_fn=processes.die_with_parent(), **popen)

    def run(self, *arguments, seconds=120):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=seconds,
                              preexec_fn=processes.die_with_parent())
        if done.returncode:
            raise KitError(done.stderr.strip() or f"heartbeatd-kit {arguments[0]} failed")
        return done.stdout

    def create_topics(self, *topics, partitions=4, config=()):
        self.run("create-topics", "--partitions", partitions, *(f"--config={item}" for item in config), *topics)

    def delete_topics(self, *topics):
        self.run("delete-topics", *topics)

    def delete_records(self, topic, keep=0):
        """The partitions begin later, as after retention: all but the newest `keep` offsets of each are gone."""
        self.run("delete-records", topic, "--keep", keep)

    def reset_offsets(self, group, topic, to):
        """`to`: begin, end or nothing. KitError while the group has members."""
        self.run("reset-offsets", group, topic, "--to", to)

    def config(self, topic):
        """The topic's whole configuration, defaults included."""
        return json.loads(self.run("config", topic))

    def send(self, topic, file, transaction=None):
        """Messages byte by byte, a line each as dump() gives them; `transaction`: all in one, ended by commit or abort."""
        self.run("send", topic, file, *(["--transaction", transaction] if transaction else []))

    def feed(self, file, topic, rate=0, skip=0, limit=None, route=None):
        """Returns {"sent", "delivered", "seconds"}."""
        extra = [] if limit is None else ["--limit", limit]
        extra += [f"--route={kind}={target}" for kind, target in (route or {}).items()]
        return json.loads(self.run("feed", file, "--topic", topic, "--rate", rate, "--skip", skip, *extra, seconds=600))

    def generate(self, file, events, customers, days=180, seed=1, everybody_first=False):
        """The benchmark's load as JSON lines; `everybody_first`: the first events are one of each customer."""
        self.run("generate", "--file", file, "--events", events, "--customers", customers, "--days", days, "--seed", seed,
                 *(["--everybody-first"] if everybody_first else []))

    def tick(self, timestamp, *topics):
        self.run("tick", "--timestamp", timestamp, *topics)

    def dump(self, topic, isolation="read_committed", seconds=60):
        """The messages of a topic up to its present end, as dictionaries."""
        lines = self.run("dump", topic, "--isolation", isolation, "--timeout", seconds, seconds=seconds + 10)
        return [json.loads(line) for line in lines.splitlines()]

    def dump_state(self, directory):
        """The rows of a state directory whose daemon has ended: partition, kind, key_base64, value_base64."""
        return [json.loads(line) for line in self.run("dump-state", directory).splitlines()]

    def load_state(self, directory, file):
        """Puts rows as dump_state() gives them, a line each, into a state directory whose daemon has ended."""
        self.run("load-state", directory, file)

    def dump_values(self, topic, path, isolation="read_committed", seconds=60):
        """The bare values into a file, one a line."""
        with open(path, "w") as out:
            command = self.command("dump", topic, "--values-only", "--isolation", isolation, "--timeout", seconds)
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=seconds + 10)
        if done.returncode:
            raise KitError(done.stderr.strip())

    def offsets(self, *topics, group=None):
        """One dictionary a partition: topic, partition, begin, stable, end, and with a group committed and lag."""
        lines = self.run("offsets", *topics, *(["--group", group] if group else []))
        return [json.loads(line) for line in lines.splitlines()]

    def wait_consumed(self, group, *topics, seconds=120):
        """Returns when the group has committed all that is in the topics; KitError after that many seconds."""
        self.run("offsets", *topics, "--group", group, "--wait", seconds, seconds=seconds + 10)

    def wait_quiet(self, topic, quiet_seconds=1.0, seconds=60):
        """Returns the number of offsets of a topic once it has not grown for a while."""
        def end():
            return sum(row["end"] for row in self.offsets(topic))

        seen = end()
        while processes.wait_until(lambda: end() != seen, quiet_seconds, 0.2):
            seconds -= quiet_seconds
            if seconds < 0:
                raise KitError(f"{topic} does not come to rest")
            seen = end()
        return seen
