"""./dev bench --timers: how late alerts are when a million timers fall due within a minute, and no event comes.

Each customer has one event. The times of all of them fill one minute of the hour before, such that the rule (timers.yaml: silent
for an hour) falls due for all within one minute that lies ahead; by its begin everything must have been consumed. From then
on nothing but wall time moves the clock. `time.delay`, which makes every alert so much later on purpose, is 0 here.

Late is measured from the moment at which the alert is due, which is its `time`, until a read_committed consumer has it. `late_by`
is what the alert itself says: from its `time` until the daemon noticed, in whole seconds.
"""
import json
import pathlib
import time

import processes
import programs
import stretch

DEFAULTS = {"customers": 1_000_000, "partitions": 4}
RULES = pathlib.Path(__file__).with_name("timers.yaml")
TIME = "time: {source: wall, delay: 0s, outage_after: 'off'}\n"
AFTER_SECONDS = 3600  # of the rule
SPAN_SECONDS = 60
LATE_MS_MAX = 1_000
WAIT_SECONDS = 60  # for the last alerts, after the last is due


def lead_seconds(options):
    """From now until the first is due: generating, starting and consuming must fit in."""
    return options.lead or 30 + options.customers // 10_000


def prepare(tool, options, first_due):
    """Writes everybody's event, so that they fall due within a minute from then on."""
    tool.create_topics(programs.TOPIC, programs.ALERTS, partitions=options.partitions)
    end_ms = round(1000 * (first_due + SPAN_SECONDS - AFTER_SECONDS))
    tool.run("generate", programs.TOPIC, "--events", options.customers, "--customers", options.customers, "--everybody-first",
             "--seconds", SPAN_SECONDS, "--end-ms", end_ms, seconds=600)


def consume(tool, server, options, program, first_due):
    """Returns when everything is, before the first is due."""
    program.start()
    for _ in stretch.looks(tool, server, [program], programs.TOPIC, options.seconds_max):
        pass
    left = first_due - time.time()
    if left < 2:
        longer = lead_seconds(options) - left + 20
        raise programs.BenchError(f"the first timer fell due before all was consumed, or nearly so: try --lead {longer:.0f}")
    print(f"    consumed {left:.0f} s before the first is due", flush=True)


def fire(tool, options, program, first_due):
    """The alerts as a subscriber sees them: (what the kit says of them, CPU seconds from the first due until then)."""
    seconds = first_due + SPAN_SECONDS + WAIT_SECONDS - time.time()
    with tool.open("latency", programs.ALERTS, "--seconds", f"{seconds:.1f}", "--alerts", options.customers) as subscriber:
        processes.wait_until(lambda: time.time() >= first_due, seconds)
        before = processes.cpu_seconds(program.process.pid)
        told = subscriber.communicate(timeout=seconds + 30)[0]
    programs.check_runs(program)
    if subscriber.returncode:
        raise programs.BenchError("no alert came")
    return json.loads(told), processes.cpu_seconds(program.process.pid) - before


def whole_seconds(late_by):
    """Counts for each `late_by`, for people; the shortest first."""
    return ", ".join(f"{text} {count:,}" for text, count in sorted(late_by.items(), key=lambda item: (len(item[0]), item[0])))


def run(tool, server, options):
    """Returns whether the aim is met."""
    first_due = time.time() + lead_seconds(options)
    print(f"timers: {options.customers:,} due within {SPAN_SECONDS} s, {options.partitions} partitions, {options.workers} threads",
          flush=True)
    prepare(tool, options, first_due)
    program = programs.Heartbeatd(programs.new_folder("timers"), server, options, RULES, over=TIME)
    consume(tool, server, options, program, first_due)
    figures, cpu = fire(tool, options, program, first_due)
    program.process.stop()
    missing = options.customers - figures["alerts"]
    print(f"  {figures['alerts']:,} alerts of {options.customers:,} events; due until a read_committed consumer has it: "
          f"p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms, p99.9 {figures['p999_ms']:.0f} ms, "
          f"max {figures['max_ms']:.0f} ms")
    print(f"  late_by, as the alerts say: {whole_seconds(figures['late_by'])}")
    print(f"  CPU of heartbeatd: {1e6 * cpu / figures['alerts']:.1f} us a timer that fires and alerts")
    met = missing == 0 and figures["max_ms"] <= LATE_MS_MAX
    print(f"timers: {missing:,} alerts missing, the latest {figures['max_ms']:.0f} ms after it was due; the aim is none, and at "
          f"most {LATE_MS_MAX:,} ms: {'met' if met else 'NOT met'}")
    return met
