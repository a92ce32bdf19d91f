"""Saved state: when it is saved, what lies in the store, and how it is read back.

A *save* is a run of chunks (`core.state` knows what is in them): either the whole state or what
changed since the save before. The *manifest* names the saves that make up a state, a whole one and
the changes after it, with a digest of each, and the offset of the partition the state stands for.
Chunks and manifest are records of a compacted topic, in the transaction of the offsets they belong
to, so that a manifest never says more than was committed:

    <topic>/<partition>/<save>/<number>   a chunk, numbered from 0
    <topic>/<partition>/manifest          the manifest, a JSON object; `"format": 1` comes first

A large state is written over several commits: the cut is taken at once, the chunks follow, the
manifest comes last; until then the manifest before it holds. Once a whole save is complete, the
chunks it replaces are deleted (tombstones), and so are those a killed instance left unfinished.

Verdicts come from another log, so when they were learned is no function of the partition's own
records. The manifest says how far that log had been read at the cut, and is written again with a
*mark* by each commit whose records were scored after more verdicts were learned; a replay learns
them at the same offsets. Manifests of partitions that have learned nothing say `"format": 1`, as
before there were marks, the others 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import orjson

import detector
from detector.core.state import StateError
from detector.runtime.ports import Output, Partition, Saved

FORMAT = 2
"""Of a manifest with positions or marks; without them it is written as format 1."""

SLICE_BYTES = 4_000_000
"""Chunks handed to one commit, at most (and the last of them whole)."""

MOST_VERDICTS = 5_000
"""Learned between two cuts, at most: a replay holds them in memory."""

_MOST_SAVES = 64
_SMALL_BYTES = 1_000_000


class Stateful(Protocol):
    """What can be saved: see `core.engine.Engine`."""

    def save_all(self) -> Iterator[bytes]: ...
    def save_changes(self) -> Iterator[bytes]: ...
    def load(self, chunk: bytes) -> None: ...


class Save(NamedTuple):
    """One save: its name within the partition, its chunks, their bytes, their digest."""

    name: str
    chunks: int
    bytes: int
    digest: str


class Mark(NamedTuple):
    """Verdicts were learned before the record at `next_offset` was scored.

    Attributes:
        next_offset: of the partition.
        positions: partition of the verdict topic → offset up to which they were.
    """

    next_offset: int
    positions: dict[int, int]


class Manifest(NamedTuple):
    """A saved state.

    Attributes:
        next_offset: the state stands for every record before this offset.
        saved_at_ms: wall clock, epoch ms.
        version: of the detector that saved it.
        since: no chunk of it lies before this offset of the store.
        saves: a whole one, then changes.
        positions: partition of the verdict topic → offset up to which the state has learned.
        marks: what was learned after it.
    """

    next_offset: int
    saved_at_ms: int
    version: str
    since: int
    saves: tuple[Save, ...]
    positions: dict[int, int] = {}  # noqa: RUF012  never changed
    marks: tuple[Mark, ...] = ()

    def before(self, offset: int) -> Manifest:
        """The same without the marks from an offset on."""
        marks = tuple(mark for mark in self.marks if mark.next_offset < offset)
        return self._replace(marks=marks)

    @property
    def format(self) -> int:
        """The oldest format that can say it."""
        return FORMAT if self.positions or self.marks else 1

    def to_bytes(self) -> bytes:
        record = {"format": self.format, **self._asdict()}
        record["saves"] = [each._asdict() for each in self.saves]
        if self.format == 1:
            del record["positions"], record["marks"]
        else:
            record["marks"] = [each._asdict() for each in self.marks]
        return orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The inverse of `to_bytes`.

        Raises:
            StateError: of another format, or no manifest at all.
        """
        try:
            record = dict(orjson.loads(data))
            found = record.pop("format")
            if found not in (1, FORMAT):
                raise StateError(
                    f"checkpoint: format {found!r}; expected 1 or {FORMAT}: run the version of "
                    "tip-detector that wrote it, or start cold from an empty checkpoint topic"
                )
            record["saves"] = tuple(Save(**each) for each in record["saves"])
            if found == FORMAT:
                record["positions"] = _positions(record["positions"])
                record["marks"] = tuple(
                    Mark(each["next_offset"], _positions(each["positions"]))
                    for each in record["marks"]
                )
            return cls(**record)
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError) as error:
            if isinstance(error, StateError):
                raise
            raise StateError(f"checkpoint: not a manifest: {type(error).__name__}") from error


def _positions(record: dict[str, int]) -> dict[int, int]:
    return {int(number): offset for number, offset in record.items()}


