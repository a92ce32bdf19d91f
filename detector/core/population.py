"""What the site sees: what is typical of tips, weeks and sessions, of peers, and of surprises.

All of it is learned from the stream itself, in the stream's own scale, per currency. Amounts of
live tips have heavy tails, and among the largest may be what is looked for: so the far end of a
distribution is told from its body, and only so far from its few largest values.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any, NamedTuple

from detector.core.quantiles import LogQuantiles
from detector.core.tipper import DAY_MS
from detector.core.traits import SiteTraits

ENOUGH_TIPS = 150
"""Fewer tips than this say nothing about the site."""

ENOUGH_SESSIONS = 60

_BODY_FROM = 0.9
Z_99, Z_999 = 2.33, 3.09
"""One in a hundred, and one in a thousand, of a normal distribution lie this far out."""

_TAIL_FROM_90 = Z_999 / 1.28  # how a log-normal goes on, from its middle through its 0.9
_OBSERVED_FROM = 1000
_MOST_ERRATIC = 1.3  # times the normal's deviations; people further out are no habit of the site

_SURPRISES_FROM = 300  # deviations before the site is known to be erratic
_YOUNG_MS = 30 * DAY_MS
_SPENDS = (1, 10, 100, 1000)  # usual tips of the site within 60 days


class Typical(NamedTuple):
    """Quantiles of one quantity, minor units of the base currency, and how many were seen."""

    n: int
    middle: float
    high: float
    extreme: float


class Habit:
    """One quantity: its sketch, and what is typical of it.

    Args:
        enough: values below which nothing is called typical.

    Attributes:
        typical: None while too little is known; brought up to date with the sketch's quantiles.
    """

    __slots__ = ("_enough", "_sketch", "typical")

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._sketch = LogQuantiles((0.5, _BODY_FROM, 0.99, 0.999))
        self.typical: Typical | None = None

    def add(self, log_amount: float) -> None:
        """Counts one value."""
        sketch = self._sketch
        if sketch.add(log_amount) and sketch.seen >= self._enough:
            self.typical = _typical(sketch.seen, *sketch.quantiles)

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


class Surprise:
    """How far people on this site leave their own habits, in standard deviations of these.

    A limit of so many deviations supposes a normal distribution of log amounts; real people are
    more erratic on one site than on another. So where one in a hundred of the site's deviations
    lies beyond the normal's, the limit moves out in proportion. One in a hundred, because what is
    looked for is rarer and cannot move it.

    Args:
        normal: the limit where the site is as calm as a normal distribution, or calmer.
        unknown: the limit while too little is known.

    Attributes:
        limit: in standard deviations.

    >>> site = Surprise(normal=3.09, unknown=4.0)
    >>> site.limit
    4.0
    >>> for _ in range(100):
    ...     for deviations in (-1.0, 0.2, 0.8, 1.5, 2.8):
    ...         site.add(deviations)
    >>> round(site.limit, 1)
    3.7
    """

    __slots__ = ("_normal", "_sketch", "limit")

    def __init__(self, normal: float, unknown: float) -> None:
        self._sketch = LogQuantiles((0.99,))
        self._normal = normal
        self.limit = unknown

    def add(self, deviations: float) -> None:
        """Counts one value above or below somebody's habit."""
        sketch = self._sketch
        if sketch.add(deviations) and sketch.seen >= _SURPRISES_FROM:
            erratic = sketch.quantiles[0] / Z_99
            self.limit = self._normal * min(_MOST_ERRATIC, max(1.0, erratic))

    def save(self) -> dict[str, Any]:
        """What it knows, JSON-able."""
        return {"sketch": self._sketch.save(), "limit": self.limit}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what `save` gave.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        self._sketch.load(saved["sketch"])
        self.limit = float(saved["limit"])


