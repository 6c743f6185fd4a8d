#!/usr/bin/python3
"""./dev demo: real history through a real broker into alerts, checked against a backtest. See --help."""
import argparse
import collections
import datetime
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "broker"))

import alerts  # noqa: E402  (the shared modules lie in test/broker)
import broker  # noqa: E402
import daemon  # noqa: E402
import jars  # noqa: E402
import kit  # noqa: E402
import processes  # noqa: E402
import sampler  # noqa: E402
import screen  # noqa: E402

EVENTS = ROOT / "test" / "data" / "demo.jsonl.gz"
FOLDER = ROOT / "build" / "demo"
STATE_FILE = FOLDER / "demo.json"
GROUP = "heartbeatd-demo"
INPUT, ALERTS = "customer-events", "customer-alerts"
PARTITIONS = 4
QUIET_DAYS = 30  # after the last event: the last timers fire
CONSUME_SECONDS_MAX = 120


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def write_configuration(brokers, http):
    """demo.yaml with this run's addresses, as a file that other commands can be given too."""
    values = {"BROKERS": brokers, "HTTP": http, "STATE": str(FOLDER / "state")}
    text = (ROOT / "demo" / "demo.yaml").read_text()
    text = re.sub(r"\$\{HEARTBEATD_DEMO_(\w+):-[^}]*\}", lambda match: values[match[1]], text)
    path = FOLDER / "demo.yaml"
    path.write_text(text)
    return path


def survey(path):
    """The number of events and the time of the tick: a midnight some while after the last of them."""
    with gzip.open(path, "rt") as file:
        for count, line in enumerate(file, start=1):
            pass
    last = datetime.datetime.fromisoformat(json.loads(line)["timestamp"].replace("Z", "+00:00"))
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=QUIET_DAYS + 1)
    return count, midnight.strftime("%Y-%m-%dT%H:%M:%SZ")


