"""Faults on a real broker: one broker for each file, an application of its own for each test, one line of the table at the
end for each row.

A test says which row it belongs to, and takes `row` to be judged:

    @pytest.mark.row(2, "random crash")
    def test_something(new_app, row):
        app = new_app()
        ...
        row.figure("working again p95 1.2 s")
        row.judge(app, history)
"""
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "broker"))

from fixtures import broker, kit, new_app, pytest_runtest_makereport, pytest_sessionstart  # noqa: E402, F401
import judgement  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402

ENTRIES = pytest.StashKey()


def pytest_configure(config):
    config.addinivalue_line("markers", "row(number, fault): the row of the table that a test belongs to")
    config.stash[ENTRIES] = []


class Row:
    """One test's part of a row of the table."""

    def __init__(self, entry):
        self.entry = entry

    def figure(self, text):
        """The row's extra figure; several are joined."""
        print(text)
        self.entry.figures.append(text)

    def judge(self, app, *histories, least=judgement.ALERTS_MIN, whole_log=True):
        """0 missing, 0 twice, 0 extra, of at least so many; counted whether right or not. Returns the verdict."""
        verdict = judgement.judge(app, *histories, whole_log=whole_log)
        for name in ("events", "alerts", "missing", "twice", "extra"):
            setattr(self.entry, name, getattr(self.entry, name) + getattr(verdict, name))
        assert verdict.right, "not what should have come:\n" + "\n".join(verdict.lines)
        assert verdict.alerts >= least, f"{verdict.alerts} alerts are too few for this test to mean anything"
        return verdict


@pytest.fixture
def row(request):
    marker = request.node.get_closest_marker("row")
    assert marker, f"{request.node.name} lacks its mark: @pytest.mark.row(number, fault)"
    entry = report.Entry(*marker.args, test=request.node.name)
    began = time.monotonic()
    yield Row(entry)
    entry.seconds = time.monotonic() - began
    entry.passed = not getattr(request.node, "failed", False)
    entry.write(processes.build_folder() / "fault")
    request.config.stash[ENTRIES].append(entry)


def pytest_terminal_summary(terminalreporter, config):
    entries = config.stash[ENTRIES]
    if entries:
        terminalreporter.section("rows")
        terminalreporter.write("\n".join(report.table(entries)) + "\n")
