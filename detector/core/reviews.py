"""How the detectors fare: what reviewers said of each rule's flags, and whether scores drift.

Counts only; nothing is learned from them here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

# What `river.drift.ADWIN` wraps: that package imports scipy.stats, a second and 90 MB a process.
from river._river_rust.drift import AdaptiveWindowing

from detector.core.reasons import KINDS


class Reviews:
    """Verdicts counted, and scores watched.

    Drift is watched anew after a load, like a process's own counters: it is not saved.

    Attributes:
        by_rule: (code of the leading reason, judgement) → verdicts on flags.
        drifts: kind → changes of the mean score that ADWIN found (Bifet, Gavaldà 2007).
    """

    def __init__(self) -> None:
        self.by_rule: Counter[tuple[str, str]] = Counter()
        self.drifts: Counter[str] = Counter()
        self._watched: dict[str, Any] = {kind: _adwin() for kind in KINDS}

    def watch(self, scores: Sequence[float]) -> None:
        """Looks at one event's scores, in the order of `KINDS`."""
        for kind, score in zip(KINDS, scores, strict=True):
            if self._watched[kind].update(score):
                self.drifts[kind] += 1
                self._watched[kind] = _adwin()  # as river does, it begins anew

    def save(self) -> dict[str, Any]:
        """The counts, JSON-able."""
        return {"by_rule": [[*key, count] for key, count in self.by_rule.items()]}

    def load(self, saved: dict[str, Any]) -> None:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        self.by_rule = Counter(
            {(code, judgement): int(count) for code, judgement, count in saved["by_rule"]}
        )


def _adwin() -> Any:
    """ADWIN as river sets it up."""
    made: Any = AdaptiveWindowing
    return made(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)