class Demo:
    def __init__(self, options):
        self.options = options
        self.screen = screen.Screen()
        self.broker = None
        self.daemon = None
        self.sampler = None
        self.feed = None
        self.restarts = 0
        self.kills_left = options.kill

    # --- the acts, in order ---

    def run(self):
        stop_kept_demo(self.screen)
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        self.start_broker()
        self.start_daemon()
        total, until = survey(EVENTS)
        fed_seconds = self.feed_history(total)
        self.let_time_pass(until)
        consumed_seconds = self.wait_until_consumed()
        self.report(total, fed_seconds, consumed_seconds)
        code = self.compare(until)
        if self.options.keep:
            self.leave_running()
        return code

    def start_broker(self):
        self.screen.step(f"Kafka {jars.version()} starts (KRaft, one broker, on this machine)")
        self.broker = broker.Broker(FOLDER / "broker", keep=self.options.keep)
        self.broker.start()
        self.kit = kit.Kit(self.broker.address)
        self.kit.create_topics(INPUT, ALERTS, partitions=PARTITIONS)
        self.screen.line(f"    {self.broker.address}, topics {INPUT} and {ALERTS} with {PARTITIONS} partitions")

    def start_daemon(self):
        http = f"127.0.0.1:{processes.free_port()}"
        self.configuration = write_configuration(self.broker.address, http)
        self.screen.step(f"heartbeatd run --config {relative(self.configuration)}")
        self.daemon = daemon.Daemon([self.configuration], http, FOLDER / "heartbeatd.log", keep=self.options.keep)
        self.daemon.start()
        self.screen.line(f"    pid {self.daemon.pid}, two workers, log {relative(self.daemon.log)}, http://{http}/metrics")
        if self.options.keep:
            self.write_state()

    def feed_history(self, total):
        pace = f"{self.options.rate:,} events/s" if self.options.rate else "as fast as it goes"
        self.screen.step(f"18 months of purchases and logins flow in ({total:,} events, {pace}); alerts as they come:")
        self.sampler = sampler.Sampler(self.kit, ALERTS)
        self.feed = self.kit.open("feed", EVENTS, "--topic", INPUT, "--rate", self.options.rate, "--progress", "json")
        started = time.monotonic()
        sent = 0
        for line in self.feed.stdout:
            sent = json.loads(line)["sent"]
            self.watch(sent / total, f"{sent:,} sent, {self.sampler.total():,} alerts")
        if self.feed.wait() or sent != total:
            raise DemoError(f"the feed ended after {sent:,} of {total:,} events: see the message above")
        self.screen.end_progress()
        return time.monotonic() - started

    def let_time_pass(self, until):
        self.screen.step(f"No more events. A tick to every partition says that it is {until[:10]}: the last timers fire")
        self.kit.tick(until, INPUT)

    def wait_until_consumed(self):
        started = time.monotonic()
        with self.kit.open("offsets", INPUT, "--group", GROUP, "--wait", CONSUME_SECONDS_MAX, "--interval-ms", 100) as looks:
            for line in looks.stdout:
                look = json.loads(line)
                self.watch(look["committed"] / look["end"], f"consumed and committed, {self.sampler.total():,} alerts")
        self.screen.end_progress()
        if looks.returncode:
            raise DemoError(f"heartbeatd has not consumed everything; the end of its log:\n{processes.tail(self.daemon.log)}")
        seconds = time.monotonic() - started
        self.kit.wait_quiet(ALERTS)
        return seconds

    def report(self, total, fed_seconds, consumed_seconds):
        self.kit.dump_values(ALERTS, FOLDER / "alerts.jsonl")
        self.actual = alerts.read(FOLDER / "alerts.jsonl")
        numbers = self.daemon.metrics()
        rows = [("events", f"{total:,} in {fed_seconds + consumed_seconds:.1f} s: "
                           f"{total / (fed_seconds + consumed_seconds):,.0f} events/s"
                           f"{' (paced; --rate 0 for full speed)' if self.options.rate else ''}")]
        customers = numbers.total("heartbeatd_customers")
        if customers:
            rows.append(("customers", f"{customers:,.0f}"))
        counts = collections.Counter(map(alerts.kind, self.actual))
        rows += [(f"alerts {rule} {status}", f"{count:,}") for (rule, status), count in sorted(counts.items())]
        p50, p99 = (numbers.quantile("heartbeatd_commit_duration_seconds", share) for share in (0.5, 0.99))
        if p50 is not None:
            rows.append(("commit latency", f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms"))
        if self.restarts:
            rows.append(("kills and restarts", f"{self.restarts}"))
        self.screen.line()
        self.screen.table(rows)
        self.screen.line()

    def compare(self, until):
        self.screen.step("The same history through heartbeatd backtest, without Kafka:")
        started = time.monotonic()
        expected_file = FOLDER / "backtest.jsonl"
        daemon.backtest([self.configuration], EVENTS, expected_file, until)
        expected = alerts.read(expected_file)
        self.screen.line(f"    {len(expected):,} alerts in {time.monotonic() - started:.1f} s")
        different = alerts.differences(self.actual, expected)
        if different:
            self.screen.warn("DIFFERENT: the alerts on the topic are not those of the backtest.")
            for line in different:
                self.screen.line(line)
            return 1
        self.screen.line(f"    EQUAL: {len(self.actual):,} alerts on the topic, none missing, none twice, none extra, "
                         "every payload the same")
        return 0

    # --- around them ---

    def watch(self, share, text):
        """Between two steps: an alert to show, and is the daemon still there?"""
        alert = self.sampler.pick()
        if alert:
            self.screen.line("    " + alerts.describe(alert))
        self.screen.progress(share, text)
        # Spread evenly over the feed.
        if self.kills_left and self.feed.poll() is None and share > 1 - self.kills_left / (self.options.kill + 1):
            self.kills_left -= 1
            processes.signal_quietly(self.daemon.pid, signal.SIGKILL)
        code = self.daemon.exit_code()
        if code == -signal.SIGKILL:
            self.restarts += 1
            self.screen.warn(f"    heartbeatd (pid {self.daemon.pid}) was killed with SIGKILL: it starts again where it was")
            self.daemon.start(wait_ready=False)
            if self.options.keep:
                self.write_state()
        elif code is not None:
            raise DemoError(f"heartbeatd ended with {code}; the end of its log:\n{processes.tail(self.daemon.log)}")

    def write_state(self):
        STATE_FILE.write_text(json.dumps({"daemon": self.daemon.pid}))

    def leave_running(self):
        command = f"build/release/bin/heartbeatd-kit --brokers {self.broker.address}"
        self.screen.line()
        self.screen.step("All is left running. To look further:")
        self.screen.table([
            ("its metrics", f"curl -s http://{self.daemon.http}/metrics"),
            ("its log", f"tail -f {relative(self.daemon.log)}"),
            ("all alerts", f"{command} dump {ALERTS} --values-only"),
            ("new alerts", f"{command} dump {ALERTS} --values-only --follow"),
            ("how far it is", f"{command} offsets {INPUT} --group {GROUP}"),
            ("more events", f"{command} feed FILE.jsonl --topic {INPUT}"),
            ("stop it all", "./dev demo --stop"),
        ])

    def close(self):
        """Stops whatever runs, unless it is to be kept."""
        self.screen.end_progress()
        if self.feed and self.feed.poll() is None:
            self.feed.kill()
        if self.sampler:
            self.sampler.close()
        if self.daemon and self.daemon.process:
            self.daemon.stop()
        if self.broker:
            self.broker.stop()


def relative(path):
    return os.path.relpath(path, ROOT)


def stop_kept_demo(out):
    """Stops what an earlier --keep left running. Returns whether there was anything."""
    stopped = False
    if STATE_FILE.exists():
        pid = json.loads(STATE_FILE.read_text())["daemon"]
        if processes.alive(pid, str(FOLDER / "demo.yaml")):
            out.line("Stopping the demo that was left running ...")
            stopped = True
            processes.signal_quietly(pid, signal.SIGTERM)
            if not processes.wait_until(lambda: not processes.alive(pid, str(FOLDER / "demo.yaml")), daemon.STOP_SECONDS_MAX):
                processes.signal_quietly(pid, signal.SIGKILL)
        STATE_FILE.unlink()
    if (FOLDER / "broker" / "broker.json").exists():
        kept = broker.Broker(FOLDER / "broker", keep=True)
        stopped = stopped or kept.running
        kept.stop()
    return stopped


def interrupt(*_):
    """`kill` and a closed terminal clean up as Ctrl-C does."""
    raise KeyboardInterrupt


def parse_options():
    parser = argparse.ArgumentParser(prog="./dev demo", description="Real purchase history through a real Kafka broker into alerts.")
    parser.add_argument("--keep", action="store_true", help="leave the broker and the daemon running, and say how to look further")
    parser.add_argument("--stop", action="store_true", help="stop what --keep left running")
    parser.add_argument("--rate", type=int, default=8000, metavar="N", help="events per second; 0: as fast as it goes (default: 8000)")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill the daemon with SIGKILL that many times on the way")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.stop:
        print("The demo is stopped." if stop_kept_demo(screen.Screen()) else "No demo runs.")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    demo = Demo(options)
    finished = False
    try:
        code = demo.run()
        finished = True
        return code
    except KeyboardInterrupt:
        demo.screen.end_progress()
        print("Interrupted: stopping the daemon and the broker.")
        return 130
    except (DemoError, daemon.DaemonError, broker.BrokerError, kit.KitError, jars.JarsUnavailable) as error:
        demo.screen.end_progress()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if finished and options.keep:
            demo.sampler.close()
        else:
            demo.close()


if __name__ == "__main__":
    sys.exit(main())
