#!/usr/bin/python3
"""What a daemon of a certain format version left behind in the middle of its work: its local state and its topics. One
folder of test/fault/formats for each version.

    formats.py FOLDER     has the present build make it

A folder holds: events.jsonl.gz, the whole history; about.json, how many of them were fed, and the cluster's id;
alerts.jsonl.gz and changelog.jsonl.gz, what was on the topics then, of the changelog what compaction leaves; state.tar.gz,
the state directory; watch.yaml, the rules.
"""
import argparse
import gzip
import io
import json
import pathlib
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "broker"))

import app as apps  # noqa: E402
import broker as brokers  # noqa: E402
import events  # noqa: E402
import kit as kits  # noqa: E402

FOLDER = pathlib.Path(__file__).with_name("formats")
NAME = "format"
CLUSTER = "heartbeatd-format-test"
CUSTOMERS = 200
FED_SHARE = 0.6
# Longer than any stored state will be old: else it would not be believed any more.
DELETE_RETENTION_MS = 100 * 365 * 86_400_000
# RocksDB's log, and what it says of the machine on which it was made.
LEFT_OUT = ("LOG", "OPTIONS", "LOCK")


class Format:
    """One version's folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.about = json.loads((self.folder / "about.json").read_text())

    def app(self, broker, folder):
        """The application that goes on where the old one stopped; its topics hold what they held then."""
        app = apps.App(broker.address, kits.Kit(broker.address), folder, NAME, watch=self.folder / "watch.yaml")
        app.create_inputs()
        app.kit.create_topics(app.alerts, partitions=apps.PARTITIONS)
        app.kit.create_topics(app.changelog, partitions=apps.PARTITIONS,
                              config=["cleanup.policy=compact", f"delete.retention.ms={DELETE_RETENTION_MS}"])
        app.feed(self.history(folder), limit=self.about["fed"])
        app.send(read(self.folder / "alerts.jsonl.gz"), topic=app.alerts)
        app.send(self.changelog(), topic=app.changelog)
        return app

    def history(self, folder):
        rows = read(self.folder / "events.jsonl.gz")
        return events.write(folder / "history.jsonl", rows, self.about["until"])

    def changelog(self):
        """With every offset as it was: whatever compaction or control records have left out is its neighbour once more."""
        messages = []
        kept = read(self.folder / "changelog.jsonl.gz")
        for partition in range(apps.PARTITIONS):
            offset = 0
            for message in sorted((one for one in kept if one["partition"] == partition), key=lambda one: one["offset"]):
                messages += [message] * (message["offset"] + 1 - offset)
                offset = message["offset"] + 1
        return messages

    def unpack_state(self, directory):
        with tarfile.open(self.folder / "state.tar.gz") as archive:
            archive.extractall(directory)


def read(path):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def write(path, rows):
    """The same bytes for the same rows."""
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def without(message, *fields):
    return {name: value for name, value in message.items() if name not in fields}


def compacted(messages):
    """The newest of each key."""
    newest = {(one["partition"], one.get("key", one.get("key_base64"))): one for one in messages}
    return sorted(newest.values(), key=lambda one: (one["partition"], one["offset"]))


def few_customers(path):
    """A small part of the demo's history, with everything that may happen to a customer in it."""
    random = events.seeded(15)
    history = events.part_of_demo(path, random)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    chosen = set(random.sample(sorted({row["customer_id"] for row in rows}), CUSTOMERS))
    return events.write(path, [row for row in rows if row["customer_id"] in chosen], history.until)


def pack_state(directory, path):
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(directory.rglob("*")):
            if file.is_dir() or file.name.startswith(LEFT_OUT) or file.name == "lock":
                continue
            entry = tarfile.TarInfo(str(file.relative_to(directory)))
            entry.size = file.stat().st_size
            archive.addfile(entry, io.BytesIO(file.read_bytes()))


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        with brokers.Broker(place / "broker", cluster_id=CLUSTER) as broker:
            app = apps.App(broker.address, kits.Kit(broker.address), place, NAME)
            history = few_customers(place / "history.jsonl")
            fed = int(history.count * FED_SHARE)
            app.create_inputs()
            app.start()
            app.feed(history, limit=fed)
            app.wait_consumed()
            app.stop_all()
            write(folder / "events.jsonl.gz", [json.loads(line) for line in history.path.read_text().splitlines()])
            write(folder / "alerts.jsonl.gz", [without(one, "offset", "timestamp") for one in app.kit.dump(app.alerts)])
            write(folder / "changelog.jsonl.gz", [without(one, "timestamp") for one in compacted(app.kit.dump(app.changelog))])
        pack_state(app.state_directory(), folder / "state.tar.gz")
    shutil.copy(apps.WATCH, folder / "watch.yaml")
    (folder / "about.json").write_text(json.dumps({"cluster": CLUSTER, "fed": fed, "until": history.until}) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    make(parser.parse_args().folder)
