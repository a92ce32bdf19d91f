"""Ordinary events to compare confirmed ones with: a bounded sample of those nobody reported.

An event that has passed the reporting horizon without a report is taken for genuine. Which events
are sampled follows from their ids alone: those whose hash is below a threshold, which is halved
when the sample of one horizon grows too large, and doubled when it could be larger.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import orjson

_WHOLE = 1 << 32
_new = tuple.__new__  # half of what a call of the class costs; once an event
_HEAD = struct.Struct("<qI")


class Sampled(NamedTuple):
    """An event of the sample: its id, its time (epoch ms), and what a lesson of it needs."""

    event_id: str
    at_ms: int
    lesson: bytes

    def save(self) -> bytes:
        """As bytes: its time, the length of its lesson, that lesson, its id."""
        encoded = self.event_id.encode("utf-8", "surrogatepass")
        return _HEAD.pack(self.at_ms, len(self.lesson)) + self.lesson + encoded

    @classmethod
    def load(cls, saved: bytes) -> Sampled:
        """The inverse of `save`.

        Raises:
            ValueError: it is something else.

        >>> sampled = Sampled("e1", 1772380802272, b"abc")
        >>> Sampled.load(sampled.save()) == sampled
        True
        """
        if len(saved) < _HEAD.size:
            raise ValueError(f"a sampled event: found {len(saved)} bytes")
        at_ms, length = _HEAD.unpack_from(saved)
        ends = _HEAD.size + length
        return cls(saved[ends:].decode("utf-8", "surrogatepass"), at_ms, saved[_HEAD.size : ends])


class Background:
    """The sample.

    Args:
        max_entries: events held, half of them past the horizon.
        horizon_ms: event time after which one without a report is genuine.

    >>> background = Background(max_entries=20, horizon_ms=1000)
    >>> for at_ms in range(0, 9000, 10):
    ...     background.add(f"e{at_ms}", hash_of(f"e{at_ms}"), at_ms, b"")
    >>> drawn = background.draw(10, lambda event_id: False)
    >>> len(background) <= 20, len(drawn), all(each.at_ms < 8000 for each in drawn)
    (True, 10, True)
    """

    def __init__(self, max_entries: int, horizon_ms: int) -> None:
        self._half = max(1, max_entries // 2)
        self._horizon_ms = horizon_ms
        self._threshold = _WHOLE
        self._next = 0
        self._genuine_to_load = 0
        self._waiting: deque[Sampled] = deque()
        self._genuine: deque[Sampled] = deque(maxlen=self._half)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._genuine)

    def add(self, event_id: str, hashed: int, now_ms: int, lesson: bytes) -> None:
        """Takes an event into the sample, or not; `hashed` is the `hash_of` its id."""
        if hashed >= self._threshold:
            return
        waiting, passed_ms = self._waiting, now_ms - self._horizon_ms
        waiting.append(_new(Sampled, (event_id, now_ms, lesson)))
        while waiting[0].at_ms < passed_ms:
            self._genuine.append(waiting.popleft())
        while len(waiting) > self._half:
            self._threshold //= 2
            kept = [each for each in waiting if hash_of(each.event_id) < self._threshold]
            waiting.clear()
            waiting.extend(kept)
        if len(waiting) < self._half // 4 and len(self._genuine) == self._half:
            self._threshold = min(_WHOLE, self._threshold * 2)

    def draw(self, count: int, is_reported: Callable[[str], bool]) -> list[Sampled]:
        """The next few events without a report, round and round; those still waiting come last."""
        drawn: list[Sampled] = []
        genuine, waiting = self._genuine, self._waiting
        for _ in range(min(count, len(genuine))):
            each = genuine.popleft()
            if not is_reported(each.event_id):
                drawn.append(each)
                genuine.append(each)
        for _ in range(min(count - len(drawn), len(waiting))):
            self._next = (self._next + 1) % len(waiting)
            each = waiting[self._next]
            if not is_reported(each.event_id):
                drawn.append(each)
        return drawn

    def save(self) -> dict[str, bytes]:
        """All of it by part: the figures, then the events by number."""
        genuine, waiting = self._genuine, self._waiting
        sample = {str(number): each.save() for number, each in enumerate((*genuine, *waiting))}
        return {"sampling": orjson.dumps([self._threshold, self._next, len(genuine)]), **sample}

    def load(self, part: str, saved: bytes) -> None:
        """Takes over one part of `save`; they come in its order.

        Raises:
            ValueError, TypeError: it is something else.
        """
        if part == "sampling":
            self._threshold, self._next, self._genuine_to_load = map(int, orjson.loads(saved))
            self._genuine.clear()
            self._waiting.clear()
        elif int(part) < self._genuine_to_load:
            self._genuine.append(Sampled.load(saved))
        else:
            self._waiting.append(Sampled.load(saved))


def hash_of(event_id: str) -> int:
    """What decides whether an event is sampled: 32 bits, the same everywhere."""
    # crc32 of ids that differ by little differs by little: spread it (Fibonacci hashing).
    return crc32(event_id.encode("utf-8", "surrogatepass")) * 0x9E3779B1 & 0xFFFFFFFF
