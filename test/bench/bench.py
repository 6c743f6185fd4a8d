#!/usr/bin/python3
"""./dev bench: what heartbeatd processes, beside what librdkafka reads and throws away, in one run on one machine.

The load is written once into one topic, and a first round warms the broker and does not count. A round is then: read it all and
discard it; process it all with a fresh daemon (new group, new changelog, empty state), exactly once, with a commit every 100 ms.
Two rates are given for the daemon:
`whole`, from the start of the process to the last committed offset, joining the group and opening the store included;
and `steady`, between the first committed progress seen and the last, which is what the ratio is made of.

`--rules full` runs each round with two rules and then with each whole rule set of config/, and tells what that costs.
`--peer` runs each round with a Kafka Streams program of the same job (peer/) after the daemon, and tells the ratios.
`--before BINARY` runs each round, and each run of `--latency`, with another build of heartbeatd, too, and tells the ratios.

`--growth`, `--timers`, `--memory` and `--scale-out` are measurements of their own, one at a time, without rounds; each says in its
last line whether its aim is met. docs/benchmarks.md, "What can be measured", tells of all of them.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "test" / "broker"))

import broker  # noqa: E402  (the shared modules lie in test/broker)
import daemon  # noqa: E402
import extras  # noqa: E402
import growth  # noqa: E402
import jars  # noqa: E402
import kit  # noqa: E402
import memory  # noqa: E402
import peer  # noqa: E402
import processes  # noqa: E402
import programs  # noqa: E402
import quick  # noqa: E402
import scaling  # noqa: E402
import timers  # noqa: E402
from programs import BEFORE, FOLDER, PEERS, RULE_SETS, TOPIC, BenchError  # noqa: E402

RATIO_MIN = 1 / 16  # what the project promises, with two rules
FULL_MIN = 0.75  # with a whole rule set: of the rate with two rules
PEER_MIN = {"two": 4.0, "e-commerce": 3.0}  # times its rate: what the project promises
PEER_CPU_MIN = 4.0  # its CPU of an event over ours
LOOK_MS = 50
DEFAULTS = {"events": 2_000_000, "customers": 200_000, "partitions": 4, "workers": 2 * os.cpu_count()}
OWN_RUNS = {"growth": growth, "timers": timers, "memory": memory, "scale_out": scaling}  # by the option's name


def wanted_rules(options):
    return list(RULE_SETS) if options.rules == "full" else [options.rules]


def peers_of(wanted, options):
    return [name for name, rules in PEERS.items() if options.peer and rules in wanted]


def discard(tool):
    return json.loads(tool.run("discard", TOPIC, seconds=600))["events_per_second"]


def warm_up(tool, server, options, programs_of_a_round):
    """A round that does not count: the page cache, and the broker's compiler, which takes a good part of a core for the first
    minutes of a broker's life."""
    discard(tool)
    for rules in programs_of_a_round:
        process(tool, server, options, rules, 0)


def process(tool, server, options, rules, number):
    """One program, from nothing to everything consumed. Returns its figures."""
    folder = programs.new_folder(f"{rules}-{number}")
    if rules in PEERS:
        program = programs.KafkaStreams(folder, server, options, PEERS[rules])
    elif rules == BEFORE:
        program = programs.Heartbeatd(folder, server, options, RULE_SETS[wanted_rules(options)[0]], binary=options.before)
    else:
        program = programs.Heartbeatd(folder, server, options, RULE_SETS[rules])
    broker_cpu = processes.cpu_seconds(server.pid)
    started = time.time()
    program.start()
    running = program.process
    looks = []
    with tool.open("offsets", TOPIC, "--group", program.app, "--wait", options.seconds_max, "--interval-ms", LOOK_MS) as lines:
        for line in lines.stdout:
            looks.append(json.loads(line))
            if running.exit_code() is not None:
                lines.kill()
                programs.check_runs(program)
    if lines.returncode:
        raise BenchError(f"{rules}: not consumed within {options.seconds_max} s; the end of its log:\n{processes.tail(running.log)}")
    result = {
        "whole": options.events / (looks[-1]["time_ms"] / 1000 - started),
        "steady": steady_rate(looks),
        "daemon_us": 1e6 * processes.cpu_seconds(running.pid) / options.events,
        "broker_us": 1e6 * (processes.cpu_seconds(server.pid) - broker_cpu) / options.events,
        "rss": processes.peak_rss_bytes(running.pid),
        "changelog": topic_bytes(server, program.changelog) / options.events,
        "written": processes.disk_written_bytes(running.pid) / options.events,
        **program.more_figures(),
    }
    running.stop()
    result["stored"] = programs.stored_bytes(program) / options.customers
    programs.forget(tool, server, program)
    shutil.rmtree(program.state, ignore_errors=True)
    return result


