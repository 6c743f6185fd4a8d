#!/usr/bin/python3
"""One Kafka broker (KRaft, combined roles) on 127.0.0.1, for tests, the demo and the benchmark.

    broker.py start [--dir D] [--port P] [--profile test|bench]    prints the address; leaves the broker running
    broker.py stop [--dir D]
    broker.py status [--dir D]

As a module:  with Broker(directory) as broker: ... broker.address ...
and for faults: broker.kill(), broker.freeze(), broker.thaw(), broker.restart() (same ports, same data).
Several that replicate: with Cluster(directory) as cluster: ... cluster.address, cluster.brokers[1].kill() ...
"""
import argparse
import base64
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import uuid

import jars
import processes

DEFAULT_DIRECTORY = jars.ROOT / "build" / "kafka" / "dev"
DEFAULT_PORT = 9092
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
API_VERSIONS_KEY = 18

JVM = {
    # Start in 2 s matters more than speed: no optimising compiler, the collector with the least to set up.
    "test": ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    # The broker must not be what a measurement waits for.
    "bench": ["-Xms1g", "-Xmx1g", "-XX:+UseParallelGC"],
}

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    # One broker, and tests that join and leave often.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed producer's transaction is aborted within half a second of its timeout, not ten.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    # A killed broker may come back at once: its old registration must not hold the place for nine seconds.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Compaction, where it is due, within seconds.
    "log.cleaner.backoff.ms": "500",
    # A developer's broker may stand for weeks: nothing goes with age.
    "log.retention.ms": "-1",
}

OF_PROFILE = {
    "test": {},
    "bench": {
        # Nobody kills it, and under full load it may be late with its own heartbeats: it must not be taken for dead.
        "broker.session.timeout.ms": "60000",
        # Kafka's own settings: looking for what to compact twice a second takes a good part of a core, and a group that begins with
        # its first member gives him everything, only to take it away from him in the middle of the measurement.
        "log.cleaner.backoff.ms": "15000",
        "group.initial.rebalance.delay.ms": "3000",
    },
}


class BrokerError(Exception):
    """The broker did not do what was asked; the message names the cure."""


class Broker:
    """A broker process and its folder. Not thread-safe.

    Unless `keep` is set the process dies with the thread that called start(), even if that one is killed. The folder
    holds server.properties, broker.log, broker.json (pid and ports) and data/; the caller owns it.
    """

    def __init__(self, directory, port=0, profile="test", keep=False, properties=None, cluster_id=None):
        """`properties` override those above; `cluster_id`: of a new data folder, by default one of its own."""
        self.directory = pathlib.Path(directory).resolve()
        self.profile = profile
        self.keep = keep
        self.properties = dict(properties or {})
        self.cluster_id = cluster_id or new_cluster_id()
        self.pid = None
        self._process = None
        self._mark = str(self.directory / "server.properties")  # tells our process from any other
        self._state_file = self.directory / "broker.json"
        self.log = self.directory / "broker.log"
        state = json.loads(self._state_file.read_text()) if self._state_file.exists() else {}
        self.port = port or state.get("port") or processes.free_port()
        self.controller_port = state.get("controller_port") or processes.free_port()
        if processes.alive(state.get("pid", 0), self._mark):
            self.pid = state["pid"]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if not self.keep:
            self.stop()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def running(self):
        if self._process and self._process.poll() is not None:
            return False
        return self.pid is not None and processes.alive(self.pid, self._mark)

    def start(self):
        """Formats the data folder if it is new, starts the process, waits until it answers. Idempotent."""
        if not self.running:
            self.launch()
            self.wait_answers()

    def launch(self):
        """The first half of start(): does not wait."""
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self._write_configuration()
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(configuration)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(configuration)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory, start_new_session=True,
                preexec_fn=None if self.keep else processes.die_with_parent())
        self.pid = self._process.pid
        self._write_state()

    def wait_answers(self):
        if not processes.wait_until(lambda: self._process.poll() is not None or self.answers(), START_SECONDS_MAX, 0.05):
            self.kill()
            raise BrokerError(f"the broker did not answer within {START_SECONDS_MAX} s: see {self.log}")
        if self._process.poll() is not None:
            raise BrokerError(f"the broker ended at its start: see {self.log}\n{processes.tail(self.log, 5)}")

    def stop(self):
        """A clean shutdown; killed if it takes more than 20 s. Idempotent."""
        if self.running:
            processes.signal_quietly(self.pid, signal.SIGCONT)  # a frozen process does not see SIGTERM
            processes.signal_quietly(self.pid, signal.SIGTERM)
            if not processes.wait_until(lambda: not self.running, STOP_SECONDS_MAX):
                self.kill()
        self.pid = None

    def kill(self):
        """SIGKILL: no shutdown, no flush, as after a crash."""
        if self.running:
            processes.signal_quietly(self.pid, signal.SIGKILL)
            processes.wait_until(lambda: not self.running, STOP_SECONDS_MAX)
        self.pid = None

    def freeze(self):
        """Connections stay open and nobody answers: the fault that time-outs are for."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    def restart(self):
        self.stop()
        self.start()

    def answers(self):
        """Whether the broker's listener answers an ApiVersions request, which it does once it is ready."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                correlation = random.getrandbits(31)
                request = struct.pack(">hhih", API_VERSIONS_KEY, 0, correlation, -1)
                connection.sendall(struct.pack(">i", len(request)) + request)
                reply = b""
                while len(reply) < 10:  # size, correlation id, error code
                    part = connection.recv(4096)
                    if not part:
                        return False
                    reply += part
                return struct.unpack(">iih", reply[:10])[1:] == (correlation, 0)
        except OSError:
            return False

    def _java(self, main, *arguments):
        # The pinned jars only: a CLASSPATH of the environment must not mix another Kafka in.
        return ["java", *JVM[self.profile], "-Xshare:auto", "-Djava.net.preferIPv4Stack=true",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                "-cp", f"{jars.fetch()}/*", main, *arguments]

    def _write_configuration(self):
        properties = {
            **PROPERTIES,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.directory / "data"),
            **OF_PROFILE[self.profile],
            **self.properties,
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def _format(self, configuration):
        command = self._java("kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(configuration))
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=START_SECONDS_MAX)
        if done.returncode:
            raise BrokerError(f"formatting {self.directory / 'data'} failed:\n{done.stdout.strip()}")

    def _write_state(self):
        state = {"pid": self.pid, "port": self.port, "controller_port": self.controller_port}
        temporary = self._state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(self._state_file)


