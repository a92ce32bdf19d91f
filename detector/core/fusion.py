"""From scores and reasons to flags: severity, action, case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import detector
from detector.core.cases import Cases, identity
from detector.core.event import Event
from detector.core.features import Features
from detector.core.policy import Policy
from detector.core.reasons import ACTIONS, SEVERITIES, Reason
from detector.core.storm import Storm

_FAMILY_FROM = 0.35
"""Weight from which a reason makes its family count as one that found something."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores of one statistical kind, 0..1, from which a finding is low, medium, high."""

    low: float
    medium: float
    high: float


BASES = ("declared", "rule", "evidence")
"""What a flag rests on: a declared fact, another rule of the pack, or statistical evidence."""


class Flag:
    """One flag: what a reviewer reads.

    Attributes:
        kind, severity: as in the record.
        step: `opened`, `worsened` or `updated`: what it did to its case.
        event_time_ms: of the event that led to it.
        subject_id: the account it is about; the record's key.
        record: the JSON-able Flag.
    """

    __slots__ = ("event_time_ms", "kind", "record", "severity", "step", "subject_id")

    def __init__(self, record: dict[str, Any], step: str) -> None:
        self.record = record
        self.step = step
        self.kind: str = record["kind"]
        self.severity: str = record["severity"]
        self.event_time_ms: int = record["event_time"]
        self.subject_id: str = record["subject"]["id"]

    @property
    def pages(self) -> bool:
        """Whether it is news that somebody should be called for: high, and not kept from paging."""
        return (
            self.severity == "high"
            and self.step != "updated"
            and self.record.get("paged") is not False
        )

    @property
    def basis(self) -> str:
        """The strongest of what it rests on: one of `BASES`."""
        rules = [reason for reason in self.record["reasons"] if "rule" in reason]
        if any(reason["family"] == "identity" for reason in rules):
            return "declared"
        return "rule" if rules else "evidence"


class Fusion:
    """Turns the findings on one event into flags.

    Args:
        policy: the pack in force: actions, and what each flag says of it.
        thresholds: kind → thresholds, for the statistical kinds.
        cases: the engine's open cases.
        storm: counts what pages.
        is_shadow: whether its flags are a trial's: marked so, never paged, and with ids of their
            own, so that nobody takes them for those of the policy in force.

    Attributes:
        policy, cases, storm: as given.
        floor: kind → score from which a finding of a statistical kind can be a flag.
    """

    def __init__(
        self, policy: Policy, thresholds: dict[str, Thresholds], cases: Cases, storm: Storm,
        is_shadow: bool = False,
    ) -> None:  # fmt: skip
        self.policy = policy
        self._thresholds = thresholds
        self.cases = cases
        self.storm = storm
        self._is_shadow = is_shadow
        self.floor = {kind: each.low for kind, each in thresholds.items()}

    def flag(
        self, kind: str, score: float, reasons: list[Reason], event: Event,
        subject: tuple[str, str], day: int, features: Features | Mapping[str, float],
    ) -> Flag | None:  # fmt: skip
        """A flag, or None where the finding is too weak or says nothing new in its case.

        Args:
            kind: the kind of case.
            score: the detector's, 0..1.
            reasons: its evidence.
            event: what led to it.
            subject: (`tipper` or `streamer`, id).
            day: local day of the event.
            features: the tip's features, or other figures by name.
        """
        reasons = sorted(reasons, key=lambda reason: (reason.is_benign, -reason.weight))
        severity = self._severity(kind, score, reasons)
        if severity is None:
            return None
        is_fact = any(r.rule is not None and r.family == "identity" for r in reasons)
        opened = self.cases.add(
            kind, *subject, severity, _news(reasons, day), _figure(reasons), event.event_id,
            event.event_time_ms, is_fact,
        )  # fmt: skip
        if opened.step in ("silent", "snoozed"):
            return None
        return Flag(
            {
                "flag_id": flag_id(event.event_id, kind, subject, self._is_shadow),
                "kind": kind,
                "severity": severity,
                "action": self._action(kind, severity, reasons),
                "subject": {"type": subject[0], "id": subject[1]},
                "event_id": event.event_id,
                "event_time": event.event_time_ms,
                "score": round(score, 6),
                "case_id": opened.case_id,
                "update": opened.step != "opened",
                "reasons": [reason.to_record() for reason in reasons],
                "features": features_record(features),
                "policy": {
                    "pack": self.policy.name,
                    "version": self.policy.version,
                    "hash": self.policy.digest,
                },
                "detector": {"version": detector.__version__, "shadow": self._is_shadow},
                **self.storm.meet(severity, opened.step, event.event_time_ms),
                **({"paged": False} if self._is_shadow else {}),
            },
            opened.step,
        )

    def is_grave(self, kind: str, score: float, reasons: list[Reason]) -> bool:
        """Whether a finding is of medium or high severity, be it news in its case or not."""
        return self._severity(kind, score, reasons) in ("medium", "high")

    def _severity(self, kind: str, score: float, reasons: list[Reason]) -> str | None:
        """The gravest severity that the rules or the thresholds give.

        Statistical evidence is high only with two independent families of it. What speaks against
        a finding is no evidence for it: with nothing else there is none.
        """
        evidence = [reason for reason in reasons if not reason.is_benign]
        ranks = [SEVERITIES.index(r.severity) for r in evidence if r.severity is not None]
        thresholds = self._thresholds.get(kind)
        if thresholds is not None and score >= thresholds.low and evidence:
            families = {r.family for r in evidence if r.weight >= _FAMILY_FROM}
            if score >= thresholds.high and len(families) >= 2:
                ranks.append(2)
            else:
                ranks.append(1 if score >= thresholds.medium else 0)
        return SEVERITIES[max(ranks)] if ranks else None

    def _action(self, kind: str, severity: str, reasons: list[Reason]) -> str:
        """The gravest action of the rules that fired, or the pack's for the kind and severity."""
        actions = [r.action for r in reasons if r.action is not None]
        by_severity = self.policy.actions.get(kind)  # type: ignore[call-overload]
        if by_severity is not None:
            actions.append(getattr(by_severity, severity))
        return max(actions, key=ACTIONS.index, default="none")