def topic_bytes(server, topic):
    """On the broker's disk, compressed as it was sent."""
    logs = pathlib.Path(server.directory, "data").glob(f"{topic}-*/*.log")
    return sum(log.stat().st_size for log in logs)


def steady_rate(looks):
    """Between the first look that saw progress and the first that saw the end."""
    first = next(look for look in looks if look["committed"] > 0)
    last = looks[-1]
    if last["time_ms"] == first["time_ms"]:
        raise BenchError("all was processed between two looks: measure with more --events")
    return (last["committed"] - first["committed"]) / ((last["time_ms"] - first["time_ms"]) / 1000)


def milliseconds(seconds):
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def amplification(factor):
    return "-" if factor is None else f"{factor:.2f}  (most is still in memory after a short run)"


def print_round(number, discarded, rates):
    steady = ", ".join(f"{rules} {rate:,.0f}/s" for rules, rate in rates.items())
    print(f"  round {number}: librdkafka alone {discarded:,.0f}/s; {steady}", flush=True)


def print_table(options, rules, discarded, results):
    """The ratio to librdkafka alone."""
    def middle(key):
        values = [result[key] for result in results if result[key] is not None]
        return statistics.median(values) if values else None

    alone = statistics.median(discarded)
    ratio = middle("steady") / alone
    who, threads = ("Kafka Streams", options.peer_threads) if rules in PEERS else ("heartbeatd", options.workers)
    what = {**PEERS, BEFORE: f"{wanted_rules(options)[0]}, the build before"}.get(rules, rules)
    rows = [
        ("librdkafka reads and discards", f"{alone:,.0f} events/s"),
        (f"{who}, steady", f"{middle('steady'):,.0f} events/s"),
        (f"{who}, from process start", f"{middle('whole'):,.0f} events/s"),
        ("ratio (steady / librdkafka)", f"1 / {1 / ratio:.1f}" + (f"  (promised: at least 1 / {1 / RATIO_MIN:.0f})" if rules == "two" else "")),
        (f"CPU of {who}", f"{middle('daemon_us'):.2f} us/event"),
        ("CPU of the broker", f"{middle('broker_us'):.2f} us/event"),
        (f"peak memory of {who}", f"{middle('rss') / 2**20:,.0f} MiB"),
        ("changelog, as the broker stores it", f"{middle('changelog'):.0f} bytes/event"),
        ("written to the local disk", f"{middle('written'):.0f} bytes/event"),
        ("write amplification of the store", amplification(middle("amplification"))),
        ("local store at the end", f"{middle('stored'):.0f} bytes/customer"),
        ("commit latency", f"p50 {milliseconds(middle('commit_p50'))}, p99 {milliseconds(middle('commit_p99'))}"),
        ("alerts", "-" if middle("alerts") is None else f"{middle('alerts'):,.0f}"),
    ]
    print(f"\nrules {what}, {who}: {options.events:,} events, {options.customers:,} customers, "
          f"{options.partitions} partitions, {threads} threads; median of {len(results)}")
    for name, value in rows:
        print(f"  {name:<36} {value}")
    return ratio


def print_costs(results):
    """Of whole rule sets, round by round; the smallest median."""
    medians = {}
    for rules in [rules for rules in results if rules not in ("two", BEFORE, *PEERS)]:
        ratios = [one["steady"] / two["steady"] for one, two in zip(results[rules], results["two"])]
        cpu = statistics.median((one["daemon_us"] + one["broker_us"]) / (two["daemon_us"] + two["broker_us"])
                                for one, two in zip(results[rules], results["two"]))
        medians[rules] = statistics.median(ratios)
        print(f"  {rules:<12} {' '.join(f'{ratio:.2f}' for ratio in ratios)} of the rate with two rules, median "
              f"{medians[rules]:.2f}  (promised: at least {FULL_MIN}); CPU of daemon and broker x {cpu:.2f}")
    return min(medians.values())


