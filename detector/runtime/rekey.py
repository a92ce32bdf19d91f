"""Re-keyed batches: events of one partition of `tips`, sorted out by the id of the other view.

`tips` is keyed by one id; the view that needs another reads a topic of its own. Whoever reads a
*source* partition of `tips` writes compact batches to the *target* partitions of that topic, many
events a record, each with a promise of what the source will not send any more. `merge` reads them.
Knows which events a view wants, where they go, and the bytes of a batch. Knows no Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from operator import attrgetter
from typing import Literal, NamedTuple
from zlib import crc32

import orjson

from detector.core.event import Event
from detector.runtime.columns import (
    BatchError,
    EventColumns,
    dump,
    never_falls,
    parse,
    rises,
    whole,
    wholes,
)

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_SOURCES",
    "PROMISE_EVERY_S",
    "Batch",
    "BatchError",
    "Rekeyer",
    "View",
    "decode",
    "encode",
]

PROMISE_EVERY_S = 0.5
"""A target that has heard nothing for this long is sent a batch without rows."""

MAX_SOURCES = 10_000
"""Most partitions that `tips` may have."""

MAX_BATCH_BYTES = 400_000
"""Batches are cut above it, well below the 1 MB that brokers accept by default."""

MAX_NUMBER = 2**63 - 1
"""Largest offset and time: Kafka's are 64-bit integers."""

View = Literal["streamer", "tipper"]

_VERSION = 1


class Batch(NamedTuple):
    """One record of the re-keyed topic: what one source has for one target.

    Attributes:
        source: partition of `tips` that the rows come from.
        sources: how many partitions `tips` has.
        next_offset: the source is done up to here; every row of it lies before.
        promise_ms: the source will send nothing with a smaller time; no row's time is larger.
        is_idle: the source is at the end of its log and nothing has come for a while: not to be
            waited for until it says otherwise.
        rows: (time in epoch ms, source offset, event); offsets rise, times never fall.
    """

    source: int
    sources: int
    next_offset: int
    promise_ms: int
    rows: list[tuple[int, int, Event]]
    is_idle: bool = False


class _Wanted(NamedTuple):
    """What a view reads: these types of event, to the target that the id `key` picks."""

    types: frozenset[str]
    key: str
    columns: EventColumns


_WANTED: dict[str, _Wanted] = {
    "streamer": _Wanted(
        frozenset({"tip", "payout", "room"}),
        "streamer_id",
        EventColumns(leave_out=("message", "ip", "gift_name")),  # personal, and not needed there
    ),
    "tipper": _Wanted(frozenset({"tip", "recharge", "refund"}), "tipper_id", EventColumns()),
}


def encode(batch: Batch, view: View) -> bytes:
    """The batch as the value of a Kafka record.

    >>> encode(Batch(source=3, sources=8, next_offset=120, promise_ms=1772380802272, rows=[]),
    ...        "streamer").decode()[:54]
    '{"v":1,"view":"streamer","source":3,"sources":8,"next_'
    """
    times, offsets, events = zip(*batch.rows, strict=True) if batch.rows else ((), (), ())
    return dump(
        {
            "v": _VERSION,
            "view": view,
            "source": batch.source,
            "sources": batch.sources,
            "next_offset": batch.next_offset,
            "promise_ms": batch.promise_ms,
            "is_idle": batch.is_idle,
            "time_ms": times,
            "offset": offsets,
            "event": _WANTED[view].columns.write(events),
        }
    )


def decode(data: bytes, view: View) -> Batch:
    """The inverse of `encode`; attributes that the view does not get are None.

    Raises:
        BatchError: the bytes are no batch of this version for this view. The text names what is
            wrong and holds no value.
    """
    record = parse(data, _VERSION)
    if record.get("view") != view:
        raise BatchError(f"view: expected {view}")
    sources = whole(record, "sources", 1, MAX_SOURCES)
    source = whole(record, "source", 0, sources - 1)
    next_offset = whole(record, "next_offset", 0, MAX_NUMBER)
    promise_ms = whole(record, "promise_ms", 0, MAX_NUMBER)
    times, offsets = wholes(record, "time_ms"), wholes(record, "offset")
    _check_rows(times, offsets, next_offset, promise_ms)
    events = _WANTED[view].columns.read(record.get("event"), len(times))
    if not {event.type for event in events} <= _WANTED[view].types:
        raise BatchError(f"type: expected only types that the {view} view reads")
    rows = list(zip(times, offsets, events, strict=True))
    return Batch(source, sources, next_offset, promise_ms, rows, record.get("is_idle") is True)


