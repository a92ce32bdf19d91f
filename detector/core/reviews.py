"""How the detectors fare: what reviewers said of each kind and reason, and whether scores drift.

Counts only; nothing is learned from them here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, get_args

# What `river.drift.ADWIN` wraps: that package imports scipy.stats, a second and 90 MB a process.
from river._river_rust.drift import AdaptiveWindowing

from detector.core.reasons import KINDS
from detector.core.verdict import Judgement

JUDGEMENTS: tuple[str, ...] = get_args(Judgement)


class Reviews:
    """Verdicts counted, and scores watched.

    Drift is watched anew after a load, like a process's own counters: it is not saved.

    Attributes:
        by_kind: (kind, judgement) → verdicts.
        by_reason: (reason code, judgement) → verdicts on flags that gave this reason.
        drifts: kind → changes of the mean score that ADWIN found (Bifet, Gavaldà 2007).
    """

    def __init__(self) -> None:
        self.by_kind: Counter[tuple[str, str]] = Counter()
        self.by_reason: Counter[tuple[str, str]] = Counter()
        self.drifts: Counter[str] = Counter()
        self._watched: dict[str, Any] = {kind: _adwin() for kind in KINDS}

    def count(self, kind: str, judgement: str, reasons: Iterable[str]) -> None:
        """Counts a verdict on a flag of these reasons; none for an event never flagged."""
        self.by_kind[kind, judgement] += 1
        for code in reasons:
            self.by_reason[code, judgement] += 1

    def watch(self, scores: Sequence[float]) -> None:
        """Looks at one event's scores, in the order of `KINDS`."""
        for kind, score in zip(KINDS, scores, strict=True):
            if self._watched[kind].update(score):
                self.drifts[kind] += 1
                self._watched[kind] = _adwin()  # as river does, it begins anew

    def save(self) -> dict[str, Any]:
        """The counts, JSON-able."""
        return {
            "by_kind": [[*key, count] for key, count in self.by_kind.items()],
            "by_reason": [[*key, count] for key, count in self.by_reason.items()],
        }

    def load(self, saved: dict[str, Any]) -> None:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        by_kind, by_reason = (
            Counter({(name, judgement): int(count) for name, judgement, count in saved[counts]})
            for counts in ("by_kind", "by_reason")
        )
        self.by_kind, self.by_reason = by_kind, by_reason


def _adwin() -> Any:
    """ADWIN as river sets it up."""
    made: Any = AdaptiveWindowing
    return made(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)
