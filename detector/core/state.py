"""The saved state of an engine: the format of its chunks, and nothing of what they mean.

One save is a series of chunks, in order. Each is a header and columns of entries; all numbers are
little-endian and unsigned:

    version         1 byte   `VERSION`; another one is refused
    section         1 byte   place in `SECTIONS`
    flags           1 byte   1: the map's generations turn before the entries are put; 2: has values
    part            4 bytes  0 for the first chunk of a save, one more for each next
    entries         4 bytes  how many, n
    key bytes       4 bytes  how many all keys take
    key lengths     4n bytes in characters
    keys            one after the other; UTF-8, in which lone surrogates are allowed
    value lengths   4n bytes, only if it has values
    values          one after the other, only if it has values; else all are empty

The sections, in the order in which a save has them:

    head         one entry, key "": JSON as `Head` has it
    populations  currency → JSON as `Population.save` has it; always all of them
    totals       name → JSON; always all of them: what the engine as a whole has counted
    tippers      tipper id → as `tipper.pack` has it
    streamers    streamer id → as `Room.save` has it
    event_ids    event id → nothing
    cases        kind and subject → JSON as `Case.save` has it
    claimants    claimant → marks of accounts as `Claimants` has them
    snoozes      kind and subject → JSON as `Snooze.save` has it
    prominences  streamer id → JSON as `Prominence.save` has it
    accounts     subject → JSON as `Account.save` has it
    lessons      event id → as `Lesson.pack` has it
    flags        flag id → JSON as `Flagged.save` has it
    verdicts     digest → nothing
    learning     part → as `Learning.save` has it; always all of them
    shadow_cases as cases, of a candidate on trial; these two are absent without one
    shadow_pks   streamer id → JSON as `shadow.save_pks` has it
    surges       streamer id → JSON as `Surge.save` has it

A map appears as what happened to it (`generations.Cut`): puts and turns, replayed in order. So a
save of everything and a save of changes have one format. Whoever changes what one of the above
writes gives the format a new `VERSION`. A chunk may be damaged in ways that are not seen here,
within a value: whoever keeps chunks keeps a digest of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, repeat
from typing import Any, NamedTuple, TypeVar

import orjson

from detector.core.generations import Counters, Cut, Generations

VERSION = 4
SECTIONS = (
    "head", "populations", "totals", "tippers", "streamers", "event_ids", "cases", "snoozes",
    "prominences", "accounts", "claimants", "lessons", "flags", "verdicts", "learning",
    "shadow_cases", "shadow_pks", "surges",
)  # fmt: skip
CHUNK_BYTES = 400_000
"""Bytes a chunk, unless one entry alone is larger: below half of what Kafka takes by default."""

_HEADER = struct.Struct("<BBBIII")
_TURNS_FIRST, _HAS_VALUES = 1, 2
_LENGTH_BYTES = 4

V = TypeVar("V")


class StateError(ValueError):
    """A chunk that cannot be loaded; says what was found and what was expected, and no id."""


class Part(NamedTuple):
    """What one chunk says: its section, its place in the save, and entries to put in that order."""

    section: str
    number: int
    turns_first: bool
    entries: dict[str, bytes]


class Step(NamedTuple):
    """Entries of one section on their way into chunks."""

    section: str
    turns_first: bool
    entries: Iterable[tuple[str, bytes]]


class Store(NamedTuple):
    """One map of the engine, the section it is saved in, and how a value becomes bytes and back."""

    section: str
    entries: Generations[Any]
    save: Callable[[Any], bytes]
    load: Callable[[bytes], Any]

    def steps(self, cut: Cut[Any]) -> Iterator[Step]:
        """A cut of this map, encoded only as it is consumed."""
        for turns_first, entries in cut.steps():
            values = map(self.save, entries.values())
            yield Step(self.section, turns_first, zip(entries, values, strict=True))


class Head(NamedTuple):
    """The first entry of a save.

    Attributes:
        meaning: what the figures depend on, by name: the same in the engine that loads them.
        is_whole: whether the save needs none before it.
        watermark_ms: the newest event time seen.
        counters: section → counters of its map.
    """

    meaning: dict[str, Any]
    is_whole: bool
    watermark_ms: int
    counters: dict[str, Counters]

    def save(self) -> bytes:
        """As JSON."""
        return orjson.dumps(
            {
                "meaning": self.meaning,
                "is_whole": self.is_whole,
                "watermark_ms": self.watermark_ms,
                "counters": {section: tuple(each) for section, each in self.counters.items()},
            }
        )

    @classmethod
    def load(cls, saved: bytes) -> Head:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: it is something else.

        >>> head = Head({"zone": "UTC"}, True, 7, {"tippers": Counters(5, 0, 0)})
        >>> Head.load(head.save()) == head
        True
        """
        found = orjson.loads(saved)
        return cls(
            dict(found["meaning"]),
            bool(found["is_whole"]),
            int(found["watermark_ms"]),
            {section: Counters(*map(int, each)) for section, each in found["counters"].items()},
        )

    def check_meaning(self, expected: dict[str, Any]) -> None:
        """Refuses a state whose figures mean something else in this engine.

        Raises:
            StateError: with every difference.

        >>> Head({"zone": "UTC"}, True, 7, {}).check_meaning({"zone": "Asia/Seoul"})
        Traceback (most recent call last):
        detector.core.state.StateError: zone: found 'UTC' in the state, expected 'Asia/Seoul'
        """
        differing = [
            f"{name}: found {self.meaning.get(name)!r} in the state, expected {value!r}"
            for name, value in expected.items()
            if self.meaning.get(name) != value
        ]
        if differing:
            raise StateError("; ".join(differing))


