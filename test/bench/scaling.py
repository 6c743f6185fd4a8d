"""./dev bench --scale-out: one, two and four processes of one app on this machine, and processes that come and go.

Each has a state directory and an `instance` of its own, and two workers unless --workers says otherwise. How fast: for each
number of processes the load is written first; then they start, and what they do is measured from when they have shared out the
partitions, so that all are busy to the end. All share one machine with the broker: their CPU an event is what tells, not their
rate.

Whether anything is lost or doubled: while events flow in at a steady rate one process is joined by a second, these by two more,
and then one leaves by SIGTERM. In the end the alerts on the topic must be those of `heartbeatd backtest` over the same events.
"""
import json
import shutil

import comparison
import daemon
import processes
import programs
import stretch

DEFAULTS = {"customers": 200_000, "events": 4_000_000, "partitions": 16, "workers": 2}
COUNTS = (1, 2, 4)
COST_MAX = 1.2  # the CPU of an event, the dearest number of processes of the cheapest
SHARED_SECONDS_MAX = 120
MEMBERS_TOPIC = "bench-members"
MEMBERS_ALERTS = "bench-members-alerts"
# One who leaves by SIGTERM is a static member, and his partitions wait for the session timeout: short, not to wait for long.
MEMBERS = "kafka: {session_timeout: 10s, properties: {heartbeat.interval.ms: 1000}}\n"
FEED_SECONDS = 120  # so long events flow
UNTIL = "2026-02-15T00:00:00Z"  # after the last event: the last timers fire


def make(server, options, folder, names, **more):
    """Processes of one app, not started yet."""
    made = []
    for name in names:
        (folder / name).mkdir()
        made.append(programs.Heartbeatd(folder / name, server, options, programs.RULE_SETS["two"], app=folder.name, instance=name,
                                        **more))
    return made


def partitions_of(program):
    """Those that it has and has restored."""
    metrics = program.process.metrics()
    restoring = metrics.total("heartbeatd_clock_state", state="restoring")
    return len(metrics.rows("heartbeatd_clock_seconds")) - restoring


