"""One target partition's merge: batches of several sources in, events in one fixed order out.

The log of a target partition holds the batches of its sources interleaved by chance. Events are
held back until every source has promised to send nothing that comes before them, and leave in the
order of (time, source, offset): a function of what each source sent, however the log mixed it.
Knows no Kafka and no view; the bytes of a batch are `rekey`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Any

from detector.core.event import Event
from detector.runtime.columns import BatchError, EventColumns, dump, parse, whole, wholes
from detector.runtime.rekey import MAX_NUMBER, MAX_SOURCES, Batch

_VERSION = 1
_NOTHING_MS = -1  # promised by a source that was not heard of: before every time
_ROWS_A_CHUNK = 1_000  # tried first
_COLUMNS = EventColumns()

_Row = tuple[int, int, Event]  # time, source, event


class _Source:
    """One source: how far it is, what it promised, and its rows that wait, oldest first."""

    __slots__ = ("is_idle", "next_offset", "promise_ms", "rows")

    def __init__(
        self, next_offset: int = 0, promise_ms: int = _NOTHING_MS, is_idle: bool = False
    ) -> None:
        self.next_offset = next_offset
        self.promise_ms = promise_ms
        self.is_idle = is_idle
        self.rows: deque[_Row] = deque()

    @property
    def earliest_ms(self) -> float:
        """No time before this can still come; of an idle source nothing is expected."""
        return inf if self.is_idle else self.promise_ms


class Merge:
    """Holds the events of one target partition back until no earlier one can come.

    An event leaves once its (time, source) is at most the smallest (promise, source) of all
    sources: of two sources at the same time the lower number goes first, so an event need not wait
    for a source of a higher number to get past its time. A source that exists and was not heard of
    has promised nothing; one that says it is idle is not waited for. A row older than what its
    source had promised counts as of the promise.

    Args:
        max_waiting: most events held back, about 1.3 kB each. Above it the earliest leave without
            all promises, decided as each batch comes: the same log forces the same events out.

    Attributes:
        waiting: events held back for a promise.
        repeated: rows dropped because their source was past that offset: a batch written twice.
        forced: events that left before all promises were there; their order is not guaranteed.

    >>> from detector.runtime.rekey import Batch
    >>> event, merge = Event(), Merge()
    >>> merge.add(Batch(source=0, sources=2, next_offset=1, promise_ms=5, rows=[(5, 0, event)]))
    >>> [source for source, _ in merge.release()], merge.waiting
    ([], 1)
    >>> merge.add(Batch(source=1, sources=2, next_offset=9, promise_ms=6, rows=[]))
    >>> [source for source, _ in merge.release()], merge.waiting
    ([0], 0)
    """

    def __init__(self, max_waiting: int = 200_000) -> None:
        self.waiting = 0
        self.repeated = 0
        self.forced = 0
        self._max_waiting = max_waiting
        self._sources: list[_Source] = []
        self._ready: deque[_Row] = deque()
        self._heads: list[tuple[int, int]] = []  # heap: (time, source) of each source's oldest row
        self._promises: list[tuple[float, int]] = []  # heap: one a source, perhaps an older one

    def add(self, batch: Batch) -> None:
        """Takes the next batch of the target's log."""
        while len(self._sources) < batch.sources:
            heappush(self._promises, (_NOTHING_MS, len(self._sources)))
            self._sources.append(_Source())
        self._append(batch)
        earliest = self._earliest_to_come()
        heads = self._heads
        while heads and heads[0] <= earliest:
            self._pop()
        while self.waiting > self._max_waiting:
            self._pop()
            self.forced += 1

    def release(self) -> Iterator[tuple[int, Event]]:
        """(source, event) for all that may leave; what was taken from it is gone."""
        ready = self._ready
        while ready:
            _, source, event = ready.popleft()
            yield source, event

    def save(self, chunk_bytes: int = 400_000) -> Iterator[bytes]:
        """All that is held, as of the call; encoded as it is read.

        Args:
            chunk_bytes: most bytes of a chunk. Only the counters (about 40 bytes a source) and a
                single event may exceed it.
        """
        ready = list(self._ready)
        waiting = [row for source in self._sources for row in source.rows]
        return self._chunks(self._head(), ready, waiting, chunk_bytes)

    def load(self, chunk: bytes) -> None:
        """Takes one chunk of `save`, in its order. The first one forgets all that was held.

        Raises:
            BatchError: the bytes are no such chunk. What was loaded until then is not usable.
        """
        record = parse(chunk, _VERSION)
        part = record.get("part")
        if part == "head":
            self._load_head(record)
        elif part in ("ready", "waiting"):
            self._load_rows(record, is_ready=part == "ready")
        else:
            raise BatchError("part: expected head, ready or waiting")

    def _append(self, batch: Batch) -> None:
        """Puts the rows not seen before behind their source's, and moves its promise."""
        number = batch.source
        source = self._sources[number]
        next_offset, promise_ms, rows = source.next_offset, source.promise_ms, source.rows
        was_empty, before = not rows, len(rows)
        for time_ms, offset, event in batch.rows:
            if offset >= next_offset:
                rows.append((time_ms if time_ms > promise_ms else promise_ms, number, event))
        added = len(rows) - before
        self.waiting += added
        self.repeated += len(batch.rows) - added
        if was_empty and added:
            heappush(self._heads, (rows[0][0], number))
        source.next_offset = max(next_offset, batch.next_offset)
        source.promise_ms = max(promise_ms, batch.promise_ms)
        if source.is_idle != batch.is_idle:
            source.is_idle = batch.is_idle
            self._order_promises()

    def _earliest_to_come(self) -> tuple[float, int]:
        """The smallest (promise, source): no row before it can still come."""
        promises = self._promises
        while promises[0][0] < (earliest_ms := self._sources[promises[0][1]].earliest_ms):
            heapreplace(promises, (earliest_ms, promises[0][1]))
        return promises[0]

    def _order_promises(self) -> None:
        self._promises = [(source.earliest_ms, n) for n, source in enumerate(self._sources)]
        heapify(self._promises)

    def _pop(self) -> None:
        """Lets the earliest of the waiting rows leave."""
        number = self._heads[0][1]
        rows = self._sources[number].rows
        self._ready.append(rows.popleft())
        self.waiting -= 1
        if rows:
            heapreplace(self._heads, (rows[0][0], number))
        else:
            heappop(self._heads)

    def _head(self) -> bytes:
        return dump(
            {
                "v": _VERSION,
                "part": "head",
                "next_offset": [source.next_offset for source in self._sources],
                "promised": [source.promise_ms - _NOTHING_MS for source in self._sources],
                "idle": [int(source.is_idle) for source in self._sources],
                "repeated": self.repeated,
                "forced": self.forced,
            }
        )

    @staticmethod
    def _chunks(
        head: bytes, ready: list[_Row], waiting: list[_Row], chunk_bytes: int
    ) -> Iterator[bytes]:
        yield head
        yield from _cut("ready", ready, chunk_bytes)
        yield from _cut("waiting", waiting, chunk_bytes)

    def _load_head(self, record: dict[str, Any]) -> None:
        next_offsets, promised = wholes(record, "next_offset"), wholes(record, "promised")
        idle = wholes(record, "idle")
        if not len(next_offsets) == len(promised) == len(idle) <= MAX_SOURCES:
            raise BatchError(f"promised: expected one for each of at most {MAX_SOURCES} sources")
        self.repeated = whole(record, "repeated", 0, MAX_NUMBER)
        self.forced = whole(record, "forced", 0, MAX_NUMBER)
        self.waiting = 0
        self._sources = [
            _Source(next_offset, number + _NOTHING_MS, bool(is_idle))
            for next_offset, number, is_idle in zip(next_offsets, promised, idle, strict=True)
        ]
        self._order_promises()
        self._heads = []
        self._ready.clear()

    def _load_rows(self, record: dict[str, Any], is_ready: bool) -> None:
        times, numbers = wholes(record, "time_ms"), wholes(record, "source")
        if len(times) != len(numbers) or any(n >= len(self._sources) for n in set(numbers)):
            raise BatchError("source: expected the number of a source for each time")
        events = _COLUMNS.read(record.get("event"), len(times))
        for row in zip(times, numbers, events, strict=True):
            if is_ready:
                self._ready.append(row)
                continue
            rows = self._sources[row[1]].rows
            if not rows:
                heappush(self._heads, row[:2])
            rows.append(row)
            self.waiting += 1


def _cut(part: str, rows: Sequence[_Row], chunk_bytes: int) -> Iterator[bytes]:
    """The rows as chunks of at most `chunk_bytes`, of one row at least."""
    at, size = 0, _ROWS_A_CHUNK
    while at < len(rows):
        piece = rows[at : at + size]
        times, sources, events = zip(*piece, strict=True)
        chunk = dump(
            {
                "v": _VERSION,
                "part": part,
                "time_ms": times,
                "source": sources,
                "event": _COLUMNS.write(events),
            }
        )
        if len(chunk) > chunk_bytes and len(piece) > 1:
            size = max(1, len(piece) // 2)
        else:
            at += len(piece)
            yield chunk
