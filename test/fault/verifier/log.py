"""The input log, by partition: what heartbeatd-kit dump prints of the real topics, or a plain file of events."""
import base64
import dataclasses
import gzip
import json

from . import events


@dataclasses.dataclass
class Message:
    topic: str
    partition: int
    offset: int
    written_ms: int | None  # when it was produced, as Kafka says; None: unknown
    payload: bytes | None
    event: events.Event | None = None
    refused: str | None = None

    @property
    def place(self):
        return self.topic, self.partition, self.offset


def bytes_of(row, name):
    """A key or value of a dumped message."""
    if f"{name}_base64" in row:
        return base64.b64decode(row[f"{name}_base64"])
    return None if row.get(name) is None else row[name].encode()


def dumped(topic, rows):
    """The messages of a dumped topic."""
    return [Message(topic, row["partition"], row["offset"], row["timestamp"], bytes_of(row, "value")) for row in rows]


def open_lines(path):
    return gzip.open(path, "rb") if str(path).endswith(".gz") else open(path, "rb")


def plain(path):
    """A file of events as one partition, in the order of the lines. Empty lines are none."""
    with open_lines(path) as lines:
        return [Message("events", 0, number, None, line.rstrip(b"\r\n")) for number, line in enumerate(lines) if line.strip()]


def read(path, topic):
    """A file of either kind."""
    with open_lines(path) as lines:
        first = lines.readline()
    try:
        is_dump = {"partition", "offset"} <= json.loads(first).keys()
    except (ValueError, AttributeError):
        is_dump = False
    if not is_dump:
        return plain(path)
    with open_lines(path) as lines:
        return dumped(topic, map(json.loads, lines))


def by_partition(messages, configuration):
    """{partition: messages in the order in which its shard applies them}: by offset within a topic; of several topics the
    smallest time goes first, and what has no time goes at once."""
    shards = {}
    for message in messages:
        try:
            message.event = events.decode(message.payload, configuration.currency)
        except events.Refused as refused:
            message.refused = str(refused)
        shards.setdefault(message.partition, {}).setdefault(message.topic, []).append(message)
    order = {topic: number for number, topic in enumerate(configuration.input_topics)}
    out = {}
    for partition, topics in sorted(shards.items()):
        queues = [topics[topic] for topic in sorted(topics, key=lambda topic: order.get(topic, 0))]
        for queue in queues:
            queue.sort(key=lambda message: message.offset)
        out[partition] = merged(queues)
    return out


def merged(queues):
    if len(queues) == 1:
        return queues[0]
    heads, order = [0] * len(queues), []
    while True:
        waiting = [(queue[at].event.ms if queue[at].event else -2**63, number)
                   for number, (queue, at) in enumerate(zip(queues, heads)) if at < len(queue)]
        if not waiting:
            return order
        _, number = min(waiting)
        order.append(queues[number][heads[number]])
        heads[number] += 1