def print_peers(results):
    """Each rule set beside Kafka Streams with the same, round by round. Returns whether the aims are met."""
    met = True
    for name, rules in PEERS.items():
        if name not in results:
            continue
        pairs = list(zip(results[rules], results[name]))
        ratios = [ours["steady"] / theirs["steady"] for ours, theirs in pairs]
        cpu = statistics.median(theirs["daemon_us"] / ours["daemon_us"] for ours, theirs in pairs)
        print(f"  {rules:<12} {' '.join(f'{ratio:.2f}' for ratio in ratios)} times the rate of Kafka Streams, median "
              f"{statistics.median(ratios):.2f}  (promised: at least {PEER_MIN[rules]:.0f}); of its CPU an event 1 / {cpu:.2f}"
              f"  (promised: at most 1 / {PEER_CPU_MIN:.0f})")
        met = met and statistics.median(ratios) >= PEER_MIN[rules] and cpu >= PEER_CPU_MIN
    return met


def print_before(results):
    """The first rule set beside the other build, round by round."""
    rules = next(iter(results))
    pairs = list(zip(results[rules], results[BEFORE]))
    for name, ratio in (("rate", lambda now, before: now["steady"] / before["steady"]),
                        ("CPU of heartbeatd", lambda now, before: now["daemon_us"] / before["daemon_us"]),
                        ("CPU of the broker", lambda now, before: now["broker_us"] / before["broker_us"])):
        ratios = [ratio(*pair) for pair in pairs]
        print(f"  {rules}, now / before: {name:<18} {' '.join(f'{one:.2f}' for one in ratios)}, median {statistics.median(ratios):.2f}")


def parse_options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, help="default: 2,000,000")
    parser.add_argument("--customers", type=int, help="default: 200,000")
    parser.add_argument("--partitions", type=int, help="default: 4")
    parser.add_argument("--workers", type=int, help="default: two for each core, as heartbeatd")
    parser.add_argument("--rules", choices=[*RULE_SETS, "full"], default="two", help="full: all of them, and their ratios")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", action="store_true", help="also from event to alert")
    parser.add_argument("--latency-rate", type=float, help="events per second meanwhile; default: half of the steady rate")
    parser.add_argument("--recovery", action="store_true", help="also restarts after SIGKILL with 1,000,000 customers")
    group = parser.add_argument_group("measurements of their own, with other defaults for the sizes above")
    alone = group.add_mutually_exclusive_group()
    alone.add_argument("--growth", action="store_true", help="what an event costs with few customers and with many")
    alone.add_argument("--timers", action="store_true", help="how late alerts are when a million timers fall due within a minute")
    alone.add_argument("--memory", action="store_true", help="5,000,000 customers in 100 partitions within 512 MiB")
    alone.add_argument("--scale-out", action="store_true", help="one, two and four processes, and some that come and go")
    alone.add_argument("--quick", action="store_true", help="only figures that do not depend on the machine, against quick.json")
    parser.add_argument("--pin", action="store_true", help="with --quick: write quick.json anew")
    parser.add_argument("--peer", action="store_true", help="beside Kafka Streams with the same rules (two, e-commerce)")
    parser.add_argument("--before", type=pathlib.Path, metavar="BINARY", help="beside another build of heartbeatd")
    parser.add_argument("--peer-without-timers", action="store_true",
                        help="it says that a customer is silent or drops only when he comes again")
    parser.add_argument("--peer-threads", type=int, default=2 * os.cpu_count(), help="its stream threads (default: as workers)")
    parser.add_argument("--sizes", type=numbers, default=growth.SIZES, help="with --growth: numbers of customers, as 1000,10000")
    parser.add_argument("--each", type=int, default=growth.EACH, help="with --growth: measured events of each customer, on average")
    parser.add_argument("--memory-each", type=int, default=growth.MEMORY_EACH,
                        help="with --growth: bytes of the memory budget for each customer, the default budget at least")
    parser.add_argument("--into", default=ROOT / "docs", help="with --growth: where its data and chart go (default: docs)")
    parser.add_argument("--lead", type=int, help="with --timers: seconds until the first is due, by when all must be consumed")
    parser.add_argument("--seconds-max", type=int, default=300, help="for one round of the daemon")
    options = parser.parse_args()
    if options.latency and options.rules not in ("two", "full"):
        parser.error("--latency needs --rules two or full")
    if options.peer and options.rules == "saas":
        parser.error("--peer knows two rules and e-commerce")
    own = own_run(options)
    if options.before:
        options.before = options.before.resolve()
        if own or not options.before.is_file():
            parser.error("--before wants another build's heartbeatd, and rounds")
    for name, value in ({"workers": DEFAULTS["workers"], **own.DEFAULTS} if own else DEFAULTS).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def numbers(text):
    return [int(number) for number in text.split(",")]


