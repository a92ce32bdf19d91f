"""From figures to evidence: how far above a limit, and where a habit's limit lies."""

from __future__ import annotations

from math import exp, sqrt

HABIT_FROM = 3
"""Tips, or sessions, before there is a habit to compare with."""


def strength(ratio: float) -> float:
    """How strong evidence a value `ratio` times its limit is: 0.5 at the limit, 0.9 at three times.

    A Hill curve of order two: smooth, without a threshold of its own, and slow to be certain.

    >>> [round(strength(ratio), 2) for ratio in (0.0, 0.5, 1.0, 3.0, 10.0)]
    [0.0, 0.2, 0.5, 0.9, 0.99]
    """
    squared = ratio * ratio
    return squared / (1.0 + squared)


def spread(n: int, variance: float, prior: float, prior_n: float, floor: float) -> float:
    """A habit's standard deviation in log units, unsure while `n` is small.

    The observed variance is pooled with a prior one worth `prior_n` observations, so that two like
    tips do not make a narrow habit; `floor` keeps a near-constant history from turning a small
    change into an anomaly. The last factor is the predictive one, 1 + 1/n.

    >>> round(spread(2, 0.0, 0.8, 8, 0.35), 2), round(spread(1000, 0.0, 0.8, 8, 0.35), 2)
    (0.88, 0.35)
    """
    pooled = sqrt((n * variance + prior_n * prior * prior) / (n + prior_n))
    return (pooled if pooled > floor else floor) * sqrt(1.0 + 1.0 / n)


def tip_spread(n: int, variance: float) -> float:
    """Standard deviation of one tipper's log tips; a ladder of gifts is a factor two or so wide."""
    return spread(n, variance, 0.8, 8, 0.35)


def session_spread(n: int, variance: float) -> float:
    """Standard deviation of one tipper's log session sums, or log day sums."""
    return spread(n, variance, 0.9, 6, 0.4)


def corroborated(score: float, support: float) -> float:
    """A score that evidence of other families supports: raised most where it is undecided.

    Three quarters of the support count, so that a weak piece of it, which is mostly ordinary life,
    does not make a medium finding of what is low by itself.

    >>> corroborated(0.5, 1.0), corroborated(0.0, 1.0), round(corroborated(0.7, 0.4), 2)
    (0.6875, 0.0, 0.76)
    """
    return score + 0.75 * support * score * (1.0 - score) if score > 0.0 else 0.0


def habit_limit(mean: float, deviations: float, spread_: float) -> float:
    """The amount `deviations` standard deviations above a log mean, in minor units."""
    limit = mean + deviations * spread_
    return exp(limit if limit < 60.0 else 60.0)


def any_of(*strengths: float) -> float:
    """The strength of several independent pieces of evidence for the same thing (noisy or).

    >>> any_of(0.5, 0.5)
    0.75
    """
    none = 1.0
    for each in strengths:
        none *= 1.0 - each
    return 1.0 - none