class Population:
    """What is typical over one currency's tips on one partition.

    Attributes:
        tips: single tips.
        weeks: a tipper's decayed week, seen once on each of his days.
        sessions, session_tips: sums of ended sessions, and how many tips they had.
        peers: tips of those of one standing; see `standing`. At most `STANDINGS`.
        tip_surprise: how erratic people are, here.
        traits: what the hours with tips are like.
    """

    __slots__ = ("peers", "session_tips", "sessions", "tip_surprise", "tips", "traits", "weeks")

    def __init__(self) -> None:
        self.tips = Habit(ENOUGH_TIPS)
        self.weeks = Habit(ENOUGH_TIPS)
        self.sessions = Habit(ENOUGH_SESSIONS)
        self.traits = SiteTraits()
        self.session_tips = Habit(ENOUGH_SESSIONS)
        self.peers: dict[int, Habit] = {}
        self.tip_surprise = Surprise(normal=Z_999, unknown=4.0)

    def standing(self, account_age_ms: int | None, spent_60d: float) -> int:
        """Who somebody's peers are: age of the account, and what he gave lately.

        Args:
            account_age_ms: None if not told; those who do not tell are among themselves.
            spent_60d: his decayed sum before the tip at hand, minor units of the base currency.

        Returns:
            0 to `STANDINGS` - 1; -1 while the site's usual tip is not known.

        >>> Population().standing(None, 0.0)
        -1
        """
        typical = self.tips.typical
        if typical is None:
            return -1
        age = 0 if account_age_ms is None else 1 if account_age_ms < _YOUNG_MS else 2
        level = 0
        for tips in _SPENDS:
            if spent_60d <= tips * typical.middle:
                break
            level += 1
        return age * (len(_SPENDS) + 1) + level

    def peers_of(self, standing: int) -> Typical | None:
        """Tips of those of this standing; None while there are too few."""
        habit = self.peers.get(standing)
        return None if habit is None else habit.typical

    def add_to_peers(self, standing: int, log_amount: float) -> None:
        """Counts a tip of somebody of this standing; nothing where it is -1."""
        if standing < 0:
            return
        habit = self.peers.get(standing)
        if habit is None:
            habit = self.peers[standing] = Habit(2 * ENOUGH_TIPS)
        habit.add(log_amount)

    def save(self) -> dict[str, Any]:
        """What it knows, JSON-able."""
        return {
            **{name: getattr(self, name).save() for name in _PARTS},
            "peers": {str(standing): habit.save() for standing, habit in self.peers.items()},
            "traits": self.traits.save(),
        }

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Population:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, KeyError: it is something else.

        >>> site = Population()
        >>> site.tips.add(7.0)
        >>> site.add_to_peers(3, 7.0)
        >>> Population.load(site.save()).save() == site.save()
        True
        """
        population = cls()
        population.traits = SiteTraits.load(saved["traits"])
        for name in _PARTS:
            getattr(population, name).load(saved[name])
        for standing, habit in saved["peers"].items():
            if not 0 <= int(standing) < STANDINGS:
                raise ValueError(f"peers: found {standing}, expected 0 to {STANDINGS - 1}")
            population.peers[int(standing)] = Habit(2 * ENOUGH_TIPS)
            population.peers[int(standing)].load(habit)
        return population


STANDINGS = 3 * (len(_SPENDS) + 1)
"""Ages of account times levels of spending."""

_PARTS = ("tips", "weeks", "sessions", "session_tips", "tip_surprise")


def _typical(n: int, middle: float, body: float, high: float, extreme: float) -> Typical:
    """What is typical, of the logarithms of four quantiles.

    The one in a thousand is the median of three guesses: a log-normal's through the middle and
    0.9, a power law's through 0.9 and 0.99, and the observed one, which of less than a thousand
    values is their largest. So neither a ladder of gift prices with steps far apart, nor a handful
    of frauds, sets the limit. A ladder ends: of many values, a guess is held near the observed
    one. All rest on the tenth of the values that are largest, so their
    relative standard error is about 1/√(n/10), and that is allowed for.

    >>> import math
    >>> for extreme in (7.0, 8.2, 20.0):
    ...     print(round(math.log(_typical(10_000, 5.0, 6.3, 7.3, extreme).extreme), 1))
    8.1
    8.3
    8.4
    """
    log_normal, power_law = middle + (body - middle) * _TAIL_FROM_90, 2 * high - body
    expected = sorted((log_normal, power_law, extreme))[1]
    if n >= _OBSERVED_FROM:  # a ladder of prices ends: what was seen may lower the guess
        expected = min(expected, max(high, extreme) + log(1.0 + 3.0 / sqrt(n * 0.001)))
    expected += (expected - middle) / sqrt(n * (1.0 - _BODY_FROM))
    return Typical(n, exp(middle), exp(high), exp(max(expected, high)))
