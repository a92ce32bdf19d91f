"""How prominent a streamer is among those of the site: by takings, and by audience.

Both are ranks, not sums of money or heads: a top streamer (头部主播) of a small site is one too. A
streamer's day counts once, when the next one begins, however many tips it had. Knows nothing of
flags or credit.
"""

from __future__ import annotations

from math import exp, log
from typing import Any, NamedTuple

import orjson

from detector.core.event import Event
from detector.core.generations import Generations
from detector.core.quantiles import BUCKETS_PER_E, LogQuantiles

_DAY_MS = 86_400_000
_MEMORY_MS = 28 * _DAY_MS
"""Time constant of the takings: what was taken this long ago counts 1/e."""

_new = tuple.__new__  # half of what a call of the class costs; once a tip

_DAYS_FROM = 100  # streamer days seen before anybody is called large
_AUDIENCE_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)


class Prominence(NamedTuple):
    """One streamer: first and last seen (epoch ms); decayed takings at `last_ms`, in minor units of
    the base currency; the newest local day, and the most viewers of that day (0: not known)."""

    first_ms: int
    last_ms: int
    takings: float
    day: int
    viewers: int

    def save(self) -> bytes:
        """As a JSON list."""
        return orjson.dumps(tuple(self))

    @property
    def daily(self) -> float | None:
        """Takings a day, as of `last_ms`: the decayed sum over the days that it stands for, so that
        it does not grow with time alone; None in the first day.

        >>> four_days = Prominence(0, 3 * 86_400_000, 400.0, 3, 0)
        >>> round(four_days.daily, 1)
        107.3
        """
        known_ms = self.last_ms - self.first_ms
        if known_ms < _DAY_MS:
            return None
        days = _MEMORY_MS / _DAY_MS * (1.0 - exp(-(known_ms + _DAY_MS) / _MEMORY_MS))
        return self.takings / days

    @classmethod
    def load(cls, saved: bytes) -> Prominence:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> streamer = Prominence(1772380800000, 1772380802272, 520.5, 20514, 40)
        >>> Prominence.load(streamer.save()) == streamer
        True
        """
        return cls._make(orjson.loads(saved))


class Prominences:
    """The streamers of one engine, and what is usual among them.

    Args:
        top_share: share of streamers, by takings, that are top ones, above 0 and below 1.
        max_entries, idle_ms: how many streamers are remembered, and how long without an event.

    Attributes:
        streamers: streamer id → `Prominence`.
    """

    def __init__(self, top_share: float, max_entries: int, idle_ms: int) -> None:
        self.streamers: Generations[Prominence] = Generations(max_entries, idle_ms)
        self._takings = LogQuantiles((1.0 - top_share,))
        self._viewers = LogQuantiles(_AUDIENCE_LEVELS)

    def add(self, event: Event, day: int, now_ms: int) -> None:
        """Learns from an event.

        Args:
            event: a tip, or what happened in a room; others have neither takings nor an audience.
            day: its local day.
            now_ms: the watermark, epoch ms.
        """
        streamer_id, at_ms = event.streamer_id or "", event.event_time_ms
        takings = float(event.value_minor or 0) if event.type == "tip" else 0.0
        viewers = event.viewers or 0
        first_ms = last_ms = at_ms
        before = self.streamers.get(streamer_id)
        if before is not None:
            first_ms, last_ms, taken, known_day, most = before
            if day > known_day:
                self._count(before)
            else:
                day = known_day
                if most > viewers:
                    viewers = most
            if at_ms > last_ms:
                taken *= exp((last_ms - at_ms) / _MEMORY_MS)
                last_ms = at_ms
            takings += taken
        after = _new(Prominence, (first_ms, last_ms, takings, day, viewers))
        self.streamers.put(streamer_id, after, now_ms)

    def first_ms(self, streamer_id: str) -> int | None:
        """Since when the streamer is known, epoch ms; None for a stranger."""
        known = self.streamers.get(streamer_id)
        return None if known is None else known.first_ms

    def is_top(self, streamer_id: str) -> bool:
        """Whether takings put the streamer into the top share; False until days enough are seen."""
        known = self.streamers.get(streamer_id)
        return known is not None and _levels_above(self._takings, known.daily or 0.0) > 0

    def audience(self, streamer_id: str) -> int:
        """How large the audience of the day is, 0..5: 0 for the lower half and for an unknown one,
        5 for the largest hundredth."""
        known = self.streamers.get(streamer_id)
        return 0 if known is None else _levels_above(self._viewers, known.viewers)

    def _count(self, streamer: Prominence) -> None:
        """Counts a streamer's day that has ended."""
        daily = streamer.daily
        if daily is not None and daily >= 1.0:
            self._takings.add(log(daily))
        if streamer.viewers:
            self._viewers.add(log(streamer.viewers))

    def save(self) -> dict[str, Any]:
        """What is usual among them, JSON-able; `streamers` is saved by itself."""
        return {"takings": self._takings.save(), "viewers": self._viewers.save()}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what another one knew to be usual.

        Raises:
            ValueError, TypeError, LookupError: it is not what `save` gives.
        """
        self._takings.load(saved["takings"])
        self._viewers.load(saved["viewers"])


def _levels_above(sketch: LogQuantiles, figure: float) -> int:
    """How many of the sketch's quantiles the figure is above, each by more than a bucket's width:
    where all are alike, none is above another."""
    if sketch.n < _DAYS_FROM or figure < 1.0:
        return 0
    found = log(figure) - 1.0 / BUCKETS_PER_E
    return sum(found > quantile for quantile in sketch.quantiles)
