"""How rare a figure is, told from its own past in two numbers.

No distribution is assumed to be the right one. The median and the 0.99 quantile are followed by
stochastic approximation on the logarithm (Robbins, Monro 1951): a step is bounded whatever the
figure, so an outlier cannot poison what is usual. The Weibull tail through both says how rare
something beyond them is: heavy where the past was heavy, light where it was light.
"""

from __future__ import annotations

from math import exp, log

MOST_NATS = 60.0
"""The rarest there is; e^60 is more points than any series has."""

_LEAST = 0.02  # smaller figures are as good as this one: a median of zeros has no logarithm
_MIDDLE_NATS = log(2.0)
_LOG_RATIO = log(log(100.0) / _MIDDLE_NATS)  # of the nats at both quantiles
_FAR_STEP = 2.0  # times that of the median: the 0.99 quantile is seldom passed
_LEAST_SPREAD = 0.8  # of the prior one, on the logarithm
_LEAST_MIDDLE = -1.0  # below the prior one, on the logarithm
_MOST_APART = log(MOST_NATS / _MIDDLE_NATS)


class Tail:
    """The upper tail of a figure that is never negative.

    Args:
        usual: its median as far as one can tell beforehand; it is never taken to be less than a
            third of this, so that a dull past does not make a trifle rare.
        ratio: of its 0.99 quantile to its median, beforehand; 3.8 for a half-normal figure, 6.6
            for an exponential one. Never taken to be less than `ratio ** 0.8`.
        step: how far the median goes at most, in log units a figure.

    Attributes:
        middle, far: logarithms of its median and its 0.99 quantile.

    >>> tail = Tail(usual=1.0, ratio=5.0, step=0.05)
    >>> [round(tail.nats(figure), 1) for figure in (0.0, 1.0, 5.0, 10.0)]
    [0.0, 0.7, 4.6, 10.4]
    """

    __slots__ = ("_least_middle", "_least_spread", "_step", "far", "middle")

    def __init__(self, usual: float, ratio: float, step: float) -> None:
        self.middle = log(usual)
        self.far = self.middle + log(ratio)
        self._least_middle = self.middle + _LEAST_MIDDLE
        self._least_spread = _LEAST_SPREAD * log(ratio)
        self._step = step

    def nats(self, figure: float) -> float:
        """How rare it is to see this much or more: -ln of the chance, 0..`MOST_NATS`."""
        return self._nats(log(figure)) if figure > _LEAST else 0.0

    def learn(self, figure: float) -> float:
        """Takes it for a part of what is usual; the step is bounded whatever it is.

        Returns:
            Its `nats` before that.
        """
        position = log(figure if figure > _LEAST else _LEAST)
        nats = self._nats(position)
        middle, step = self.middle, self._step
        middle += 0.5 * step if position > middle else -0.5 * step
        if middle < self._least_middle:
            middle = self._least_middle
        far = self.far + _FAR_STEP * step * (0.99 if position > self.far else -0.01)
        least = middle + self._least_spread
        self.middle = middle
        self.far = far if far > least else least
        return nats

    def _nats(self, position: float) -> float:
        apart = (position - self.middle) * _LOG_RATIO / (self.far - self.middle)
        return _MIDDLE_NATS * exp(apart) if apart < _MOST_APART else MOST_NATS

    def copy(self) -> Tail:
        """Another one that goes on from here by itself."""
        other = Tail.__new__(Tail)
        other.middle, other.far, other._step = self.middle, self.far, self._step
        other._least_middle, other._least_spread = self._least_middle, self._least_spread
        return other
