"""heartbeatd-faults: the daemon with places at which it breaks on purpose (test/faulty/fault.h tells how)."""
import pathlib
import re

import app as apps
import daemon as daemons
import processes

EXIT_CRASHED = 137
STOP_SECONDS_MAX = 60


def names(macro):
    """All that the sources name with it: POINT, ERROR, SHIFT or MUTANT."""
    pattern = re.compile(rf'HB_(?:FAULT_)?{macro}\(\s*"([^"]+)"')
    return sorted({name for path in (processes.ROOT / "lib").rglob("*.cc") for name in pattern.findall(path.read_text())})


def process(app, label="a", faults=None, **options):
    """Not started yet. `faults`: {"CRASH": "commit.begin:3", ...}, the environment's names without HEARTBEATD_."""
    return app.process(label, binary=daemons.FAULTY, environment=environment(faults), **options)


def environment(faults):
    return {f"HEARTBEATD_{name}": str(value) for name, value in (faults or {}).items()}


def start(app, label="a", **options):
    made = process(app, label, **options)
    made.start()
    return made


def stopped(daemon):
    """Whether it stands at one of its places (SIGSTOP to itself)."""
    state = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state == "T"


def wait_stopped(daemon, seconds=STOP_SECONDS_MAX):
    apps.wait_for("the process to stand at its place", lambda: stopped(daemon), seconds)
