"""Texts of durations, times and numbers, and the days of a time zone."""
import bisect
import datetime
import functools
import re
import zoneinfo
from fractions import Fraction

DAY_MS = 86_400_000
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
YEAR_1900_MS = -2_208_988_800_000
YEAR_3000_MS = 32_503_680_000_000
NEVER = 2**63 - 1  # as the state says it


def duration_ms(text):
    """ "28d" -> milliseconds."""
    if text == "0":
        return 0
    number, unit = re.fullmatch(r"([0-9.]+) *([a-z]+)", text).groups()
    return int(Fraction(number) * UNITS_MS[unit])


def days_of(text):
    """ "74d" -> 74.0"""
    return duration_ms(text) / DAY_MS


def rfc3339_ms(text):
    """Milliseconds since 1970, or None if it is not RFC 3339 with a zone."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII)
    if not found:
        return None
    *parts, fraction, zone = found.groups()
    try:
        moment = datetime.datetime(*map(int, parts), tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    seconds = int((moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds())
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        if hours > 23 or minutes > 59:
            return None
        seconds -= (hours * 3600 + minutes * 60) * (1 if zone[0] == "+" else -1)
    return seconds * 1000 + int(((fraction or "") + "000")[:3])


def configured_ms(text):
    """A moment in a configuration: RFC 3339, or a date, which is midnight UTC."""
    return rfc3339_ms(text if "T" in text else text + "T00:00:00Z")


def show(ms):
    if ms is None or not YEAR_1900_MS <= ms < YEAR_3000_MS:
        return str(ms)
    seconds, rest = divmod(ms, 1000)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{rest:03}" if rest else "") + "Z"


def canonical_number(value):
    """The one text of equal numbers: 3 and 3.0 are "3"."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return str(value)


JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


def canonical_scalar(text):
    """What an unquoted word of the configuration has to equal as a property's text."""
    if not JSON_NUMBER.fullmatch(text):
        return text
    return canonical_number(int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text))


class Zone:
    """The calendar days of an IANA zone, numbered from 1970-01-01. Day d begins at the first moment at which a clock on the
    wall shows it; it never ends before the next one has begun, even where clocks go back over midnight."""

    RULES_END_MS = rfc3339_ms("2037-12-31T00:00:00Z")  # the daemon reads no rules for later years: the last offset goes on

    def __init__(self, name):
        self.zone = None if name == "UTC" else zoneinfo.ZoneInfo(name)
        self.start_of = functools.lru_cache(None)(self._start_of)

    def offset_ms(self, ms):
        moment = datetime.datetime.fromtimestamp(min(ms, self.RULES_END_MS) / 1000, datetime.timezone.utc)
        return int(moment.astimezone(self.zone).utcoffset().total_seconds() * 1000)

    def shown(self, ms):
        """The day that a clock on the wall shows."""
        return (ms + self.offset_ms(ms)) // DAY_MS

    def _start_of(self, day):
        # Look through two days in steps of a quarter of an hour, then for the millisecond within the step.
        step = 900_000
        t = day * DAY_MS - DAY_MS
        while self.shown(t) < day:
            t += step
        return bisect.bisect_left(range(t - step, t), True, key=lambda ms: self.shown(ms) >= day) + t - step

    def start(self, day):
        return day * DAY_MS if self.zone is None else self.start_of(day)

    def day(self, ms):
        if self.zone is None:
            return ms // DAY_MS
        day = self.shown(ms)
        while self.start(day + 1) <= ms:
            day += 1
        return day
