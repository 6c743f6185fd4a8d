"""Small helpers for the processes and ports that tests, the demo and the benchmark start."""
import ctypes
import os
import pathlib
import random
import signal
import socket
import time

PR_SET_PDEATHSIG = 1
# Below the ephemeral range (32768 and up): a broker that is restarted must get its port back, and no
# outgoing connection may have taken it meanwhile.
PORTS = range(20000, 32000)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

_libc = ctypes.CDLL(None, use_errno=True)


def build_folder():
    """Whose binaries are tested: HEARTBEATD_BUILD, or build/release."""
    return pathlib.Path(os.environ.get("HEARTBEATD_BUILD", ROOT / "build" / "release"))


def free_port():
    """A port of 127.0.0.1 on which nobody listens now."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port between 20000 and 32000 on 127.0.0.1: stop what occupies them")


def die_with_parent():
    """For Popen's preexec_fn: the kernel kills the child when the *thread* that started it ends, however it ends."""
    parent = os.getpid()

    def prepare():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before prctl was in force
            os._exit(1)

    return prepare


def wait_until(condition, seconds, pause=0.02):
    """Waits for a real process with a deadline. Returns whether the condition came true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause)
    return bool(condition())


def alive(pid, word):
    """Whether pid runs and has `word` on its command line: a number alone may have been given to another process."""
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return word.encode() in command and state != "Z"


def cpu_seconds(pid):
    """User and system time of a process, its threads included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def disk_written_bytes(pid):
    """What a process has had written to disks so far; 0 where the kernel does not tell."""
    try:
        fields = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    except OSError:
        return 0
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


def signal_quietly(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def tail(path, lines=20):
    """The end of a log, for a message about a process that failed."""
    try:
        return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
