"""Verdicts: what a reviewer decided about a flag, or about an event that was never flagged.

Knows the record and what may be wrong with it. Does not know what is learned from it.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal, NamedTuple, get_args

from detector.core.event import Rejected
from detector.core.fields import read_time_ms
from detector.core.reasons import KINDS

Judgement = Literal["confirmed", "false_positive", "unclear"]

_MAX_CHARS = 256
_MAX_FEATURES = 200


class VerdictError(ValueError):
    """A record that is no verdict; says where, what was found and what was expected, and no id."""


class Verdict(NamedTuple):
    """One verdict.

    Attributes:
        flag_id, event_id: what it is about; at least one is set.
        judgement: `confirmed`, `false_positive` or `unclear`.
        kind: of `reasons.KINDS`.
        reviewer: who decided.
        decided_ms: epoch ms.
        features: the flag's, as they were; None where the verdict does not carry them.
    """

    flag_id: str | None
    event_id: str | None
    judgement: str
    kind: str
    reviewer: str
    decided_ms: int
    features: dict[str, float] | None

    @property
    def outcome(self) -> str:
        """The judgement, or `missed`: confirmed, and no flag had told of it."""
        is_missed = self.judgement == "confirmed" and self.flag_id is None
        return "missed" if is_missed else self.judgement


def read_verdict(record: Any) -> Verdict:
    """The record as a Verdict; unknown fields are ignored.

    Raises:
        VerdictError: it is none.

    >>> record = {"event_id": "e1", "verdict": "confirmed", "kind": "ring", "reviewer": "r1",
    ...           "decided_at": 1772380802272}
    >>> read_verdict(record).judgement
    'confirmed'
    >>> read_verdict({**record, "verdict": "guilty"})
    Traceback (most recent call last):
    detector.core.verdict.VerdictError: verdict: expected confirmed, false_positive or unclear
    """
    if not isinstance(record, dict):
        raise VerdictError("found no JSON object")
    flag_id, event_id = _id(record, "flag_id"), _id(record, "event_id")
    if flag_id is None and event_id is None:
        raise VerdictError("flag_id, event_id: found neither, expected one of them")
    if record.get("verdict") not in get_args(Judgement):
        raise VerdictError("verdict: expected confirmed, false_positive or unclear")
    if record.get("kind") not in KINDS:
        raise VerdictError(f"kind: expected one of {', '.join(KINDS)}")
    reviewer = _id(record, "reviewer")
    if reviewer is None:
        raise VerdictError("reviewer: required, found nothing")
    try:
        decided_ms = read_time_ms("decided_at", record.get("decided_at"))
    except Rejected as refusal:
        raise VerdictError(refusal.detail) from None
    return Verdict(
        flag_id, event_id, record["verdict"], record["kind"], reviewer, decided_ms,
        _features(record.get("features")),
    )  # fmt: skip


def _id(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        raise VerdictError(f"{name}: expected a text of at most {_MAX_CHARS} characters")
    return value


def _features(found: Any) -> dict[str, float] | None:
    if found is None:
        return None
    if not isinstance(found, dict) or len(found) > _MAX_FEATURES:
        raise VerdictError(f"features: expected an object of at most {_MAX_FEATURES} numbers")
    for value in found.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise VerdictError("features: expected only finite numbers")
    return {str(name): float(value) for name, value in found.items()}
