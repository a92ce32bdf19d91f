"""Mappings: every sample of every platform, every way to be wrong, and what never happens."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.decode import Decoder, Skipped
from detector.core.event import FIELDS, REASONS, Event, Rejected
from detector.core.event_reader import EventLimits, EventReader
from detector.core.mapping import SKIP_REASONS, Mapping, MappingError, parse_mapping
from detector.core.money import Currencies

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config" / "mappings").glob("*.toml"))
SAMPLES = sorted(
    path
    for path in (Path(__file__).parent / "samples").glob("*/*.json")
    if not path.name.endswith(".expected.json")
)
RECEIVED_MS = 1_772_380_900_000
READER = EventReader(
    Currencies("CNY", {"CNY": ("1", 2), "USD": ("7", 2), "EUR": ("8", 2), "JPY": ("0.05", 0)}),
    EventLimits(),
)


def load(path: Path) -> Mapping:
    return parse_mapping(path.read_text(encoding="utf-8"), f"config/mappings/{path.name}")


MAPPINGS = {path.stem: load(path) for path in SHIPPED}


def outcome(decoded: Event | Rejected | Skipped) -> dict[str, Any]:
    """As the `.expected.json` files write it: an Event's slots that are set, or the reason."""
    if isinstance(decoded, Skipped):
        return {"skipped": decoded.reason}
    if isinstance(decoded, Rejected):
        return {"rejected": decoded.reason, "detail": decoded.detail}
    slots = {slot: getattr(decoded, slot) for slot in Event.__slots__}
    return {slot: value for slot, value in slots.items() if value is not None}


def a_mapping(fields: str = "", *, top: str = "", shape: str = "") -> str:
    """The text of a mapping that is right, with room to say something else."""
    given_names = {line.split("=")[0].strip() for line in fields.splitlines() if "=" in line}
    plain = {
        "event_id": '"id"', "event_time": '{path = "at", unit = "ms"}', "tipper_id": '"from"',
        "streamer_id": '"to"', "amount": '"sum"', "currency": '{value = "CNY"}',
    }  # fmt: skip
    lines = [f"{name} = {text}" for name, text in plain.items() if name not in given_names]
    return "\n".join(
        ['name = "x"', top, "[shapes.A]", shape, "[shapes.A.fields]", *lines, fields, ""]
    )


def canonical_of(text: str, record: dict[str, Any]) -> dict[str, Any] | Skipped:
    return parse_mapping(text, "x.toml").to_canonical(record)


RECORD = {"id": "e", "at": RECEIVED_MS, "from": "t", "to": "s", "sum": "1"}


def mapped(fields: str, **values: Any) -> dict[str, Any]:
    result = canonical_of(a_mapping(fields), {**RECORD, **values})
    assert isinstance(result, dict)
    return result


def refusal(fields: str, **values: Any) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        canonical_of(a_mapping(fields), {**RECORD, **values})
    return caught.value.reason, caught.value.detail


