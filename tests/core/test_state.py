"""An engine that was saved and loaded does, from then on, what the saved one would have done."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import settings as runs
from hypothesis import strategies as st

from detector.core.account import CreditRules
from detector.core.decision import DUPLICATE, Decision
from detector.core.decode import Skipped
from detector.core.engine import VIEWS, Engine
from detector.core.event import Event
from detector.core.shadow import SHADOW_SECTIONS
from detector.core.state import SECTIONS, VERSION, StateError, Step, read, write
from detector.lab.simulate import Scenario, simulate
from tests.core.write_state import FOLDER, MINUTE_MS, START_MS, fresh, history, pk, tip
from tests.engines import RECEIVED_MS, engine, settings

HOUR_MS = 60 * MINUTE_MS

SMALL: dict[str, Any] = {
    "allowed_lateness_ms": 1_000,
    "tipper_max_entries": 50,
    "tipper_idle_ms": 20 * HOUR_MS,
    "duplicate_max_entries": 40,
    "duplicate_horizon_ms": HOUR_MS,
    "streamer_max_entries": 4,
    "streamer_idle_ms": 36 * HOUR_MS,
    "case_cool_down_ms": 6 * HOUR_MS,
    "case_max_age_ms": 12 * HOUR_MS,
    "storm_flags": 1,
    "storm_window_ms": 24 * HOUR_MS,
    "credit": CreditRules(20.0, 0.5, 100, 80, 60, 0.2, max_entries=6),
    "learning": replace(
        settings().make_engine_config().learning, event_max_entries=8, background_max_entries=20
    ),
}
"""Limits so low that everything is evicted, and every generation turns, all the time."""


def small_engine(views: frozenset[str] = VIEWS, dedupe: bool = True) -> Engine:
    return engine("cn", views, dedupe, **SMALL)[0]


def records(seed: int) -> Iterator[dict[str, Any]]:
    """A made-up stream with repeats, refund claims, and PKs within restricted hours."""
    past: list[dict[str, Any]] = []
    scenario = Scenario(
        seed=seed, events=900, days=6, tippers=110, streamers=12,
        cases={"minor": 2, "outsized": 3, "binge": 3},
    )  # fmt: skip
    for number, (record, _) in enumerate(simulate(scenario)):
        past.append(record)
        yield record
        if number % 9 == 5:
            yield past[number - number % 5]
        if number % 3 == 0 and 12 * HOUR_MS <= record["event_time"] % (24 * HOUR_MS) < 14 * HOUR_MS:
            yield {**pk(number, record["event_time"]), "streamer_id": f"s{number % 8}"}
        if number % 4 == 0:
            yield {
                "event_id": f"r{number}", "type": "refund", "event_time": record["event_time"],
                "tipper_id": f"t{number % 30}", "claimant_id": f"c{number * 7 % 300}",
                "claim": "minor", "amount": "9", "currency": "CNY",
            }  # fmt: skip


@cache
def events(seed: int) -> list[Event]:
    reader = engine("cn")[1]
    return [reader.read(record, RECEIVED_MS) for record in records(seed)]


def outcome(of: Engine, event: Event) -> dict[str, Any] | Skipped:
    """What an engine says of an event; of some flags' subjects it is told to be silent a while."""
    decision = of.process(event)
    if not isinstance(decision, Decision):
        return decision
    for flag in decision.flags:
        if crc32(event.event_id.encode()) % 3 == 0:
            subject = flag.record["subject"]
            of.snooze(flag.kind, subject["type"], subject["id"], event.event_time_ms + HOUR_MS)
    of_all = {"is_storm": of.is_storm, "storms": of.storms, "snoozed": of.snoozed}
    return decision.to_record() | {"accounts": decision.accounts} | of_all


@cache
def uncut(seed: int) -> tuple[list[dict[str, Any] | Skipped], Engine]:
    whole = small_engine()
    return [outcome(whole, event) for event in events(seed)], whole


def load(chunks: list[bytes], onto: Engine | None = None) -> Engine:
    loaded = small_engine() if onto is None else onto
    for chunk in chunks:
        loaded.load(chunk)
    return loaded


@cache
def saved() -> list[bytes]:
    """One save of a small engine, of which every section has entries."""
    busy = small_engine()
    for event in events(0)[:700]:
        outcome(busy, event)
    return list(busy.save_all(2_000))


