"""What is remembered of a room stays small, and survives being saved at any moment."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.crowd import DEVICE, INSTRUMENT, MAX_TIPPERS, RETURNED, WIDTH, Crowd, mark
from detector.core.decision import Decision
from detector.core.detectors.ring import gather
from detector.core.engine import Engine
from detector.core.event import Event
from detector.core.linked import InStep, seen_lately
from detector.core.room import Room
from tests.core.room_stream import HOUR_MS, MINUTE_MS, START_MS, RoomStream
from tests.core.test_gambling import play
from tests.core.test_ring import launder
from tests.engines import RECEIVED_MS, engine


def fresh() -> Engine:
    return engine("cn", frozenset(("streamer",)))[0]


@cache
def events() -> list[Event]:
    """Rounds and a ring in one room within an evening, another room beside it."""
    stream = RoomStream(3)
    stream.evening(150, viewers=400)
    stream.room("pk_start", START_MS + 3 * MINUTE_MS)
    stream.payout("bank", 50, START_MS)
    play(stream, 5, stakers=14, start_ms=START_MS + HOUR_MS, message="押大")
    launder(stream, accounts=6, devices=2, cards=2, tips=6)
    records = stream.records()
    for number, record in enumerate(records):
        if number % 11 == 0:
            record["streamer_id"] = "s2"
    return [stream.reader.read(record, RECEIVED_MS) for record in records]


def outcome(of: Engine, event: Event) -> dict[str, Any]:
    decision = of.process(event)
    assert isinstance(decision, Decision)
    return decision.to_record()


@cache
def uncut() -> tuple[list[dict[str, Any]], list[bytes]]:
    whole = fresh()
    return [outcome(whole, event) for event in events()], list(whole.save_all())


def test_the_stream_of_these_tests_has_findings_of_both_kinds() -> None:
    found, _ = uncut()
    kinds = {flag["kind"] for decision in found for flag in decision["flags"]}
    assert kinds == {"gambling", "ring"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 120), st.booleans()), min_size=1, max_size=8))
def test_rooms_cut_anywhere_are_one_run(steps: list[tuple[int, bool]]) -> None:
    running, kept, at = fresh(), list[bytes](), 0
    found = []
    for count, is_loaded in steps:
        found += [outcome(running, event) for event in events()[at : at + count]]
        at += count
        kept += running.save_changes()
        if is_loaded:
            running = fresh()
            for chunk in kept:
                running.load(chunk)
    found += [outcome(running, event) for event in events()[at:]]
    assert found == uncut()[0]
    assert list(running.save_all()) == uncut()[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 350), st.integers(1, 60))
def test_a_room_that_goes_on_is_saved_as_it_was_when_it_was_cut(cut: int, later: int) -> None:
    running, expected = fresh(), fresh()
    for event in events()[:cut]:
        running.process(event)
        expected.process(event)
    late = running.save_all()
    for event in events()[cut : cut + later]:
        running.process(event)
    assert list(late) == list(expected.save_all())


def test_a_room_of_any_number_of_tippers_and_gifts_is_small() -> None:
    room, tip = Room(), Event()
    for number in range(20_000):
        tip.event_time_ms = START_MS + number * 700
        tip.tipper_id, tip.device_id = f"t{number * 7919 % 5_000}", f"d{number % 4_001}"
        tip.instrument_id, tip.gift_id = (
            f"i{number % 3_001}",
            f"g{number * 31 % 97 % (1 + number % 60)}",
        )
        tip.value_minor = tip.amount_minor = 100 + number % 977
        room.add_tip(tip, is_late=False)
        if number % 50 == 0:
            tip.account_id = f"t{number * 7919 % 5_000}" if number % 100 else f"x{number}"
            room.add_payout(tip)
    assert len(room.crowd) == MAX_TIPPERS
    assert len(room.save()) < 29_000
    assert Room.load(room.save()).save() == room.save()


def busy(number: int, every_payout: int) -> Event:
    """One of a full room's events: groups of six share a device, and all come in bursts of six."""
    event, tipper = Event(), f"t{number % MAX_TIPPERS}"
    event.event_time_ms = START_MS + number // 6 * 3_500 + number % 6
    event.value_minor = event.amount_minor = 1_000
    if number % every_payout == every_payout - 1:
        event.type, event.account_id = "payout", tipper
    else:
        event.tipper_id, event.device_id = tipper, f"d{number % MAX_TIPPERS // 6}"
    return event


