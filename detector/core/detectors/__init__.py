"""One file a kind of case.

A detector reads `Features` and never changes anything. `score` is asked for every tip and costs
about a microsecond; `explain` only for the few whose score is worth a flag.
"""

from __future__ import annotations

from typing import Protocol

from detector.core.features import Features
from detector.core.reasons import Reason


class Detector(Protocol):
    """What every kind of case offers.

    Attributes:
        kind: one of `reasons.KINDS`.
    """

    kind: str

    def score(self, f: Features) -> float:
        """How sure it is, 0..1; 0.0 where it has nothing to go by."""

    def explain(self, f: Features) -> list[Reason]:
        """The evidence behind `score`, benign explanations included."""
