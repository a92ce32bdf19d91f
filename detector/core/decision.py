"""What the engine thinks of one event, and how that is written."""

from __future__ import annotations

from typing import Any

from detector.core.credit import Record
from detector.core.decode import Skipped
from detector.core.event import Event
from detector.core.fusion import Flag
from detector.core.shadow import Comparison

SCORED_KINDS = ("minor", "outsized", "binge", "gambling", "ring", "refund_abuse")
"""The kinds a decision has a score for, in the record's order."""

DUPLICATE = Skipped("duplicate")
"""An event whose id has been seen."""


class Decision:
    """What the engine thinks of one event.

    Attributes:
        event: the event.
        scores: kind → score, 0..1; kinds that are 0 may be absent.
        any_kind: the chance, 0..1, that a reviewer would confirm some kind.
        flags: flags it led to, mostly none.
        accounts: credit records that changed with it, one a subject; no part of `to_record`.
        is_late: it came behind the watermark by more than the allowed lateness.
        shadow: what the candidate on trial says; None without one.
    """

    __slots__ = ("accounts", "any_kind", "event", "flags", "is_late", "scores", "shadow")

    def __init__(self, event: Event, scores: dict[str, float], is_late: bool) -> None:
        self.event = event
        self.scores = scores
        self.is_late = is_late
        self.any_kind = 0.0
        self.flags: list[Flag] = []
        self.accounts: list[Record] = []
        self.shadow: Comparison | None = None

    def to_record(self) -> dict[str, Any]:
        """The decision as the contract has it; flags of a trial come after the others."""
        flags = self.flags if self.shadow is None else self.flags + self.shadow.flags
        scores = {kind: round(self.scores.get(kind, 0.0), 6) for kind in SCORED_KINDS}
        scores["any"] = round(self.any_kind, 6)
        return {
            "event_id": self.event.event_id,
            "scores": scores,
            "flags": [flag.record for flag in flags],
        }