def wait_shared(running, options):
    """Returns when they have all partitions between them, as evenly among their workers as can be."""
    workers = len(running) * options.workers
    least, most = options.workers * (options.partitions // workers), options.workers * -(-options.partitions // workers)

    def shared():
        for program in running:
            programs.check_runs(program)
        have = [partitions_of(program) for program in running]
        return sum(have) == options.partitions and least <= min(have) and max(have) <= most

    if not processes.wait_until(shared, SHARED_SECONDS_MAX, 0.25):
        raise programs.BenchError(f"the partitions are not shared out within {SHARED_SECONDS_MAX} s: "
                                  f"{[partitions_of(program) for program in running]} of {options.partitions}")


def stop(running):
    for program in running:
        code = program.process.stop()
        if code:
            raise programs.BenchError(f"{program.process.log} ended with {code}")
        shutil.rmtree(program.state, ignore_errors=True)


def measure(tool, server, options, count):
    """So many processes, at work together."""
    topic = f"{programs.TOPIC}-{count}"
    tool.create_topics(topic, partitions=options.partitions)
    running = make(server, options, programs.new_folder(f"scale-{count}"), [f"p{number}" for number in range(count)], topic=topic)
    tool.run("generate", topic, "--events", options.events, "--customers", options.customers, seconds=600)
    for program in running:
        program.start()
    wait_shared(running, options)
    seen = list(stretch.looks(tool, server, running, topic, options.seconds_max))
    found = stretch.between(seen[0], seen[-1])
    if found.events < options.events / 2:
        raise programs.BenchError(f"when the partitions were shared out {found.events:,} events were left: measure with more")
    stop(running)
    tool.delete_topics(topic, running[0].changelog)
    return found


def committed(tool, app):
    return sum(row["committed"] or 0 for row in tool.offsets(MEMBERS_TOPIC, group=app))


class Flow:
    """The events on their way, at a steady rate."""

    def __init__(self, tool, file, events, app):
        self.tool, self.app, self.part = tool, app, events // 20
        self.feed = tool.open("feed", file, "--topic", MEMBERS_TOPIC, "--rate", events / FEED_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.feed.kill()
        self.feed.wait()
        self.feed.stdout.close()

    def more(self):
        """Returns when a twentieth of all events more is committed."""
        goal = committed(self.tool, self.app) + self.part
        if not processes.wait_until(lambda: committed(self.tool, self.app) >= goal, SHARED_SECONDS_MAX, 0.5):
            raise programs.BenchError(f"not {self.part:,} events in {SHARED_SECONDS_MAX} s, or no more of them come")

    def check_flows(self, when):
        if self.feed.poll() is not None:
            raise programs.BenchError(f"all events had been sent before {when}")

    def rest(self):
        self.feed.communicate(timeout=10 * FEED_SECONDS)
        if self.feed.returncode:
            raise programs.BenchError("the events could not be sent")


def come_and_go(tool, server, options, events):
    """Processes that join and leave, while events flow. Returns the comparison, and how many alerts are expected."""
    tool.create_topics(MEMBERS_TOPIC, MEMBERS_ALERTS, partitions=options.partitions)
    folder = programs.new_folder("members")
    first, second, third, fourth = every = make(server, options, folder, ["a", "b", "c", "d"], topic=MEMBERS_TOPIC,
                                                alerts=MEMBERS_ALERTS, over=MEMBERS)
    file = folder / "events.jsonl"
    tool.generate(file, events, options.customers)
    first.start()
    wait_shared([first], options)
    with Flow(tool, file, events, folder.name) as flow:
        flow.more()
        for joining, running in (([second], [first, second]), ([third, fourth], every)):
            for program in joining:
                program.start()
            wait_shared(running, options)
            print(f"    {len(running)} processes at work", flush=True)
            flow.more()
        stop([second])
        rest = [first, third, fourth]
        wait_shared(rest, options)
        print("    one has left", flush=True)
        flow.check_flows("the last process had left")
        flow.rest()
    tool.tick(UNTIL, MEMBERS_TOPIC)
    tool.wait_consumed(folder.name, MEMBERS_TOPIC, seconds=options.seconds_max)
    stop(rest)
    return verdict(tool, first, file, folder / "backtest.jsonl")


def verdict(tool, program, file, out):
    daemon.backtest(program.configurations, file, out, UNTIL)
    expected = [json.loads(line) for line in out.read_text().splitlines()]
    actual = [json.loads(message["value"]) for message in tool.dump(MEMBERS_ALERTS, seconds=300)]
    return comparison.compare(actual, expected), len(expected)


def run(tool, server, options):
    """Returns whether the aim is met."""
    print(f"scale-out: {options.partitions} partitions, {options.workers} threads a process, {options.events:,} events", flush=True)
    stretch.warm(tool)
    costs = []
    for count in COUNTS:
        found = measure(tool, server, options, count)
        costs.append(found.cpu_us)
        print(f"  {count} process{'es' if count > 1 else '  '}: {found.rate:,.0f} events/s in all, CPU {found.cpu_us:.2f} us/event "
              f"(broker {found.broker_us:.2f})", flush=True)
    events = max(options.events // 4, 1)
    print(f"  one, then two, then four, then three processes, {events:,} events at {events / FEED_SECONDS:,.0f}/s", flush=True)
    found, expected = come_and_go(tool, server, options, events)
    print("".join(f"  {line}\n" for line in found.lines()), end="")
    constant = max(costs) / min(costs) <= COST_MAX
    same = expected > 0 and not found.lines()
    print(f"scale-out: of {expected:,} alerts {len(found.missing)} missing, {len(found.twice)} twice, {len(found.extra)} extra, "
          f"{len(found.other)} with another content; the aim is none, of more than none: {'met' if same else 'NOT met'}")
    print(f"scale-out: the CPU of an event differs by a factor of {max(costs) / min(costs):.2f}; the aim is at most {COST_MAX}: "
          f"{'met' if constant else 'NOT met'}")
    return constant and same