def own_run(options):
    """The module of the measurement that runs instead of the rounds; None: the rounds."""
    return next((module for name, module in OWN_RUNS.items() if getattr(options, name)), None)


def measure_more(tool, server, options, results):
    """What is asked for beside the rounds. Returns whether its aims are met."""
    right = True

    def starter(name, more, binary=None):
        def start(topic):
            program = programs.Heartbeatd(programs.new_folder(name), server, options, RULE_SETS["two"], topic, more, binary=binary)
            program.start()
            return program
        return start

    if options.latency:
        rate = options.latency_rate or statistics.median(result["steady"] for result in results["two"]) / 2
        more = [HERE / "latency.yaml"]
        before = starter("latency-before", more, options.before) if options.before else None
        right = extras.latency(tool, server, starter("latency", more), before, rate, options)
    if options.recovery:
        right = extras.recovery(tool, starter("recovery", []), options) and right
    return right


def run_alone(module, options):
    print(f"==> Kafka {jars.version()} starts", flush=True)
    with broker.Broker(FOLDER / "broker", profile="bench") as server:
        return 0 if module.run(kit.Kit(server.address), server, options) else 1


def run(options):
    if options.quick:
        return quick.main(kit.Kit("127.0.0.1:1"), RULE_SETS, options.pin)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    if own_run(options):
        return run_alone(own_run(options), options)
    if options.peer:
        print("==> The Kafka Streams program is built", flush=True)
        peer.build()
    print(f"==> Kafka {jars.version()} starts; {options.events:,} events are written once", flush=True)
    with broker.Broker(FOLDER / "broker", profile="bench") as server:
        tool = kit.Kit(server.address)
        tool.create_topics(TOPIC, programs.ALERTS, partitions=options.partitions)
        load = json.loads(tool.run("generate", TOPIC, "--events", options.events, "--customers", options.customers, seconds=600))
        print(f"    {load['bytes_per_event']} bytes an event, written in {load['seconds']:.1f} s", flush=True)
        wanted = wanted_rules(options)
        results = {rules: [] for rules in wanted + [BEFORE] * bool(options.before) + peers_of(wanted, options)}
        discarded = []
        warm_up(tool, server, options, results)
        for number in range(1, options.rounds + 1):
            discarded.append(discard(tool))
            turn = list(results.items())
            for rules, done in turn if number % 2 else reversed(turn):
                done.append(process(tool, server, options, rules, number))
            print_round(number, discarded[-1], {rules: done[-1]["steady"] for rules, done in results.items()})
        ratios = {rules: print_table(options, rules, discarded, done) for rules, done in results.items()}
        right = measure_more(tool, server, options, results)
    right = ratios.get("two", 1) >= RATIO_MIN and right
    print()
    if options.before:
        print_before(results)
    if options.rules == "full":
        right = print_costs(results) >= FULL_MIN and right
    if options.peer:
        right = print_peers(results) and right
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(run(parse_options()))
    except (BenchError, broker.BrokerError, daemon.DaemonError, kit.KitError, peer.PeerError,
            quick.QuickError, jars.JarsUnavailable) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