# --- the shipped mappings and their samples ------------------------------------------------------


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_becomes_what_is_expected(path: Path) -> None:
    decoder = Decoder(READER, MAPPINGS[path.parent.name])
    expected = json.loads(path.with_name(f"{path.stem}.expected.json").read_bytes())
    assert outcome(decoder.decode(path.read_bytes(), RECEIVED_MS)) == expected


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_mapping_is_named_after_its_file(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shape_and_every_skip_rule_of_a_shipped_mapping_has_a_sample(path: Path) -> None:
    outcomes = [
        json.loads(sample.with_name(f"{sample.stem}.expected.json").read_bytes())
        for sample in SAMPLES
        if sample.parent.name == path.stem
    ]
    assert any("type" in expected for expected in outcomes)
    text = path.read_text(encoding="utf-8")
    for reason in SKIP_REASONS:
        if f'reason = "{reason}"' in text or f"\n{reason} = [" in text:
            assert {"skipped": reason} in outcomes, reason
    # channel.cheer-websocket.json is a sample of the shape channel.cheer, and so on
    names = [sample.stem for sample in SAMPLES if sample.parent.name == path.stem]
    for shape in _shapes_of(text):
        assert any(name.startswith(shape.removeprefix("youtube#")) for name in names), shape


def _shapes_of(text: str) -> list[str]:
    heads = [line[8:-1] for line in text.splitlines() if line.startswith("[shapes.")]
    return [head.removesuffix(".fields").strip('"') for head in heads if head.endswith(".fields")]


def test_a_guard_bought_for_a_year_is_twelve_months_at_the_list_price() -> None:
    record = _sample("bilibili", "GUARD_BUY")
    tip = MAPPINGS["bilibili"].to_canonical(record)
    assert isinstance(tip, dict)
    assert (record["data"]["price"], record["data"]["num"], tip["amount"]) == (198000, 12, "2376")


def test_a_streak_of_gifts_counts_once_and_whole() -> None:
    last = _sample("tiktok", "webcast_aweme_gift_send_message")
    streak = [
        {**last, "repeatCount": n, "repeatEnd": False, "msgId": f"m{n}"} for n in (1, 2, 3, 4, 5)
    ]
    results = [MAPPINGS["tiktok"].to_canonical(record) for record in [*streak, last]]
    assert results[:-1] == [Skipped("combo_update")] * 5
    assert isinstance(results[-1], dict)
    assert results[-1]["amount"] == "0.0625"  # 5 coins, 80 for a dollar


@pytest.mark.parametrize("path", [0, 1, 2, 3, 4, 5])
def test_a_guards_id_is_stable_and_differs_when_a_named_path_differs(path: int) -> None:
    record = _sample("bilibili", "GUARD_BUY")
    bought = MAPPINGS["bilibili"].to_canonical(record)
    again = MAPPINGS["bilibili"].to_canonical(copy.deepcopy(record))
    other = copy.deepcopy(record)
    key = ("uid", "gift_id", "num", "price", "start_time", "room_id")[path]
    holder = other if key == "room_id" else other["data"]
    holder[key] += 1
    changed = MAPPINGS["bilibili"].to_canonical(other)
    assert isinstance(bought, dict) and isinstance(again, dict) and isinstance(changed, dict)
    assert bought["event_id"] == again["event_id"] == "1e06b3b7b17d3ef85cff9ba6"
    assert changed["event_id"] != bought["event_id"]


def test_super_chats_with_one_id_in_two_rooms_are_two_events() -> None:
    record = _sample("bilibili", "SUPER_CHAT_MESSAGE")
    ids = set()
    for room in (9000001, "9000001", 9000002):
        tip = MAPPINGS["bilibili"].to_canonical({**record, "roomid": room})
        assert isinstance(tip, dict)
        ids.add(tip["event_id"])
    assert ids == {"sc-9000001-6500001", "sc-9000002-6500001"}


def _sample(platform: str, name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / "samples" / platform / f"{name}.json").read_bytes()
    record: dict[str, Any] = json.loads(text)
    return record


# --- shapes and skip rules -----------------------------------------------------------------------


def test_a_record_of_no_known_shape_is_refused_and_named() -> None:
    text = a_mapping(top='shape_by = "cmd | kind"\nignore.not_a_tip = ["CHAT"]')
    expected = "cmd | kind: expected the name of a shape of x, found "
    for value, found in [("B", "B"), ("no name, words", "another text"), (7, "7"),
                         (None, "nothing such"), ({"a": 1}, "nothing such"), ("", "nothing such"),
                         (10**99, "nothing such")]:  # fmt: skip
        with pytest.raises(Rejected) as caught:
            canonical_of(text, {**RECORD, "cmd": value})
        assert (caught.value.reason, caught.value.detail) == ("unknown_shape", expected + found)


def test_a_shape_can_have_more_names_and_names_can_be_numbers() -> None:
    text = a_mapping(top='shape_by = "cmd"', shape='also = ["B", "7", "true"]')
    for name in ("A", "B", "7", 7, True):
        assert isinstance(canonical_of(text, {**RECORD, "cmd": name}), dict)


def test_a_mapping_of_one_shape_needs_no_name_of_it() -> None:
    assert canonical_of(a_mapping(), RECORD) == {
        "event_id": "e", "event_time": RECEIVED_MS, "tipper_id": "t", "streamer_id": "s",
        "amount": "1", "currency": "CNY",
    }  # fmt: skip


def test_a_shape_of_another_type_says_so_and_needs_what_that_type_needs() -> None:
    text = (
        'name = "x"\n[shapes.A]\ntype = "room"\n[shapes.A.fields]\nstreamer_id = "to"\n'
        'event_time = {path = "at", unit = "ms"}\n'
        'event = {path = "state", map = {"1" = "live_start", "0" = "live_end"}}\n'
    )
    assert canonical_of(text, {"to": "s", "at": RECEIVED_MS, "state": 1}) == {
        "type": "room", "streamer_id": "s", "event_time": RECEIVED_MS, "event": "live_start",
    }  # fmt: skip
    with pytest.raises(Rejected) as caught:
        canonical_of(text, {"to": "s", "at": RECEIVED_MS, "state": 5})
    assert caught.value.detail == "A: state: required for event, found nothing"


@pytest.mark.parametrize(
    ("when", "holds", "fails"),
    [
        ("a = 0", [0, 0.0], [False, "0", None, [], {}, 1]),
        ("a = false", [False], [0, "false", None]),
        ("a = 'x'", ["x"], ["y", "", None, ["x"]]),
        ("a = ['x', 3, true]", ["x", 3, True], [1, "3", False]),
        ("a = 0.5", [0.5], [0, "0.5", None]),
    ],
)
def test_a_rule_holds_for_equal_values_of_the_same_type(
    when: str, holds: list[Any], fails: list[Any]
) -> None:
    text = a_mapping(shape=f'skip = [{{reason = "free_gift", when = {{{when}}}}}]')
    assert [canonical_of(text, {**RECORD, "a": value}) for value in holds] == [
        Skipped("free_gift")
    ] * len(holds)
    assert all(isinstance(canonical_of(text, {**RECORD, "a": value}), dict) for value in fails)


def test_a_rule_needs_all_of_its_conditions_and_the_first_that_holds_wins() -> None:
    text = a_mapping(
        shape='skip = [{reason = "combo_update", when = {a = 1, b = 2}, missing = ["c", "d.e"]},\n'
        '{reason = "test_event", when = {a = 1}}]'
    )
    both = {**RECORD, "a": 1, "b": 2}
    assert canonical_of(text, both) == Skipped("combo_update")
    assert canonical_of(text, {**both, "c": "", "d": {"e": None}}) == Skipped("combo_update")
    assert canonical_of(text, {**both, "c": 0}) == Skipped("test_event")
    assert canonical_of(text, {**both, "d": {"e": "x"}}) == Skipped("test_event")
    assert canonical_of(text, {**both, "b": 3}) == Skipped("test_event")
    assert isinstance(canonical_of(text, {**both, "a": 2}), dict)


def test_the_reasons_to_skip_are_closed_and_sorted() -> None:
    assert SKIP_REASONS == (
        "anonymous", "combo_update", "duplicate", "free_gift", "not_a_tip", "refunded",
        "test_event", "told_elsewhere",
    )  # fmt: skip


# --- where a field comes from --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "record", "found"),
    [
        ("a", {"a": "v"}, "v"),
        ("a.b", {"a": {"b": "v"}}, "v"),
        ("a.b.c", {"a": {"b": {"c": "v"}}}, "v"),
        ("a.0.b", {"a": [{"b": "v"}]}, "v"),
        ("a.1", {"a": ["u", "v"]}, "v"),
        ("a.1", {"a": {"1": "v"}}, "v"),
        ("a.1", {"a": ["u"]}, None),
        ("a.b", {"a": ["v"]}, None),
        ("a.b", {"a": "text"}, None),
        ("a.b.c", {"a": {"b": [1]}}, None),
        ('"a.b".c', {"a.b": {"c": "v"}}, "v"),
        ('"a | b"', {"a | b": "v"}, "v"),
        ("a | b", {"a": "v", "b": "w"}, "v"),
        ("a | b", {"a": "", "b": "w"}, "w"),
        ("a.x | b.y.z | c", {"a": {"x": None}, "c": "w"}, "w"),
        ("a | b", {"b": 0}, 0),
        ("a | b", {}, None),
    ],
)
def test_a_path_finds_the_first_that_is_present(
    path: str, record: dict[str, Any], found: Any
) -> None:
    assert mapped(f"device_id = '{path}'", **record).get("device_id") == found