def flag_id(event_id: str, kind: str, subject: tuple[str, str], is_shadow: bool = False) -> str:
    """The id of the flag that an event gives of that kind on that subject, if it gives one."""
    return ("fs_" if is_shadow else "f_") + identity(event_id, kind, *subject)


def _news(reasons: list[Reason], day: int) -> str:
    """What a finding is about: the rules it breaks and the day. Other evidence for the same
    statistical finding, in turn stronger and weaker, is no news."""
    rules = sorted({f"{r.rule}/{r.code}" for r in reasons if r.rule is not None})
    return f"{','.join(rules)}@{day}" if rules else ""


def _figure(reasons: list[Reason]) -> float:
    """What is news when it has doubled: what a rule counts, else the largest amount of money."""
    if reasons[0].rule is not None:
        return max(reasons[0].observed, 1e-9)
    amounts = (r.observed for r in reasons if r.family == "amount" and not r.is_benign)
    return max(amounts, default=1.0)


def features_record(figures: Features | Mapping[str, float]) -> dict[str, float]:
    """The figures behind a flag, frozen as they were. Amounts in minor units of the base currency.

    Unknown ones are left out.
    """
    known = _of_tip(figures) if isinstance(figures, Features) else figures
    return {name: round(value, 4) for name, value in known.items() if value is not None}


def _of_tip(f: Features) -> Mapping[str, float | None]:
    before = f.before
    return {
        "value_minor": f.value,
        "tips_before": before.n,
        "usual_minor": exp(before.mean) if before.n else None,
        "spread_log": before.variance**0.5 if before.n else None,
        "maximum_minor": before.max_value if before.n else None,
        "days_known": (f.event.event_time_ms - before.first_ms) / 86_400_000 if before.n else None,
        "account_age_days": None if f.account_age_ms is None else f.account_age_ms / 86_400_000,
        "gap_s": f.gap_s,
        "sum_hour_minor": f.sum_hour,
        "sum_day_minor": f.sum_day,
        "sum_week_minor": f.sum_week,
        "day_sum_minor": f.day_sum,
        "month_sum_minor": f.month_sum,
        "session_sum_minor": f.session_sum,
        "session_decisions": f.session_decisions,
        "sessions_before": f.sessions,
        "hour": f.moment.minute // 60,
        "is_late": float(f.moment.is_late),
        "site_middle_minor": None if f.typical_tip is None else f.typical_tip.middle,
        "site_extreme_minor": None if f.typical_tip is None else f.typical_tip.extreme,
    }
