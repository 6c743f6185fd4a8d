"""A heartbeatd process for the tests, the demo and the benchmark."""
import os
import pathlib
import signal
import subprocess
import urllib.error
import urllib.request

import metrics
import processes

RELEASED = processes.build_folder() / "bin" / "heartbeatd"
FAULTY = processes.build_folder() / "bin" / "heartbeatd-faults"  # test/faulty: it breaks on purpose
# Whoever asks for a mistake (test/faulty/fault.h) wants it everywhere but in what is compared with.
BINARY = FAULTY if "HEARTBEATD_MUTANT" in os.environ else RELEASED
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 25  # it promises 20


class DaemonError(Exception):
    """The daemon did not do what was asked; the message holds the end of its log."""


class Daemon:
    """`heartbeatd run`. Not thread-safe. Unless `keep` is set it dies with the thread that called start()."""

    def __init__(self, configurations, http, log, keep=False, arguments=(), binary=None, environment=None, prefix=()):
        """`configurations`: paths; `http`: host:port as configured; `log`: a path, appended to; `arguments`: more of them;
        `binary`: default BINARY; `environment`: on top of ours; `prefix`: a command that becomes ours, as nsenter does."""
        self.binary = binary or BINARY
        if not self.binary.exists():
            raise DaemonError(f"{self.binary} is missing: run ./dev build")
        self.configurations = [str(path) for path in configurations]
        self.http = http
        self.log = pathlib.Path(log)
        self.keep = keep
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.prefix = list(prefix)
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if not self.keep:
            self.stop()

    @property
    def pid(self):
        return self.process.pid

    def start(self, wait_ready=True):
        command = [*self.prefix, str(self.binary), "run",
                   *(part for path in self.configurations for part in ("--config", path)), *self.arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, **self.environment},
                                            preexec_fn=None if self.keep else processes.die_with_parent())
        if wait_ready:
            self.wait_ready()

    def wait_ready(self, seconds=READY_SECONDS_MAX):
        ended_or_ready = processes.wait_until(lambda: self.exit_code() is not None or self.ready(), seconds, 0.05)
        if self.exit_code() is not None or not ended_or_ready:
            what = f"ended with {self.exit_code()}" if ended_or_ready else f"was not ready within {seconds} s"
            raise DaemonError(f"heartbeatd {what}; the end of {self.log}:\n{processes.tail(self.log)}")

    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        return self.process.poll()

    def ready(self):
        return self.get("/readyz") is not None

    def get(self, path, seconds=2):
        """The body of a 200 answer, else None."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=seconds) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def metrics(self):
        return metrics.Metrics(self.get("/metrics") or "")

    def stop(self):
        """SIGTERM, as an operator would; SIGKILL if it takes too long. Returns the exit code."""
        if self.process is None:
            return None
        if self.exit_code() is None:
            processes.signal_quietly(self.pid, signal.SIGCONT)
            processes.signal_quietly(self.pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
                raise DaemonError(f"heartbeatd did not stop within {STOP_SECONDS_MAX} s of SIGTERM; the end of {self.log}:\n"
                                  f"{processes.tail(self.log)}")
        return self.exit_code()

    def kill(self):
        processes.signal_quietly(self.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)


def backtest(configurations, events, alerts, until=None, seconds=600):
    """Runs `heartbeatd backtest`; its alerts go to the file `alerts`. Returns what it printed."""
    command = [str(RELEASED), "backtest", *(part for path in configurations for part in ("--config", str(path))),
               "--input", str(events), "--alerts", str(alerts), *(["--until", until] if until else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise DaemonError(f"heartbeatd backtest ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
