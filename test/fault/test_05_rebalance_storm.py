"""One member, then three, then one, twice over; whoever joins does so while another is still restoring. Restores are made
to last longer than a member may go without polling."""
import re

import pytest

import app as apps
import events
import faults
import stream as streams

SESSION_SECONDS = 2
POLL_SECONDS_MAX = 3  # max.poll.interval
RECORD_MS = 4  # what a restore takes for each record
TRANSACTION_EVENTS = 100  # few, so that a customer's record seldom stands for several events
SEED_EVENTS = 4000  # restored in several seconds by one that has a quarter of them
PARTITIONS_OF_THREE = [1, 1, 2]


class Storm:
    """The first member stays; the others come and go."""

    def __init__(self, app, history):
        self.app = app
        self.stream = streams.Stream(app, history, rate=150)
        app.create_inputs()
        self.members = {"first": self.member("first")}
        self.members["first"].start()
        app.feed(history, limit=SEED_EVENTS)
        self.stream.sent = SEED_EVENTS
        app.wait_consumed()

    def member(self, label):
        return faults.process(self.app, label, faults={"DELAY": f"restore.read:1:1000000:{RECORD_MS}"}, workers=1)

    def join(self, label):
        """Returns when it has its partitions, and has not restored them yet."""
        before = self.app.log(label).count("restored ")
        self.members[label] = self.member(label)
        self.members[label].start(wait_ready=False)
        self.stream.until(f"partitions of the {label}", lambda: apps.partitions_of(self.members[label]))
        assert self.app.log(label).count("restored ") == before, "restores are too quick for this test to mean anything"

    def settle(self):
        def settled():
            shares = sorted(apps.partitions_of(member) for member in self.members.values())
            return (shares == (PARTITIONS_OF_THREE if len(shares) == 3 else [apps.PARTITIONS])
                    and all(member.ready() for member in self.members.values()))

        self.stream.until("every member to be ready", settled)

    def logs(self):
        return [line for label in ("first", "second", "third") for line in self.app.log(label).splitlines()]


@pytest.mark.row(5, "rebalance storm")
def test_one_three_one(new_app, row):
    app = new_app(kafka={"session_timeout": f"{SESSION_SECONDS}s",
                         "properties": {"max.poll.interval.ms": POLL_SECONDS_MAX * 1000}},
                  commit={"max_events": TRANSACTION_EVENTS})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(5), share=0.15)
    storm = Storm(app, history)
    for leave in ("stop", "kill"):
        storm.join("second")
        storm.join("third")
        storm.settle()
        for label in ("second", "third"):
            getattr(storm.members.pop(label), leave)()
        storm.settle()
    storm.stream.rest()
    app.end(history.until)
    lines = storm.logs()
    restores = [int(found[1]) / 1000 for found in (re.search(r"restored .* in (\d+) ms", line) for line in lines) if found]
    rebalances = sum("assigned" in line for line in lines)
    evictions = [line for line in lines if re.search("maximum poll interval", line, re.IGNORECASE)]
    row.figure(f"{rebalances} assignments, restores of up to {max(restores):.1f} s, {len(evictions)} evictions by a poll"
               f" interval of {POLL_SECONDS_MAX} s")
    row.judge(app, history, least=1000)
    assert evictions == []
    assert max(restores) > POLL_SECONDS_MAX
