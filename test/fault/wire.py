"""As much of Kafka's protocol as the fault tests need: frames, request headers, and two questions of an administrator.

A frame is a length (4 bytes) and so many bytes. A request begins with api key (2), version (2), correlation id (4) and
the client's id (2 bytes of length, then text); a reply with the correlation id of its request.
"""
import dataclasses
import random
import socket
import struct

METADATA, FIND_COORDINATOR, END_TXN = 3, 10, 26
GROUP, TRANSACTION = 0, 1  # what a coordinator is of
TIMEOUT_SECONDS = 5


class WireError(Exception):
    """No answer, or an error code in it: the cluster may be between two leaders."""


@dataclasses.dataclass
class Header:
    """Of a request."""

    api: int
    version: int
    correlation: int
    client: str


def header_of(frame):
    api, version, correlation, length = struct.unpack_from(">hhih", frame)
    return Header(api, version, correlation, frame[10:10 + max(length, 0)].decode(errors="replace"))


def correlation_of(reply):
    return struct.unpack_from(">i", reply)[0]


def read_frame(connection):
    """The bytes of the next frame without its length; None at the end of the stream."""
    length = _read(connection, 4)
    return None if length is None else _read(connection, struct.unpack(">i", length)[0])


def write_frame(connection, frame):
    connection.sendall(struct.pack(">i", len(frame)) + frame)


def _read(connection, size):
    out = bytearray()
    while len(out) < size:
        part = connection.recv(min(size - len(out), 1 << 16))
        if not part:
            return None
        out += part
    return bytes(out)


class Reader:
    """The fields of a reply, one after the other."""

    def __init__(self, frame):
        self.frame = frame
        self.at = 0

    def take(self, kind):
        value = struct.unpack_from(">" + kind, self.frame, self.at)[0]
        self.at += struct.calcsize(">" + kind)
        return value

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.frame[self.at - length:self.at].decode()

    def items(self, read):
        return [read() for _ in range(self.take("i"))]


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def ask(address, api, version, body):
    """One question on a connection of its own. Returns the reply's body."""
    host, port = address.rsplit(":", 1)
    correlation = random.getrandbits(31)
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
            write_frame(connection, struct.pack(">hhi", api, version, correlation) + text("fault-tests") + body)
            reply = read_frame(connection)
    except OSError as error:
        raise WireError(f"{address}: {error}") from error
    if reply is None or correlation_of(reply) != correlation:
        raise WireError(f"{address} closed the connection")
    return Reader(reply[4:])


def coordinator(address, name, kind):
    """The id of the broker that coordinates the group or the transactional id of this name."""
    reply = ask(address, FIND_COORDINATOR, 1, text(name) + struct.pack(">b", kind))
    reply.take("i")  # throttled for so many ms
    error = reply.take("h")
    reply.text()  # in words
    if error:
        raise WireError(f"{address}: the coordinator of {name} is not known: error {error}")
    return reply.take("i")


@dataclasses.dataclass
class Partition:
    leader: int  # the broker's id; -1: none
    in_sync: list  # ids


def partitions(address, topic):
    """Of a topic, by number."""
    reply = ask(address, METADATA, 1, struct.pack(">i", 1) + text(topic))
    reply.items(lambda: (reply.take("i"), reply.text(), reply.take("i"), reply.text()))  # brokers
    reply.take("i")  # controller

    def partition():
        _, number, leader = reply.take("h"), reply.take("i"), reply.take("i")
        reply.items(lambda: reply.take("i"))  # replicas
        return number, Partition(leader, reply.items(lambda: reply.take("i")))

    def one():
        error = reply.take("h")
        reply.text()
        reply.take("b")  # internal
        if error:
            raise WireError(f"{address}: {topic}: error {error}")
        return dict(reply.items(partition))

    return reply.items(one)[0]
