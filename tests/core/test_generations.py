"""The map never holds more than it may, forgets only what is idle, and counts what it forgets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.core.generations import Cut, Generations

IDLE_MS = 100

puts = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 80)), max_size=200)
"""(key, milliseconds since the put before it)"""


def contents(held: Generations[int]) -> list[tuple[bool, list[tuple[str, int]]]]:
    """Both generations with their entries in order; ends the record of changes."""
    return [(turns, list(entries.items())) for turns, entries in held.cut_all().steps()]


def replay(cut: Cut[int], onto: Generations[int]) -> None:
    onto.counters = cut.counters
    for turns_first, entries in cut.steps():
        onto.load(turns_first, entries)


@given(st.integers(2, 20), puts)
def test_never_more_than_max_entries_are_held(
    max_entries: int, steps: list[tuple[int, int]]
) -> None:
    held: Generations[int] = Generations(max_entries, IDLE_MS)
    now_ms = 1_000
    for number, (key, later_ms) in enumerate(steps):
        now_ms += later_ms
        held.put(str(key), number, now_ms)
        assert len(held) <= max_entries
        assert held.get(str(key)) == number


@given(puts)
def test_what_was_used_within_idle_ms_is_held_with_its_newest_value(
    steps: list[tuple[int, int]],
) -> None:
    held: Generations[int] = Generations(max_entries=26, idle_ms=IDLE_MS)
    newest: dict[str, tuple[int, int]] = {}
    now_ms = 1_000
    for number, (key, later_ms) in enumerate(steps):
        now_ms += later_ms
        held.put(str(key), number, now_ms)
        newest[str(key)] = number, now_ms
        assert held.turned_by_size == 0
        for each, (value, used_ms) in newest.items():
            if now_ms - used_ms < IDLE_MS:
                assert held.get(each) == value


@given(st.integers(2, 20), puts)
def test_every_entry_is_held_or_counted_as_evicted(
    max_entries: int, steps: list[tuple[int, int]]
) -> None:
    held: Generations[int] = Generations(max_entries, IDLE_MS)
    added = now_ms = 0
    for key, later_ms in steps:
        now_ms += later_ms
        added += str(key) not in held
        held.put(str(key), 1, now_ms)
        assert held.evicted == added - len(held)


def test_what_has_been_idle_for_twice_idle_ms_is_gone_once_others_come() -> None:
    held: Generations[str] = Generations(max_entries=100, idle_ms=IDLE_MS)
    held.put("idle", "x", 1_000)
    held.put("other", "x", 1_100)
    assert "idle" in held
    held.put("third", "x", 1_200)
    assert "idle" not in held
    assert held.get("idle") is None
    assert (held.evicted, held.turned_by_size) == (1, 0)


def test_a_full_young_generation_turns_early_and_says_so() -> None:
    held: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    for key in range(6):
        held.put(str(key), key, 1_000)
    assert [key for key in range(6) if str(key) in held] == [2, 3, 4, 5]
    assert (held.evicted, held.turned_by_size) == (2, 2)


def test_reading_does_not_keep_an_entry_alive_but_putting_does() -> None:
    held: Generations[str] = Generations(max_entries=100, idle_ms=IDLE_MS)
    held.put("read", "x", 1_000)
    held.put("put", "x", 1_000)
    for now_ms in (1_100, 1_200):
        held.get("read")
        held.put("put", "y", now_ms)
        held.put(str(now_ms), "x", now_ms)
    assert "read" not in held
    assert held.get("put") == "y"


def test_a_time_before_the_last_turn_neither_turns_nor_moves_the_clock_back() -> None:
    held: Generations[str] = Generations(max_entries=100, idle_ms=IDLE_MS)
    held.put("a", "x", 1_000)
    held.put("b", "x", 5)
    held.put("c", "x", 1_099)
    assert len(held) == 3
    assert held.evicted == 0


def test_a_turn_by_size_at_an_earlier_time_does_not_move_the_clock_back() -> None:
    held: Generations[str] = Generations(max_entries=4, idle_ms=IDLE_MS)
    for key, now_ms in (("a", 1_000), ("b", 1_000), ("c", 5), ("d", 1_050)):
        held.put(key, "x", now_ms)
    assert held.turned_by_size == 1
    assert len(held) == 4


@given(st.integers(2, 20), st.lists(puts, min_size=1, max_size=6), st.sampled_from([IDLE_MS, 3]))
def test_a_map_made_of_cuts_is_the_same_map_from_then_on(
    max_entries: int, pieces: list[list[tuple[int, int]]], idle_ms: int
) -> None:
    held: Generations[int] = Generations(max_entries, idle_ms)
    made: Generations[int] = Generations(max_entries, idle_ms)
    now_ms = 1_000
    for number, steps in enumerate(pieces):
        for key, later_ms in steps:
            now_ms += later_ms
            held.put(str(key), number, now_ms)
        replay(held.cut_changes(), made)
        assert made.counters == held.counters
    for number, (key, later_ms) in enumerate(pieces[0]):
        now_ms += later_ms
        for each in (held, made):
            each.put(str(key), number, now_ms)
    assert made.counters == held.counters
    assert contents(made) == contents(held)


@given(st.integers(2, 20), puts)
def test_a_cut_of_changes_is_never_larger_than_the_map_may_be(
    max_entries: int, steps: list[tuple[int, int]]
) -> None:
    held: Generations[int] = Generations(max_entries, IDLE_MS)
    held.cut_all()
    now_ms = 1_000
    for key, later_ms in steps:
        now_ms += later_ms
        held.put(str(key), 1, now_ms)
    assert sum(len(entries) for _, entries in held.cut_changes().steps()) <= max_entries


def test_what_happens_after_a_cut_is_not_in_it() -> None:
    held: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    held.put("a", 1, 1_000)
    whole = held.cut_all()
    held.put("a", 2, 1_000)
    changes = held.cut_changes()
    for key in "abcdef":
        held.put(key, 3, 1_000)
    assert [entries for _, entries in whole.steps()] == [{}, {"a": 1}]
    assert [entries for _, entries in changes.steps()] == [{"a": 2}]
    assert (whole.is_whole, changes.is_whole) == (True, False)


def test_the_first_cut_of_changes_is_all_of_the_map() -> None:
    held: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    held.put("a", 1, 1_000)
    assert held.cut_changes().is_whole
    assert not held.cut_changes().is_whole


def test_after_loading_only_what_changes_then_is_a_change() -> None:
    held: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    held.put("a", 1, 1_000)
    made: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    replay(held.cut_all(), made)
    made.put("b", 2, 1_000)
    assert [entries for _, entries in made.cut_changes().steps()] == [{"b": 2}]


def test_a_map_that_holds_less_than_the_one_that_was_cut_shrinks_in_two_turns() -> None:
    held: Generations[int] = Generations(max_entries=20, idle_ms=IDLE_MS)
    for key in range(20):
        held.put(str(key), key, 1_000)
    made: Generations[int] = Generations(max_entries=4, idle_ms=IDLE_MS)
    replay(held.cut_all(), made)
    for key in range(100, 104):
        made.put(str(key), key, 1_000)
    assert len(made) <= 4
    assert made.get("103") == 103
