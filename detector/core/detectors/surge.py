"""Surges: a streamer's takings per minute far above their own rhythm.

No kind of flag: a surge is a birthday, a PK's last seconds or a ceremony far more often than a
case. It is a figure for those who watch a site.
"""

from __future__ import annotations

from math import log1p

import orjson

from detector.core.crowd import LARGEST
from detector.core.rhythm import Rhythm

MINUTE_MS = 60_000

SURGING = 0.5
"""The score from which a minute surges: as seldom as once in a thousand of the streamer's."""

BUSY = 2.0
"""Tips a minute, on average over minutes with any, from which a streamer's rhythm is followed."""

_PACE_GAIN = 0.05
_NOT_YET = -(1 << 62)


class Surge:
    """One streamer's takings per minute of event time, and their rhythm.

    Followed while the room is busy; where tips come one by one there is no rhythm to leave, and a
    large one is another detector's. Minutes without a tip are no points of it. It changes in
    place; whoever keeps one that must not change any more takes a `copy` of it before.

    Attributes:
        epoch: of the view, when this object was made or copied; not saved.

    >>> surge = Surge()
    >>> for tip in range(300):
    ...     score = surge.observe(tip * MINUTE_MS // 3, 900 + tip % 7)
    >>> surge.observe(99 * MINUTE_MS + 59_000, 500_000) is None
    True
    >>> surge.observe(100 * MINUTE_MS, 900) > 0.9
    True
    """

    __slots__ = ("_minute", "_pace", "_rhythm", "_takings", "_tips", "epoch")

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self._rhythm: Rhythm | None = None
        self._minute = _NOT_YET
        self._takings = self._tips = 0
        self._pace = 1.0

    def observe(self, event_time_ms: int, value_minor: int) -> float | None:
        """Adds a tip; the score of the minute that it ended, None if it ended none.

        A tip of a minute that has ended is not counted.

        Args:
            event_time_ms: epoch milliseconds.
            value_minor: minor units of the base currency, >= 0.

        Returns:
            How far that minute's takings were above the streamer's rhythm, 0..1; 0 for takings
            below it, and while the rhythm is not known. None as well where the room is not busy.
        """
        minute = event_time_ms // MINUTE_MS
        if minute <= self._minute:
            if minute == self._minute:
                self._takings = min(LARGEST, self._takings + value_minor)
                self._tips += 1
            return None
        score = self._end() if self._minute != _NOT_YET else None
        self._minute = minute
        self._takings, self._tips = value_minor, 1
        return score

    def _end(self) -> float | None:
        self._pace += _PACE_GAIN * (self._tips - self._pace)
        if self._pace < BUSY:
            return None
        rhythm = self._rhythm
        if rhythm is None:
            rhythm = self._rhythm = Rhythm()
        score = rhythm.observe(self._minute * MINUTE_MS, log1p(self._takings))
        return score if rhythm.deviation >= 1.0 else 0.0  # less than expected, or calm

    def copy(self, epoch: int) -> Surge:
        """Another one that goes on from here by itself."""
        other = Surge(epoch)
        other._rhythm = None if self._rhythm is None else self._rhythm.copy()
        other._minute, other._takings = self._minute, self._takings
        other._tips, other._pace = self._tips, self._pace
        return other

    def save(self) -> bytes:
        """What it knows, as JSON."""
        rhythm = None if self._rhythm is None else self._rhythm.save()
        return orjson.dumps([self._minute, self._takings, self._tips, self._pace, rhythm])

    @classmethod
    def load(cls, saved: bytes) -> Surge:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, LookupError: it is something else.

        >>> surge = Surge()
        >>> surge.observe(0, 900)
        >>> Surge.load(surge.save()).save() == surge.save()
        True
        """
        minute, takings, tips, pace, rhythm = orjson.loads(saved)
        surge = cls()
        surge._minute, surge._takings = int(minute), int(takings)
        surge._tips, surge._pace = int(tips), float(pace)
        surge._rhythm = None if rhythm is None else Rhythm.load(rhythm)
        return surge
