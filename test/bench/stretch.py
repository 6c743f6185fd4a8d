"""A part of a run, measured by itself: what programs do with a load, seen from a group's committed offsets and from /proc."""
import dataclasses
import datetime
import json
import time

import processes
import programs

LOOK_MS = 50
WARM_EVENTS = 500_000
METRICS_SECONDS = 0.25  # between two reports of a worker
END_MS = 1_767_225_600_000  # 2026-01-01, where the load's event time ends
DAY_MS = 86_400_000


@dataclasses.dataclass
class Look:
    """Sums over all partitions and processes, since their start."""

    time: float
    committed: int
    cpu: float
    broker_cpu: float


@dataclasses.dataclass
class Stretch:
    """Figures of some events."""

    events: int
    rate: float  # events a second
    cpu_us: float  # of all processes, an event
    broker_us: float


def look_at(running, server, committed, now):
    return Look(now, committed, sum(processes.cpu_seconds(program.process.pid) for program in running),
                processes.cpu_seconds(server.pid))


def looks(tool, server, running, topic, seconds_max):
    """Looks at programs of one app until they have consumed the topic, the last one after that. BenchError if they do not."""
    lines = tool.open("offsets", topic, "--group", running[0].app, "--wait", seconds_max, "--interval-ms", LOOK_MS)
    try:
        for line in lines.stdout:
            row = json.loads(line)
            yield look_at(running, server, row["committed"], row["time_ms"] / 1000)
            for program in running:
                programs.check_runs(program)
        if lines.wait():
            raise programs.BenchError(f"{topic} is not consumed within {seconds_max} s; the end of the log:\n"
                                      f"{processes.tail(running[0].process.log)}")
    finally:
        lines.kill()
        lines.wait()
        lines.stdout.close()


def between(first, last):
    events = last.committed - first.committed
    seconds = last.time - first.time
    if events <= 0 or seconds <= 0:
        raise programs.BenchError("what was to be measured went by between two looks: measure with more events")
    return Stretch(events, events / seconds, 1e6 * (last.cpu - first.cpu) / events,
                   1e6 * (last.broker_cpu - first.broker_cpu) / events)


def of_load(tool, server, running, topic, seconds_max, write):
    """Of what programs, which have consumed all so far, do with the load that `write` adds.

    CPU counts from before the first event is written until all are committed, so that it is that of these events and of no
    others. The rate, and the broker's CPU, are those from when all is written.
    """
    before = look_at(running, server, sum(row["committed"] or 0 for row in tool.offsets(topic, group=running[0].app)), time.time())
    write()
    seen = list(looks(tool, server, running, topic, seconds_max))
    undisturbed, all_of_it = between(seen[0], seen[-1]), between(before, seen[-1])
    if undisturbed.events < all_of_it.events / 2:
        print(f"    when all was written {undisturbed.events:,} events were left: the rate is of these only", flush=True)
    return Stretch(all_of_it.events, undisturbed.rate, all_of_it.cpu_us, undisturbed.broker_us)


def warm(tool):
    """The broker's compiler, before the first measurement."""
    tool.create_topics("bench-warm")
    tool.run("generate", "bench-warm", "--events", WARM_EVENTS, seconds=300)
    for _ in range(2):
        tool.run("discard", "bench-warm", seconds=300)
    tool.delete_topics("bench-warm")


@dataclasses.dataclass
class Lives:
    """A run in which everybody is made known first, and then all come equally often."""

    known: Stretch  # everybody's first event; CPU since the start of the process
    steady: Stretch  # the events after that
    timers: float  # that fired in the steady stretch, an event
    fired: int  # timers that fired when time moved on after it
    timer_us: float  # CPU of one of those; None: none fired
    peak_rss: int
    amplification: float  # of the local store's writes, over the whole run; None: nothing was saved
    stored: float  # bytes of the local store a customer, after the stop


def live(tool, server, options, topic, program, customers, events, days, days_after=0):
    """Measures a program, which is not started yet, with `events` after everybody's first one, in so many days of event time.
    Everybody's first event takes a third of that before. Then time moves on by `days_after`. Stops it in the end."""
    seconds_max = options.seconds_max + events // 5_000  # a slow machine is no failure, and a hung program is one

    def write(number, *more):
        tool.run("generate", topic, "--events", number, "--customers", customers, *more, seconds=seconds_max)

    write(customers, "--everybody-first", "--seconds", days * 86_400 // 3, "--end-ms", END_MS - days * DAY_MS)
    program.start()
    seen = list(looks(tool, server, [program], topic, seconds_max))
    begin = [look for look in seen if look.committed == 0][-1:] or seen[:1]
    known = between(dataclasses.replace(begin[0], cpu=0.0), seen[-1])
    print(f"    {customers:,} customers made known", flush=True)
    timers = timers_of(program)
    steady = of_load(tool, server, [program], topic, seconds_max,
                     lambda: write(events, "--uniform", "--days", days, "--end-ms", END_MS, "--seed", 2))
    check_known(program, customers)
    timers = (timers_of(program) - timers) / steady.events
    fired, timer_us = move_on(tool, server, topic, program, seconds_max, days_after) if days_after else (0, None)
    result = Lives(known, steady, timers, fired, timer_us,
                   processes.peak_rss_bytes(program.process.pid), programs.write_amplification(program), 0.0)
    program.process.stop()
    result.stored = programs.stored_bytes(program) / customers
    return result


def move_on(tool, server, topic, program, seconds_max, days):
    """Moves event time alone, so that what is due by then fires. Returns how many timers did and the CPU of one, alerts included."""
    timers, cpu = timers_of(program), processes.cpu_seconds(program.process.pid)
    end = datetime.datetime.fromtimestamp((END_MS + days * DAY_MS) / 1000, datetime.timezone.utc)
    tool.tick(end.strftime("%Y-%m-%dT%H:%M:%SZ"), topic)
    last = list(looks(tool, server, [program], topic, seconds_max))[-1]
    fired = timers_of(program) - timers
    return round(fired), 1e6 * (last.cpu - cpu) / fired if fired else None


def timers_of(program):
    """As of all that was committed: the metrics follow a commit by a fraction of a second."""
    seen = None
    while (now := program.process.metrics().total("heartbeatd_noted_total", kind="timers_fired")) != seen:
        seen = now
        time.sleep(2 * METRICS_SECONDS)
    return seen


def check_known(program, customers):
    known = program.process.metrics().total("heartbeatd_customers")
    if known != customers:
        raise programs.BenchError(f"{program.app} knows {known:,.0f} customers instead of {customers:,}")