def test_only_fields_that_are_present_are_set() -> None:
    assert "device_id" not in mapped('device_id = "a"', a="")
    assert "device_id" not in mapped('device_id = "a"', a=None)
    assert "device_id" not in mapped('device_id = {join = "d-{a}"}')
    assert "device_id" not in mapped('device_id = {digest = ["a", "from"]}')
    assert "device_id" not in mapped('device_id = {path = "a", absent = [0, "0"]}', a=0)
    assert "room_mode" not in mapped('room_mode = {path = "a", map = {"1" = "pk"}}', a=2)


def test_a_value_that_means_nothing_lets_the_next_place_win() -> None:
    fields = 'device_id = {path = "a | b", absent = [0, "0", "none"]}'
    assert mapped(fields, a="0", b="d")["device_id"] == "d"
    assert mapped(fields, a=False, b="d")["device_id"] is False  # not 0: `event` refuses it


@pytest.mark.parametrize(
    ("value", "found"),
    [(1, "pk"), ("1", "pk"), (True, "lottery"), ("true", "lottery"), (1.0, None), ([1], None)],
)
def test_values_are_translated_by_how_json_writes_them(value: Any, found: str | None) -> None:
    fields = 'room_mode = {path = "a", map = {"1" = "pk", "true" = "lottery"}}'
    assert mapped(fields, a=value).get("room_mode") == found


