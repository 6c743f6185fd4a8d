"""Messages that cannot be understood, one of each kind, and what must become of them: one dead letter each, with the reason
and the place."""
import base64
import collections
import json
import time

import app as apps
import events

WALL_CLOCK = time.time()
PAYLOAD_BYTES_MAX = 256 * 1024
CUSTOMER_ID_BYTES_MAX = 256
DEPTH_MAX = 32
AFTER_HISTORY = "2011-07-10T12:00:00Z"  # so that none of these is late

GOOD = events.event("", "", AFTER_HISTORY, "purchase", amount=12.5, currency="USD", properties={"channel": "app"})


def text(name, **fields):
    """A good event of a customer of its own but for these fields; None leaves a field out."""
    row = {**GOOD, "event_id": f"event-{name}", "customer_id": f"customer-{name}", **fields}
    return json.dumps({key: value for key, value in row.items() if value is not None})


def nested(levels):
    """`levels` of objects and arrays in all: the event, its properties, and arrays."""
    return text("nested", properties={"a": "HERE"}).replace('"HERE"', "[" * (levels - 2) + "]" * (levels - 2))


def padded(size):
    short = text("padded", properties={"a": ""})
    return text("padded", properties={"a": "x" * (size - len(short))})


BAD = {  # name: reason, value
    "no-json": ("not_json", "hello"),
    "empty": ("not_json", ""),
    "tombstone": ("not_json", None),
    "array": ("not_json", "[1, 2]"),
    "cut-off": ("not_json", text("cut-off")[:-1]),
    "two-objects": ("not_json", text("two") + text("objects")),
    "bad-utf8": ("not_json", text("utf8", properties={"a": "HERE"}).encode().replace(b"HERE", b"\xff\xfe")),
    "nan": ("not_json", text("nan", amount=float("nan"))),
    "infinity": ("not_json", text("infinity", amount=float("inf"))),
    "nan-text": ("bad_amount", text("nan-text", amount="NaN")),
    "amount-object": ("bad_amount", text("amount-object", amount={"value": 1})),
    "huge-amount": ("amount_too_large", text("huge-amount", amount=1e300)),
    "huge-negative": ("amount_too_large", text("huge-negative", amount=-1e12)),
    "beyond-double": ("amount_too_large", text("beyond", amount="HERE").replace('"HERE"', "1e999")),
    "no-event-id": ("missing_event_id", text("x", event_id=None)),
    "empty-event-id": ("missing_event_id", text("x", event_id="")),
    "no-customer-id": ("missing_customer_id", text("x", customer_id=None)),
    "customer-id-list": ("missing_customer_id", text("x", customer_id=["a"])),
    "long-customer-id": ("customer_id_too_long", text("x", customer_id="c" * (CUSTOMER_ID_BYTES_MAX + 1))),
    "no-type": ("missing_type", text("no-type", type=None)),
    "no-time": ("bad_timestamp", text("no-time", timestamp=None)),
    "word-for-time": ("bad_timestamp", text("word", timestamp="yesterday")),
    "no-such-day": ("bad_timestamp", text("day", timestamp="2011-02-30T00:00:00Z")),
    "no-zone": ("bad_timestamp", text("zone", timestamp="2011-02-03T00:00:00")),
    "year-3000": ("bad_timestamp", text("3000", timestamp="3000-01-01T00:00:00Z")),
    "year-2999": ("future_timestamp", text("2999", timestamp="2999-12-31T23:59:59.999Z")),
    "tomorrow": ("future_timestamp", text("tomorrow", timestamp=events.rfc3339(WALL_CLOCK + 86400))),
    "seconds-for-milliseconds-times-1000": ("future_timestamp", text("micro", timestamp=int(WALL_CLOCK * 10_000))),
    "properties-text": ("bad_properties", text("properties", properties="app")),
    "other-currency": ("other_currency", text("currency", currency="EUR")),
    "too-deep": ("too_deep", nested(DEPTH_MAX + 1)),
    "very-deep": ("too_deep", nested(100_000)),
    "deep-array": ("too_deep", "[" * 100_000 + "]" * 100_000),
    "too-long": ("too_long", padded(PAYLOAD_BYTES_MAX + 1)),
    "near-megabyte": ("too_long", padded(990_000)),
    "noise": ("too_long", b"\xff" * 900_000),
}

# What looks odd and is an event all the same.
ODD = [
    nested(DEPTH_MAX),
    padded(PAYLOAD_BYTES_MAX),
    text("long-id", customer_id="d" * CUSTOMER_ID_BYTES_MAX),
    text("number-id", customer_id=4711, event_id=4712),
    text("milliseconds", timestamp=int(events.unix(AFTER_HISTORY) * 1000)),
    text("nothing", amount=0),
    text("no-amount", amount=None),
    text("other-type", type="visited-the-zoo"),
    text("unicode", customer_id="Zoë 🦒"),
    text("long-number", properties={"a": 10**40}),
]


def field(name, value):
    """As the kit sends and prints it."""
    if isinstance(value, bytes):
        return {f"{name}_base64": base64.b64encode(value).decode()}
    return {name: value}


def bad_messages(names, seed):
    """The header `case` says which one it is; keys are of all kinds."""
    keys = [None, "some-customer", b"\xff\x00\xfe", "Zoë"]
    for number, name in enumerate(names):
        yield {"partition": (number + seed) % apps.PARTITIONS, **field("key", keys[number % len(keys)]),
               **field("value", BAD[name][1]), "headers": {"case": name, **field("trace", b"\x80\x01")}}


def value_of(message):
    """The bytes of a dumped message; None for a tombstone."""
    if "value_base64" in message:
        return base64.b64decode(message["value_base64"])
    return None if message["value"] is None else message["value"].encode()


def key_of(message):
    return message.get("key"), message.get("key_base64")


def check_dead_letters(app, names, with_payload):
    """Exactly one for each bad message on the input, saying where it was and how it was."""
    inputs = {}
    for message in app.kit.dump(app.inputs[0]):
        if "case" in message["headers"]:
            inputs[message["partition"], message["offset"]] = message
    assert collections.Counter(message["headers"]["case"] for message in inputs.values()) == collections.Counter(names)
    seen = collections.Counter()
    for dead in app.kit.dump(app.dead_letters):
        headers = dict(dead["headers"])
        reason, topic = headers.pop("reason"), headers.pop("source_topic")
        place = int(headers.pop("source_partition")), int(headers.pop("source_offset"))
        source = inputs[place]
        case = source["headers"]["case"]
        assert topic == app.inputs[0]
        assert reason == BAD[case][0], case
        assert headers == source["headers"], case
        assert key_of(dead) == key_of(source), case
        assert value_of(dead) == (value_of(source) if with_payload else b""), case
        seen[place] += 1
    assert seen == collections.Counter(inputs.keys())
