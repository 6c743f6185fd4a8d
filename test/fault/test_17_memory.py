"""More customers than fit into the memory budget: the process stays within it, and gets slower, but does not stand still."""
import os
import pathlib
import time

import pytest

import app as apps
import events
import processes

CUSTOMERS = int(os.environ.get("HEARTBEATD_FAULT_CUSTOMERS", 2_000_000))
AGAIN = CUSTOMERS // 5  # further events, of customers at random
BUDGET_MIB = 256
OVER_MAX = 1.1  # what the allocator holds back differs from run to run
WATCH = pathlib.Path(__file__).with_name("memory.yaml")
PARTS = 10  # of the events, whose rates are compared
SLOWEST_MIN = 1 / 20  # of the quickest part's rate
SECONDS_MAX = 600
LOAD = ["--events", CUSTOMERS + AGAIN, "--customers", CUSTOMERS, "--everybody-first"]


def generated(app):
    """What goes to the topic, through a pipe: the file would be half a gigabyte. (the history, the running generator)"""
    pipe = app.folder / "history.jsonl"
    os.mkfifo(pipe)
    return (events.History(pipe, CUSTOMERS + AGAIN, "2026-02-15T00:00:00Z"),
            app.kit.open("generate", "--file", pipe, *LOAD))


def part_rates(taken, seconds):
    """Events per second in each part of them; `taken`: how many after so many `seconds`, both ascending."""
    def time_of(count):
        i = next(i for i, n in enumerate(taken) if n >= count and i > 0)
        share = (count - taken[i - 1]) / max(taken[i] - taken[i - 1], 1)
        return seconds[i - 1] + share * (seconds[i] - seconds[i - 1])

    at = [time_of(taken[-1] * part / PARTS) for part in range(PARTS + 1)]
    return [taken[-1] / PARTS / (end - begin) for begin, end in zip(at, at[1:])]


@pytest.mark.row(17, "memory")
def test_more_customers_than_memory(new_app, row):
    app = new_app(watch=WATCH, memory=f"{BUDGET_MIB}MiB", workers=4)
    app.create_inputs()
    daemon = app.start()
    load = app.kit.open("generate", app.inputs[0], *LOAD)
    began = time.monotonic()
    taken, seconds = [0], [0.0]

    def all_taken():
        taken.append(max(taken[-1], daemon.metrics().total("heartbeatd_events_total")))
        seconds.append(time.monotonic() - began)
        assert daemon.exit_code() is None
        return taken[-1] >= CUSTOMERS + AGAIN

    apps.wait_for("all events", all_taken, SECONDS_MAX, pause=0.5)
    load.communicate()
    assert daemon.metrics().total("heartbeatd_customers") == CUSTOMERS
    history, generator = generated(app)
    app.end(history.until)
    peak = processes.peak_rss_bytes(daemon.pid) / (1 << 20)
    rates = part_rates(taken, seconds)
    row.figure(f"{CUSTOMERS:,} customers in {peak:.0f} of {BUDGET_MIB} MiB, from {max(rates):,.0f} down to {min(rates):,.0f} "
               "events/s")
    assert daemon.stop() == 0
    row.judge(app, history, least=1000, whole_log=False)  # more than the verifier, in Python, could get through
    generator.communicate()
    assert peak < BUDGET_MIB * OVER_MAX
    assert min(rates) > max(rates) * SLOWEST_MIN, [round(rate) for rate in rates]
