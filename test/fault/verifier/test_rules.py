"""Tables worked out by hand from the documents: what each rule must say of a few events."""
import math

import pytest

from verifier import lapse, values
from verifier.tables import event, every, lines, shard

DROPPING = """
measures: {purchases: {type: purchase, sum: amount, distinct: category}}
rules: [{id: drop, detector: dropping, measure: purchases, window: 28d, ratio: 0.5, minimum: {baseline_count: 8}%s}]
"""
WEEK = """
measures: {purchases: {type: purchase, sum: amount, distinct: category}}
rules: [{id: drop, detector: dropping, measure: purchases, window: 7d, minimum: {baseline_count: 1}, %s}]
"""
FOURTH_DAYS = every("2026-01-01T10:00:00Z", "4d", 28)  # the last one on 2026-04-19
DAILY = every("2026-01-01T10:00:00Z", "1d", 28)  # the last one on 2026-01-28


def table(*rows):
    return pytest.mark.parametrize("config,rows,until,expected", [row[1:] for row in rows], ids=[row[0] for row in rows])


@table(
    # Seven in 28 days. On 2026-05-06 the one of 04-07 has left the window: three, at most half.
    ("fires", DROPPING % "", FOURTH_DAYS, "2026-08-01", ["drop firing below_baseline 2026-05-06 2026-05-06"]),
    ("not before 112 days", DROPPING % "", every("2026-01-01T10:00:00Z", "1d", 60), "2026-05-01",
     ["drop firing below_baseline 2026-04-24 2026-04-24"]),
    ("too few before", DROPPING % "", every("2026-01-01T10:00:00Z", "14d", 8), "2026-12-01", []),
    # 0 of 21: 0.75^21 = 0.0024; 1 of 22: 0.0149. On 2026-06-07 there are 16 left: 0.75^16 = 0.01002.
    ("exact test", DROPPING % ", p_value: 0.01", FOURTH_DAYS, "2026-08-01",
     ["drop firing below_baseline 2026-05-18 2026-05-18", "drop resolved baseline_faded 2026-05-18 2026-06-07"]),
    ("recovered", DROPPING % "", [*FOURTH_DAYS, *every("2026-05-08T10:00:00Z", "1d", 3)], "2026-05-12",
     ["drop firing below_baseline 2026-05-06 2026-05-06", "drop resolved recovered 2026-05-06 2026-05-09"]),
    ("corrected", DROPPING % "", [*FOURTH_DAYS, event("2026-05-20", "tick"), *every("2026-05-01T10:00:00Z", "1d", 3),
                                  event("2026-05-04T10:00:00Z")], "2026-05-20",
     ["drop firing below_baseline 2026-05-06 2026-05-06", "drop resolved corrected 2026-05-06 2026-05-20"]),
    ("held", DROPPING % ", hold: 3d", FOURTH_DAYS, "2026-08-01", ["drop firing below_baseline 2026-05-06 2026-05-09"]),
    ("strictly below each", WEEK % "baseline: {periods: 3, compare: each}, ratio: 1", DAILY + [event("2026-02-04T10:00:00Z")],
     "2026-02-05", ["drop firing below_baseline 2026-01-30 2026-01-30"]),
    # In the week up to 2026-02-18 nothing, before 1, 7 and 7: the median is 7. Later ones have a median of 1, then 0.
    ("median", WEEK % "baseline: {periods: 3, compare: median}, ratio: 0.1", DAILY + [event("2026-02-10T10:00:00Z")], "2026-03-30",
     ["drop firing below_baseline 2026-02-05 2026-02-05", "drop resolved recovered 2026-02-05 2026-02-11",
      "drop firing below_baseline 2026-02-18 2026-02-18"]),
    ("sum", WEEK % "value: sum, ratio: 0.5", [*every("2026-01-01T10:00:00Z", "7d", 5, amount=100), event("2026-01-30T10:00:00Z",
                                              "refund", amount=60)], "2026-02-03",
     ["drop firing below_baseline 2026-01-31 2026-01-31"]),
    ("days", WEEK % "value: days, ratio: 0.5", every("2026-01-01T10:00:00Z", "1d", 28) + every("2026-01-29T10:00:00Z", "1s", 9),
     "2026-02-04", ["drop firing below_baseline 2026-02-03 2026-02-03"]),
    ("distinct", WEEK % "value: distinct, ratio: 0.5",
     [event(f"2026-01-{day:02}T10:00:00Z", properties={"category": f"{day % 4 if day < 29 else 0}"}) for day in range(1, 32)] +
     [event(f"2026-02-{day:02}T10:00:00Z", properties={"category": "0"}) for day in range(1, 4)], "2026-02-03",
     ["drop firing below_baseline 2026-02-03 2026-02-03"]),
    ("hours", """
measures: {visits: {type: visit, resolution: 1h}}
rules: [{id: drop, detector: dropping, measure: visits, window: 2h, ratio: 0.5, minimum: {baseline_count: 3}}]""",
     every("2026-01-01T00:30:00Z", "1h", 9, "visit"), "2026-01-02",
     ["drop firing below_baseline 2026-01-01T10:00:00Z 2026-01-01T10:00:00Z"]),
)
def test_dropping(tmp_path, config, rows, until, expected):
    assert lines(shard(tmp_path, config, rows, until)) == expected


