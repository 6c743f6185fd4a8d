#!/usr/bin/python3
"""./dev bench: what heartbeatd processes, beside what librdkafka reads and throws away, in one run on one machine.

The load is written once into one topic. A round is then: read it all and discard it; process it all with a fresh daemon
(new group, new changelog, empty state), exactly once, with a commit every 100 ms. Two rates are given for the daemon:
`whole`, from the start of the process to the last committed offset, joining the group and opening the store included;
and `steady`, between the first committed progress seen and the last, which is what the ratio is made of.

`--rules full` runs each round with two rules and then with each whole rule set of config/, and tells what that costs.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import string
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "test" / "broker"))

import broker  # noqa: E402  (the shared modules lie in test/broker)
import daemon  # noqa: E402
import jars  # noqa: E402
import kit  # noqa: E402
import processes  # noqa: E402

FOLDER = ROOT / "build" / "bench"
TOPIC = "bench-events"
RATIO_MIN = 1 / 16  # what the project promises, with two rules
FULL_MIN = 0.75  # with a whole rule set: of the rate with two rules
RULE_SETS = {"two": HERE / "two.yaml", "e-commerce": ROOT / "config" / "e-commerce.yaml", "saas": ROOT / "config" / "saas.yaml"}
LOOK_MS = 50


class BenchError(Exception):
    """The round cannot be finished; the message says why."""


def write_configuration(folder, brokers, workers):
    http = f"127.0.0.1:{processes.free_port()}"
    app = folder.name
    text = string.Template((HERE / "bench.yaml").read_text()).substitute(
        APP=app, WORKERS=workers, BROKERS=brokers, STATE=folder / "state", HTTP=http)
    path = folder / "bench.yaml"
    path.write_text(text)
    return path, http, app


def discard(tool):
    return json.loads(tool.run("discard", TOPIC, seconds=600))["events_per_second"]


def process(tool, server, options, rules, number):
    """One daemon with these rules, from nothing to everything consumed. Returns its figures."""
    folder = FOLDER / f"bench-{int(time.time())}-{rules}-{number}"  # also the app: names the group and the changelog
    folder.mkdir()
    configuration, http, app = write_configuration(folder, server.address, options.workers)
    broker_cpu = processes.cpu_seconds(server.pid)
    started = time.time()
    process = daemon.Daemon([RULE_SETS[rules], configuration], http, folder / "heartbeatd.log")
    process.start(wait_ready=False)
    looks = []
    with tool.open("offsets", TOPIC, "--group", app, "--wait", options.seconds_max, "--interval-ms", LOOK_MS) as lines:
        for line in lines.stdout:
            looks.append(json.loads(line))
            if process.exit_code() is not None:
                lines.kill()
                raise BenchError(f"heartbeatd ended with {process.exit_code()}; the end of its log:\n{processes.tail(process.log)}")
    if lines.returncode:
        raise BenchError(f"not consumed within {options.seconds_max} s; the end of its log:\n{processes.tail(process.log)}")
    metrics = process.metrics()
    result = {
        "whole": options.events / (looks[-1]["time_ms"] / 1000 - started),
        "steady": steady_rate(looks),
        "daemon_us": 1e6 * processes.cpu_seconds(process.pid) / options.events,
        "broker_us": 1e6 * (processes.cpu_seconds(server.pid) - broker_cpu) / options.events,
        "rss": processes.peak_rss_bytes(process.pid),
        "alerts": metrics.total("heartbeatd_alerts_total"),
        "commit_p50": metrics.quantile("heartbeatd_commit_duration_seconds", 0.5),
        "commit_p99": metrics.quantile("heartbeatd_commit_duration_seconds", 0.99),
    }
    process.stop()
    shutil.rmtree(folder / "state", ignore_errors=True)
    return result


def steady_rate(looks):
    """Between the first look that saw progress and the first that saw the end."""
    first = next(look for look in looks if look["committed"] > 0)
    last = looks[-1]
    if last["time_ms"] == first["time_ms"]:
        raise BenchError("all was processed between two looks: measure with more --events")
    return (last["committed"] - first["committed"]) / ((last["time_ms"] - first["time_ms"]) / 1000)


def milliseconds(seconds):
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def print_round(number, discarded, rates):
    steady = ", ".join(f"{rules} {rate:,.0f}/s" for rules, rate in rates.items())
    print(f"  round {number}: librdkafka alone {discarded:,.0f}/s, heartbeatd with rules {steady}", flush=True)


def print_table(options, rules, discarded, results):
    """The ratio to librdkafka alone."""
    def middle(key):
        return statistics.median(result[key] for result in results)

    commits = [[result[key] for result in results if result[key] is not None] for key in ("commit_p50", "commit_p99")]
    p50, p99 = (milliseconds(statistics.median(values) if values else None) for values in commits)
    alone = statistics.median(discarded)
    ratio = middle("steady") / alone
    rows = [
        ("librdkafka reads and discards", f"{alone:,.0f} events/s"),
        ("heartbeatd, steady", f"{middle('steady'):,.0f} events/s"),
        ("heartbeatd, from process start", f"{middle('whole'):,.0f} events/s"),
        ("ratio (steady / librdkafka)", f"1 / {1 / ratio:.1f}" + (f"  (promised: at least 1 / {1 / RATIO_MIN:.0f})" if rules == "two" else "")),
        ("CPU of heartbeatd", f"{middle('daemon_us'):.2f} us/event"),
        ("CPU of the broker", f"{middle('broker_us'):.2f} us/event"),
        ("peak memory of heartbeatd", f"{middle('rss') / 2**20:,.0f} MiB"),
        ("commit latency", f"p50 {p50}, p99 {p99}"),
        ("alerts", f"{middle('alerts'):,.0f}"),
    ]
    print(f"\nrules {rules}: {options.events:,} events, {options.customers:,} customers, {options.partitions} partitions, {options.workers} workers; "
          f"median of {len(results)}")
    for name, value in rows:
        print(f"  {name:<32} {value}")
    return ratio


def print_costs(results):
    """Of whole rule sets, round by round; the smallest median."""
    medians = {}
    for rules in results:
        ratios = [one["steady"] / two["steady"] for one, two in zip(results[rules], results["two"])]
        cpu = statistics.median((one["daemon_us"] + one["broker_us"]) / (two["daemon_us"] + two["broker_us"])
                                for one, two in zip(results[rules], results["two"]))
        medians[rules] = statistics.median(ratios)
        if rules != "two":
            print(f"  {rules:<12} {' '.join(f'{ratio:.2f}' for ratio in ratios)} of the rate with two rules, median "
                  f"{medians[rules]:.2f}  (promised: at least {FULL_MIN}); CPU of daemon and broker x {cpu:.2f}")
    return min(medians.values())


def parse_options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2 * os.cpu_count(), help="default: two for each core, as heartbeatd")
    parser.add_argument("--rules", choices=[*RULE_SETS, "full"], default="two", help="full: all of them, and their ratios")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds-max", type=int, default=300, help="for one round of the daemon")
    return parser.parse_args()


def run(options):
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    print(f"==> Kafka {jars.version()} starts; {options.events:,} events are written once", flush=True)
    with broker.Broker(FOLDER / "broker", profile="bench") as server:
        tool = kit.Kit(server.address)
        tool.create_topics(TOPIC, "bench-alerts", partitions=options.partitions)
        load = json.loads(tool.run("generate", TOPIC, "--events", options.events, "--customers", options.customers, seconds=600))
        print(f"    {load['bytes_per_event']} bytes an event, written in {load['seconds']:.1f} s", flush=True)
        discard(tool)  # warms the page cache and the broker's compiler for both
        discarded, results = [], {rules: [] for rules in (RULE_SETS if options.rules == "full" else [options.rules])}
        for number in range(1, options.rounds + 1):
            discarded.append(discard(tool))
            for rules, done in results.items():
                done.append(process(tool, server, options, rules, number))
            print_round(number, discarded[-1], {rules: done[-1]["steady"] for rules, done in results.items()})
    ratios = {rules: print_table(options, rules, discarded, done) for rules, done in results.items()}
    right = ratios.get("two", 1) >= RATIO_MIN
    if options.rules == "full":
        print()
        right = print_costs(results) >= FULL_MIN and right
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(run(parse_options()))
    except (BenchError, broker.BrokerError, daemon.DaemonError, kit.KitError, jars.JarsUnavailable) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
