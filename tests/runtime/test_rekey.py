"""Batches carry exactly what a view reads, to the right target, with promises that hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.event import Event
from detector.lab.simulate import Scenario, simulate
from detector.runtime.rekey import MAX_BATCH_BYTES, Batch, BatchError, Rekeyer, View, decode, encode
from tests.engines import RECEIVED_MS, engine

READER = engine()[1]
EVENTS = [
    READER.read(simulated.event, RECEIVED_MS)
    for simulated in simulate(Scenario(seed=11, events=3_000))
]
PERSONAL = {"message", "ip", "gift_name"}
TYPES = {"streamer": {"tip", "payout", "room"}, "tipper": {"tip", "recharge", "refund"}}

OLD_BATCH = (
    b'{"v":1,"view":"streamer","source":3,"sources":8,"next_offset":121,'
    b'"promise_ms":1772380802999,"is_idle":false,"time_ms":[1772380802272],"offset":[118],'
    b'"event":{"amount_minor":[1250],"currency":["CNY"],"event_id":["e1"],'
    b'"event_time_ms":[1772380802000],"minor_mode":[true],"streamer_id":["s1"],'
    b'"tipper_id":["t1"],"type":["tip"],"value_minor":[1250]}}'
)
"""As the first release wrote it: still read by every release that says version 1."""


def event(kind: str = "tip", **changes: Any) -> Event:
    record = {
        "type": kind, "event_id": "e1", "event_time": 1_772_380_802_000, "tipper_id": "t1",
        "streamer_id": "s1", "amount": "12.50", "currency": "CNY", **changes,
    }  # fmt: skip
    return READER.read(record, RECEIVED_MS)


def room() -> Event:
    return event("room", event="live_start", tipper_id=None)


def values(each: Event) -> dict[str, Any]:
    return {slot: getattr(each, slot) for slot in Event.__slots__}


def drained(rekeyer: Rekeyer, view: View) -> list[tuple[int, Batch]]:
    batches = rekeyer.drain(sources=2, next_offset=10**6, steady_s=0.0)
    return [(target, decode(data, view)) for target, data in batches]


@pytest.mark.parametrize("view", ["streamer", "tipper"])
def test_a_view_gets_every_event_it_wants_with_every_value_it_may_have(view: View) -> None:
    rekeyer = Rekeyer(0, 5, view)
    events = [*EVENTS, event("refund", claim="minor"), room()]
    for offset, each in enumerate(events):
        rekeyer.add(each, offset)
    found = {row[1]: row[2] for _, batch in drained(rekeyer, view) for row in batch.rows}

    wanted = {offset: e for offset, e in enumerate(events) if e.type in TYPES[view]}
    assert found.keys() == wanted.keys()
    assert {e.type for e in found.values()} == TYPES[view]
    left_out = dict.fromkeys(PERSONAL) if view == "streamer" else {}
    for offset, each in found.items():
        assert values(each) == {**values(wanted[offset]), **left_out}


def test_streamers_batches_hold_no_message_no_address_and_no_gift_name() -> None:
    tip = event(message="for grandma", ip="198.51.100.7", gift_name="rocket", gift_id="g7")
    batch = Batch(0, 1, 1, 0, [(0, 0, tip)])
    for secret in (b"grandma", b"198.51.100.7", b"rocket"):
        assert secret in encode(batch, "tipper")
        assert secret not in encode(batch, "streamer")
    assert b"g7" in encode(batch, "streamer")


def test_the_crc32_of_the_views_id_picks_the_target() -> None:
    rekeyer = Rekeyer(0, 7, "streamer")
    for offset in range(200):
        rekeyer.add(event(streamer_id=f"s{offset}"), offset)
    for target, batch in drained(rekeyer, "streamer"):
        assert {crc32(row[2].streamer_id.encode()) % 7 for row in batch.rows} == {target}


def test_an_event_without_the_views_id_goes_nowhere_but_moves_time() -> None:
    rekeyer = Rekeyer(0, 1, "tipper")
    anonymous = event()
    anonymous.tipper_id = None
    anonymous.event_time_ms += 1_000
    rekeyer.add(room(), 0)
    rekeyer.add(anonymous, 1)
    assert drained(rekeyer, "tipper") == [(0, Batch(0, 2, 10**6, anonymous.event_time_ms, []))]


def at(event_time_ms: int, **changes: Any) -> Event:
    timed = event(**changes)
    timed.event_time_ms = event_time_ms
    return timed


def test_times_never_fall_whatever_event_times_come() -> None:
    rekeyer = Rekeyer(0, 1, "streamer")
    for offset, time_ms in enumerate((30, 10, -1, 40, 20)):
        rekeyer.add(at(time_ms), offset)
    batch = drained(rekeyer, "streamer")[0][1]
    assert [row[0] for row in batch.rows] == [30, 30, 30, 40, 40]
    assert batch.promise_ms == 40


def test_a_source_says_once_that_it_is_idle_and_once_that_it_no_longer_is() -> None:
    rekeyer = Rekeyer(0, 1, "streamer")

    def told(steady_s: float, is_idle: bool) -> list[bool]:
        batches = rekeyer.drain(2, 1, steady_s, is_idle)
        return [decode(data, "streamer").is_idle for _, data in batches]

    assert told(0.0, False) == [False]
    assert told(1.0, True) == [True]
    assert told(2.0, True) == []
    rekeyer.add(event(), 0)
    assert told(2.1, False) == [False]
    assert told(3.0, False) == []


def test_a_target_that_heard_nothing_for_half_a_second_is_sent_a_promise() -> None:
    rekeyer = Rekeyer(4, 2, "streamer")
    assert [target for target, _ in rekeyer.drain(5, 0, 100.0)] == [0, 1]  # nothing heard, ever
    rekeyer.add(at(7), 0)
    mine = crc32(b"s1") % 2
    [(target, data)] = rekeyer.drain(5, 1, 100.4)
    assert (target, len(decode(data, "streamer").rows)) == (mine, 1)
    assert rekeyer.drain(5, 1, 100.49) == []
    [(target, data)] = rekeyer.drain(5, 1, 100.5)
    assert (target, decode(data, "streamer")) == (1 - mine, Batch(4, 5, 1, 7, []))
    assert rekeyer.drain(5, 1, 100.9) == []  # it knows all there is to know


def test_a_single_source_promises_nothing_as_nobody_waits() -> None:
    rekeyer = Rekeyer(0, 3, "streamer")
    assert rekeyer.drain(1, 0, 100.0) == []
    rekeyer.add(event(), 0)
    assert [target for target, _ in rekeyer.drain(1, 1, 200.0)] == [crc32(b"s1") % 3]
    assert rekeyer.drain(1, 1, 300.0) == []


def test_a_batch_too_large_for_a_record_is_cut_into_batches_that_say_so_much_and_no_more() -> None:
    rekeyer = Rekeyer(0, 1, "tipper")
    for offset in range(1_000):
        rekeyer.add(at(offset // 10, message="打赏" * 250), offset)
    drain = rekeyer.drain(sources=2, next_offset=2_000, steady_s=0.0)
    assert len(drain) > 3 and max(len(data) for _, data in drain) <= MAX_BATCH_BYTES
    batches = [decode(data, "tipper") for _, data in drain]
    assert [row[1] for batch in batches for row in batch.rows] == list(range(1_000))
    for batch, following in pairwise(batches):
        assert (batch.promise_ms, batch.next_offset) == following.rows[0][:2]
    assert (batches[-1].promise_ms, batches[-1].next_offset) == (99, 2_000)


def test_a_source_taken_over_goes_on_from_its_time() -> None:
    before, after = Rekeyer(0, 1, "streamer"), Rekeyer(0, 1, "streamer")
    before.add(at(600), 0)
    after.load(before.save())
    after.add(at(500), 1)
    assert drained(after, "streamer")[0][1].rows[0][0] == 600
    with pytest.raises(BatchError, match="time_ms"):
        after.load(b'{"v":1,"time_ms":"600"}')


def test_a_limit_beyond_64_bits_comes_back_exactly() -> None:
    tip = event()
    tip.user_limit_day_minor = 10**19 * 2500
    [row] = decode(encode(Batch(0, 1, 1, 0, [(0, 0, tip)]), "streamer"), "streamer").rows
    assert values(row[2]) == values(tip)


def test_a_batch_of_the_first_release_is_read_and_written_alike() -> None:
    batch = decode(OLD_BATCH, "streamer")
    assert batch[:4] == (3, 8, 121, 1_772_380_802_999)
    [(time_ms, offset, tip)] = batch.rows
    assert (time_ms, offset) == (1_772_380_802_272, 118)
    assert values(tip) == values(event(minor_mode=True))
    assert encode(batch, "streamer") == OLD_BATCH


def change(record: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        record = record[parent]
    record[name] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("v", 2, "v: expected 1; was it written by another release?"),
        ("v", True, "v: expected 1; was it written by another release?"),
        ("view", "tipper", "view: expected streamer"),
        ("source", 8, "source: expected a whole number, 0 to 7"),
        ("source", -1, "source: expected a whole number, 0 to 7"),
        ("sources", 10**9, "sources: expected a whole number, 1 to 10000"),
        ("next_offset", 1.5, "next_offset: expected a whole number, 0 to 9223372036854775807"),
        ("next_offset", 118, "offset: expected offsets that rise, all below next_offset"),
        ("promise_ms", 5, "time_ms: expected times that never fall, none above the promise"),
        ("time_ms", [], "time_ms, offset: expected as many of one as of the other"),
        ("time_ms", {}, "time_ms: expected an array"),
        ("time_ms", [None], "time_ms: expected whole numbers"),
        ("offset", [-1], "offset: expected none below 0"),
        ("event", [], "event: expected an object of columns"),
        ("event.__init__", ["x"], "event: 1 unknown columns"),
        ("event.message", ["x"], "event: 1 unknown columns"),
        ("event.viewers", [1, 2], "viewers: expected an array of 1 values"),
        ("event.viewers", [True], "viewers: expected int or null"),
        ("event.viewers", ["1e3"], "viewers: expected a whole number"),
        ("event.minor_mode", [1], "minor_mode: expected bool or null"),
        ("event.room_id", [[]], "room_id: expected str or null"),
        ("event.type", ["gift"], "type: expected a type of event"),
        ("event.type", [None], "type: expected a type of event"),
        ("event.type", ["refund"], "type: expected only types that the streamer view reads"),
        ("event.value_minor", [None], "value_minor: expected a value in every event that needs it"),
        ("event.event_id", [None], "event_id: expected a value in every event that needs it"),
    ],
)
def test_a_malformed_batch_is_refused_with_what_is_wrong(
    path: str, value: Any, message: str
) -> None:
    record = orjson.loads(OLD_BATCH)
    change(record, path, value)
    with pytest.raises(BatchError) as refusal:
        decode(orjson.dumps(record), "streamer")
    assert str(refusal.value) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
PATHS = sorted(
    [*orjson.loads(OLD_BATCH), *(f"event.{slot}" for slot in Event.__slots__), "event.other"]
)


@given(st.sampled_from(PATHS), JSON, st.booleans())
def test_whatever_stands_in_its_place_a_batch_is_read_or_refused(
    path: str, value: Any, is_row: bool
) -> None:
    record = orjson.loads(OLD_BATCH)
    change(record, path, [value] if is_row else value)
    assert_read_or_refused(orjson.dumps(record))


@given(st.integers(0, len(OLD_BATCH)), st.integers(0, 40), st.binary(max_size=8))
def test_whatever_bytes_are_damaged_a_batch_is_read_or_refused(
    at: int, cut: int, instead: bytes
) -> None:
    assert_read_or_refused(OLD_BATCH[:at] + instead + OLD_BATCH[at + cut :])


def assert_read_or_refused(data: bytes) -> None:
    try:
        batch = decode(data, "streamer")
    except BatchError as refusal:
        assert refusal.__cause__ is None and "s1" not in str(refusal)
    else:
        assert 0 <= batch.source < batch.sources
        assert all(a[0] <= b[0] and a[1] < b[1] for a, b in pairwise(batch.rows))
        assert {row[2].type for row in batch.rows} <= TYPES["streamer"]


@pytest.mark.parametrize("make", [bytes, lambda: b"[]", lambda: b"\xff", lambda: b"[" * 9_999])
def test_bytes_that_are_no_object_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(BatchError):
        decode(make(), "streamer")