def write(steps: Iterable[Step], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """One save as chunks, each encoded when it is asked for.

    Args:
        steps: what to save, in the order in which it is to be loaded.
        chunk_bytes: a chunk's size at most; only a single entry may be larger.

    >>> chunks = list(write([Step("event_ids", False, [("e1", b""), ("e2", b"")])]))
    >>> [len(chunk) for chunk in chunks], read(chunks[0]).entries
    ([27], {'e1': b'', 'e2': b''})
    """
    number = 0
    for section, turns_first, entries in steps:
        header = SECTIONS.index(section)
        for columns in _in_batches(entries, chunk_bytes - _HEADER.size):
            if turns_first or columns.keys:
                yield columns.pack(header, number, turns_first)
                number += 1
            turns_first = False


def read(chunk: bytes) -> Part:
    """The inverse of `write`, for one chunk.

    Raises:
        StateError: of another version, or not a chunk.

    >>> read(b"\\x07 and more")
    Traceback (most recent call last):
    detector.core.state.StateError: version: found 7, expected 4: it is of another release
    """
    if chunk[:1] != bytes([VERSION]):
        found = f"found {chunk[0]}" if chunk else "found nothing"
        raise StateError(f"version: {found}, expected {VERSION}: it is of another release")
    if len(chunk) < _HEADER.size:
        raise StateError(f"chunk: found {len(chunk)} bytes, expected {_HEADER.size} or more")
    _, place, flags, number, entries, key_bytes = _HEADER.unpack_from(chunk)
    if place >= len(SECTIONS):
        raise StateError(f"section: found {place}, expected 0 to {len(SECTIONS) - 1}")
    if flags > _TURNS_FIRST | _HAS_VALUES:
        raise StateError(f"flags: found {flags}, expected 0 to {_TURNS_FIRST | _HAS_VALUES}")
    section = SECTIONS[place]
    try:
        return Part(
            section,
            number,
            bool(flags & _TURNS_FIRST),
            _unpack(chunk, entries, key_bytes, bool(flags & _HAS_VALUES)),
        )
    except UnicodeDecodeError as error:
        raise StateError(f"{section}: found keys that are no UTF-8 ({error.reason})") from error
    except StateError as error:
        raise StateError(f"{section}: {error}") from None


def loaded(part: Part, load: Callable[[bytes], V]) -> dict[str, V]:
    """The part's entries with their values decoded.

    Raises:
        StateError: `load` does not take a value.
    """
    try:
        return dict(zip(part.entries, map(load, part.entries.values()), strict=True))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise StateError(
            f"{part.section}: found a value that cannot be read: {type(error).__name__}: {error}"
        ) from error


class _Columns:
    """The entries of one chunk: keys encoded, their lengths in characters, values."""

    __slots__ = ("key_lengths", "keys", "values")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.key_lengths: list[int] = []
        self.values: list[bytes] = []

    def pack(self, section: int, number: int, turns_first: bool) -> bytes:
        keys = b"".join(self.keys)
        values = b"".join(self.values)
        flags = _TURNS_FIRST * turns_first | _HAS_VALUES * bool(values)
        return b"".join(
            (
                _HEADER.pack(VERSION, section, flags, number, len(self.keys), len(keys)),
                _pack_lengths(self.key_lengths),
                keys,
                _pack_lengths([len(value) for value in self.values]) if values else b"",
                values,
            )
        )


def _in_batches(entries: Iterable[tuple[str, bytes]], room_bytes: int) -> Iterator[_Columns]:
    """Columns that take `room_bytes` at most, or one entry; a last, perhaps empty, always comes."""
    columns, left_bytes = _Columns(), room_bytes
    for key, value in entries:
        encoded = key.encode("utf-8", "surrogatepass")
        entry_bytes = 2 * _LENGTH_BYTES + len(encoded) + len(value)
        if entry_bytes > left_bytes and columns.keys:
            yield columns
            columns, left_bytes = _Columns(), room_bytes
        columns.keys.append(encoded)
        columns.key_lengths.append(len(key))
        columns.values.append(value)
        left_bytes -= entry_bytes
    yield columns


def _unpack(chunk: bytes, entries: int, key_bytes: int, has_values: bool) -> dict[str, bytes]:
    lengths_bytes = entries * _LENGTH_BYTES
    keys_at = _HEADER.size + lengths_bytes
    values_at = keys_at + key_bytes + lengths_bytes * has_values
    if len(chunk) < values_at:
        raise StateError(f"found {len(chunk)} bytes, expected {values_at} or more")
    key_lengths = _unpack_lengths(chunk, _HEADER.size, entries)
    text = chunk[keys_at : keys_at + key_bytes].decode("utf-8", "surrogatepass")
    if sum(key_lengths) != len(text):
        raise StateError(f"found keys of {len(text)} characters, expected {sum(key_lengths)}")
    value_lengths: Sequence[int] = ()
    if has_values:
        value_lengths = _unpack_lengths(chunk, keys_at + key_bytes, entries)
    if len(chunk) != values_at + sum(value_lengths):
        raise StateError(f"found {len(chunk)} bytes, expected {values_at + sum(value_lengths)}")
    keys = [text[start:end] for start, end in pairwise(accumulate(key_lengths, initial=0))]
    if not has_values:
        return dict(zip(keys, repeat(b"")))
    ends = accumulate(value_lengths, initial=values_at)
    return dict(zip(keys, [chunk[start:end] for start, end in pairwise(ends)], strict=True))


def _pack_lengths(lengths: list[int]) -> bytes:
    return struct.pack(f"<{len(lengths)}I", *lengths)


def _unpack_lengths(chunk: bytes, at: int, entries: int) -> Sequence[int]:
    return struct.unpack_from(f"<{entries}I", chunk, at)
