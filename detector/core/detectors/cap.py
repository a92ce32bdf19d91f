"""Limits on tipping: the policy pack's per tip, day and month, and the users' own.

No model: a limit is passed or it is not. The tip that passes it is flagged, and so is the one that
reaches the reminder line. What a room may do (PKs within hours) is the streamer view's.
"""

from __future__ import annotations

from detector.core.features import Features
from detector.core.policy import AmountLimit, Policy, UserLimit, total_minor
from detector.core.reasons import Reason


class Cap:
    """Detector of `cap`. Family: amount. The score is 1 over a limit, 0.5 at a reminder.

    Args:
        policy: the pack in force.
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "cap"

    def __init__(self, policy: Policy, unit: str, scale: int) -> None:
        self._limits = [
            (rule, rule.per, limit, limit if rule.remind_at is None else limit * rule.remind_at)
            for rule in policy.of_type(AmountLimit)
            for limit in (policy.limit_minor[rule.id],)
        ]
        self._user_rules: tuple[UserLimit, ...] = policy.of_type(UserLimit)
        self._unit = unit
        self._scale = scale

    def score(self, f: Features) -> float:
        score = 0.0
        for _, per, limit, line in self._limits:
            total = f.value if per == "tip" else f.day_sum if per == "day" else f.month_sum
            if total is not None and total >= line:
                if total > limit:
                    return 1.0
                if line < limit:
                    score = 0.5
        event = f.event
        if (
            event.user_limit_tip_minor is None
            and event.user_limit_day_minor is None
            and event.user_limit_month_minor is None
        ):
            return score
        return 1.0 if self._user_reasons(f) else score

    def explain(self, f: Features) -> list[Reason]:
        reasons, scale = self._user_reasons(f), self._scale
        for rule, per, limit, line in self._limits:
            total = total_minor(f, per)
            if total is None or total < line:
                continue
            if total > limit:
                code, weight, severity, action = f"cap_{per}", 1.0, rule.severity, rule.action
            elif line < limit:
                code, weight, severity, action = f"cap_{per}_reminder", 0.5, "low", "remind"
            else:
                continue
            reasons.append(
                Reason(code, "amount", total / scale, None, limit / scale, self._unit, 0, weight,
                       rule.id, severity, action)
            )  # fmt: skip
        return reasons

    def _user_reasons(self, f: Features) -> list[Reason]:
        reasons = []
        event, scale = f.event, self._scale
        for rule in self._user_rules:
            for per, limit in (
                ("tip", event.user_limit_tip_minor),
                ("day", event.user_limit_day_minor),
                ("month", event.user_limit_month_minor),
            ):
                total = total_minor(f, per)
                if limit is not None and total is not None and total > limit:
                    reasons.append(
                        Reason(f"user_limit_{per}", "amount", total / scale, None, limit / scale,
                               self._unit, 0, 1.0, rule.id, rule.severity, rule.action)
                    )  # fmt: skip
        return reasons