def test_the_stream_of_these_tests_reaches_all_that_is_saved() -> None:
    found, whole = uncut(0)
    kept_for_months = {"snoozes", "accounts", "verdicts"}
    evictions = whole.evictions()
    assert min(count for store, count in evictions.items() if store not in kept_for_months) > 0
    assert whole.storms > 0
    assert whole.snoozed > 0
    assert sum(len(each["accounts"]) for each in found if isinstance(each, dict)) > 20
    assert {SECTIONS[chunk[1]] for chunk in saved()} == set(SECTIONS) - SHADOW_SECTIONS
    assert all(read(chunk).entries for chunk in saved() if SECTIONS[chunk[1]] == "streamers")
    flagged = {flag["kind"] for each, _ in map(uncut, range(3)) for decision in each
               if isinstance(decision, dict) for flag in decision["flags"]}  # fmt: skip
    assert flagged >= {"minor", "binge", "cap"}


@runs(max_examples=15, deadline=None)
@given(
    st.integers(0, 2),
    st.lists(
        st.tuples(
            st.integers(0, 250),
            st.sampled_from(["save all", "save changes", "save changes", "load"]),
            st.sampled_from([1, 300, 5_000, 400_000]),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_cut_anywhere_and_loaded_is_one_run(seed: int, steps: list[tuple[int, str, int]]) -> None:
    expected, whole = uncut(seed)
    running, kept, at = small_engine(), list[bytes](), 0
    found: list[dict[str, Any] | Skipped] = []
    for count, step, chunk_bytes in steps:
        found += [outcome(running, event) for event in events(seed)[at : at + count]]
        at += count
        if step == "save all":
            kept = list(running.save_all(chunk_bytes))
        else:
            kept += running.save_changes(chunk_bytes)
        if step == "load":
            loaded = load(kept)
            assert loaded.watermark_ms == running.watermark_ms
            assert loaded.sizes() == running.sizes()
            assert loaded.evictions() == running.evictions()
            assert loaded.tiers() == running.tiers()
            running = loaded
    running = load([*kept, *running.save_changes()])
    found += [outcome(running, event) for event in events(seed)[at:]]
    assert found == expected
    assert running.sizes() == whole.sizes()
    assert running.evictions() == whole.evictions()
    assert list(running.save_all()) == list(whole.save_all())


@runs(max_examples=10, deadline=None)
@given(st.integers(0, 700), st.integers(0, 200), st.booleans())
def test_a_save_holds_what_was_at_the_call_however_late_it_is_consumed(
    cut: int, later: int, is_started: bool
) -> None:
    running, expected = small_engine(), small_engine()
    for event in events(1)[:cut]:
        running.process(event)
        expected.process(event)
    whole = running.save_all(300)
    begun = [next(whole)] if is_started else []
    for event in events(1)[cut : cut + later]:
        running.process(event)
    changes = running.save_changes(300)
    for event in events(1)[cut + later :]:
        running.process(event)
    loaded = load([*begun, *whole])
    assert list(loaded.save_all()) == list(expected.save_all())
    for event in events(1)[cut : cut + later]:
        expected.process(event)
    assert list(load([*changes], loaded).save_all()) == list(expected.save_all())


def test_what_is_loaded_is_saved_with_the_same_bytes() -> None:
    assert list(load(saved()).save_all(2_000)) == saved()


def test_a_save_of_changes_has_the_tipper_that_tipped_and_no_other() -> None:
    running = small_engine()
    for event in events(0)[:700]:
        running.process(event)
    list(running.save_all())
    running.process(events(0)[700])
    changed = {part.section: len(part.entries) for part in map(read, running.save_changes())}
    assert (changed["tippers"], changed["event_ids"]) == (1, 1)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=())), st.binary()),
    st.booleans(),
    st.integers(1, 300),
)
def test_entries_of_any_text_and_bytes_come_back_from_chunks_of_the_size_asked_for(
    entries: dict[str, bytes], turns_first: bool, chunk_bytes: int
) -> None:
    chunks = list(write([Step("tippers", turns_first, entries.items())], chunk_bytes))
    parts = [read(chunk) for chunk in chunks]
    assert [item for part in parts for item in part.entries.items()] == list(entries.items())
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [part.turns_first for part in parts] == [turns_first, *[False] * len(parts)][
        : len(parts)
    ]
    for chunk, part in zip(chunks, parts, strict=True):
        assert len(chunk) <= chunk_bytes or len(part.entries) <= 1


def test_a_chunk_of_another_version_is_refused() -> None:
    chunk = bytes([VERSION + 1]) + saved()[0][1:]
    with pytest.raises(StateError) as caught:
        small_engine().load(chunk)
    assert str(caught.value) == "version: found 5, expected 4: it is of another release"


def test_a_truncated_chunk_is_refused_wherever_it_ends_and_has_no_effect() -> None:
    loading = small_engine()
    for chunk in saved():
        for end in range(0, len(chunk), 1 if len(chunk) < 100 else 37):
            with pytest.raises(StateError):
                loading.load(chunk[:end])
        loading.load(chunk)
    assert list(loading.save_all(2_000)) == saved()


