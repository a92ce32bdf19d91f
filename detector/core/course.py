"""One forecast of a series: what is usual at this time of its period, and a level on top of it."""

from __future__ import annotations

from array import array
from math import isnan, nan
from typing import Any

ERROR_GAIN = 0.01
"""How much of an error's size the usual error takes over."""

CLIP = 8.0
"""A size counts as at most so many usual ones (Huber 1964)."""

BEGINNER = 10
"""Points before what is usual is worth the name."""

_SEASON_GAIN = 0.3  # how much of the way to a new value a slot goes in one period
_LEAST_SLOT_GAIN, _MOST_SLOT_GAIN = 0.02, 0.5
_NEW_LEVEL_GAIN = 0.3


class Course:
    """One forecast, right for some series and wrong for others; its usual error tells.

    Args:
        gain: how much of an error the level takes over.
        slot_ms, slots: length and number of the parts of its period; 0 without a season.

    Attributes:
        error: mean size of the forecast's error; one that stands out counts with a part only.

    >>> course = Course(gain=0.5)
    >>> for n in range(20):
    ...     course.learn(7.0 - course.forecast(0), n, CLIP, False, 0.0)
    >>> course.forecast(0)
    7.0
    """

    __slots__ = ("_base", "_gain", "_level", "_slot", "_slot_ms", "_slots", "error")

    def __init__(self, gain: float, slot_ms: int = 0, slots: int = 0) -> None:
        self._gain = gain
        self._slot_ms = slot_ms
        self._slots = array("d", [nan]) * slots
        self._slot = 0
        self._base = 0.0
        self._level = 0.0
        self.error = 0.0

    def forecast(self, time_ms: int) -> float:
        """The value expected at this time; `learn` has to follow."""
        if self._slot_ms:
            self._slot = slot = time_ms // self._slot_ms % len(self._slots)
            base = self._slots[slot]
            if base == base:  # a slot not seen yet (NaN) is taken to be as the one before
                self._base = base
        return self._base + self._level

    def learn(
        self, error: float, n: int, most: float, is_new_level: bool, interval_ms: float
    ) -> None:
        """Learns the point that `forecast` was asked for.

        Args:
            error: value less forecast.
            n: points before it.
            most: usual errors that one error counts as at most.
            is_new_level: whether the errors of late are taken for a change that stays.
            interval_ms: usual time between two points.
        """
        clipped = error
        if n >= BEGINNER and self.error:  # without any error before there is no measure
            most *= self.error
            clipped = most if error > most else max(error, -most)
        if self._slot_ms:
            value = self._base + self._level + error
            self._learn_season(value, self._level + clipped, interval_ms)
        weight, gain = 1.0 / (n + 1), self._gain
        if is_new_level:
            self._level += (gain if gain > _NEW_LEVEL_GAIN else _NEW_LEVEL_GAIN) * error
        else:
            self._level += (gain if gain > weight else weight) * clipped
        size = clipped if clipped > 0.0 else -clipped
        self.error += (ERROR_GAIN if weight < ERROR_GAIN else weight) * (size - self.error)

    def _learn_season(self, value: float, above: float, interval_ms: float) -> None:
        slot = self._slot
        before = self._slots[slot]
        if before != before:
            self._slots[slot] = value
            return
        gain = _SEASON_GAIN * interval_ms / self._slot_ms
        if gain < _LEAST_SLOT_GAIN:
            gain = _LEAST_SLOT_GAIN
        self._slots[slot] = before + (gain if gain < _MOST_SLOT_GAIN else _MOST_SLOT_GAIN) * above

    def copy(self) -> Course:
        """Another one that goes on from here by itself."""
        other = Course.__new__(Course)
        other._gain, other._slot_ms, other._slot = self._gain, self._slot_ms, self._slot
        other._slots = self._slots[:] if self._slot_ms else self._slots
        other._base, other._level, other.error = self._base, self._level, self.error
        return other

    def save(self) -> list[Any]:
        """What it has learned, JSON-able; null for a slot not seen yet."""
        slots = [None if isnan(value) else value for value in self._slots]
        return [self._base, self._level, self.error, slots]

    def load(self, saved: list[Any]) -> None:
        """Takes over what a course of the same slots had learned.

        Raises:
            ValueError, TypeError: it is not what `save` gives for these slots.
        """
        base, level, error, slots = saved
        if len(slots) != len(self._slots):
            raise ValueError(f"slots: found {len(slots)}, expected {len(self._slots)}")
        self._slots = array("d", [nan if value is None else float(value) for value in slots])
        self._base, self._level, self.error = float(base), float(level), float(error)
