"""The verdict: what was read and what was left behind, compared. One call for the fault suite: verify()."""
import dataclasses

from . import alerts, configuration, findings, log, predict, states, stores, values


@dataclasses.dataclass
class Evidence:
    """What there is to judge by, as heartbeatd-kit prints it; what is None is not judged. All of it must be at rest: the
    daemon has ended, or has nothing to do any more."""
    messages: list  # log.Message of the input topics
    alerts: list | None = None  # rows of the alerts' dump (read_committed), or bare alerts
    dead_letters: list | None = None
    changelog: list | None = None
    stores: list = dataclasses.field(default_factory=list)  # one list of dump-state rows for each state directory
    offsets: list | None = None  # of all topics, with the group's
    until_ms: int | None = None  # where time moved to after the last event; with a changelog and wall time its clock counts


def collect(kit, settings, state_directories=()):
    """The Evidence of a running broker. `kit`: test/broker/kit.py; `settings`: a Configuration; the directories are those of
    daemons that have ended."""
    inputs = [message for topic in settings.input_topics for message in log.dumped(topic, kit.dump(topic))]
    outputs = [settings.alerts_topic, settings.dead_letter_topic, settings.changelog_topic]
    alert_rows, dead_rows, changelog = (kit.dump(topic) for topic in outputs)
    return Evidence(inputs, alert_rows, dead_rows, changelog, [kit.dump_state(directory) for directory in state_directories],
                    kit.offsets(*settings.input_topics, *outputs, group=settings.app))


def verify(kit, configurations, state_directories=(), all_current=False, until_ms=None):
    """Everything about one application: `configurations` are its files, `state_directories` those of daemons that have ended.
    `all_current`: every partition must be in one of them as of its last commit, since none was killed. A list of findings."""
    settings = configuration.read(configurations)
    evidence = collect(kit, settings, state_directories)
    evidence.until_ms = until_ms
    return judge(settings, evidence, all_current)


def verify_alerts(configurations, events, rows, until):
    """Only the alerts: of a file of events, by time or in the order in which they were read, beside a dump of the alerts."""
    settings = configuration.read(configurations)
    return judge(settings, Evidence(log.plain(events), rows, until_ms=values.rfc3339_ms(until)))


def judge(settings, evidence, all_current=False):
    shards = log.by_partition(evidence.messages, settings)
    partitions = states.fold(evidence.changelog or [])
    refused = alerts.believed(evidence.dead_letters or [], evidence.messages, settings.future_skew_ms)
    results = {}
    for number in sorted(shards.keys() | partitions.keys()):
        until = evidence.until_ms
        if settings.source == "wall" and number in partitions:
            until = partitions[number].decoded_meta().clock_ms
        results[number] = predict.run(shards.get(number, []), settings, until, refused)
    wrong = []
    if evidence.alerts is not None:
        wrong += alerts.compare([alert for shard in results.values() for alert in shard.alerts], evidence.alerts)
    if evidence.dead_letters is not None:
        expected = {place: reason for shard in results.values() for place, reason in shard.refused.items()}
        wrong += alerts.compare_dead_letters(expected, evidence.dead_letters)
    if evidence.changelog is not None:
        wrong += judge_states(results, partitions)
        wrong += judge_stores(evidence.stores, partitions, all_current)
    if evidence.offsets is not None:
        wrong += judge_offsets(settings, evidence, partitions)
    return wrong


def judge_states(results, partitions):
    wrong = findings.of("state", "partitions without a record in the changelog",
                        [number for number in results if number not in partitions or partitions[number].meta is None])
    for number, shard in results.items():
        if number in partitions and partitions[number].meta is not None:
            wrong += states.compare(number, shard, partitions[number])
    return wrong


def judge_stores(dumps, partitions, all_current):
    wrong, current = [], set()
    for rows in dumps:
        for number, store in stores.read(rows).items():
            is_current = number in partitions and stores.is_current(store, partitions[number])
            wrong += stores.check_timers(number, store, is_current)
            if is_current:
                current.add(number)
                wrong += stores.compare(number, store, partitions[number])
    if all_current:
        wrong += findings.of("store", "partitions of which no RocksDB holds the last commit", sorted(partitions.keys() - current))
    return wrong


def judge_offsets(settings, evidence, partitions):
    """The shard's own record says what the group's offsets say, all of the input is read, and no transaction is left open."""
    wrong = []
    read_to = {}  # (topic, partition) -> behind the last message
    for message in evidence.messages:
        place = message.topic, message.partition
        read_to[place] = max(read_to.get(place, 0), message.offset + 1)
    for row in evidence.offsets:
        place = f"{row['topic']}[{row['partition']}]"
        if row["stable"] != row["end"]:
            wrong.append(f"{place}: last stable offset {row['stable']}, high watermark {row['end']}: a transaction is open")
        if row["topic"] not in settings.input_topics:
            continue
        partition = partitions.get(row["partition"])
        if partition is not None and partition.meta is not None:
            next_offsets = {one.topic: one.next_offset for one in partition.decoded_meta().next}
            if next_offsets.get(row["topic"]) != row["committed"]:
                wrong.append(f"{place}: the shard's record says {next_offsets.get(row['topic'])}, the group {row['committed']}")
        if (row["committed"] or 0) < read_to.get((row["topic"], row["partition"]), 0):
            wrong.append(f"{place}: read up to {row['committed']} only, of {row['end']}")
    return findings.of("offset", "offsets that do not agree", wrong)
