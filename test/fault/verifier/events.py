"""Messages of the input topic, and what the daemon has to make of each: an event, or a reason to refuse it."""
import dataclasses
import decimal
import json
import re

from . import values

PAYLOAD_BYTES_MAX = 256 * 1024
CUSTOMER_ID_BYTES_MAX = 256
DEPTH_MAX = 32
AMOUNT_MAX = 100_000_000_000
# Types that are no sign of life of a customer, though everything else is.
NO_PULSE = {"refund", "erase", "tick", "support", "feedback", "contract", "subscription"}


class Refused(Exception):
    """The reason is the text."""


@dataclasses.dataclass(frozen=True)
class Event:
    id: str
    type: str
    customer: str
    ms: int
    amount_micros: int | None = None
    properties: dict = dataclasses.field(default_factory=dict)  # name -> text
    numbers: dict = dataclasses.field(default_factory=dict)  # name -> the finite number it is


class Number(str):
    """A JSON number as it is written."""


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


TOKEN = re.compile(r'\s*([\[\]{},:]|"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|true|false|null|'
                   r'-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*', re.ASCII)


def is_json(text):
    """Whether it is one JSON value, however deep it is nested."""
    at, closers, expected = 0, [], "value"
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            return False
        token, at = found.group(1), found.end()
        ended = False
        if expected == "colon" and token == ":":
            expected = "value"
        elif expected == "more" and token == ",":
            expected = "value" if closers[-1] == "]" else "name"
        elif expected in ("more", "first value", "first name") and token == closers[-1]:
            closers.pop()
            ended = True
        elif expected in ("name", "first name") and token[0] == '"':
            expected = "colon"
        elif expected in ("value", "first value") and token in "[{":
            closers.append("]" if token == "[" else "}")
            expected = "first value" if token == "[" else "first name"
        elif expected in ("value", "first value") and token not in "]},:":
            ended = True
        else:
            return False
        if ended:
            expected = "more" if closers else "end"
    return expected == "end"


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def parse(payload):
    """The JSON object in these bytes, its numbers as text."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not_json") from None
    try:
        value = json.loads(text, parse_constant=no_constant, parse_int=Number, parse_float=Number)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
        deep = depth_of(value) > DEPTH_MAX
    except RecursionError:
        if not is_json(text):
            raise Refused("not_json") from None
        deep = True
    except ValueError:
        raise Refused("not_json") from None
    if deep:
        raise Refused("too_deep")
    if not isinstance(value, dict):
        raise Refused("not_json")
    return value


def text_or_whole(value):
    """An id: text or a whole number; "" for anything else."""
    if isinstance(value, Number):
        return str(value) if re.fullmatch(r"-?[0-9]+", value) else ""
    return value if isinstance(value, str) else ""


def time_of(value):
    if isinstance(value, Number):
        ms = int(value) if re.fullmatch(r"-?[0-9]+", value) else None
    else:
        ms = values.rfc3339_ms(value) if isinstance(value, str) else None
    if ms is None or not values.YEAR_1900_MS <= ms < values.YEAR_3000_MS:
        raise Refused("bad_timestamp")
    return ms


def micros(number):
    """Whole micro-units of a number as it is written; None if it is too large."""
    amount = decimal.Decimal(repr(float(number)))
    if not amount.is_finite() or abs(amount) > AMOUNT_MAX:
        return None
    return int((amount * 1_000_000).to_integral_value(decimal.ROUND_HALF_UP))


def amount_of(value):
    if value is None:
        return None
    if not isinstance(value, Number):
        raise Refused("bad_amount")
    amount = micros(value)
    if amount is None:
        raise Refused("amount_too_large")
    return amount


def property_text(value):
    if isinstance(value, Number):
        if re.fullmatch(r"-?[0-9]+", value):
            return values.canonical_number(int(value))
        return values.canonical_number(float(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def decode(payload, currency):
    """The Event in these bytes. Raises Refused; of several reasons the first of docs/architecture.md's order counts."""
    if payload is not None and len(payload) > PAYLOAD_BYTES_MAX:
        raise Refused("too_long")
    row = {key: value for key, value in parse(payload or b"").items() if value is not None}
    kind = row.get("type")
    if not isinstance(kind, str) or isinstance(kind, Number) or not kind:
        raise Refused("missing_type")
    if kind == "tick":
        return Event("", kind, "", time_of(row.get("timestamp")))
    event_id, customer = text_or_whole(row.get("event_id")), text_or_whole(row.get("customer_id"))
    if not event_id:
        raise Refused("missing_event_id")
    if not customer:
        raise Refused("missing_customer_id")
    if len(customer.encode()) > CUSTOMER_ID_BYTES_MAX:
        raise Refused("customer_id_too_long")
    ms = time_of(row.get("timestamp"))
    if kind == "erase":
        return Event(event_id, kind, customer, ms)
    if currency and "currency" in row and row["currency"] != currency:
        raise Refused("other_currency")
    amount = amount_of(row.get("amount"))
    properties = row.get("properties", {})
    if not isinstance(properties, dict):
        raise Refused("bad_properties")
    texts = {name: property_text(value) for name, value in properties.items()}
    numbers = {name: micros(value) for name, value in properties.items() if isinstance(value, Number)}
    return Event(event_id, kind, customer, ms, amount, {name: text for name, text in texts.items() if text is not None},
                 {name: number for name, number in numbers.items() if number is not None})
