"""What the site sees: quantiles of tips, of tippers' weeks and of sessions, per currency."""

from __future__ import annotations

from math import exp
from typing import Any, NamedTuple

from detector.core.quantiles import LogQuantiles
from detector.core.traits import SiteTraits

ENOUGH_TIPS = 500
"""Fewer tips than this say nothing about one in a thousand."""

ENOUGH_SESSIONS = 200

_TAIL_RATIO = 1.33  # (z(0.999) - z(0.5)) / (z(0.99) - z(0.5)) of a log-normal


class Typical(NamedTuple):
    """Quantiles of one quantity, minor units of the base currency, and how many were seen."""

    n: int
    middle: float
    high: float
    extreme: float


class Habit:
    """One quantity of the site: its sketch, and what is typical of it.

    Args:
        enough: values below which nothing is called typical.

    Attributes:
        typical: None while too little is known; brought up to date with the sketch's quantiles.
    """

    __slots__ = ("_enough", "_sketch", "typical")

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._sketch = LogQuantiles((0.5, 0.99, 0.999))
        self.typical: Typical | None = None

    def add(self, log_amount: float) -> None:
        """Counts one value."""
        sketch = self._sketch
        before = sketch.quantiles
        sketch.add(log_amount)
        if sketch.quantiles is not before and sketch.seen >= self._enough:
            self.typical = _typical(sketch)

    def save(self) -> dict[str, Any]:
        """What it knows, JSON-able."""
        typical = None if self.typical is None else list(self.typical)
        return {"sketch": self._sketch.save(), "typical": typical}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what `save` gave.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        typical = None
        if saved["typical"] is not None:
            n, *quantiles = saved["typical"]
            typical = Typical(int(n), *map(float, quantiles))
        self._sketch.load(saved["sketch"])
        self.typical = typical


class Population:
    """What is typical over one currency's tips on one partition.

    `tips`: single tips. `weeks`: a tipper's decayed week, seen at each of his tips (so heavy
    tippers weigh more, and the quantiles are high ones). `sessions`: sums of ended sessions.
    `traits`: what the hours with tips are like.
    """

    __slots__ = ("sessions", "tips", "traits", "weeks")

    def __init__(self) -> None:
        self.tips = Habit(ENOUGH_TIPS)
        self.weeks = Habit(ENOUGH_TIPS)
        self.sessions = Habit(ENOUGH_SESSIONS)
        self.traits = SiteTraits()

    def save(self) -> dict[str, Any]:
        """What it knows, JSON-able."""
        return {
            "tips": self.tips.save(),
            "weeks": self.weeks.save(),
            "sessions": self.sessions.save(),
            "traits": self.traits.save(),
        }

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Population:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, KeyError: it is something else.

        >>> site = Population()
        >>> site.tips.add(7.0)
        >>> Population.load(site.save()).save() == site.save()
        True
        """
        population = cls()
        population.tips.load(saved["tips"])
        population.weeks.load(saved["weeks"])
        population.sessions.load(saved["sessions"])
        population.traits = SiteTraits.load(saved["traits"])
        return population


def _typical(sketch: LogQuantiles) -> Typical:
    middle, high, extreme = sketch.quantiles
    # Of some hundred values the one-in-a-thousand is only the largest seen so far: take at least
    # what the upper body of a log-normal of the same middle and 0.99 quantile would have there.
    extreme = max(extreme, middle + (high - middle) * _TAIL_RATIO)
    return Typical(sketch.seen, exp(middle), exp(high), exp(extreme))
