"""The Kafka Streams program of peer/: built by Maven, run as one process."""
import os
import pathlib
import shutil
import subprocess

import processes

HERE = pathlib.Path(__file__).resolve().parent
POM = HERE / "peer" / "pom.xml"
FOLDER = processes.ROOT / "build" / "peer"
BUILD_SECONDS_MAX = 900
STOP_SECONDS_MAX = 60
# A record cache would hide updates of the state from the changelog; the memory is for RocksDB and the clients.
JVM = ["-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


class PeerError(Exception):
    """The program cannot be built or did not do what was asked; the message says why."""


def build():
    """Compiles it and gathers its jars in build/peer."""
    for tool in ("mvn", "javac"):
        if not shutil.which(tool):
            raise PeerError(f"{tool} is missing: the comparison is built by Maven with a JDK (Debian: maven, default-jdk-headless)")
    command = ["mvn", "-q", "-B", "--strict-checksums", "-f", str(POM), f"-Dpeer.build={FOLDER}", "package",
               "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies", f"-DoutputDirectory={FOLDER / 'lib'}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=BUILD_SECONDS_MAX)
    if done.returncode:
        raise PeerError(f"Maven could not build {POM}:\n{done.stdout.strip()[-2000:]}")


class Peer:
    """Not thread-safe. It dies with the thread that called start()."""

    def __init__(self, brokers, topics, app, state, threads, timers, rules, log):
        """`topics`: input and output; `app`: names the group; `state`: a folder that need not exist; `timers`: whether it notices
        what comes to be while nothing comes; `rules`: two or e-commerce."""
        self.arguments = [brokers, *topics, app, str(state), str(threads), "timers" if timers else "no-timers", rules]
        self.log = pathlib.Path(log)
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        command = ["java", *JVM, "-cp", f"{FOLDER / 'peer.jar'}{os.pathsep}{FOLDER / 'lib'}/*", "peer.Peer", *self.arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            preexec_fn=processes.die_with_parent())

    def exit_code(self):
        return self.process.poll()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
