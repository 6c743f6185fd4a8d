"""Which messages are events, which are refused, and for which reason."""
import json

import pytest

from verifier import configuration, events, log
from verifier.tables import event, settings, shard

GOOD = {"event_id": "e", "type": "visit", "customer_id": "c", "timestamp": "2026-03-01T00:00:00Z", "amount": 1, "currency": "EUR"}


def text(**fields):
    return json.dumps({key: value for key, value in {**GOOD, **fields}.items() if value is not None}).encode()


@pytest.mark.parametrize("payload,reason", [
    (None, "not_json"), (b"", "not_json"), (b"hello", "not_json"), (b"[1, 2]", "not_json"), (text()[:-1], "not_json"),
    (text() + text(), "not_json"), (b'{"a": NaN}', "not_json"), (b'{"a": "\xff"}', "not_json"), (b'{"a": "\\ud800"}', "not_json"),
    (text(properties={"a": "x" * 300_000}), "too_long"),
    (text(properties={"a": 0}).replace(b"0}", b"[" * 31 + b"]" * 31 + b"}"), "too_deep"),
    (b"[" * 100_000 + b"]" * 100_000, "too_deep"), (b"[" * 100_000 + b"]" * 99_999, "not_json"), (b"[" * 100_000, "not_json"),
    (text(event_id=None), "missing_event_id"), (text(event_id=""), "missing_event_id"), (text(event_id=1.5), "missing_event_id"),
    (text(customer_id=["a"]), "missing_customer_id"), (text(customer_id="ä" * 129), "customer_id_too_long"),
    (text(type=None), "missing_type"), (text(type=7), "missing_type"),
    (text(timestamp="yesterday"), "bad_timestamp"), (text(timestamp="2026-02-30T00:00:00Z"), "bad_timestamp"),
    (text(timestamp="2026-02-03T00:00:00"), "bad_timestamp"), (text(timestamp="1850-01-01T00:00:00Z"), "bad_timestamp"),
    (text(timestamp="3000-01-01T00:00:00Z"), "bad_timestamp"), (text(timestamp=None), "bad_timestamp"),
    (text(amount="NaN"), "bad_amount"), (text(amount={}), "bad_amount"), (text(amount=1e12), "amount_too_large"),
    (text().replace(b'"amount": 1', b'"amount": 1e999'), "amount_too_large"),
    (text(properties=7), "bad_properties"), (text(currency="USD"), "other_currency"),
    # Of several reasons the first of the documented order.
    (text(currency="USD", amount="x", properties=7), "other_currency"), (text(type=None, event_id=None), "missing_type"),
])
def test_refused(payload, reason):
    with pytest.raises(events.Refused) as refused:
        events.decode(payload, "EUR")
    assert str(refused.value) == reason


@pytest.mark.parametrize("payload,expected", [
    (text(), events.Event("e", "visit", "c", 1772323200000, 1_000_000)),
    (text(customer_id=47, event_id=10**30), events.Event(str(10**30), "visit", "47", 1772323200000, 1_000_000)),
    (text(timestamp=1772323200000, amount=None, currency=None), events.Event("e", "visit", "c", 1772323200000)),
    (text(timestamp="2026-03-01T01:00:00.0019+01:00", amount=11.77), events.Event("e", "visit", "c", 1772323200001, 11_770_000)),
    (text(properties={"a": 3.0, "b": True, "c": "x", "d": None, "e": [1], "f": 2.5}),
     events.Event("e", "visit", "c", 1772323200000, 1_000_000, {"a": "3", "b": "true", "c": "x", "f": "2.5"},
                  {"a": 3_000_000, "f": 2_500_000})),
    (text(type="tick", customer_id=None, event_id=None), events.Event("", "tick", "", 1772323200000)),
    (text(type="erase", amount="x", currency="USD"), events.Event("e", "erase", "c", 1772323200000)),
])
def test_understood(payload, expected):
    assert events.decode(payload, "EUR") == expected


QUIET = """
currency: EUR
dedupe: {ids: 2, within: 48h}
measures: {visits: {type: visit}}
rules: [{id: quiet, detector: silence, measure: visits, after: 10d, minimum: {days: 1}}]
"""


def count(tmp_path, rows):
    return shard(tmp_path, QUIET, rows).customers["c"].series["visits"].count


def test_repeated_within_the_last_ids(tmp_path):
    day = "2026-01-01T0{}:00:00Z"
    assert count(tmp_path, [event(day.format(n), "visit", id=id) for n, id in enumerate("aba")]) == 2
    assert count(tmp_path, [event(day.format(n), "visit", id=id) for n, id in enumerate("abca")]) == 4
    assert count(tmp_path, [event("2026-01-01", "visit", id="a"), event("2026-01-04", "visit", id="b"),
                            event("2026-01-04", "visit", id="a")]) == 3
    late = [event("2026-01-01", "visit", id="a"), event("2026-01-01", "visit", id="b"), event("2026-01-01", "visit", id="a")]
    assert count(tmp_path, [event("2026-01-31", "visit", id="t"), *late]) == 3


def test_refused_events_move_nothing(tmp_path):
    one = shard(tmp_path, QUIET, [event("2026-01-01", "visit"), b"{}", event("2026-06-01", "visit", currency="USD")])
    assert one.clock_ms == 1767225600000
    assert list(one.refused.values()) == ["missing_type", "other_currency"]


def test_several_topics_are_merged_by_time(tmp_path):
    config = settings(tmp_path, "input: {topics: [b, a]}")
    rows = {"a": ["2026-01-01", "2026-01-04"], "b": ["2026-01-02", "2026-01-03", "2026-01-04"]}
    mixed = [log.Message(topic, 0, number, None, json.dumps(event(day)).encode())
             for topic, days in rows.items() for number, day in enumerate(days)]
    (ordered,) = log.by_partition(mixed, config).values()
    assert [message.topic for message in ordered] == ["a", "b", "b", "b", "a"]


def test_configuration(tmp_path, monkeypatch):
    """Layers, presets, rule files, variables."""
    monkeypatch.setenv("GAP", "9d")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "more.yaml").write_text("rules: [{id: third, detector: silence, measure: logins, after: 1d}]")
    (tmp_path / "a.yaml").write_text("preset: saas\nrule_files: ['rules/*.yaml']\nmeasures: {logins: {population_gap: '${GAP}'}}")
    (tmp_path / "b.yaml").write_text("rules: [{id: gone-quiet, false_alerts: 0.5}, {id: activity-changed, enabled: false}]\n"
                                     "app: ${NAME:-some}")
    config = configuration.read([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert config.app == "some"
    assert config.measures["logins"].types == ("login", "session")
    assert config.measures["logins"].population_gap_days == 9
    assert [rule.id for rule in config.rules] == ["gone-quiet", "dropping-activity", "third"]
    assert config.rules[0].fields["false_alerts"] == "0.5"
