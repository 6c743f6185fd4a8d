"""Verifies what heartbeatd made of an input log. Exit code 1 if anything is wrong."""
import argparse
import json
import os
import pathlib
import sys

from . import configuration, log, predict, values, verdict


def arguments():
    parser = argparse.ArgumentParser(prog="python3 -m verifier", description=__doc__)
    parser.add_argument("--config", nargs="+", action="extend", required=True, help="the daemon's files, as it was given them")
    broker = parser.add_argument_group("from a running broker")
    broker.add_argument("--brokers", help="host:port; topics and group are those of the configuration")
    broker.add_argument("--kit", help="heartbeatd-kit; default: that of the build (HEARTBEATD_BUILD)")
    broker.add_argument("--state-directory", action="append", default=[], help="of a daemon that has ended; may repeat")
    files = parser.add_argument_group("from files: lines as heartbeatd-kit prints them")
    files.add_argument("--input", action="append", default=[], metavar="[TOPIC=]FILE",
                       help="a dump of an input topic, or a file of events, which is one partition; may repeat")
    files.add_argument("--alerts", help="a dump, or bare alerts as `heartbeatd backtest --alerts` writes them")
    files.add_argument("--dead-letters")
    files.add_argument("--changelog")
    files.add_argument("--state", action="append", default=[], help="what dump-state prints; may repeat")
    files.add_argument("--offsets", help="what offsets --group prints of all topics")
    parser.add_argument("--until", help="RFC 3339: time moves there after the last event")
    parser.add_argument("--all-current", action="store_true",
                        help="every partition must be in one of the local states as of its last commit: no daemon was killed")
    parser.add_argument("--predict", action="store_true", help="only print the alerts that there must be, a line of JSON each")
    return parser.parse_args()


def rows_of(path):
    if path is None:
        return None
    with log.open_lines(path) as lines:
        return [json.loads(line) for line in lines]


def evidence_of(options, settings):
    if options.brokers:
        sys.path.insert(0, str(configuration.ROOT / "test" / "broker"))
        import kit
        if options.kit:
            os.environ["HEARTBEATD_BUILD"] = str(pathlib.Path(options.kit).resolve().parents[1])
        return verdict.collect(kit.Kit(options.brokers), settings, options.state_directory)
    messages = []
    for number, text in enumerate(options.input):
        topic, _, path = text.rpartition("=")
        messages += log.read(path, topic or settings.input_topics[number])
    return verdict.Evidence(messages, rows_of(options.alerts), rows_of(options.dead_letters), rows_of(options.changelog),
                          [rows_of(path) for path in options.state], rows_of(options.offsets))


def print_alerts(settings, evidence):
    for messages in log.by_partition(evidence.messages, settings).values():
        for alert in predict.run(messages, settings, evidence.until_ms).alerts:
            print(json.dumps({"id": alert.id, "status": alert.status, "rule": alert.rule, "customer": alert.customer,
                              "starts_at": values.show(alert.starts_ms), "time": values.show(alert.time_ms),
                              "reason": alert.reason}))


def main():
    options = arguments()
    settings = configuration.read(options.config)
    evidence = evidence_of(options, settings)
    if options.until:
        evidence.until_ms = values.rfc3339_ms(options.until)
    if options.predict:
        print_alerts(settings, evidence)
        return 0
    wrong = verdict.judge(settings, evidence, options.all_current)
    for finding in wrong:
        print(finding)
    print(f"{len(evidence.messages)} messages, " + (f"{len(wrong)} findings" if wrong else "all as it must be"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