SILENCE = """
measures: {visits: {type: visit, population_gap: 10d}, other: {type: visit, where: {channel: [app, 3]}}}
rules: [{id: quiet, detector: silence, measure: visits, minimum: {days: 1}, %s}]
"""
VISIT = event("2026-01-01", "visit")


def visits(*days):
    return [event(f"2026-{day}", "visit") for day in days]


@table(
    ("to the millisecond", SILENCE % "after: 10d", [VISIT], "2026-02-01", ["quiet firing silent_too_long 2026-01-11 2026-01-11"]),
    ("not before", SILENCE % "after: 10d", [VISIT], "2026-01-10T23:59:59.999Z", []),
    ("ends", SILENCE % "after: 10d", visits("01-01", "01-21"), "2026-01-22",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-01-21"]),
    ("corrected", SILENCE % "after: 10d", [*visits("01-01"), event("2026-01-15", "tick"), *visits("01-10")], "2026-01-16",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved corrected 2026-01-11 2026-01-15"]),
    ("heard of late", SILENCE % "after: 10d", [*visits("01-01"), event("2026-01-15", "tick"), *visits("01-12")], "2026-01-16",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-01-12"]),
    ("held", SILENCE % "after: 10d, hold: 2d", visits("01-01", "01-12"), "2026-02-01",
     ["quiet firing silent_too_long 2026-01-22 2026-01-24"]),
    ("end held", SILENCE % "after: 10d, resolve: {hold: 3d}", visits("01-01", "01-12"), "2026-01-20",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-01-15"]),
    ("cool-down", SILENCE % "after: 10d, cooldown: 30d", visits("01-01", "01-12"), "2026-03-01",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-01-12",
      "quiet firing silent_too_long 2026-02-10 2026-02-10"]),
    ("over within the cool-down", SILENCE % "after: 10d, cooldown: 30d", visits("01-01", "01-12", "02-01"), "2026-02-11",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-01-12",
      "quiet firing silent_too_long 2026-02-11 2026-02-11"]),
    ("once", SILENCE % "after: 10d, reentry: once", visits("01-01", "03-01"), "2026-06-01",
     ["quiet firing silent_too_long 2026-01-11 2026-01-11", "quiet resolved activity_resumed 2026-01-11 2026-03-01"]),
    ("active from", SILENCE % "after: 10d, active_from: 2026-02-01", visits("01-01", "02-15"), "2026-03-07",
     ["quiet firing silent_too_long 2026-02-25 2026-02-25"]),
    ("off", SILENCE % "after: 10d, enabled: false", [VISIT], "2026-06-01", []),
    ("too few days", SILENCE.replace("days: 1", "days: 2") % "after: 10d",
     [VISIT, event("2026-01-01T23:59:59Z", "visit")], "2026-06-01", []),
    ("repeated", SILENCE.replace("days: 1", "days: 2") % "after: 10d",
     [event("2026-01-01", "visit", id="same"), event("2026-01-02", "visit", id="same")], "2026-06-01", []),
    ("erased", SILENCE % "after: 10d", [VISIT, event("2026-01-05", "erase")], "2026-06-01", []),
    ("come again", SILENCE % "after: 10d", [event("2026-01-01", "visit", id="a"), event("2026-01-05", "erase"),
                                            event("2026-02-01", "visit", id="a")], "2026-06-01",
     ["quiet firing silent_too_long 2026-02-11 2026-02-11"]),
    ("horizon", SILENCE % "false_alerts: 0.000000001, horizon: 100d", [VISIT], "2026-06-01",
     ["quiet firing silent_too_long 2026-04-11 2026-04-11"]),
    ("where", SILENCE.replace("measure: visits", "measure: other") % "after: 10d",
     [event("2026-01-01", "visit", properties={"channel": 3.0}), event("2026-01-05", "visit", properties={"channel": "web"}),
      event("2026-01-06", "visit")], "2026-02-01", ["quiet firing silent_too_long 2026-01-11 2026-01-11"]),
)
def test_silence(tmp_path, config, rows, until, expected):
    assert lines(shard(tmp_path, config, rows, until)) == expected


def test_rhythm(tmp_path):
    """Weekly visits and a population gap of 10 days: x = 2.71, S = 18.97, B = 28.97, m = 38.97/4.71, q = 0.05."""
    (alert,) = shard(tmp_path, SILENCE % "false_alerts: 0.05", every("2026-01-05T09:00:00Z", "7d", 4, "visit"), "2026-12-01").alerts
    days = (alert.starts_ms - values.rfc3339_ms("2026-01-26T09:00:00Z")) / values.DAY_MS
    score = 3.71 * math.log10(1 + days / 28.97) + math.log10(38.97 / 4.71)
    assert score == pytest.approx(-math.log10(0.05 / 7), abs=1e-9)
    assert days == pytest.approx(33.1253, abs=1e-4)


def test_short_silence():
    """A score that is reached before the usual gap is over is looked for between 0 and that gap."""
    score = lapse.threshold(1.0)
    days = lapse.silence_ms(0.0, 0.0, 100.0, score, 3650 * values.DAY_MS) / values.DAY_MS
    assert days < 100
    assert math.log10(1 + days / 100) + math.log10(max(0.5, days)) == pytest.approx(score, abs=1e-8)


LIFE = """
lifecycle: {population_gap: 30d%s}
rules: [{id: life, detector: transition, of: activity%s}]
"""


@table(
    ("once and never again", LIFE % ("", ""), [event("2026-02-03")], "2030-01-01",
     ["life firing activity_changed 2026-04-04 2026-04-04", "life firing activity_changed 2026-05-04 2026-05-04",
      "life firing activity_changed 2026-08-02 2026-08-02"]),
    ("first sight", LIFE % ("", ", from: none"), [event("2026-02-03")], "2026-02-04",
     ["life firing activity_changed 2026-02-03 2026-02-03"]),
    ("back in time", LIFE % ("", ", to: new"), [event("2026-02-03"), event("2026-04-10")], "2026-04-11",
     ["life firing activity_changed 2026-04-10 2026-04-10"]),
    ("a rhythm", LIFE % ("", ", to: active"), every("2026-02-03", "7d", 4), "2026-02-25",
     ["life firing activity_changed 2026-02-24 2026-02-24"]),
    ("reactivated", LIFE % ("", ", to: [reactivated, active]"), [event("2026-02-03"), event("2026-06-01"),
                                                                 event("2026-06-01T23:00:00Z"), event("2026-06-02")], "2026-06-03",
     ["life firing activity_changed 2026-06-01 2026-06-01", "life firing activity_changed 2026-06-02 2026-06-02"]),
    ("no sign of life", LIFE % ("", ", to: at_risk"), [event("2026-02-03"), *(event("2026-03-03", kind) for kind in (
        "support", "refund", "contract", "feedback", "subscription"))], "2026-04-05",
     ["life firing activity_changed 2026-04-04 2026-04-04"]),
    ("fixed days", LIFE % (", at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 30d}", ""), [event("2026-02-01")],
     "2026-06-01", ["life firing activity_changed 2026-02-11 2026-02-11", "life firing activity_changed 2026-02-21 2026-02-21",
                    "life firing activity_changed 2026-03-03 2026-03-03"]),
    ("late and older", LIFE % ("", ""), [event("2026-02-03"), event("2026-04-05", "tick"), event("2026-01-03")], "2026-04-05",
     ["life firing activity_changed 2026-04-04 2026-04-04"]),
    ("late and newer", LIFE % ("", ""), [event("2026-02-03"), event("2026-04-05", "tick"), event("2026-03-03")], "2026-04-05",
     ["life firing activity_changed 2026-04-04 2026-04-04", "life firing activity_changed 2026-04-05 2026-04-05"]),
)
def test_life_cycle(tmp_path, config, rows, until, expected):
    assert lines(shard(tmp_path, config, rows, until)) == expected


BERLIN = """
time: {zone: Europe/Berlin}
measures: {visits: {type: visit}}
rules: [{id: drop, detector: dropping, measure: visits, window: 7d, ratio: 0.5, minimum: {baseline_count: 3, observed_for: 28d}}]
"""


def test_local_midnight(tmp_path):
    """A day closes at the midnight of the zone: in winter at 23:00 UTC."""
    rows = every("2026-02-20T09:00:00Z", "24h", 29, "visit")
    assert lines(shard(tmp_path, BERLIN, rows, "2026-03-25")) == [
        "drop firing below_baseline 2026-03-24T23:00:00Z 2026-03-24T23:00:00Z"]


@pytest.mark.parametrize("zone,moment,day_start", [
    ("UTC", "2026-03-29T00:00:00Z", "2026-03-29T00:00:00Z"),
    ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z"),
    ("Europe/Berlin", "2026-03-30T12:00:00Z", "2026-03-29T22:00:00Z"),
    ("America/Santiago", "2025-09-07T12:00:00Z", "2025-09-07T04:00:00Z"),  # there is no 00:00 on that day
    # Clocks go back at midnight, to 23:00 of the day before: the day that has begun goes on.
    ("America/Havana", "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z"),
    ("America/Santiago", "2026-04-05T12:00:00Z", "2026-04-05T04:00:00Z"),
])
def test_days(zone, moment, day_start):
    zone = values.Zone(zone)
    day = zone.day(values.rfc3339_ms(moment))
    assert values.show(zone.start(day)) == day_start
    assert zone.day(zone.start(day)) == day
    assert zone.day(zone.start(day) - 1) == day - 1
