"""What a merge releases is a function of what each source sent, however the log mixed it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.event import Event
from detector.lab.simulate import Scenario, simulate
from detector.runtime.merge import Merge
from detector.runtime.rekey import Batch, BatchError, Rekeyer, decode
from tests.engines import RECEIVED_MS, engine

READER = engine()[1]
TIPS = [
    event
    for simulated in simulate(Scenario(seed=12, events=500))
    if (event := READER.read(simulated.event, RECEIVED_MS)).type == "tip"
][:200]
NEVER_MS = 2**62  # what a source promises that sends nothing any more

Place = tuple[int, int, int]  # time, source, offset


def tip(source: int, offset: int) -> Event:
    """A tip that says where it is from."""
    record = {
        "event_time": 1_772_380_802_000, "event_id": f"{source}/{offset}", "tipper_id": "t",
        "streamer_id": "s", "amount": "1", "currency": "CNY",
    }  # fmt: skip
    return READER.read(record, RECEIVED_MS)


def batch(
    source: int, sources: int, promise_ms: int, *rows: tuple[int, int], next_offset: int = 0
) -> Batch:
    """Rows are (time, offset); by default the source is done just up to its last row."""
    end = max([next_offset, *(offset + 1 for _, offset in rows)])
    return Batch(source, sources, end, promise_ms, [(t, o, tip(source, o)) for t, o in rows])


def names(released: Iterable[tuple[int, Event]]) -> list[str]:
    pairs = list(released)
    assert all(event.event_id.startswith(f"{source}/") for source, event in pairs)
    return [event.event_id for _, event in pairs]


def restored(merge: Merge, max_waiting: int = 200_000, chunk_bytes: int = 600) -> Merge:
    other = Merge(max_waiting)
    for chunk in merge.save(chunk_bytes):
        other.load(chunk)
    return other


class Log(NamedTuple):
    """What a target holds: its sources' batches, and the place of every row in them."""

    sources: int
    batches: list[Batch]
    places: list[Place]


@st.composite
def source_logs(draw: st.DrawFn, source: int, sources: int) -> list[Batch]:
    """One source's batches: any times, any cuts, then an end for good."""
    rekeyer = Rekeyer(source, 1, "streamer")
    batches = []
    offset = 0
    for _ in range(draw(st.integers(0, 5))):
        for time_ms in draw(st.lists(st.integers(0, 12), max_size=6)):
            event = tip(source, offset)
            event.event_time_ms = time_ms
            rekeyer.add(event, offset)
            offset += draw(st.integers(1, 2))  # other offsets hold what the view does not want
        batches += rekeyer.drain(sources, offset, steady_s=len(batches))
    decoded = [decode(data, "streamer") for _, data in batches]
    return [*decoded, Batch(source, sources, offset, NEVER_MS, [])]


def written_twice(draw: st.DrawFn, batches: Sequence[Batch]) -> list[Batch]:
    """The source's log with stretches of it written again later, in other cuts."""
    log: list[Batch] = []
    for number, each in enumerate(batches, start=1):
        log.append(each)
        first = draw(st.integers(0, number))
        again = batches[first:number]
        if again and draw(st.booleans()):
            rows = [row for one in again for row in one.rows]
            cut = draw(st.integers(0, len(rows)))
            middle = rows[cut][1] if cut < len(rows) else each.next_offset
            promise_ms = rows[cut - 1][0] if cut else 0
            log.append(each._replace(rows=rows[:cut], next_offset=middle, promise_ms=promise_ms))
            log.append(each._replace(rows=rows[cut:]))
    return log


@st.composite
def logs(draw: st.DrawFn) -> Log:
    sources = draw(st.integers(1, 4))
    by_source = [draw(source_logs(source, sources)) for source in range(sources)]
    places = [
        (time_ms, each.source, offset)
        for batches in by_source for each in batches for time_ms, offset, _ in each.rows
    ]  # fmt: skip
    queues = [written_twice(draw, batches) for batches in by_source]
    mixed = []
    while left := [queue for queue in queues if queue]:
        mixed.append(draw(st.sampled_from(left)).pop(0))
    return Log(sources, mixed, places)