def test_a_translation_can_make_a_flag() -> None:
    fields = 'minor_mode = {path = "a", map = {"youth" = true, "adult" = false}}'
    assert mapped(fields, a="youth")["minor_mode"] is True
    assert mapped(fields, a="adult")["minor_mode"] is False


def test_a_joined_id_is_made_of_texts_numbers_and_what_stands_between() -> None:
    fields = 'event_id = {join = "100%-{room | to}-{n.id}."}'
    assert mapped(fields, n={"id": 7})["event_id"] == "100%-s-7."
    assert refusal(fields) == (
        "missing_field",
        "A: 100%-{room | to}-{n.id}.: required for event_id, found nothing",
    )
    assert refusal(fields, n={"id": [7]}) == ("wrong_type", "n.id: expected text or a number")


def test_a_digest_tells_apart_what_a_joined_text_would_not() -> None:
    fields = 'event_id = {digest = ["a", "b"]}'
    ids = [
        mapped(fields, a=a, b=b)["event_id"] for a, b in [("x", "yz"), ("xy", "z"), ('x","y', "z")]
    ]
    assert len({*ids}) == 3
    assert all(len(one) == 24 for one in ids)
    assert mapped(fields, a=7, b="z")["event_id"] == mapped(fields, a="7", b="z")["event_id"]
    assert refusal(fields, a={}, b="z") == ("wrong_type", "a: expected text or a number")


# --- money and time ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per_major", "units", "text"),
    [
        ("1000", 100, "0.1"), ("1000", 1, "0.001"), ("1000", 1_000, "1"), ("1000", 0, "0"),
        ("1000", 123_456_789, "123456.789"), ("1000", "100", "0.1"), ("1000", 100.0, "0.1"),
        ("1000", 0.1, "0.0001"), ("1000", -5, "-0.005"), ("1000", "1e3", "1"),
        ("1000", 10**30, "1" + "0" * 27), ("1", 7, "7"), ("100", 1999, "19.99"),
        ("1000000", "4990000", "4.99"), ("1e6", 29, "0.000029"), ("80", 1, "0.0125"),
        ("80", 2020, "25.25"), ("0.5", 3, "6"), ("2.5", 1, "0.4"),
    ],
)  # fmt: skip
def test_amounts_are_divided_exactly(per_major: str, units: Any, text: str) -> None:
    fields = f'amount = {{path = "sum", per_major = {per_major}}}'
    assert mapped(fields, sum=units)["amount"] == text


