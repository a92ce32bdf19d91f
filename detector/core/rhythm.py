"""How unlike its own rhythm a series is, point by point.

`Rhythm` takes (time, value) of any one series and gives each point a score before it learns it.
It knows nothing of tips. Four forecasts run side by side (`course.Course`): a quick level, a slow
level, the usual value at this time of day, and at this hour of the week, both with a level of their
own on top. The one with the smallest error of late is believed; a seasonal one, which can fit
noise, only when it beats the plain ones by a margin. Its error, in units of its usual error, is
looked at in four ways, each against its own past (`tail.Tail`): one point, its drift to one side,
its unrest, and a calm that is not usual. So many small surprises add up, as in the anomaly
likelihood of Lavin and Ahmad (2015; Ahmad et al. 2017), but without assuming that errors are normal
and independent.

What it aims at, and what was not measured, is said in `tests/bench/nab.py`.
"""

from __future__ import annotations

from math import isfinite, log, sqrt
from typing import Any

from detector.core.course import BEGINNER, CLIP, ERROR_GAIN, Course
from detector.core.evidence import strength
from detector.core.tail import Tail

WARM_UP = 40
"""Points that are only learned; they score 0."""

RARE_NATS = log(1000.0)
"""What scores 0.5: the sort of thing seen once in a thousand points."""

_HOUR_MS = 3_600_000
_SEASON_MARGIN = 1.03  # a season's error counts so many times
_LEAST_ERROR = 0.002  # of the usual size of the values: what is never a surprise
_LARGEST = 1e100  # so that no figure of it overflows
_TINY = 1e-9  # the same for a series of zeros

_SURPRISE = 2.5  # usual errors
_RUN = 6  # surprises in a row to one side that make a new level

_MOST_CLIP = 1e6  # outliers that come again and again are what is usual: each counts for more
_CLIP_FALLS = 0.98

_DRIFT_GAIN, _DRIFT_CLIP = 0.1, 4.0
_DRIFT_UNIT = sqrt((2 - _DRIFT_GAIN) / _DRIFT_GAIN)  # 1 / deviation of the mean of unit noise
_UNREST_GAIN, _UNREST_CLIP = 0.06, 6.0
_POINT_STEP, _MEAN_STEP = 0.03, 0.005  # the means move slowly, and so do their tails
_WAYS_NATS = log(4.0)  # the rarest of four figures is less rare than it looks

_LENIENT = 2.0  # a gap of so many intervals makes the next value less sure
_PAUSE = 10.0  # a gap of so many ends what adds up
_NOT_NEWS = 0.5  # of the rarity of late a new one has to exceed
_NEWS_LASTS = 0.95


