"""Clues: evidence weighed by a logistic model whose weights stand in one table.

A detector that has no labels to begin with starts from an expert's weights, each with its reason.
Whoever learns from verdicts may hand it others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import NamedTuple


class Clue(NamedTuple):
    """One input of a model.

    Attributes:
        name: unique within its model.
        family: the independent family of evidence it belongs to.
        weight: log odds that it adds at full strength; below 0 it speaks against.
        why: where it comes from.
    """

    name: str
    family: str
    weight: float
    why: str


SUPPORT = 0.5
"""Log odds from which a family is said to support a finding."""


def sigmoid(log_odds: float) -> float:
    """The chance of log odds.

    >>> sigmoid(0.0), round(sigmoid(2.2), 2), sigmoid(-1e9)
    (0.5, 0.9, 0.0)
    """
    if log_odds < -700.0:
        return 0.0
    return 1.0 / (1.0 + exp(-log_odds))


def weigh(bias: float, weights: Sequence[float], values: Sequence[float]) -> float:
    """The chance that a model gives: sigmoid(bias + Σ weight · value), values 0..1."""
    log_odds = bias
    for weight, value in zip(weights, values, strict=True):
        if value:
            log_odds += weight * value
    return sigmoid(log_odds)


def families(
    clues: Sequence[Clue], weights: Sequence[float], values: Sequence[float]
) -> dict[str, float]:
    """Families that support a finding, with the log odds each adds.

    >>> clues = (Clue("a", "tempo", 2.0, ""), Clue("b", "device", 1.0, ""))
    >>> families(clues, (2.0, 1.0), (0.9, 0.3))
    {'tempo': 1.8}
    """
    sums: dict[str, float] = {}
    for clue, weight, value in zip(clues, weights, values, strict=True):
        if value and weight > 0.0:
            sums[clue.family] = sums.get(clue.family, 0.0) + weight * value
    return {family: added for family, added in sums.items() if added >= SUPPORT}