def manifest_key(partition: Partition) -> bytes:
    """The key of a partition's manifest."""
    return f"{partition.topic}/{partition.partition}/manifest".encode()


def chunk_key(partition: Partition, save: str, number: int) -> bytes:
    """The key of one chunk."""
    return f"{partition.topic}/{partition.partition}/{save}/{number:05d}".encode()


def chunk_names(manifest: Manifest, partition: Partition) -> list[bytes]:
    """The keys of all chunks of a state, in order."""
    return [
        chunk_key(partition, save.name, number)
        for save in manifest.saves
        for number in range(save.chunks)
    ]


def load(stateful: Stateful, saved: Saved, on_chunk: Callable[[], None] = lambda: None) -> None:
    """Fills a fresh engine or lane from its saved state.

    Args:
        stateful: a fresh one.
        saved: its saved state.
        on_chunk: called before each chunk; what it raises ends the loading.

    Raises:
        Retry: the broker is away; what was filled so far is to be thrown away.
        StateError: a chunk is missing, damaged or of an unknown version.
    """
    chunks = saved.chunks()
    for save in saved.manifest.saves:
        digest = blake2b(digest_size=16)
        for _ in range(save.chunks):
            on_chunk()
            chunk = next(chunks, None)
            if chunk is None:
                raise StateError(f"checkpoint: save {save.name}: chunks are missing")
            digest.update(chunk)
            stateful.load(chunk)
        if digest.hexdigest() != save.digest:
            raise StateError(f"checkpoint: save {save.name}: its digest is not the manifest's")
    next(chunks, None)  # to the end of the log, where unfinished saves may lie


@dataclass(frozen=True, slots=True)
class SaveEvery:
    """When to save: whichever comes first."""

    interval_s: float
    records: int


