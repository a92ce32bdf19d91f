"""What the site sees: quantiles of tips, of tippers' weeks and of sessions, per currency."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import NamedTuple

from detector.core.quantiles import LogQuantiles

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


@dataclass(slots=True)
class Population:
    """Streaming quantiles over one currency's tips on one partition.

    `tips`: single tips. `weeks`: a tipper's decayed week, seen at each of his tips (so heavy
    tippers weigh more, and the quantiles are high ones). `sessions`: sums of ended sessions.
    """

    tips: LogQuantiles = field(default_factory=lambda: LogQuantiles((0.5, 0.99, 0.999)))
    weeks: LogQuantiles = field(default_factory=lambda: LogQuantiles((0.5, 0.99, 0.999)))
    sessions: LogQuantiles = field(default_factory=lambda: LogQuantiles((0.5, 0.99, 0.999)))

    def typical_tip(self) -> Typical | None:
        """The site's tips; None while too few were seen."""
        return _typical(self.tips, ENOUGH_TIPS)

    def typical_week(self) -> Typical | None:
        """The site's tippers' weeks; None while too few tips were seen."""
        return _typical(self.weeks, ENOUGH_TIPS)

    def typical_session(self) -> Typical | None:
        """The site's sessions; None while too few have ended."""
        return _typical(self.sessions, ENOUGH_SESSIONS)


def _typical(sketch: LogQuantiles, enough: int) -> Typical | None:
    if sketch.seen < enough:
        return None
    middle, high, extreme = sketch.quantiles
    # Of some hundred values the one-in-a-thousand is only the largest seen so far: take at least
    # what the upper body of a log-normal of the same middle and 0.99 quantile would have there.
    extreme = max(extreme, middle + (high - middle) * _TAIL_RATIO)
    return Typical(sketch.seen, exp(middle), exp(high), exp(extreme))
