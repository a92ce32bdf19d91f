"""A record becomes an Event or gives its reason; no bytes whatever make the decoder raise."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.decode import Decoder, Skipped
from detector.core.event import FIELDS, OLDEST_MS, REASONS, REQUIRED, Event, Rejected
from detector.core.event_reader import EventLimits, EventReader
from detector.core.money import AmountError, Currencies, to_minor

AT_MS = 1_772_380_802_272
RECEIVED_MS = AT_MS + 1_000
CURRENCIES = Currencies("CNY", {"CNY": ("1", 2), "JPY": ("0.05", 0)})
READER = EventReader(CURRENCIES, EventLimits())
TIP = {
    "event_id": "e1",
    "event_time": AT_MS,
    "tipper_id": "t1",
    "streamer_id": "s1",
    "amount": "12.50",
    "currency": "CNY",
}


class ShapeUnknown:
    """A mapping that knows no shape at all."""

    makes_event_ids = False

    def to_canonical(self, record: dict[str, Any]) -> dict[str, Any] | Skipped:
        raise Rejected("unknown_shape", "no rule fits")


def tip(**fields: Any) -> bytes:
    return orjson.dumps(TIP | fields)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in TIP.items() if name not in names}


def read(**fields: Any) -> Event:
    return READER.read(TIP | fields, RECEIVED_MS)


def why_refused(record: dict[str, Any]) -> str:
    with pytest.raises(Rejected) as caught:
        READER.read(record, RECEIVED_MS)
    return caught.value.reason


# -- reasons -------------------------------------------------------------------------------------

REFUSED: dict[str, list[bytes | None]] = {
    "not_json": [None, b"", b"{", b"NaN", tip() + b"x", b"[" * 2_000],
    "not_object": [b"[]", b"1", b'"tip"', b"null"],
    "invalid_utf8": [b'{"event_id":"\xff"}', b"\xc3("],
    "record_too_large": [b" " * 65_537],
    "unknown_type": [tip(type="gift"), tip(type="Tip")],
    "missing_field": [b"{}", *(tip(**{name: None}) for name in TIP), tip(tipper_id="")],
    "wrong_type": [
        tip(event_id=[]), tip(tipper_id=1.5), tip(streamer_id=True), tip(type=1),
        tip(event_time=True), tip(event_time={}), tip(minor_mode="yes"), tip(real_name=1),
        tip(message=1), tip(tipper_age="12"), tip(viewers=1.5), tip(quantity=True),
        tip(currency=1),
    ],
    "out_of_range": [
        tip(tipper_age=-1), tip(tipper_age=151), tip(viewers=2**53 + 1), tip(room_mode="party"),
        tip(instrument_holder="mum"),
    ],
    "id_too_long": [tip(event_id="x" * 129), tip(room_id="票" * 129)],
    "amount_invalid": [
        tip(amount=amount)
        for amount in (
            "abc", "NaN", "Infinity", True, [], {}, "1_000", " 12", "1 2", "12\n", "1,5",
            "1" * 41,
        )
    ],
    "amount_negative": [tip(amount="-1"), tip(amount=-0.5), tip(user_limit_day="-1")],
    "amount_zero": [tip(amount=0), tip(amount="0.00"), tip(amount="0.001"), tip(amount=0.0)],
    "amount_absurd": [tip(amount="10000000.01"), tip(amount=1e300), tip(amount="1e999999")],
    "currency_unknown": [tip(currency="XYZ"), tip(currency="cny"), tip(currency="C" * 17)],
    "time_invalid": [
        tip(event_time="yesterday"), tip(event_time="2026-03-01T16:00:02"), tip(event_time=1e300),
        tip(event_time=AT_MS * 1000), tip(account_created_at="2026-13-01T00:00:00Z"),
    ],
    "time_too_old": [
        tip(event_time=0), tip(event_time=-1), tip(event_time=OLDEST_MS - 1),
        tip(event_time="1999-12-31T00:00:00Z"), tip(account_created_at=1),
    ],
    "time_in_future": [tip(event_time=RECEIVED_MS + 300_001)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "data"),
    [(reason, data) for reason, examples in REFUSED.items() for data in examples],
)
def test_a_record_that_is_refused_gives_its_reason(reason: str, data: bytes | None) -> None:
    refusal = Decoder(READER).decode(data, RECEIVED_MS)
    assert isinstance(refusal, Rejected)
    assert refusal.reason == reason
    assert refusal.detail
    assert refusal.__traceback__ is None  # it would keep the record alive


def test_only_a_mapping_can_find_a_shape_unknown() -> None:
    refusal = Decoder(READER, ShapeUnknown()).decode(tip(), RECEIVED_MS)
    assert isinstance(refusal, Rejected)
    assert refusal.reason == "unknown_shape"


def test_every_reason_has_an_example() -> None:
    assert {*REFUSED, "unknown_shape", "internal_error"} == set(REASONS)


@pytest.mark.parametrize("kind", REQUIRED)
def test_each_field_a_type_requires_is_named_when_it_is_missing(kind: str) -> None:
    whole = TIP | {"type": kind, "event": "live_start"}
    assert READER.read(whole, RECEIVED_MS).type == kind
    for name in REQUIRED[kind]:
        with pytest.raises(Rejected, match=f"{kind}: {name}: required") as caught:
            READER.read({k: v for k, v in whole.items() if k != name}, RECEIVED_MS)
        assert caught.value.reason == "missing_field"


def test_a_refusal_never_repeats_an_id_or_a_message() -> None:
    for field in ("event_id", "tipper_id", "message", "currency", "room_mode", "event_time"):
        refusal = Decoder(READER).decode(tip(**{field: "Zhang-San" * 20}), RECEIVED_MS)
        assert isinstance(refusal, Rejected) or field == "message"
        assert "Zhang-San" not in getattr(refusal, "detail", "")


# -- values at the edge --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [float("inf"), float("-inf"), float("nan")])
def test_a_count_that_is_not_finite_has_the_wrong_type(count: float) -> None:
    assert why_refused(TIP | {"viewers": count}) == "wrong_type"
    assert why_refused(TIP | {"tipper_age": count}) == "wrong_type"


def test_a_whole_float_is_a_count() -> None:
    assert read(viewers=12.0).viewers == 12


def test_a_number_may_be_an_id_unless_it_is_too_long() -> None:
    assert read(tipper_id=42).tipper_id == "42"
    assert why_refused(TIP | {"tipper_id": 10**128}) == "id_too_long"
    assert why_refused(TIP | {"tipper_id": 10**5_000}) == "id_too_long"
    assert why_refused(TIP | {"tipper_id": -(10**5_000)}) == "id_too_long"


def test_a_huge_number_anywhere_is_refused_and_raises_nothing_else() -> None:
    for field in FIELDS:
        if field.name != "event":  # only a room event's
            assert why_refused(TIP | {field.name: 10**5_000}) in REASONS


def test_ids_and_text_may_be_as_long_as_the_limits_say() -> None:
    longest = read(tipper_id="x" * 128, message="长" * 501)
    assert longest.tipper_id == "x" * 128
    assert longest.message == "长" * 500


def test_an_event_may_lie_as_far_ahead_as_clocks_may_differ() -> None:
    assert read(event_time=RECEIVED_MS + 300_000).event_time_ms == RECEIVED_MS + 300_000


def test_the_same_instant_reads_the_same_in_every_form() -> None:
    forms = (
        AT_MS - 272, 1_772_380_802, 1_772_380_802.0, "1772380802", "1772380802000",
        "2026-03-01T16:00:02Z", "2026-03-02T00:00:02+08:00",
    )  # fmt: skip
    assert {read(event_time=form).event_time_ms for form in forms} == {1_772_380_802_000}


def test_an_amount_keeps_its_currency_and_has_a_value_in_the_base_currency() -> None:
    yen = read(amount=300, currency="JPY", user_limit_day="1000")
    assert (yen.amount_minor, yen.value_minor, yen.user_limit_day_minor) == (300, 1_500, 5_000)


@pytest.mark.parametrize("amount", ["1_000", "1_0.5", " 1", "1 ", "1 000", "\t1", "", " "])
def test_python_s_own_ways_to_write_a_number_are_no_amounts(amount: str) -> None:
    with pytest.raises(AmountError) as caught:
        to_minor(amount, 2)
    assert caught.value.reason == "amount_invalid"


def test_a_room_event_keeps_no_amount_of_any_kind() -> None:
    room = READER.read(
        {
            "type": "room", "event": "pk_start", "event_time": AT_MS, "streamer_id": "s1",
            "amount": "abc", "user_limit_tip": "x", "user_limit_day": [], "user_limit_month": -1,
        },
        RECEIVED_MS,
    )  # fmt: skip
    assert room.room_event == "pk_start"
    assert (room.amount_minor, room.value_minor) == (None, None)
    limits = (room.user_limit_tip_minor, room.user_limit_day_minor, room.user_limit_month_minor)
    assert limits == (None, None, None)


def test_an_event_without_an_id_gets_the_same_one_each_time_and_another_for_another_record() -> (
    None
):
    recharge = without("event_id") | {"type": "recharge"}
    first, again = (READER.read(dict(recharge), RECEIVED_MS).event_id for _ in range(2))
    other = READER.read(recharge | {"amount": "12.51"}, RECEIVED_MS).event_id
    assert first == again
    assert len(first) == 24
    assert other != first
    room = {"type": "room", "event": "pk_end", "event_time": AT_MS, "streamer_id": "s1"}
    assert READER.read(room | {"amount": 10**5_000}, RECEIVED_MS).event_id


def test_fields_the_contract_does_not_know_are_left_alone() -> None:
    assert read(surprise={"a": [1]}, TYPE="gift").type == "tip"


# -- anything at all -----------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.sampled_from(["tip", "room", "CNY", "JPY", "1e9", "1_0", "2026-03-01T16:00:02Z", "-0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
records = st.dictionaries(st.sampled_from([field.name for field in FIELDS]), json_values)


@given(st.binary())
def test_no_bytes_make_the_decoder_raise(data: bytes) -> None:
    refusal = Decoder(READER).decode(data, RECEIVED_MS)
    assert isinstance(refusal, Rejected)
    assert refusal.reason in REASONS


@given(records, st.booleans())
def test_no_json_makes_the_decoder_raise(record: dict[str, Any], is_near_a_tip: bool) -> None:
    data = orjson.dumps(TIP | record if is_near_a_tip else record)
    outcome = Decoder(READER).decode(data, RECEIVED_MS)
    if isinstance(outcome, Rejected):
        assert outcome.reason in REASONS
    else:
        assert isinstance(outcome, Event)
        assert outcome.type == "room" or (outcome.amount_minor or 0) > 0
        assert outcome.type == "room" or (outcome.value_minor or 0) > 0


@given(records)
def test_the_record_is_not_changed(record: dict[str, Any]) -> None:
    sent = TIP | record
    before = copy.deepcopy(sent)
    try:
        READER.read(sent, RECEIVED_MS)
    except Rejected as refusal:
        assert refusal.reason in REASONS
    assert repr(sent) == repr(before)  # repr: a NaN is not equal to itself