@given(logs(), st.data())
def test_the_order_is_of_time_source_and_offset_however_the_log_is_mixed_cut_and_restored(
    log: Log, data: st.DataObject
) -> None:
    merge = Merge()
    released: list[str] = []
    come: set[Place] = set()
    promised = dict.fromkeys(range(log.sources), -1)
    for each in log.batches:
        merge.add(each)
        come |= {(time_ms, each.source, offset) for time_ms, offset, _ in each.rows}
        promised[each.source] = max(promised[each.source], each.promise_ms)
        step = data.draw(st.sampled_from(["release", "take one", "go on", "restore"]))
        if step == "release":
            released += names(merge.release())
            earliest_to_come = min((promise, source) for source, promise in promised.items())
            for time_ms, source, offset in come:
                has_left = f"{source}/{offset}" in released
                assert has_left == ((time_ms, source) <= earliest_to_come)
        elif step == "take one":
            released += names(islice(merge.release(), 1))
        elif step == "restore":
            merge = restored(merge)
    released += names(merge.release())
    assert released == [f"{source}/{offset}" for _, source, offset in sorted(log.places)]
    rows = sum(len(each.rows) for each in log.batches)
    assert (merge.waiting, merge.forced, merge.repeated) == (0, 0, rows - len(released))


@given(logs(), st.integers(0, 6), st.data())
def test_what_is_forced_out_depends_on_the_log_alone(
    log: Log, max_waiting: int, data: st.DataObject
) -> None:
    expected = Merge(max_waiting)
    for each in log.batches:
        expected.add(each)
        assert expected.waiting <= max_waiting

    merge = Merge(max_waiting)
    released: list[str] = []
    for each in log.batches:
        merge.add(each)
        if data.draw(st.booleans()):
            released += names(merge.release())
        if data.draw(st.booleans()):
            merge = restored(merge, max_waiting)
    released += names(merge.release())
    assert released == names(expected.release())
    assert merge.forced == expected.forced
    assert sorted(released) == sorted(f"{source}/{offset}" for _, source, offset in log.places)


def test_above_the_limit_the_earliest_leave_and_are_counted() -> None:
    merge = Merge(max_waiting=2)
    merge.add(batch(0, 2, 9, (7, 0), (8, 1), (9, 2), (9, 3)))
    assert (names(merge.release()), merge.waiting, merge.forced) == (["0/0", "0/1"], 2, 2)
    merge.add(batch(1, 2, 9, (5, 0)))
    assert (names(merge.release()), merge.forced) == (["1/0", "0/2", "0/3"], 2)


def test_with_one_source_everything_leaves_at_once_in_order_of_offset() -> None:
    merge = Merge()
    merge.add(batch(0, 1, 9, (4, 0), (9, 1), (9, 5)))
    assert names(merge.release()) == ["0/0", "0/1", "0/5"]
    assert merge.waiting == 0


def test_a_source_never_heard_of_holds_all_others_back() -> None:
    merge = Merge()
    merge.add(batch(0, 3, 50, (0, 0)))
    merge.add(batch(2, 3, 50, (1, 0)))
    assert (names(merge.release()), merge.waiting) == ([], 2)
    merge.add(batch(1, 3, 50))
    assert names(merge.release()) == ["0/0", "2/0"]


def test_at_the_same_time_a_row_waits_for_lower_sources_only() -> None:
    merge = Merge()
    merge.add(batch(0, 2, 5, (5, 0)))
    merge.add(batch(1, 2, 5, (5, 0)))
    assert names(merge.release()) == ["0/0"]  # source 0 may send more at 5, source 1 comes later
    merge.add(batch(0, 2, 6, (5, 1)))
    assert names(merge.release()) == ["0/1", "1/0"]


def test_a_row_older_than_its_sources_promise_counts_as_of_the_promise() -> None:
    orders = []
    for late_first in (True, False):
        merge = Merge()
        merge.add(batch(0, 2, 10, next_offset=1))
        log = [batch(0, 2, 20, (3, 1)), batch(1, 2, 20, (9, 0), (11, 1))]
        for each in log if late_first else reversed(log):
            merge.add(each)
        orders.append(names(merge.release()))
    assert orders == [["1/0", "0/1", "1/1"]] * 2


