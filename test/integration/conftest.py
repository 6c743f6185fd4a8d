"""One broker for each file of tests, an application of its own for each test."""
import pathlib
import sys

for folder in ("broker", "fault"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / folder))

from fixtures import broker, kit, new_app, pytest_runtest_makereport, pytest_sessionstart  # noqa: E402, F401
