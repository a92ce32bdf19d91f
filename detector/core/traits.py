"""Traits of the hours in which an account tips, and how unlike the earlier ones the recent are.

The unit is an hour with a tip, not a tip: tips of one session are not independent, and counting
each would make one evening look like a proof. An hour has a trait if any of its tips has it. Per
account and per site each trait is counted twice: over the whole life, and recently.
"""

from __future__ import annotations

import struct
from math import exp, log
from typing import Any, NamedTuple

from detector.core.evidence import strength

NAMES = (
    "child_time", "adult_time", "new_device", "new_streamer", "other_genre", "child_room",
    "child_words", "adult_words", "other_holder", "recharged",
)  # fmt: skip
"""All traits; bit i of a mask is the i-th."""

(
    CHILD_TIME, ADULT_TIME, NEW_DEVICE, NEW_STREAMER, OTHER_GENRE, CHILD_ROOM,
    CHILD_WORDS, ADULT_WORDS, OTHER_HOLDER, RECHARGED,
) = (1 << place for place in range(len(NAMES)))  # fmt: skip

_EXPECTED = (0.45, 0.3, 0.05, 0.4, 0.3, 0.2, 0.02, 0.02, 0.1, 0.3)
"""Share of hours with each trait on a site of which nothing is known: an expert's guess."""

_PACKED = struct.Struct("<IH11H11e")  # last hour, its traits; hours and each trait: ever, recently
SIZE = _PACKED.size
NONE = bytes(SIZE)
_HOUR = struct.Struct("<IH")
_RECENT_HOURS = 240.0  # time constant of what is recent
_MOST = 65_535
_GUESS_WORTH = 100  # hours of the site that the expert's guess is worth
_SITE_WORTH = 4  # hours of an account that the site's share is worth
_LATELY, _LONG = 0.8, 0.99  # what an hour of a day ago counts
_AT_ONCE = 64
_CONVINCING = 3.0  # nats by which the recent hours speak against the earlier ones


def add(packed: bytes, hour: int, mask: int) -> bytes:
    """`packed` with one more tip.

    Args:
        packed: an account's counts, `NONE` at first.
        hour: hours since 1970; an earlier one than the last adds nothing.
        mask: traits of the tip.

    >>> packed = add(add(NONE, 10, CHILD_TIME), 10, CHILD_TIME | NEW_DEVICE)
    >>> Counts.of(add(packed, 11, CHILD_TIME)).ever[:4]
    (2, 2, 0, 1)
    """
    last_hour, last_mask = _HOUR.unpack_from(packed)
    if hour == last_hour:
        fresh = mask & ~last_mask
        if not fresh:
            return packed
        mask |= last_mask
        more, decay = 0, 1.0
    elif hour < last_hour:
        return packed
    else:
        fresh = mask
        more, decay = 1, exp((last_hour - hour) / _RECENT_HOURS)
    unpacked = _PACKED.unpack(packed)
    ever = list(unpacked[2:13])
    recent = [count * decay for count in unpacked[13:]]
    ever[0] += more
    recent[0] += more
    while fresh:
        lowest = fresh & -fresh
        place = lowest.bit_length()
        ever[place] += 1
        recent[place] += 1.0
        fresh ^= lowest
    if ever[0] >= _MOST:
        ever = [count >> 1 for count in ever]
    return _PACKED.pack(hour, mask, *ever, *recent)


def mask_of(packed: bytes) -> int:
    """The traits of the last hour."""
    mask: int = _HOUR.unpack_from(packed)[1]
    return mask


class Counts(NamedTuple):
    """An account's hours: all of them first, then those with each trait; ever, and recently.

    `mask`: the traits of the last hour.
    """

    mask: int
    ever: tuple[int, ...]
    recent: tuple[float, ...]

    @classmethod
    def of(cls, packed: bytes) -> Counts:
        """What the bytes of `add` say."""
        unpacked = _PACKED.unpack(packed)
        return cls(unpacked[1], unpacked[2:13], unpacked[13:])

    @property
    def hours(self) -> int:
        """Hours with a tip, ever."""
        return self.ever[0]

    def count(self, trait: int) -> int:
        """Hours with the trait, ever."""
        return self.ever[trait.bit_length()]

    def share(self, trait: int) -> float:
        """Share of all hours that have the trait, 0..1; 0.0 without hours."""
        return self.count(trait) / self.ever[0] if self.ever[0] else 0.0

    def recent_share(self, trait: int) -> float:
        """The same of the recent hours."""
        return self.recent[trait.bit_length()] / self.recent[0] if self.recent[0] else 0.0

    def earlier_share(self, trait: int, site_share: float) -> float:
        """Share of the hours before the recent ones, drawn to the site's while they are few.

        Between 0 and 1, both excluded, if the site's is.
        """
        place = trait.bit_length()
        hours = max(0.0, self.ever[0] - self.recent[0])
        with_it = max(0.0, self.ever[place] - self.recent[place])
        return (with_it + _SITE_WORTH * site_share) / (hours + _SITE_WORTH)

    def was_always(self, trait: int) -> bool:
        """Whether the earlier hours had the trait as often as the recent ones, or more often."""
        place = trait.bit_length()
        hours = self.ever[0] - self.recent[0]
        with_it = self.ever[place] - self.recent[place]
        return hours > 0.0 and with_it * self.recent[0] >= self.recent[place] * hours


