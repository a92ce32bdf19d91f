"""Tips by minors (未成年人打赏), declared by the event itself or betrayed by evidence.

A declared age below the policy's, or an account in minor mode, is a hard fact: flagged at once,
at the rule's own severity, and no model is asked. The bands of a neighbouring field and the hours
of minor mode add reasons where the policy pack has them. Where nothing is declared, `ChildLike`
weighs what the account's life says.
"""

from __future__ import annotations

from detector.core.detectors.childlike import ChildLike
from detector.core.features import Features
from detector.core.policy import (
    DeclaredMinor,
    MinorBand,
    MinorModeHours,
    Policy,
    is_declared_minor,
    is_within,
    minute_of,
    total_minor,
)
from detector.core.reasons import Reason


class Minor:
    """Detector of `minor`. Families of a declared one: identity; amount for the bands, tempo for
    the hours. Of an undeclared one: those of `childlike.CLUES`.

    Args:
        policy: the pack in force.
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "minor"

    def __init__(self, policy: Policy, unit: str, scale: int) -> None:
        self._declared: tuple[DeclaredMinor, ...] = policy.of_type(DeclaredMinor)
        self._bands: tuple[MinorBand, ...] = policy.of_type(MinorBand)
        self._hours = [
            (rule, minute_of(rule.starts), minute_of(rule.ends))
            for rule in policy.of_type(MinorModeHours)
        ]
        self.undeclared = ChildLike(unit, scale)
        self._limit_minor = policy.limit_minor
        self._unit = unit
        self._scale = scale
        self._adult_age = max((rule.age_below for rule in self._declared), default=0)
        self._adult_age = max(self._adult_age, *(rule.age_below for rule in self._bands), 0)

    def score(self, f: Features) -> float:
        return 1.0 if self.is_declared(f) else self.undeclared.score(f)

    def explain(self, f: Features) -> list[Reason]:
        return self._rule_reasons(f) or self.undeclared.explain(f)

    def is_declared(self, f: Features) -> bool:
        """Whether the event itself says, by a rule of the policy, that a minor tips."""
        age = f.event.tipper_age
        if f.event.minor_mode is not True and (age is None or age >= self._adult_age):
            return False
        return bool(self._rule_reasons(f))

    def _rule_reasons(self, f: Features) -> list[Reason]:
        return self._declared_reasons(f) + self._hour_reasons(f) + self._band_reasons(f)

    def _declared_reasons(self, f: Features) -> list[Reason]:
        event, reasons = f.event, []
        for rule in self._declared:
            if not is_declared_minor(event, rule):
                continue
            if rule.covers(event.tipper_age):
                reasons.append(
                    Reason("declared_age", "identity", float(event.tipper_age or 0), None,
                           rule.age_below, "years", 0, 1.0, rule.id, rule.severity, rule.action)
                )  # fmt: skip
            else:
                reasons.append(
                    Reason("declared_minor_mode", "identity", 1, None, None, "times", 0, 1.0,
                           rule.id, rule.severity, rule.action)
                )  # fmt: skip
        return reasons

    def _hour_reasons(self, f: Features) -> list[Reason]:
        if f.event.minor_mode is not True:
            return []
        return [
            Reason("minor_mode_hours", "tempo", f.moment.minute // 60, None, starts / 60, "hour",
                   0, 0.8, rule.id, rule.severity, rule.action)
            for rule, starts, ends in self._hours
            if is_within(f.moment.minute, starts, ends)
        ]  # fmt: skip

    def _band_reasons(self, f: Features) -> list[Reason]:
        reasons = []
        for rule in self._bands:
            total = total_minor(f, rule.per)
            limit = self._limit_minor[rule.id]
            if rule.covers(f.event.tipper_age) and total is not None and total > limit:
                reasons.append(
                    Reason("minor_band", "amount", total / self._scale, None, limit / self._scale,
                           self._unit, 0, 0.7, rule.id, rule.severity, rule.action)
                )  # fmt: skip
        return reasons
