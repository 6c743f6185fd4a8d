"""State that another version left: an old one is read, with the local store and without; a newer one is refused."""
import base64
import json

import pytest

import app as apps
import broker as brokers
import formats
from verifier import states

EXIT_BROKEN = 70
END_SECONDS_MAX = 60
FORMATS = [formats.Format(folder) for folder in sorted(formats.FOLDER.iterdir())]
NEWEST = FORMATS[-1]


@pytest.fixture
def old_app(tmp_path):
    """Makes an application that goes on with one version's topics, on a broker of its own: the names are stored, too."""
    with brokers.Broker(tmp_path / "broker", cluster_id=formats.CLUSTER) as broker:
        made = []

        def make(version):
            made.append(version.app(broker, tmp_path))
            return made[0]

        yield make
        for one in made:
            one.close()


@pytest.mark.row(15, "versions")
@pytest.mark.parametrize("local", ["with-store", "changelog-only"])
@pytest.mark.parametrize("version", FORMATS, ids=[one.folder.name for one in FORMATS])
def test_old_state_is_read(old_app, row, tmp_path, version, local):
    app = old_app(version)
    if local == "with-store":
        version.unpack_state(app.state_directory())
    daemon = app.start()
    restored = daemon.metrics().total("heartbeatd_restored_records_total")
    history = version.history(tmp_path)
    app.feed(history, skip=version.about["fed"])
    app.end(history.until)
    row.figure(f"format {version.folder.name} {local}: {restored:.0f} replayed")
    row.judge(app, history)
    assert (restored <= 2 * apps.PARTITIONS) == (local == "with-store"), app.log()


def newer(meta):
    """The same record of a shard, one format later."""
    meta.format_version += 1
    return base64.b64encode(meta.SerializeToString()).decode()


def refused(app):
    """The last words of a daemon that must not start."""
    daemon = app.process()
    daemon.start(wait_ready=False)
    assert apps.exit_code_of(daemon, END_SECONDS_MAX) == EXIT_BROKEN
    message = app.log().splitlines()[-1]
    assert "run a newer one" in message
    return message


@pytest.mark.row(15, "versions")
def test_a_newer_changelog_is_refused(old_app, row):
    app = old_app(NEWEST)
    metas = [one for one in NEWEST.changelog() if one.get("key") == "m"]
    for one in metas[-1:]:
        meta = states.messages().Meta.FromString(base64.b64decode(one["value_base64"]))
        app.send([{"partition": one["partition"], "key": "m", "value_base64": newer(meta)}], topic=app.changelog)
    assert f"changelog of partition {one['partition']}" in refused(app)
    row.figure("newer changelog refused")


@pytest.mark.row(15, "versions")
def test_a_newer_local_state_is_refused(old_app, row, tmp_path):
    app = old_app(NEWEST)
    NEWEST.unpack_state(app.state_directory())
    rows = [one for one in app.kit.dump_state(app.state_directory()) if one["kind"] == "meta"]
    local = states.messages().LocalMeta.FromString(base64.b64decode(rows[0]["value_base64"]))
    local.meta.format_version += 1
    changed = {**rows[0], "value_base64": base64.b64encode(local.SerializeToString()).decode()}
    (tmp_path / "newer.jsonl").write_text(json.dumps(changed) + "\n")
    app.kit.load_state(app.state_directory(), tmp_path / "newer.jsonl")
    refused(app)
    row.figure("newer store refused")