def unlike(counts: Counts, trait: int, expected: float, convincing: float = _CONVINCING) -> float:
    """How surely the recent hours have the trait more often than `expected`, 0..1.

    `convincing`: nats that are half a proof; fewer where other evidence is asked for beside it.

    Hours times the Kullback-Leibler divergence of the two shares: the log likelihood ratio of the
    observed share against the expected one, which needs no minimum of hours.

    >>> evening = night = NONE
    >>> for hour in range(0, 6 * 24, 24):
    ...     evening, night = add(evening, hour, CHILD_TIME), add(night, hour, 0)
    >>> [round(unlike(Counts.of(each), CHILD_TIME, 0.4), 2) for each in (evening, night)]
    [0.61, 0.0]
    """
    expected = min(0.98, max(0.02, expected))
    hours = counts.recent[0]
    share = min(0.999, counts.recent_share(trait))
    if share <= expected:
        return 0.0
    nats = share * log(share / expected) + (1 - share) * log((1 - share) / (1 - expected))
    return strength(hours * nats / convincing)


class SiteTraits:
    """How common each trait is among the site's hours with a tip, lately and in the long run.

    What everybody does of late (tips by day in the holidays, other devices after a sale) is so no
    evidence against one.

    >>> site = SiteTraits()
    >>> for day in range(300):
    ...     for hour in range(10):
    ...         site.add(20_000 + day, CHILD_TIME if hour < 5 or day > 290 else 0)
    >>> round(site.share(CHILD_TIME), 1), round(site.shift(CHILD_TIME, 0.2), 1)
    (0.6, 0.3)
    >>> SiteTraits.load(site.save()).save() == site.save()
    True
    """

    __slots__ = ("_day", "_lately", "_long", "_waiting")

    def __init__(self) -> None:
        self._day = 0
        self._lately = [0.0] * (len(NAMES) + 1)  # all hours, then those with each trait
        self._long = [0.0] * (len(NAMES) + 1)
        self._waiting: list[int] = []  # masks that are not counted yet

    def add(self, day: int, mask: int) -> None:
        """Counts one hour of one account, seen on a local day; takes effect within 64 hours."""
        if day > self._day:
            self._count()
            days = min(day - self._day, 1_000)
            self._lately = [count * _LATELY**days for count in self._lately]
            self._long = [count * _LONG**days for count in self._long]
            self._day = day
        self._waiting.append(mask)
        if len(self._waiting) >= _AT_ONCE:
            self._count()

    def _count(self) -> None:
        waiting = self._waiting
        more = [sum(mask >> place & 1 for mask in waiting) for place in range(len(NAMES))]
        more.insert(0, len(waiting))
        self._lately = [count + each for count, each in zip(self._lately, more, strict=True)]
        self._long = [count + each for count, each in zip(self._long, more, strict=True)]
        self._waiting = []

    def share(self, trait: int) -> float:
        """Share of the latest hours with the trait, 0..1; an expert's guess while few are known."""
        return _share(self._lately, trait)

    def shift(self, trait: int, share: float) -> float:
        """An earlier share of an account, moved by as much as the site's has risen lately.

        In odds; a fall moves nothing. Never below half the site's own share, since a rare trait
        in a short life is no rule of that life.
        """
        now, before = _share(self._lately, trait), _share(self._long, trait)
        if now > before:
            odds = share / (1 - share) * (now / (1 - now)) / (before / (1 - before))
            share = odds / (1 + odds)
        return max(share, 0.5 * now)

    def save(self) -> dict[str, Any]:
        """What it knows, JSON-able."""
        return {
            "day": self._day,
            "lately": self._lately.copy(),
            "long": self._long.copy(),
            "waiting": self._waiting.copy(),
        }

    @classmethod
    def load(cls, saved: dict[str, Any]) -> SiteTraits:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        site = cls()
        site._day = int(saved["day"])
        site._lately = [float(count) for count in saved["lately"]]
        site._long = [float(count) for count in saved["long"]]
        site._waiting = [int(mask) for mask in saved["waiting"]]
        expected = len(NAMES) + 1
        if {len(site._lately), len(site._long)} != {expected}:
            raise ValueError(f"counts: found another number of them, expected {expected}")
        return site


def _share(counts: list[float], trait: int) -> float:
    place = trait.bit_length()
    known = counts[place] + _GUESS_WORTH * _EXPECTED[place - 1]
    return known / (counts[0] + _GUESS_WORTH)
