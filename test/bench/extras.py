"""What `./dev bench` measures beside throughput: how late alerts are, and how long a restart takes."""
import json
import re
import shutil
import statistics
import time

import processes
import programs
from stretch import DAY_MS, END_MS

LATENCY_TOPIC = "bench-live"
LATENCY_SECONDS = 40
LATENCY_SKIP_SECONDS = 10
LATENCY_P99_MS_MAX = 250
RECOVERY_TOPIC = "bench-recovery"
RECOVERY_CUSTOMERS = 1_000_000
RECOVERY_EVENTS = 500_000  # after everybody's first
RECOVERY_MORE = 20_000  # events that come while it is down
RECOVERY_SECONDS_MAX = 3  # with the state directory
RECOVERY_RATE_MIN = 500_000  # changelog records a second, without


def latency(tool, server, start_daemon, start_before, rate, options):
    """From an event's time, which is when it is sent, to its alert in the hands of a read_committed consumer, at `rate`
    events per second, as often as there are rounds. `start_daemon(topic)`: a running program; `start_before`, which may be
    None: another build of it, which takes turns with it. Returns whether the aim is met, by the median.

    A first run does not count: a broker's compiler is not done with the many small requests of this load before."""
    live(tool, server, start_daemon, f"{LATENCY_TOPIC}-warm", rate, options)
    print(f"\nlatency at {rate:,.0f} events/s, event to alert as a read_committed consumer sees it:", flush=True)
    p99 = []
    builds = [("before", start_before), ("now", start_daemon)] if start_before else [("now", start_daemon)]
    for number in range(options.rounds):
        for build, start in builds if number % 2 else reversed(builds):
            figures = live(tool, server, start, f"{LATENCY_TOPIC}-{build}-{number}", rate, options)
            print_latency(build, figures)
            if build == "now":
                p99.append(figures["p99_ms"])
    met = statistics.median(p99) <= LATENCY_P99_MS_MAX
    print(f"latency: the aim is a p99 of at most {LATENCY_P99_MS_MAX} ms, the median is {statistics.median(p99):.0f} ms: {'met' if met else 'NOT met'}", flush=True)
    return met


def print_latency(build, figures):
    print(f"  {build:<8} {figures['alerts']:,} alerts: p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms, "
          f"p99.9 {figures['p999_ms']:.0f} ms, max {figures['max_ms']:.0f} ms", flush=True)


def live(tool, server, start_daemon, topic, rate, options):
    """What `latency` measures, once. Returns the subscriber's figures."""
    tool.create_topics(topic, partitions=options.partitions)
    program = start_daemon(topic)
    program.process.wait_ready()
    events = int(rate * LATENCY_SECONDS)
    with tool.open("generate", topic, "--events", events, "--customers", options.customers, "--live", rate) as load:
        figures = json.loads(tool.run("latency", "bench-alerts", "--seconds", LATENCY_SECONDS - 2,
                                      "--skip-seconds", LATENCY_SKIP_SECONDS, seconds=LATENCY_SECONDS + 60))
        load.communicate(timeout=120)
    program.process.stop()
    programs.forget(tool, server, program)
    tool.delete_topics(topic)
    return figures


def recovery(tool, start_daemon, options):
    """SIGKILL to processing again, with the state directory and without. Returns whether the aims are met.

    Everybody has been known for up to half a year; then comes one day, at full speed, and it is killed at its end."""
    tool.create_topics(RECOVERY_TOPIC, partitions=options.partitions)
    for events, more in ((RECOVERY_CUSTOMERS, ["--everybody-first", "--end-ms", END_MS - DAY_MS]),
                         (RECOVERY_EVENTS, ["--days", 1, "--end-ms", END_MS, "--seed", 2])):
        tool.run("generate", RECOVERY_TOPIC, "--events", events, "--customers", RECOVERY_CUSTOMERS, *more, seconds=600)
    program = start_daemon(RECOVERY_TOPIC)
    consumed(tool, program, options)
    met = True
    for what in ("state directory kept", "state directory lost"):
        program.process.kill()
        if what.endswith("lost"):
            shutil.rmtree(program.state)
        before = committed(tool, program)
        tool.run("generate", RECOVERY_TOPIC, "--events", RECOVERY_MORE, "--customers", RECOVERY_CUSTOMERS, "--seconds", 60,
                 "--end-ms", END_MS + 60_000, "--seed", int(time.time()), seconds=60)
        began = time.monotonic()
        program.start()
        processes.wait_until(lambda: committed(tool, program) > before, options.seconds_max)
        took = time.monotonic() - began
        consumed(tool, program, options)
        restored = re.findall(r"restored \d+ shards, (\d+) changelog records, in (\d+) ms", program.process.log.read_text())
        records = sum(int(row[0]) for row in restored[-options.workers:])
        slowest = max(int(row[1]) for row in restored[-options.workers:])
        print(f"recovery of {RECOVERY_CUSTOMERS:,} customers, {what}: processing again {took:.1f} s after the start; "
              f"{records:,} changelog records restored in {slowest / 1000:.1f} s"
              + (f" ({1000 * records / slowest:,.0f}/s)" if slowest > 1000 else ""), flush=True)
        if what.endswith("kept"):
            met = met and took <= RECOVERY_SECONDS_MAX
        else:
            met = met and 1000 * records >= RECOVERY_RATE_MIN * slowest
    program.process.stop()
    print(f"recovery: the aims are {RECOVERY_SECONDS_MAX} s with the state directory, {RECOVERY_RATE_MIN:,} records/s without: "
          f"{'met' if met else 'NOT met'}", flush=True)
    return met


def committed(tool, program):
    lines = tool.run("offsets", RECOVERY_TOPIC, "--group", program.app).splitlines()
    return sum(json.loads(line)["committed"] or 0 for line in lines)


def consumed(tool, program, options):
    tool.run("offsets", RECOVERY_TOPIC, "--group", program.app, "--wait", options.seconds_max, seconds=options.seconds_max + 30)