class Cluster:
    """Brokers with ids from 1 on, each a controller too. Topics have a replica on every broker, and a record is
    acknowledged once all but one have it. Not thread-safe."""

    def __init__(self, directory, size=3):
        cluster_id = new_cluster_id()
        self.brokers = {number: Broker(pathlib.Path(directory) / str(number), cluster_id=cluster_id)
                        for number in range(1, size + 1)}
        voters = ",".join(f"{number}@127.0.0.1:{broker.controller_port}" for number, broker in self.brokers.items())
        replicated = {
            "controller.quorum.voters": voters,
            "default.replication.factor": size,
            "min.insync.replicas": size - 1,
            "offsets.topic.replication.factor": size,
            "transaction.state.log.replication.factor": size,
            "transaction.state.log.min.isr": size - 1,
        }
        for number, broker in self.brokers.items():
            broker.properties.update(replicated, **{"node.id": number})

    def __enter__(self):
        # None answers before a majority is there.
        for broker in self.brokers.values():
            broker.launch()
        for broker in self.brokers.values():
            broker.wait_answers()
        return self

    def __exit__(self, *_):
        for broker in self.brokers.values():
            broker.kill()

    @property
    def address(self):
        return ",".join(broker.address for broker in self.brokers.values())


def new_cluster_id():
    made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return "A" + made[1:] if made.startswith("-") else made  # the tool would take it for an option


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main():
    parser = argparse.ArgumentParser(description="One Kafka broker on 127.0.0.1.")
    parser.add_argument("verb", choices=["start", "stop", "status"])
    parser.add_argument("--dir", default=DEFAULT_DIRECTORY, help="its data, log and pid (default: build/kafka/dev)")
    parser.add_argument("--port", type=int, default=0, help="default: the one it had, or 9092, or any free one")
    parser.add_argument("--profile", choices=list(JVM), default="test")
    options = parser.parse_args()
    known = (pathlib.Path(options.dir) / "broker.json").exists()
    port = options.port or (0 if known or not port_is_free(DEFAULT_PORT) else DEFAULT_PORT)
    broker = Broker(options.dir, port=port, profile=options.profile, keep=True)
    if options.verb == "start":
        was_running = broker.running
        broker.start()
        print(f"Kafka {jars.version()} {'runs already' if was_running else 'runs'} at {broker.address} "
              f"(pid {broker.pid}, log {broker.log})")
    elif options.verb == "stop":
        was_running = broker.running
        broker.stop()
        print("Kafka stopped; its data stays." if was_running else "Kafka does not run.")
    elif broker.running:
        print(f"Kafka {jars.version()} runs at {broker.address} (pid {broker.pid})"
              f"{'' if broker.answers() else ', but does not answer'}")
    else:
        print("Kafka does not run: ./dev kafka start")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokerError, jars.JarsUnavailable) as error:
        sys.exit(f"broker: {error}")
