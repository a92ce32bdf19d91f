"""The script of an afternoon: what one writes before building a detector, to compare with.

A z-score of each account's amounts, a count of its tips in a minute, half-space trees over both,
from `river`. They see tips only, know no kinds of case and give no reasons; each scores a tip
before it learns from it. Memory grows with the accounts: these are for the laboratory only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from math import log, log1p
from typing import Any, Protocol

from river import anomaly, compose, preprocessing, stats

MINUTE_MS = 60_000
_MOST_REMEMBERED = 500  # tips of one account in the last minute


class Baseline(Protocol):
    """What scores tips, one after another."""

    def score(self, tip: Mapping[str, Any]) -> float:
        """How unusual a canonical tip is; only the order of scores means something. Learns it."""


class ZScore:
    """How many standard deviations of its account's log amounts a tip lies above their mean.

    An account's first two tips are compared with those of everybody.

    >>> script = ZScore()
    >>> tips = [{"tipper_id": "t1", "amount": amount} for amount in ("5", "4", "6", "5", "900")]
    >>> [round(script.score(tip), 1) for tip in tips][-1] > 10
    True
    """

    def __init__(self) -> None:
        self._everybody = _Spread()
        self._own: dict[str, _Spread] = {}

    def score(self, tip: Mapping[str, Any]) -> float:
        value = log(float(tip["amount"]))
        own = self._own.setdefault(tip["tipper_id"], _Spread())
        score = (own if own.count >= 2 else self._everybody).z(value)
        own.add(value)
        self._everybody.add(value)
        return score


class Rate:
    """Tips of the account in the last minute, this one included."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[int]] = {}

    def score(self, tip: Mapping[str, Any]) -> float:
        now_ms: int = tip["event_time"]
        recent = self._recent.setdefault(tip["tipper_id"], deque(maxlen=_MOST_REMEMBERED))
        recent.append(now_ms)
        while recent[0] < now_ms - MINUTE_MS:
            recent.popleft()
        return float(len(recent))


class Figures:
    """What the models look at: a tip as four numbers, with nothing of the future in them."""

    def __init__(self) -> None:
        self._z, self._rate = ZScore(), Rate()
        self._latest_ms: dict[str, int] = {}

    def of(self, tip: Mapping[str, Any]) -> dict[str, float]:
        who, now_ms = tip["tipper_id"], tip["event_time"]
        gap_s = max(0.0, now_ms - self._latest_ms.get(who, now_ms - 30 * 86_400_000)) / 1_000
        self._latest_ms[who] = now_ms
        return {
            "log_amount": log(float(tip["amount"])),
            "z": self._z.score(tip),
            "log_rate": log(self._rate.score(tip)),
            "log_gap_s": log1p(gap_s),
        }


class HalfSpaceTrees:
    """River's half-space trees over `Figures`.

    Args:
        seed: of the trees.
    """

    def __init__(self, seed: int = 1) -> None:
        self._figures = Figures()
        trees = anomaly.HalfSpaceTrees(n_trees=15, height=8, window_size=250, seed=seed)
        self._model = compose.Pipeline(preprocessing.MinMaxScaler(), trees)

    def score(self, tip: Mapping[str, Any]) -> float:
        figures = self._figures.of(tip)
        score = self._model.score_one(figures)
        self._model.learn_one(figures)
        return float(score)


class Script:
    """All three together: a tip is as unusual as the one that finds it most so.

    Each score is turned into its rank among all before it, so that the three can be compared.
    """

    def __init__(self) -> None:
        self._parts: tuple[Baseline, ...] = (ZScore(), Rate(), HalfSpaceTrees())
        self._ranks = [_Rank() for _ in self._parts]

    def score(self, tip: Mapping[str, Any]) -> float:
        scores = (part.score(tip) for part in self._parts)
        return max(rank.of(score) for rank, score in zip(self._ranks, scores, strict=True))


BASELINES: Mapping[str, Callable[[], Baseline]] = {
    "script: z-score, rate, half-space trees": Script,
    "z-score alone": ZScore,
    "half-space trees alone": HalfSpaceTrees,
}


class _Spread:
    """Mean and variance so far."""

    def __init__(self) -> None:
        self._mean, self._variance = stats.Mean(), stats.Var()

    @property
    def count(self) -> float:
        return float(self._mean.n)

    def z(self, value: float) -> float:
        if self.count < 2:
            return 0.0
        spread: float = max(self._variance.get(), 0.01) ** 0.5
        return float((value - self._mean.get()) / spread)

    def add(self, value: float) -> None:
        self._mean.update(value)
        self._variance.update(value)


class _Rank:
    """A score's surprise among all before it: the logarithm of one in how many is as high.

    >>> from math import exp
    >>> rank = _Rank()
    >>> [round(exp(rank.of(score)), 1) for score in (1.0, 1.0, 3.0, 2.0, 0.5)]
    [1.0, 1.0, 3.0, 2.0, 1.0]
    """

    def __init__(self) -> None:
        self._before: list[float] = []  # from the lowest up

    def of(self, score: float) -> float:
        place = bisect_left(self._before, score)
        as_high = len(self._before) - place
        surprise = log((len(self._before) + 1) / (as_high + 1))
        self._before.insert(place, score)
        return surprise