@pytest.mark.parametrize("every_payout", [5, 7, 10**6])
def test_a_full_room_is_looked_at_every_few_events_whatever_they_are(
    every_payout: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(*args: Any) -> Any:
        looks.append(args)
        return gather(*args)

    monkeypatch.setattr("detector.core.room.gather", counted)
    room = Room()
    for number in range(9 * MAX_TIPPERS):
        if number == 8 * MAX_TIPPERS:
            looks.clear()
        event = busy(number, every_payout)
        if event.type == "payout":
            at, _ = room.add_payout(event)
        else:
            at = room.add_tip(event, is_late=False)
        if at >= 0:
            room.is_member(at, event)
    assert 0 < len(looks) <= MAX_TIPPERS // 4


def test_of_many_who_tip_in_bursts_those_who_share_something_are_compared() -> None:
    crowd, tip = Crowd(), Event()
    tip.value_minor = 100
    for number in range(MAX_TIPPERS):
        tip.event_time_ms = START_MS + number * 20
        tip.tipper_id = f"t{number}"
        tip.device_id = "shared" if number >= MAX_TIPPERS - 8 else None
        crowd.add(tip)
    linked = {mark(f"t{number}") for number in range(MAX_TIPPERS - 8, MAX_TIPPERS)}
    for burst in range(3):
        crowd.note_burst({each.mark for each in crowd}, 1 << burst)
    tippers = seen_lately(crowd, START_MS)
    in_step = InStep(crowd, tippers)
    assert linked < {each.mark for each in in_step.synced(tippers)}
    group = [each for each in tippers if each.mark in linked]
    assert in_step.synced(group) == group


def test_the_tip_that_shows_the_end_of_a_burst_counts_among_those_of_linked_tippers() -> None:
    room, tip = Room(), Event()
    tip.value_minor = tip.amount_minor = 100
    tip.device_id = "d"
    for number in range(36):
        tip.event_time_ms = START_MS + number // 6 * 60_000 + number % 6 * 100
        tip.tipper_id = f"t{number % 6}"
        room.add_tip(tip, is_late=False)
    # The first tip of all is of somebody who shares nothing yet; the first of a burst is alone.
    assert (room.tempo.linked, room.tempo.same) == (35, 29)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 60), st.integers(0, 60))))
def test_a_crowd_knows_who_shares_as_counted_anew(tips: list[tuple[int, int, int]]) -> None:
    crowd, tip = Crowd(), Event()
    for number, (tipper, device, instrument) in enumerate(tips * 3):
        tip.event_time_ms, tip.value_minor = START_MS + number * 1000, 100
        tip.tipper_id = f"t{tipper}"
        tip.device_id = f"d{(device + number) % 60}" if device else None
        tip.instrument_id = f"i{(instrument + number) % 60}" if instrument else None
        crowd.add(tip)
    for users, column in ((crowd.devices, DEVICE), (crowd.instruments, INSTRUMENT)):
        used = [row[column] for row in crowd if row[column]]
        shared = [thing for thing in used if used.count(thing) > 1]
        assert (users.shared, users.excess) == (len(shared), len(shared) - len(set(shared)))
        assert users.counts == {thing: used.count(thing) for thing in used}


def test_linked_tippers_outlive_a_crowd_that_passes_by() -> None:
    crowd, tip = Crowd(), Event()
    tip.value_minor = 100
    for number in range(3_000):
        tip.event_time_ms = START_MS + number * 1000
        tip.tipper_id = f"r{number % 6}" if number < 12 else f"t{number}"
        tip.device_id = f"shared{number % 2}" if number < 12 else f"d{number}"
        crowd.add(tip)
    assert {mark(f"r{number}") for number in range(6)} <= {tipper.mark for tipper in crowd}


def test_a_payout_is_the_tippers_whose_account_or_instrument_got_it() -> None:
    crowd, tip, payout = Crowd(), Event(), Event()
    tip.event_time_ms, tip.value_minor, tip.instrument_id = START_MS, 500, "card"
    tip.tipper_id = "t1"
    at = crowd.add(tip)
    payout.value_minor, payout.account_id = 300, "somebody"
    assert crowd.payee_of(payout) == -1
    payout.instrument_id = "card"
    assert crowd.payee_of(payout) == at
    payout.account_id, payout.instrument_id = "t1", None
    assert crowd.payee_of(payout) == at


@pytest.mark.parametrize(
    ("reason", "amount", "back"),
    [("withdraw", 600, 600), (None, 600, 600), ("rebate", 300, 300), ("rebate", 600, 0),
     ("prize", 300, 0)],
)  # fmt: skip
def test_what_a_tipper_won_is_not_his_money_coming_back(
    reason: str | None, amount: int, back: int
) -> None:
    room, tip, payout = Room(), Event(), Event()
    tip.event_time_ms, tip.value_minor, tip.amount_minor, tip.tipper_id = START_MS, 500, 500, "t1"
    at = room.add_tip(tip, is_late=False)
    payout.event_time_ms, payout.value_minor = START_MS + 1000, amount
    payout.account_id, payout.reason = "t1", reason
    assert room.add_payout(payout)[0] == at
    assert room.crowd.rows[at + RETURNED] == back


def test_a_crowd_of_other_bytes_is_refused() -> None:
    for size in (8, WIDTH * 8 * (MAX_TIPPERS + 1)):
        try:
            Crowd.load(bytes(size))
        except ValueError as error:
            assert str(error).startswith(f"a crowd: found {size} bytes")
        else:
            raise AssertionError(size)
