"""Weights that move with verdicts, and how far anybody may move them.

All logistic models of the engine, one list of weights. What is known of a model's weights is a
normal distribution around them, at first the expert's. A verdict moves them to where prior and
logistic likelihood balance, and is then taken as normal itself (Laplace's approximation, one
verdict at a time; Spiegelhalter and Lauritzen, Networks 20, 1990). So a weight that few verdicts
have spoken of moves far, one that many have settled moves little, and inputs that go together
share what is learned. What is known fades by the day, since the world drifts (McCormick, Raftery,
Madigan and Burd, Biometrics 68, 2012).

A sum of steps is held within two bounds: what one reviewer's verdicts of one day, and all verdicts
of one day, move a single weight, up or down, from where they found it. So whoever wants to teach
nonsense needs many reviewers and days.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from operator import mul
from typing import NamedTuple

import orjson

_DRIFT_A_DAY = 0.01  # share of an expert's variance that a day adds
_HALVINGS = 30
_REVIEWERS_A_DAY = 200


class Teacher(NamedTuple):
    """Who a step is due to, and on which day (days since 1970-01-01, UTC)."""

    reviewer: str
    day: int


class Budget(NamedTuple):
    """What a day may teach.

    Attributes:
        of_reviewer, of_day: how far one weight is moved at most by one reviewer, and by all.
        lessons: verdicts of one reviewer that teach, confirming and refuting ones apart.
    """

    of_reviewer: float
    of_day: float
    lessons: int


class Expert(NamedTuple):
    """What an expert says of a weight: its value, and how sure that is (variance)."""

    weight: float
    variance: float


class Weights:
    """The weights of all models, one model after the other.

    Args:
        models: what experts say of the weights of each model: where they start.
        budget: what a day may change.

    Attributes:
        values: the weights.

    >>> unsure = Expert(weight=0.0, variance=4.0)
    >>> weights = Weights([[unsure], [unsure, unsure]], Budget(0.2, 0.3, lessons=10))
    >>> for reviewer in "aaaaaab":
    ...     weights.step(1, [1.0, 0.0], is_true=True, teacher=Teacher(reviewer, 20_000))
    >>> weights.values
    [0.0, 0.3, 0.0]
    """

    def __init__(self, models: Sequence[Sequence[Expert]], budget: Budget) -> None:
        self.values = [expert.weight for model in models for expert in model]
        self._variances = [expert.variance for model in models for expert in model]
        self._budget = budget
        self._covariances = {}
        place = 0
        for model in models:
            self._covariances[place] = _diagonal([expert.variance for expert in model])
            place += len(model)
        self._day = 0
        self._moved_in_day = [0.0] * len(self.values)
        self._moved_by: dict[str, list[float]] = {}
        self._lessons_of: dict[str, list[int]] = {}  # refuting, confirming

    def admits(self, teacher: Teacher, is_true: bool, at_least: int = 0) -> bool:
        """Counts a verdict that is to teach; False if it is one too many of this reviewer.

        Args:
            teacher: whose verdict it is.
            is_true: whether it confirms.
            at_least: verdicts of a reviewer that teach whatever the budget says.
        """
        self._begin_day(teacher.day)
        lessons = self._lessons_of.get(teacher.reviewer)
        if lessons is None:
            reviewer = teacher.reviewer if len(self._lessons_of) < _REVIEWERS_A_DAY else ""
            lessons = self._lessons_of.setdefault(reviewer, [0, 0])
        lessons[is_true] += 1
        return lessons[is_true] <= max(self._budget.lessons, at_least)

    def step(
        self, place: int, inputs: Sequence[float], is_true: bool, teacher: Teacher,
        shift: float = 0.0,
    ) -> None:  # fmt: skip
        """One step of a model towards what it should have said.

        Args:
            place: where the weights of the model begin.
            inputs: as many as it has weights.
            is_true: what it should have said.
            teacher: whose budget it is.
            shift: added to its log odds: of a sample in which true ones are more frequent.
        """
        self._begin_day(teacher.day)
        rows = self._covariances[place]
        margin = shift + sum(map(mul, self.values[place : place + len(rows)], inputs))
        along = [sum(map(mul, row, inputs)) for row in rows]
        variance = sum(map(mul, along, inputs))
        chance = _chance(_settled(margin, variance, is_true))
        surprise = is_true - chance
        self._move(place, [surprise * each for each in along], teacher)
        certainty = chance * (1.0 - chance)
        learned = certainty / (1.0 + certainty * variance)
        for row, each in zip(rows, along, strict=True):
            if each:
                by = learned * each
                row[:] = [was - by * other for was, other in zip(row, along, strict=True)]

    def _move(self, place: int, changes: list[float], teacher: Teacher) -> None:
        """Changes weights as far as the budgets allow."""
        moved = self._moved_of(teacher.reviewer)
        in_day, (of_reviewer, of_day, _) = self._moved_in_day, self._budget
        for at, change in enumerate(changes, place):
            if change:
                change = _within(moved[at] + change, of_reviewer) - moved[at]
                change = _within(in_day[at] + change, of_day) - in_day[at]
                self.values[at] += change
                moved[at] += change
                in_day[at] += change

    def _begin_day(self, day: int) -> None:
        if day > self._day:  # a late verdict counts in the day that is running
            faded = min(1.0, (day - self._day) * _DRIFT_A_DAY)
            for place, rows in self._covariances.items():
                for number, row in enumerate(rows):
                    variance = self._variances[place + number]
                    row[number] = max(row[number], min(variance, row[number] + faded * variance))
            self._day = day
            self._moved_in_day = [0.0] * len(self.values)
            self._moved_by.clear()
            self._lessons_of.clear()

    def _moved_of(self, reviewer: str) -> list[float]:
        """What a reviewer has moved today; those after the first 200 share one budget."""
        moved = self._moved_by.get(reviewer)
        if moved is None:
            if len(self._moved_by) >= _REVIEWERS_A_DAY:
                reviewer = ""
            moved = self._moved_by.setdefault(reviewer, [0.0] * len(self.values))
        return moved

    def save(self) -> bytes:
        """All of it, as JSON, in which floats come back as they were."""
        by_reviewer = ("moved_by", self._moved_by), ("lessons_of", self._lessons_of)
        return orjson.dumps(
            {
                "weights": self.values,
                "covariances": list(self._covariances.values()),
                "day": self._day,
                "moved_in_day": self._moved_in_day,
                **{name: {who: list(each) for who, each in of.items()} for name, of in by_reviewer},
            }
        )

    def load(self, saved: bytes) -> None:
        """The inverse of `save`.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is something else.
        """
        found, n = orjson.loads(saved), len(self.values)
        if not len(found["weights"]) == len(found["moved_in_day"]) == n:
            raise ValueError(f"weights: found {len(found['weights'])}, expected {n}")
        covariances = [
            [[float(each) for each in row] for row in rows] for rows in found["covariances"]
        ]
        for rows, own in zip(covariances, self._covariances.values(), strict=True):
            if [len(row) for row in rows] != [len(row) for row in own]:
                raise ValueError(f"covariances: found {len(rows)} rows, expected {len(own)}")
        self._covariances = dict(zip(self._covariances, covariances, strict=True))
        self.values = [float(each) for each in found["weights"]]
        self._day = int(found["day"])
        self._moved_in_day = [float(each) for each in found["moved_in_day"]]
        self._moved_by = {who: [float(x) for x in each] for who, each in found["moved_by"].items()}
        self._lessons_of = {
            who: [int(x) for x in each] for who, each in found["lessons_of"].items()
        }


def _within(value: float, bound: float) -> float:
    return -bound if value < -bound else bound if value > bound else value


def _settled(margin: float, variance: float, is_true: bool) -> float:
    """The likeliest log odds after a verdict, of those before: normal, with mean and variance."""
    low, high = (margin, margin + variance) if is_true else (margin - variance, margin)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if middle < margin + variance * (is_true - _chance(middle)):
            low = middle
        else:
            high = middle
    return low


def _chance(odds: float) -> float:
    return 1.0 / (1.0 + exp(-odds)) if odds > -50.0 else 0.0


def _diagonal(variances: Sequence[float]) -> list[list[float]]:
    places = range(len(variances))
    return [[variances[at] if at == number else 0.0 for at in places] for number in places]
