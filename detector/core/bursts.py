"""Bursts of one room: several tippers within the same seconds.

Everybody is in a burst now and then. One hand behind many accounts makes the same ones tip at the
same moment again and again, and hardly ever otherwise; so each tipper's row of the crowd holds in
which of the latest bursts he was, as bits. Bursts of a PK or a ceremony are everybody's, and none.
"""

from __future__ import annotations

from typing import Any

from detector.core.crowd import MAX_TIPPERS, Crowd

_WITHIN_MS = 3_000
_LEAST_TIPPERS = 5
_REMEMBERED = 60  # a bit each of a signed 64-bit integer


class Bursts:
    """The run of tips that may become a burst.

    >>> from detector.core.event import Event
    >>> crowd, bursts, tip = Crowd(), Bursts(), Event()
    >>> for burst in range(3):
    ...     for number in range(5):
    ...         tip.tipper_id, tip.event_time_ms = f"t{number}", burst * 60_000 + number * 100
    ...         ended = bursts.enter(crowd, crowd.add(tip), tip.event_time_ms)
    >>> ended, [each.bursts.bit_count() for each in crowd]  # the third one is going on
    (False, [2, 2, 2, 2, 2])
    """

    __slots__ = ("_marks", "_number", "_start_ms")

    def __init__(self) -> None:
        self._start_ms = 0
        self._number = 0  # of the latest burst, modulo those remembered
        self._marks: set[int] = set()

    def enter(self, crowd: Crowd, at: int, at_ms: int) -> bool:
        """Enters a tip; whether it shows that a burst has ended.

        Args:
            crowd: its rows note bursts.
            at: where the tipper's row begins.
            at_ms: event time, epoch ms.
        """
        ended = False
        if abs(at_ms - self._start_ms) > _WITHIN_MS:
            if len(self._marks) >= _LEAST_TIPPERS:
                self._number = (self._number + 1) % _REMEMBERED
                crowd.note_burst(self._marks, 1 << self._number)
                ended = True
            self._start_ms, self._marks = at_ms, set()
        if len(self._marks) < MAX_TIPPERS:
            self._marks.add(crowd.mark_at(at))
        return ended

    def save(self) -> list[Any]:
        """JSON-able."""
        return [self._start_ms, self._number, sorted(self._marks)]

    @classmethod
    def load(cls, saved: list[Any]) -> Bursts:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        bursts = cls()
        bursts._start_ms, bursts._number, marks = saved
        bursts._marks = set(marks)
        return bursts
