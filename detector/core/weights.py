"""Weights that move with verdicts, and how far anybody may move them.

One list of weights for all logistic models of the engine. A step is river's: the gradient of its
logistic loss, AdaGrad's step (Duchi, Hazan, Singer 2011). Its sum is then held within two bounds:
what one reviewer's verdicts of one day, and all verdicts of one day, move a single weight, up or
down, from where they found it. So whoever wants to teach nonsense needs many reviewers and days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from river.optim import AdaGrad
from river.optim.losses import Log

_RATE = 0.1
_FIRST_SQUARES = 1.0  # AdaGrad's sums of squares begin here: no leap at the first verdict
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


class Weights:
    """A list of weights.

    Args:
        initial: the expert's: where they start.
        budget: what a day may change.

    Attributes:
        values: the weights.

    >>> weights = Weights([0.0, 0.0], Budget(0.2, 0.3, lessons=10))
    >>> for reviewer in "aaaaaab":
    ...     weights.step([(0, 1.0)], 0.0, is_true=True, teacher=Teacher(reviewer, 20_000))
    >>> weights.values[0] <= 0.3
    True
    """

    def __init__(self, initial: Sequence[float], budget: Budget) -> None:
        self.values = list(initial)
        self._budget = budget
        self._loss = Log()
        self._optimizer: Any = AdaGrad(_RATE)  # typed for dicts; a list of weights does as well
        self._optimizer.g2 = dict.fromkeys(range(len(initial)), _FIRST_SQUARES)
        self._day = 0
        self._moved_in_day = [0.0] * len(initial)
        self._moved_by: dict[str, list[float]] = {}
        self._lessons_of: dict[str, list[int]] = {}  # refuting, confirming

    def admits(self, teacher: Teacher, is_true: bool) -> bool:
        """Counts a verdict that is to teach; False if it is one too many of this reviewer."""
        self._begin_day(teacher.day)
        lessons = self._lessons_of.get(teacher.reviewer)
        if lessons is None:
            reviewer = teacher.reviewer if len(self._lessons_of) < _REVIEWERS_A_DAY else ""
            lessons = self._lessons_of.setdefault(reviewer, [0, 0])
        lessons[is_true] += 1
        return lessons[is_true] <= self._budget.lessons

    def step(
        self,
        inputs: Iterable[tuple[int, float]],
        margin: float,
        is_true: bool,
        teacher: Teacher,
    ) -> None:
        """One step down the logistic loss.

        Args:
            inputs: (weight, its input) of those with an input.
            margin: the model's log odds, as they are.
            is_true: what they should have been.
            teacher: whose budget it is.
        """
        slope = float(self._loss.gradient(is_true, margin))
        gradient = {place: slope * value for place, value in inputs if value}
        values = self.values
        before = {place: values[place] for place in gradient}
        self._optimizer.step(values, gradient)
        self._hold(before, teacher)

    def _hold(self, before: dict[int, float], teacher: Teacher) -> None:
        """Takes back what goes beyond the budgets."""
        self._begin_day(teacher.day)
        moved = self._moved_of(teacher.reviewer)
        in_day, (of_reviewer, of_day, _) = self._moved_in_day, self._budget
        for place, was in before.items():
            change = self.values[place] - was
            change = _within(moved[place] + change, of_reviewer) - moved[place]
            change = _within(in_day[place] + change, of_day) - in_day[place]
            self.values[place] = was + change
            moved[place] += change
            in_day[place] += change

    def _begin_day(self, day: int) -> None:
        if day > self._day:  # a late verdict counts in the day that is running
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
                "squares": [self._optimizer.g2[place] for place in range(len(self.values))],
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
        if not len(found["weights"]) == len(found["squares"]) == len(found["moved_in_day"]) == n:
            raise ValueError(f"weights: found {len(found['weights'])}, expected {n}")
        self.values = [float(each) for each in found["weights"]]
        self._optimizer.g2 = dict(enumerate(map(float, found["squares"])))
        self._day = int(found["day"])
        self._moved_in_day = [float(each) for each in found["moved_in_day"]]
        self._moved_by = {who: [float(x) for x in each] for who, each in found["moved_by"].items()}
        self._lessons_of = {
            who: [int(x) for x in each] for who, each in found["lessons_of"].items()
        }


def _within(value: float, bound: float) -> float:
    return -bound if value < -bound else bound if value > bound else value