@runs(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_chunk_loads_or_is_refused_without_saying_whose_it_is(
    data: st.DataObject,
) -> None:
    number = data.draw(st.integers(0, len(saved()) - 1))
    chunk = bytearray(saved()[number])
    part = read(bytes(chunk))
    ids = [key for key in part.entries if key and part.section != "totals"]
    at = data.draw(st.integers(0, len(chunk) - 1))
    chunk[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        load([*saved()[:number], bytes(chunk)])
    except StateError as error:
        assert not any(each in str(error) for each in ids if len(each) > 3)


@given(st.binary(max_size=60))
def test_what_is_no_chunk_is_refused(noise: bytes) -> None:
    chunk = bytes([VERSION]) + noise
    assume(len(noise) < 15 or noise[0] > 0)
    with pytest.raises(StateError):
        small_engine().load(chunk)


def test_a_chunk_that_is_missing_is_noticed_at_the_next() -> None:
    loading = load(saved()[:2])
    with pytest.raises(StateError, match=r"found part 3, expected 2$"):
        loading.load(saved()[3])


def test_chunks_without_their_head_are_refused() -> None:
    with pytest.raises(StateError, match=r"^populations: found no head before it, expected one$"):
        small_engine().load(saved()[1])


def test_changes_alone_do_not_make_a_state() -> None:
    running = small_engine()
    list(running.save_all())
    with pytest.raises(StateError, match=r"found changes only, expected a save of everything"):
        small_engine().load(next(running.save_changes()))


def test_a_state_that_means_something_else_is_refused_with_every_difference() -> None:
    other, _ = engine("kr", frozenset(("tipper",)))
    with pytest.raises(StateError) as caught:
        other.load(saved()[0])
    assert str(caught.value) == (
        "base currency: found 'CNY' in the state, expected 'KRW'; "
        "base currency decimals: found 2 in the state, expected 0; "
        "zone: found 'Asia/Shanghai' in the state, expected 'Asia/Seoul'; "
        "views: found ['streamer', 'tipper'] in the state, expected ['tipper']"
    )
    assert other.watermark_ms == 0


def test_a_state_of_the_version_before_is_refused_with_words() -> None:
    with pytest.raises(
        StateError, match=r"^version: found 3, expected 4: it is of another release$"
    ):
        fresh().load(b64decode((FOLDER / "state-3.txt").read_text("ascii").splitlines()[0]))


def test_a_state_that_was_saved_once_loads_and_is_gone_on_from() -> None:
    loaded, (_, reader) = fresh(), engine("cn")
    for line in (FOLDER / "state-4.txt").read_text("ascii").splitlines():
        loaded.load(b64decode(line))
    assert loaded.sizes() == {
        "tippers": 8, "streamers": 1, "event_ids": 15, "cases": 2, "claimants": 0, "snoozes": 0,
        "prominences": 1, "accounts": 2, "lessons": 13, "flags": 4, "verdicts": 0,
            "surges": 1,
    }  # fmt: skip
    assert loaded.watermark_ms == START_MS + 602_000
    at_ms = START_MS + 20 * MINUTE_MS
    *_, repeated = history()
    assert outcome(loaded, reader.read(repeated, RECEIVED_MS)) == DUPLICATE
    young = outcome(loaded, reader.read(tip(700, at_ms, "young", tipper_age=12), RECEIVED_MS))
    assert isinstance(young, dict)
    (flag,) = young["flags"]
    assert (flag["kind"], flag["update"]) == ("minor", True)
    assert flag["case_id"] == "c_4123d21ea8ac37f37140a46b582c9aaa"
    remembered = ("tips_before", "usual_minor", "maximum_minor", "gap_s", "day_sum_minor",
                  "site_middle_minor", "site_extreme_minor")  # fmt: skip
    assert [flag["features"][name] for name in remembered] == [
        3, 181.7121, 300, 598.0, 4_700, 2_907.3579, 7_236.6433,
    ]  # fmt: skip
    third_pk = outcome(loaded, reader.read(pk(700, at_ms), RECEIVED_MS))
    assert isinstance(third_pk, dict)
    assert [flag["reasons"][0]["observed"] for flag in third_pk["flags"]] == [3]


def test_sums_above_all_the_money_there_is_stop_growing_and_are_saved() -> None:
    rich, reader = engine("cn")
    for number in range(40):
        what = ("tip", "tip", "recharge", "payout")[number % 4]
        record = tip(number, START_MS + number * 1_000, "t1", type=what, account_id="t1")
        event = reader.read(record, RECEIVED_MS)
        event.amount_minor = event.value_minor = 2**61
        rich.process(event)
    chunks = list(rich.save_all())
    assert list(load(chunks, engine("cn")[0]).save_all()) == chunks
