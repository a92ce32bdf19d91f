"""Reasons: one piece of evidence each, with the figures and the words a reviewer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from detector.core.wording import WORDS

Family = Literal[
    "amount", "tempo", "identity", "device", "instrument", "money_flow", "content", "feedback"
]
FAMILIES: tuple[str, ...] = get_args(Family)

Kind = Literal["minor", "outsized", "binge", "gambling", "ring", "cap", "refund_abuse"]
KINDS: tuple[str, ...] = get_args(Kind)

Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[str, ...] = get_args(Severity)

Action = Literal[
    "none", "remind", "confirm", "cool_off", "hold_settlement", "suspend_tipping",
    "freeze_payout", "refer",
]  # fmt: skip
ACTIONS: tuple[str, ...] = get_args(Action)
"""From the mildest to the gravest: the action ladder."""


@dataclass(slots=True)
class Reason:
    """One piece of evidence.

    Attributes:
        code: a key of `WORDS`.
        family: the independent family of evidence it belongs to.
        observed: what was seen, in `unit`.
        usual: what is usual, for the tipper or the site; None where nothing is.
        limit: what would still have passed; None where there is no figure.
        unit: a currency code, `tips`, `s`, `years`, `days`, `times`, `hour`, `hours` or `share`.
        n: sample size behind `usual`; 0 for a rule or a declared fact.
        weight: 0..1, how much it contributes; reasons are ranked by it.
        rule: id of the policy rule, None for statistical evidence.
        severity, action: what the rule says; None for statistical evidence.
        is_benign: speaks against the finding; never counts as a family.
    """

    code: str
    family: str
    observed: float
    usual: float | None
    limit: float | None
    unit: str
    n: int
    weight: float
    rule: str | None = None
    severity: str | None = None
    action: str | None = None
    is_benign: bool = False

    def to_record(self) -> dict[str, Any]:
        """The reason as it stands in a Flag."""
        record: dict[str, Any] = {
            "code": self.code,
            "family": self.family,
            "observed": _rounded(self.observed),
            "usual": _rounded(self.usual),
            "limit": _rounded(self.limit),
            "unit": self.unit,
            "n": self.n,
            "text": self.text(),
        }
        if self.rule is not None:
            record["rule"] = self.rule
        return record

    def text(self) -> dict[str, str]:
        """The reason as a sentence, in English and in Chinese."""
        unit_en, unit_zh = UNITS.get(self.unit, (self.unit, self.unit))
        figures = {
            "observed": _figure(self.observed),
            "usual": _figure(self.usual),
            "limit": _figure(self.limit),
            "n": self.n,
        }
        english, chinese = WORDS[self.code]
        return {
            "en": english.format(unit=unit_en, **figures),
            "zh": chinese.format(unit=unit_zh, **figures),
        }


UNITS = {
    "CNY": ("CNY", "元"),
    "tips": ("tips", "笔"),
    "s": ("s", "秒"),
    "years": ("years", "岁"),
    "days": ("days", "天"),
    "times": ("times", "次"),
    "hour": ("o'clock", "时"),
    "hours": ("hours", "小时"),
    "share": ("", ""),
}

_LARGEST_WHOLE = 2**53  # from which floats skip whole numbers


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    rounded = round(value, 2)
    # A limit of somebody erratic may be above what JSON writers take for an integer.
    is_whole = rounded == int(rounded) and abs(rounded) < _LARGEST_WHOLE
    return int(rounded) if is_whole else rounded


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