class Rhythm:
    """The rhythm of one series; about 4 kB whatever the series' length.

    The score of a point: 0.5 for the sort of thing this series shows once in a thousand points,
    nearing 1 the rarer it is, 0 in the first `WARM_UP` points. It falls back when what was strange
    goes on: a level that stays some ten points is the new level. After a gap the next point is
    judged more leniently, and what adds up begins anew.

    Attributes:
        n: points seen.
        expected: the value the last point was expected to have.
        deviation: how far it was from that, in usual errors; above 0 if it was higher.

    >>> rhythm = Rhythm()
    >>> values = [10.0, 11.0, 9.0, 10.5] * 50 + [30.0]
    >>> scores = [rhythm.observe(60_000 * minute, value) for minute, value in enumerate(values)]
    >>> max(scores[:-1]) < 0.1, scores[-1] > 0.9, rhythm.deviation > 10
    (True, True, True)
    """

    __slots__ = (
        "_clip", "_courses", "_drift", "_interval_ms", "_last", "_recent", "_run", "_size", "_step",
        "_step_usual", "_tails", "_time_ms", "_unrest", "deviation", "expected", "n",
    )  # fmt: skip

    def __init__(self) -> None:
        self._courses = (
            Course(0.5),
            Course(0.04),
            Course(0.1, _HOUR_MS // 2, 48),
            Course(0.1, _HOUR_MS, 7 * 24),
        )
        self._tails = (
            Tail(0.8, 4.2, _POINT_STEP),
            Tail(0.8, 4.2, _POINT_STEP),
            Tail(0.8, 4.2, _POINT_STEP),
            Tail(1.0, 2.0, _MEAN_STEP),
            Tail(1.0, 2.0, _MEAN_STEP),
        )
        self.n = 0
        self.expected = self.deviation = 0.0
        self._time_ms = 0
        self._interval_ms = 0.0
        self._last = self._size = 0.0
        self._run = 0
        self._clip = CLIP
        self._drift = 0.0
        self._unrest = 1.0
        self._step = self._step_usual = 0.0
        self._recent = 0.0  # rarity of late, nats

    def observe(self, time_ms: int, value: float) -> float:
        """The score of the next point, 0..1; then it is learned.

        Args:
            time_ms: epoch milliseconds; at any interval, with or without gaps.
            value: any; one that is not finite scores 0 and is not learned, one beyond 1e100 counts
                as that.
        """
        if not isfinite(value):
            return 0.0
        value = min(max(value, -_LARGEST), _LARGEST)
        gap = self._elapse(time_ms)
        least = _LEAST_ERROR * self._size + _TINY
        forecasts = [course.forecast(time_ms) for course in self._courses]
        believed, usual = self._believed()
        self.expected = expected = forecasts[believed]
        deviation = (value - expected) / (usual if usual > least else least)
        if gap > _LENIENT:
            deviation /= sqrt(gap if gap < _PAUSE else _PAUSE)
            if gap > _PAUSE:
                self._drift, self._unrest, self._run = 0.0, 1.0, 0
                self._step, self._last = self._step_usual, value
        self.deviation = deviation
        score = self._score(deviation, abs(value - self._last) if self.n else 0.0, least)
        self._learn(value, forecasts, least)
        return score

    def _elapse(self, time_ms: int) -> float:
        """The time since the last point in usual intervals; what is usual is learned."""
        elapsed_ms = time_ms - self._time_ms
        self._time_ms = time_ms
        if not self.n or elapsed_ms <= 0:
            return 1.0
        usual_ms = self._interval_ms
        if not usual_ms:
            self._interval_ms = float(elapsed_ms)
            return 1.0
        gap = elapsed_ms / usual_ms
        self._interval_ms += 0.1 * ((gap if gap < 2.0 else 2.0) - 1.0) * usual_ms
        return gap

    def _believed(self) -> tuple[int, float]:
        """The place of the course with the smallest error, and that error."""
        quick, slow, day, week = self._courses
        place, lowest = (0, quick.error) if quick.error <= slow.error else (1, slow.error)
        limit = lowest / _SEASON_MARGIN
        if day.error < limit:
            place, lowest, limit = 2, day.error, day.error
        return (3, week.error) if week.error < limit else (place, lowest)

    def _score(self, deviation: float, step: float, least: float) -> float:
        """Brings what adds up to date, scores it, and learns how usual it is."""
        size = deviation if deviation > 0.0 else -deviation
        clipped = size if size < _DRIFT_CLIP else _DRIFT_CLIP
        drift = self._drift
        drift += _DRIFT_GAIN * ((clipped if deviation > 0.0 else -clipped) - drift)
        self._drift = drift
        unrest = self._unrest
        unrest += _UNREST_GAIN * ((size if size < _UNREST_CLIP else _UNREST_CLIP) - unrest)
        self._unrest = unrest
        self._step += _UNREST_GAIN * (step - self._step)
        calm = (self._step_usual + least) / (self._step + least)
        n = self.n
        if n < BEGINNER:
            self._step_usual += (step - self._step_usual) / (n + 1)
            return 0.0
        most = CLIP * self._step_usual + least
        gain = max(ERROR_GAIN, 1.0 / (n + 1))
        self._step_usual += gain * ((step if step < most else most) - self._step_usual)
        above, below, of_drift, of_unrest, of_calm = self._tails
        nats = max(
            (above if deviation > 0.0 else below).learn(size),
            of_drift.learn(abs(drift) * _DRIFT_UNIT),
            of_unrest.learn(unrest),
            of_calm.learn(calm),
        )
        return self._news(nats - _WAYS_NATS) if n >= WARM_UP else 0.0

    def _news(self, nats: float) -> float:
        """The score of a rarity, in view of those just before it."""
        news = nats - _NOT_NEWS * self._recent
        recent = self._recent * _NEWS_LASTS
        self._recent = recent if recent > nats else nats
        return strength(news / RARE_NATS) if news > 0.0 else 0.0

    def _learn(self, value: float, forecasts: list[float], least: float) -> None:
        run, n = self._run, self.n
        if -_SURPRISE < self.deviation < _SURPRISE:
            run = 0
        elif self.deviation > 0.0:
            run = run + 1 if run > 0 else 1
        else:
            run = run - 1 if run < 0 else -1
        self._run = run
        clip = self._clip
        if (run == 1 or run == -1) and not -CLIP < self.deviation < CLIP:
            clip = min(2.0 * clip, _MOST_CLIP)
        else:
            clip *= _CLIP_FALLS
        self._clip = clip = clip if clip > CLIP else CLIP
        is_new_level = run >= _RUN or run <= -_RUN
        for course, forecast in zip(self._courses, forecasts, strict=True):
            course.learn(value - forecast, n, clip, is_new_level, self._interval_ms)
        size = abs(value)
        most = CLIP * self._size + least
        if n >= BEGINNER and size > most:
            size = most
        self._size += max(ERROR_GAIN, 1.0 / (n + 1)) * (size - self._size)
        self._last = value
        self.n = n + 1

    def copy(self) -> Rhythm:
        """Another one that goes on from here by itself."""
        other = Rhythm.__new__(Rhythm)
        for name in _FIGURES:
            setattr(other, name, getattr(self, name))
        quick, slow, day, week = self._courses
        other._courses = (quick.copy(), slow.copy(), day.copy(), week.copy())
        above, below, drift, unrest, calm = self._tails
        other._tails = (above.copy(), below.copy(), drift.copy(), unrest.copy(), calm.copy())
        return other

    def save(self) -> dict[str, Any]:
        """What it has learned, JSON-able."""
        return {
            "figures": [getattr(self, name) for name in _FIGURES],
            "courses": [course.save() for course in self._courses],
            "tails": [[tail.middle, tail.far] for tail in self._tails],
        }

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Rhythm:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, LookupError: it is something else.

        >>> rhythm = Rhythm()
        >>> rhythm.observe(0, 7.0)
        0.0
        >>> Rhythm.load(rhythm.save()).save() == rhythm.save()
        True
        """
        rhythm = cls()
        for name, value in zip(_FIGURES, saved["figures"], strict=True):
            setattr(rhythm, name, type(getattr(rhythm, name))(value))
        for course, learned in zip(rhythm._courses, saved["courses"], strict=True):
            course.load(learned)
        for tail, (middle, far) in zip(rhythm._tails, saved["tails"], strict=True):
            tail.middle, tail.far = float(middle), float(far)
        return rhythm


_FIGURES = tuple(name for name in Rhythm.__slots__ if name not in ("_courses", "_tails"))