@given(st.integers(0, 10**24), st.integers(0, 10**12), st.sampled_from([1, 8, 80, 100, 10**6]))
def test_a_price_times_a_quantity_is_exact(price: int, quantity: int, per_major: int) -> None:
    fields = f'amount = {{path = "p", times = "n", per_major = {per_major}}}'
    amount = mapped(fields, p=price, n=quantity)["amount"]
    assert Fraction(Decimal(amount)) == Fraction(price * quantity, per_major)
    assert "e" not in amount.lower() and (amount == "0" or not amount.endswith(".0"))


def test_a_unit_price_without_its_quantity_is_no_amount() -> None:
    assert refusal('amount = {path = "sum", times = "n.count"}', n={}) == (
        "missing_field", "A: sum, n.count: required for amount, found nothing",
    )  # fmt: skip
    assert mapped('amount = {path = "sum", times = "n"}', sum="2.50", n=3)["amount"] == "7.5"


@pytest.mark.parametrize(
    "units",
    [
        True,
        "many",
        "1_000",
        "9" * 41,
        10**50,
        [1],
        {},
        float("inf"),
        float("nan"),
        "1e-99",
        "1e999",
    ],
)
def test_what_is_no_amount_is_refused_with_its_path(units: Any) -> None:
    expected = ("amount_invalid", "a.sum: expected a number of at most 40 digits")
    assert refusal('amount = {path = "a.sum", per_major = 1000}', a={"sum": units}) == expected


def test_an_amount_that_is_not_scaled_stays_as_it_is() -> None:
    assert mapped("", sum=4.2)["amount"] == 4.2
    assert mapped("", sum="4.20")["amount"] == "4.20"


@pytest.mark.parametrize(
    ("unit", "at", "canonical"),
    [
        ("s", 1_772_380_802, 1_772_380_802_000), ("s", "1772380802", 1_772_380_802_000),
        ("s", 1_772_380_802.25, 1_772_380_802_250), ("ms", 1_772_380_802_272, 1_772_380_802_272),
        ("ms", "1772380802272", 1_772_380_802_272),
        ("us", 1_772_380_802_272_999, 1_772_380_802_272),
        ("rfc3339", "2026-03-01T16:00:02Z", "2026-03-01T16:00:02Z"),
    ],
)  # fmt: skip
def test_times_become_milliseconds_and_rfc_3339_stays(unit: str, at: Any, canonical: Any) -> None:
    assert (
        mapped(f'event_time = {{path = "at", unit = "{unit}"}}', at=at)["event_time"] == canonical
    )


@pytest.mark.parametrize(
    ("unit", "at", "reason", "detail"),
    [
        ("s", "soon", "wrong_type", "at: expected a time in s"),
        ("s", True, "wrong_type", "at: expected a time in s"),
        ("s", [1], "wrong_type", "at: expected a time in s"),
        ("s", float("inf"), "wrong_type", "at: expected a time in s"),
        ("rfc3339", 1_772_380_802, "wrong_type", "at: expected a time in rfc3339"),
        ("ms", 1_772_380_802, "time_too_old", "at: before 1973; is it in ms?"),
        ("s", 0, "time_too_old", "at: before 1973; is it in s?"),
        ("s", -(10**400), "time_too_old", "at: before 1973; is it in s?"),
    ],
)
def test_what_is_no_time_is_refused_with_its_path(
    unit: str, at: Any, reason: str, detail: str
) -> None:
    assert refusal(f'event_time = {{path = "at", unit = "{unit}"}}', at=at) == (reason, detail)


