"""What every tier with a real broker begins with; a tier's conftest.py imports these names."""
import os
import re
import sys

import pytest

import app as apps
import broker as brokers
import jars
import kit as kits
import processes

EXIT_SKIPPED = 77  # SKIP_RETURN_CODE of the tiers' CMakeLists.txt
LOG_LINES_SHOWN = 40


def pytest_sessionstart(session):
    """Without the jars: no test, and nobody shall overlook it."""
    folder = jars.home()
    if folder.is_dir() and jars.digests(folder) == jars.pins():
        return
    if os.environ.get("CI"):
        pytest.exit(f"CI is set, so the tests on a broker must run, but {folder} lacks the Kafka jars: run ./dev setup", 1)
    stars = "*" * 72
    print(f"\n{stars}\n*  NOTICE: SKIPPED: there are no Kafka jars in {folder}\n*  Nothing that needs a real broker is tested "
          f"in this run. To have it tested: ./dev setup\n{stars}\n", file=sys.stderr)
    pytest.exit("no Kafka jars", EXIT_SKIPPED)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    with brokers.Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def kit(broker):
    return kits.Kit(broker.address)


@pytest.fixture
def new_app(request, tmp_path):
    """Makes applications: new_app(**options of App). Their processes end with the test."""
    made = []

    def make(**options):
        name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
        name += f"-{len(made)}" if made else ""
        folder = tmp_path / f"app{len(made)}"
        folder.mkdir()
        running = request.getfixturevalue("broker")
        made.append(apps.App(running.address, request.getfixturevalue("kit"), folder, name, **options))
        return made[-1]

    request.node.apps = made
    yield make
    for one in made:
        one.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The ends of the logs go with the report of a test that failed; `item.failed` tells fixtures that it did."""
    report = (yield).get_result()
    if not report.failed:
        return
    item.failed = True
    for one in getattr(item, "apps", []):
        for path in sorted(one.folder.glob("*.log")):
            report.sections.append((f"the end of {path.name} of {one.name}", processes.tail(path, LOG_LINES_SHOWN)))