class Checkpointer:
    """Saves one partition's state, a slice with each commit.

    Args:
        partition: whose state.
        stateful: what is saved.
        topic: the store's.
        every: how often.
        epoch: end of the store's partition when the state was loaded or begun; it makes the names
            of this owner's saves different from those of any before.
        manifest: the saved state it was loaded from; None for a cold start.
        strays: keys of unfinished saves to be deleted.
        now_s: steady time.

    Attributes:
        manifest: the newest complete one.
        saved_s: steady time when that was completed, or loaded.
    """

    def __init__(
        self, partition: Partition, stateful: Stateful, topic: str, every: SaveEvery, epoch: int,
        manifest: Manifest | None, strays: list[bytes], now_s: float,
    ) -> None:  # fmt: skip
        self.manifest = manifest
        self.saved_s = now_s
        self._partition = partition
        self._stateful = stateful
        self._topic = topic
        self._every = every
        self._epoch = epoch
        self._garbage = strays
        self._number = 0
        self._records = 0
        self._begun_s = now_s
        self._under_way: _Writing | None = None
        self._marks = [] if manifest is None else list(manifest.marks)
        self._positions = {} if manifest is None else manifest.positions
        if self._marks:
            self._positions = self._marks[-1].positions
        self._is_marked = False  # since the manifest was last written
        self._verdicts = 0  # since the last cut

    def count(self, records: int) -> None:
        """Records processed since the last call."""
        self._records += records

    @property
    def room(self) -> int:
        """Verdicts that may be learned before the next cut."""
        return max(0, MOST_VERDICTS - self._verdicts)

    def mark(self, mark: Mark, verdicts: int) -> None:
        """Verdicts were learned; `write_marks` must go with the commit of what is scored next.

        Args:
            mark: when, and up to where.
            verdicts: how many, at most `room`.
        """
        self._marks.append(mark)
        self._positions = mark.positions
        self._is_marked = True
        self._verdicts += verdicts
        self.count(verdicts)
        if not self.room:
            self.hurry()

    def write_marks(self) -> list[Output]:
        """The manifest with the marks that it lacks; empty when it lacks none.

        Asked after `step`, which may have written them with a manifest of its own.
        """
        if self.manifest is None or not self._is_marked:
            return []
        self.manifest = self.manifest._replace(marks=tuple(self._marks))
        return [self._write_manifest(self.manifest)]

    def unsaved_s(self, now_s: float) -> float:
        """Age of the newest save; 0 while nothing came after it, however old it is."""
        return now_s - self.saved_s if self._records or self._under_way is not None else 0.0

    def is_busy(self, now_s: float) -> bool:
        """Whether `step` has something to write."""
        return self._under_way is not None or self._is_due(now_s)

    @property
    def is_complete(self) -> bool:
        """Whether all that was processed is in the newest complete save."""
        return self.manifest is not None and self._under_way is None and not self._records

    def hurry(self) -> None:
        """Makes the next save due as soon as there is anything to save."""
        self._begun_s = float("-inf")

    def begin(self, next_offset: int, now_s: float, end: Callable[[], int]) -> None:
        """Takes the cut: the state as it is now, which stands for all before `next_offset`.

        Args:
            next_offset: of the partition.
            now_s: steady time.
            end: see `ports.Checkpoints.end`; asked for a whole save only.

        Raises:
            Retry: `end` did.
        """
        kept = () if self.manifest is None or self._is_whole_due() else self.manifest.saves
        since = self.manifest.since if kept and self.manifest else end()
        chunks = self._stateful.save_changes() if kept else self._stateful.save_all()
        name = f"{self._epoch}.{self._number}"
        self._number += 1
        self._under_way = _Writing(
            name, chunks, next_offset, since, kept, self._positions, len(self._marks)
        )
        self._records = self._verdicts = 0
        self._begun_s = now_s

    def step(
        self, next_offset: int, now_s: float, now_ms: int, end: Callable[[], int]
    ) -> list[Output]:
        """The next slice to be written with this commit; empty when nothing is due.

        Raises:
            Retry: the broker is away; try again.
        """
        if self._under_way is None:
            if not self._is_due(now_s):
                return []
            self.begin(next_offset, now_s, end)
        writing = self._under_way
        assert writing is not None
        outputs = []
        room = SLICE_BYTES
        while room > 0 and (chunk := writing.next()) is not None:
            key = chunk_key(self._partition, writing.name, writing.count - 1)
            outputs.append(self._record(key, chunk))
            room -= len(chunk)
        if writing.is_done:
            outputs += self._finish(writing, now_s, now_ms)
        return outputs

    def _is_due(self, now_s: float) -> bool:
        if self.manifest is None:
            return True
        if not self._records:
            return False
        return (
            self._records >= self._every.records or now_s - self._begun_s >= self._every.interval_s
        )

    def _is_whole_due(self) -> bool:
        """Whether the changes weigh as much as the whole: reading both would take twice as long."""
        whole, *changes = self.manifest.saves if self.manifest else ()
        weight = sum(each.bytes for each in changes)
        return weight >= max(whole.bytes, _SMALL_BYTES) or len(changes) >= _MOST_SAVES

    def _finish(self, writing: _Writing, now_s: float, now_ms: int) -> list[Output]:
        before = self.manifest
        del self._marks[: writing.marks]
        self.manifest = Manifest(
            writing.next_offset, now_ms, detector.__version__, writing.since,
            (*writing.kept, writing.save()), writing.positions, tuple(self._marks),
        )  # fmt: skip
        self.saved_s = now_s
        self._under_way = None
        outputs = [self._write_manifest(self.manifest)]
        if not writing.kept:
            garbage = self._garbage + (chunk_names(before, self._partition) if before else [])
            outputs += [self._record(key, None) for key in garbage]
            self._garbage = []
        return outputs

    def _write_manifest(self, manifest: Manifest) -> Output:
        self._is_marked = False
        return self._record(manifest_key(self._partition), manifest.to_bytes())

    def _record(self, key: bytes, value: bytes | None) -> Output:
        return Output(self._topic, key, value, [], self._partition.partition)


class _Writing:
    """A save under way; its positions, and how many of the marks, are those of the cut."""

    def __init__(
        self, name: str, chunks: Iterator[bytes], next_offset: int, since: int,
        kept: tuple[Save, ...], positions: dict[int, int], marks: int,
    ) -> None:  # fmt: skip
        self.name = name
        self.next_offset = next_offset
        self.since = since
        self.kept = kept
        self.positions = positions
        self.marks = marks
        self.count = 0
        self.is_done = False
        self._chunks = chunks
        self._bytes = 0
        self._digest = blake2b(digest_size=16)

    def next(self) -> bytes | None:
        """The next chunk; None when there is none left."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.is_done = True
            return None
        self.count += 1
        self._bytes += len(chunk)
        self._digest.update(chunk)
        return chunk

    def save(self) -> Save:
        return Save(self.name, self.count, self._bytes, self._digest.hexdigest())


def describe(manifest: Manifest) -> dict[str, Any]:
    """What an operator wants to know of a saved state."""
    return {
        "next_offset": manifest.next_offset,
        "saved_at_ms": manifest.saved_at_ms,
        "version": manifest.version,
        "format": manifest.format,
        "saves": len(manifest.saves),
        "chunks": sum(each.chunks for each in manifest.saves),
        "bytes": sum(each.bytes for each in manifest.saves),
    }