class Rekeyer:
    """Collects, of one source partition, the events that each target partition gets.

    Time is the running maximum of the source's event times: it never falls, so that what was
    promised holds whatever comes.

    Args:
        source: partition of `tips`.
        targets: how many partitions the re-keyed topic has; must not change while it holds batches.
        view: `streamer` gets tips, payouts and rooms by streamer, without messages, addresses and
            gift names; `tipper` gets tips, recharges and refunds by tipper.

    Attributes:
        view: as given.
    """

    def __init__(self, source: int, targets: int, view: View) -> None:
        self._source = source
        self.view: View = view
        self._types = _WANTED[view].types
        self._key_of = attrgetter(_WANTED[view].key)
        self._targets = targets
        self._rows: list[list[tuple[int, int, Event]]] = [[] for _ in range(targets)]
        self._written_s = [-inf] * targets
        self._told: list[tuple[int, bool]] = [(-1, False)] * targets
        self._time_ms = 0

    def add(self, event: Event, offset: int) -> None:
        """Takes the next event of the source; one that the view does not want only moves time.

        Args:
            event: must not be changed afterwards.
            offset: of its record; larger than the one before.
        """
        if event.event_time_ms > self._time_ms:
            self._time_ms = event.event_time_ms
        if event.type in self._types:
            key = self._key_of(event)
            if key is not None:
                target = crc32(key.encode("utf-8", "surrogatepass")) % self._targets
                self._rows[target].append((self._time_ms, offset, event))

    def drain(
        self, sources: int, next_offset: int, steady_s: float, is_idle: bool = False
    ) -> list[tuple[int, bytes]]:
        """What must be written now, in order of target; it is forgotten here.

        Args:
            sources: how many partitions `tips` has. With one nobody waits, so nothing is promised.
            next_offset: of the source's record to read next.
            steady_s: seconds on a clock that never jumps.
            is_idle: see `Batch`.

        Returns:
            (target partition, encoded batch): for every target that has rows, and without rows for
            those that have heard nothing new for `PROMISE_EVERY_S`. A target gets several, to be
            written in this order, where one would be larger than `MAX_BATCH_BYTES`.
        """
        batches: list[tuple[int, bytes]] = []
        for target, rows in enumerate(self._rows):
            is_due = (
                sources > 1
                and self._told[target] != (self._time_ms, is_idle)
                and steady_s - self._written_s[target] >= PROMISE_EVERY_S
            )
            if rows or is_due:
                batch = Batch(self._source, sources, next_offset, self._time_ms, rows, is_idle)
                if sources > 1:
                    self._told[target] = (self._time_ms, is_idle)
                batches += [(target, data) for data in _encode_cut(batch, self.view)]
                self._rows[target] = []
                self._written_s[target] = steady_s
        return batches

    def save(self) -> bytes:
        """The running time, to go on from elsewhere. Rows are not saved: drain first."""
        return orjson.dumps({"v": _VERSION, "time_ms": self._time_ms})

    def load(self, data: bytes) -> None:
        """Goes on from what `save` gave.

        Raises:
            BatchError: the bytes are something else.
        """
        self._time_ms = whole(parse(data, _VERSION), "time_ms", 0, MAX_NUMBER)


def _encode_cut(batch: Batch, view: View) -> Iterator[bytes]:
    """The batch in pieces of at most `MAX_BATCH_BYTES`, or of one row; each is a batch."""
    data, rows = encode(batch, view), batch.rows
    if len(data) <= MAX_BATCH_BYTES or len(rows) == 1:
        yield data
        return
    middle = len(rows) // 2
    time_ms, offset, _ = rows[middle]
    first = batch._replace(rows=rows[:middle], next_offset=offset, promise_ms=time_ms)
    yield from _encode_cut(first, view)
    yield from _encode_cut(batch._replace(rows=rows[middle:]), view)


def _check_rows(times: list[int], offsets: list[int], next_offset: int, promise_ms: int) -> None:
    if len(times) != len(offsets):
        raise BatchError("time_ms, offset: expected as many of one as of the other")
    if not times:
        return
    if not never_falls(times) or times[-1] > promise_ms:
        raise BatchError("time_ms: expected times that never fall, none above the promise")
    if not rises(offsets) or offsets[-1] >= next_offset:
        raise BatchError("offset: expected offsets that rise, all below next_offset")