def test_what_is_saved_is_as_of_the_call_and_in_chunks_of_the_size_asked_for() -> None:
    merge = Merge(max_waiting=150)
    rows = [(n, n, event) for n, event in enumerate(TIPS)]
    merge.add(Batch(0, 2, len(rows), len(rows), rows))
    chunks = merge.save(chunk_bytes=5_000)
    list(merge.release())
    merge.add(batch(1, 2, 10**6))

    other = Merge(max_waiting=150)
    sizes = []
    for chunk in chunks:
        other.load(chunk)
        sizes.append(len(chunk))
    assert (other.waiting, other.forced) == (150, 50)
    assert len(sizes) > 5 and max(sizes) <= 5_000
    other.add(batch(1, 2, 10**6))
    found = [event for _, event in other.release()]
    assert [[getattr(event, slot) for slot in Event.__slots__] for event in found] == [
        [getattr(event, slot) for slot in Event.__slots__] for event in TIPS
    ]


def test_the_first_chunk_forgets_what_was_held() -> None:
    merge = Merge()
    merge.add(batch(0, 2, 9, (9, 0), (9, 1)))
    merge.add(batch(1, 2, 9, (8, 0)))  # leaves, but is not taken
    for chunk in Merge().save():
        merge.load(chunk)
    assert (merge.waiting, names(merge.release())) == (0, [])
    merge.add(batch(0, 1, 9, (9, 0)))
    assert names(merge.release()) == ["0/0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v": 2}, "v: expected 1"),
        ({"part": "tail"}, "part: expected head, ready or waiting"),
        ({"source": [2]}, "source: expected the number of a source for each time"),
        ({"source": []}, "source: expected the number of a source for each time"),
        ({"time_ms": ["9"]}, "time_ms: expected whole numbers"),
        ({"event": {}}, "type: expected a type of event"),
        (
            {"part": "head", "next_offset": [1], "promised": [], "idle": []},
            "promised: expected one for each",
        ),
    ],
)
def test_a_chunk_that_save_did_not_write_is_refused(
    changes: dict[str, object], message: str
) -> None:
    merge = Merge()
    merge.add(batch(0, 2, 9, (9, 0)))
    head, rows = merge.save()
    other = Merge()
    other.load(head)
    with pytest.raises(BatchError, match=message):
        other.load(orjson.dumps({**orjson.loads(rows), **changes}))


def test_the_simulated_stream_comes_out_as_one_whichever_way_its_sources_share_it() -> None:
    """Sixteen logs of one stream, mixed by batch in two ways, give one order."""
    by_source: list[list[Batch]] = []
    for source in range(16):
        rekeyer = Rekeyer(source, 1, "streamer")
        batches: list[tuple[int, bytes]] = []
        for offset, event in enumerate(TIPS[source::16]):
            rekeyer.add(event, offset)
            if offset % 3 == 2:
                batches += rekeyer.drain(16, offset + 1, steady_s=float(offset))
        batches += rekeyer.drain(16, len(TIPS), steady_s=1e6)
        by_source.append([decode(data, "streamer") for _, data in batches])
        by_source[-1].append(Batch(source, 16, len(TIPS), NEVER_MS, []))
    one_by_one = [each for batches in by_source for each in batches]
    in_turn = sorted(one_by_one, key=lambda each: (each.next_offset, -each.source))
    orders = []
    for log in (one_by_one, in_turn):
        merge = Merge()
        for each in log:
            merge.add(each)
        orders.append([event.event_id for _, event in merge.release()])
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(event.event_id for event in TIPS)
    times = {event.event_id: event.event_time_ms for event in TIPS}
    falls = sum(times[a] > times[b] for a, b in pairwise(orders[0]))
    assert falls < len(TIPS) / 20  # only where the stream itself steps back


def test_an_idle_source_is_not_waited_for_until_it_speaks_again() -> None:
    merge = Merge()
    merge.add(batch(0, 2, 9, (5, 0), (9, 1)))
    assert names(merge.release()) == []
    merge.add(batch(1, 2, 3)._replace(is_idle=True))
    merge = restored(merge)
    assert names(merge.release()) == ["0/0", "0/1"]
    merge.add(batch(1, 2, 4, (4, 0)))
    merge.add(batch(0, 2, 12, (12, 2)))
    assert names(merge.release()) == ["1/0"]
    merge.add(batch(1, 2, 13))
    assert names(merge.release()) == ["0/2"]