# --- strictness ----------------------------------------------------------------------------------

PATH_EXPECTED = 'expected a path such as "data.uid" or "room_id | roomid"'
VALUES_EXPECTED = "expected text, a number, true, false or a list of these"
REASON_EXPECTED = (
    "expected one of 'anonymous', 'combo_update', 'duplicate', 'free_gift', 'not_a_tip', "
    "'refunded', 'test_event' or 'told_elsewhere'"
)
WRONG_FIELDS = [
    ('event_id = ["a"]', ' = ["a"]: expected a path or a table'),
    ('event_id = "a..b"', f' = "a..b": {PATH_EXPECTED}'),
    ('event_id = "a b"', f' = "a b": {PATH_EXPECTED}'),
    ("event_id = {path = 'a.\"b'}", f'.path = "a."b": {PATH_EXPECTED}'),
    ("event_id = {}", ": expected one of path, value, join, digest, found none"),
    ('event_id = {path = "a", join = "{b}"}',
     ": expected one of path, value, join, digest, found path and join"),
    ('event_id = {path = "a", trim = true}', ".trim: is not a known key"),
    ('event_id = {join = "plain"}',
     '.join = "plain": expected text with {paths}, such as "sc-{data.id}"'),
    ('event_id = {join = "{a}-{b"}',
     '.join = "{a}-{b": expected text with {paths}, such as "sc-{data.id}"'),
    ('event_id = {join = "{a..b}"}', f'.join = "{{a..b}}": {PATH_EXPECTED}'),
    ("event_id = {digest = []}", ".digest = []: expected at least 1"),
    ('event_id = {digest = ["a", ""]}', f'.digest[1] = "": {PATH_EXPECTED}'),
    ('event_id = {join = "{a}", absent = 0}', ".absent: goes with path, not with join"),
    ('device_id = {path = "a", absent = [[0]]}', f".absent = [[0]]: {VALUES_EXPECTED}"),
    ('device_id = {path = "a", unit = "s"}', ".unit: is for fields of form time, found id"),
    ('amount = {path = "a", per_major = 0}', ".per_major = 0: expected a number > 0"),
    ('amount = {path = "a", per_major = -1}', ".per_major = -1: expected a number > 0"),
    ('amount = {path = "a", per_major = "10"}', '.per_major = "10": expected a number > 0'),
    ('amount = {path = "a", per_major = true}', ".per_major = true: expected a number > 0"),
    ('amount = {path = "a", per_major = 72}',
     ".per_major = 72: expected a product of 2s and 5s: others never divide evenly"),
    ('amount = {path = "a", times = 3}', f".times = 3: {PATH_EXPECTED}"),
    ('quantity = {path = "a", times = "b"}',
     ".times: is for fields of form amount, found count"),
    ('quantity = {path = "a", per_major = 10}',
     ".per_major: is for fields of form amount, found count"),
    ('amount = {path = "a", map = {"1" = "2"}}',
     ".map: is for fields of form id|text|currency|choice|flag|name_flag|count|age, found amount"),
    ('event_time = "at"', ".unit: is missing: expected s, ms, us or rfc3339"),
    ('event_time = {path = "at", unit = "min"}',
     ".unit = \"min\": expected one of 's', 'ms', 'us' or 'rfc3339'"),
    ('room_mode = {value = "battle"}', ': "battle" is none of normal, pk, ceremony, lottery'),
    ('room_mode = {path = "a", map = {"1" = "battle"}}',
     ': "battle" is none of normal, pk, ceremony, lottery'),
    ('room_mode = {path = "a", map = {}}', ".map = {}: expected at least 1"),
    ('currency = {value = ""}', '.value = "": expected text, a number, true or false'),
    ('tiper_id = "a"', ": is no field of an event; did you mean tipper_id?"),
    ('zzz = "a"', ": is no field of an event"),
    ('type = "a"', ": is no field of an event"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "message"), WRONG_FIELDS, ids=[field for field, _ in WRONG_FIELDS]
)
def test_a_wrong_field_is_named_with_what_was_found_and_expected(field: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping(a_mapping(field), "config/mappings/x.toml")
    name = field.split(" ")[0]
    assert str(caught.value) == f"config/mappings/x.toml: shapes.A.fields.{name}{message}"


WRONG_RULES = [
    ("{reason = 'bored', when = {a = 1}}", f'[0].reason = "bored": {REASON_EXPECTED}'),
    ("{when = {a = 1}}", "[0].reason: is missing"),
    ("{reason = 'free_gift'}", "[0]: expected paths in when or missing"),
    ("{reason = 'free_gift', when = {}}", "[0]: expected paths in when or missing"),
    ("{reason = 'free_gift', when = {a = []}}", f"[0].when.a = []: {VALUES_EXPECTED}"),
    ("{reason = 'free_gift', when = {a = {b = 1}}}", f"[0].when.a = {{…}}: {VALUES_EXPECTED}"),
    ("{reason = 'free_gift', missing = ['a..b']}", f'[0].missing[0] = "a..b": {PATH_EXPECTED}'),
    ("{reason = 'free_gift', missing = ['a'], unless = 1}", "[0].unless: is not a known key"),
    ("3", "[0] = 3: expected a table"),
]


@pytest.mark.parametrize(("rule", "message"), WRONG_RULES, ids=[rule for rule, _ in WRONG_RULES])
def test_a_wrong_skip_rule_is_named(rule: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping(a_mapping(shape=f"skip = [{rule}]"), "x.toml")
    assert str(caught.value) == f"x.toml: shapes.A.skip{message}"


WRONG_TOPS = [
    ("shape_by = 3", f"shape_by = 3: {PATH_EXPECTED}"),
    ("shapes_by = 'a'", "shapes_by: is not a known key"),
    ("ignore.not_a_tip = ['B']", "shape_by: is missing: it tells the shapes apart"),
    ("shape_by = 'a'\nignore.not_a_tip = ['A']",
     "ignore.not_a_tip: A stands in another list or is a shape"),
    ("shape_by = 'a'\nignore.not_a_tip = ['B']\nignore.test_event = ['B']",
     "ignore.test_event: B stands in another list or is a shape"),
    ("shape_by = 'a'\nignore.not_a_tip = 'B'", 'ignore.not_a_tip = "B": expected a list'),
    ("shape_by = 'a'\nignore.not_a_tip = [3]", "ignore.not_a_tip[0] = 3: expected text"),
    ("shape_by = 'a'\nignore.bored = ['B']", f"ignore.bored: unknown key: {REASON_EXPECTED}"),
    ("shapes.B = 3\nshape_by = 'a'", "shapes.B = 3: expected a table"),
    ("shapes.B = {}\nshape_by = 'a'", "shapes.B.fields: is missing"),
    ("shapes.B = {type = 'gift', fields = {}}\nshape_by = 'a'",
     "shapes.B.type = \"gift\": expected one of 'tip', 'recharge', 'payout', 'refund' or 'room'"),
    ("shapes.B = {type = 'room', also = ['A'], fields = {event = {value = 'pk_end'}, "
     "streamer_id = 'a', event_time = {path = 'b', unit = 's'}}}\nshape_by = 'a'",
     "shapes.B.also: A stands in another list or is a shape"),
]  # fmt: skip


@pytest.mark.parametrize(("top", "message"), WRONG_TOPS, ids=[top for top, _ in WRONG_TOPS])
def test_a_wrong_table_is_named(top: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping(a_mapping(top=top), "x.toml")
    assert str(caught.value) == f"x.toml: {message}"


def test_what_a_type_needs_must_be_mapped() -> None:
    text = (
        'name = "x"\n[shapes.A.fields]\nevent_id = "id"\n[shapes.B]\ntype = "room"\nfields = {}\n'
    )
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "x.toml")
    assert str(caught.value).splitlines() == [
        "x.toml: shape_by: is missing: it tells the shapes apart",
        "x.toml: shapes.A.fields.event_time: is missing: a tip needs it",
        "x.toml: shapes.A.fields.tipper_id: is missing: a tip needs it",
        "x.toml: shapes.A.fields.streamer_id: is missing: a tip needs it",
        "x.toml: shapes.A.fields.amount: is missing: a tip needs it",
        "x.toml: shapes.A.fields.currency: is missing: a tip needs it",
        "x.toml: shapes.B.fields.event_time: is missing: a room needs it",
        "x.toml: shapes.B.fields.streamer_id: is missing: a room needs it",
        "x.toml: shapes.B.fields.event: is missing: a room needs it",
    ]


def test_all_problems_come_at_once() -> None:
    text = 'name = "X Y"\nshape = "a"\n[shapes.A.fields]\nevent_id = "a..b"\namount = {value = 1}\n'
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "config/mappings/x.toml")
    lines = [
        line.removeprefix("config/mappings/x.toml: ") for line in str(caught.value).splitlines()
    ]
    assert lines == [
        'name = "X Y": expected text that matches ^[a-z][a-z0-9_]{0,31}$',
        f'shapes.A.fields.event_id = "a..b": {PATH_EXPECTED}',
        "shape: is not a known key",
        "shapes.A.fields.event_time: is missing: a tip needs it",
        "shapes.A.fields.tipper_id: is missing: a tip needs it",
        "shapes.A.fields.streamer_id: is missing: a tip needs it",
        "shapes.A.fields.currency: is missing: a tip needs it",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML: Invalid value (at end of document)"),
        ('name = "x"\nname = "y"', "not TOML: Cannot overwrite a value (at end of document)"),
        ('name = "x"\nshapes = 3', "shapes = 3: expected a table"),
        ('name = "x"\n[shapes]', "shapes: expected at least one shape"),
        ('name = "x"', "shapes: is missing"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "x.toml")
    assert str(caught.value) == f"x.toml: {message}"


# --- what never happens --------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from([10**400, -(10**4000), 1e308, "9" * 60, "1e400", "-0", "٣", "\ud800", ""])
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)  # fmt: skip


def check_never_raises_and_never_mutates(mapping: Mapping, record: dict[str, Any]) -> None:
    before = copy.deepcopy(record)
    try:
        result = mapping.to_canonical(record)
    except Rejected as refused:
        assert refused.reason in REASONS
        assert isinstance(refused.detail, str) and refused.detail
    else:
        if isinstance(result, Skipped):
            assert result.reason in SKIP_REASONS
        else:
            assert set(result) <= {field.name for field in FIELDS}
            assert None not in result.values() and "" not in result.values()
            assert result is not record
    assert repr(record) == repr(before)


@given(st.sampled_from(sorted(MAPPINGS)), st.dictionaries(st.text(max_size=6), JSON))
def test_any_object_is_mapped_skipped_or_refused(name: str, record: dict[str, Any]) -> None:
    check_never_raises_and_never_mutates(MAPPINGS[name], record)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value.keys()
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    return [place for key in keys for place in [(*path, key), *_places(value[key], (*path, key))]]


@given(st.data())
def test_any_mutation_of_a_sample_is_mapped_skipped_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SAMPLES))
    record = json.loads(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        *holders, key = data.draw(st.sampled_from(_places(record)))
        holder = record
        for step in holders:
            holder = holder[step]
        if isinstance(holder, dict) and data.draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = data.draw(JSON)
        if not record:
            break
    check_never_raises_and_never_mutates(MAPPINGS[path.parent.name], record)


@given(st.text(max_size=80) | st.sampled_from(SHIPPED).map(lambda path: path.read_text("utf-8")),
       st.integers(0, 4000), st.text(max_size=3))  # fmt: skip
def test_any_text_is_a_mapping_or_a_mapping_error(text: str, at: int, put: str) -> None:
    try:
        parse_mapping(text[:at] + put + text[at:], "x.toml")
    except MappingError as error:
        assert all(line.startswith("x.toml: ") for line in str(error).split("\nx.toml")[:1])
