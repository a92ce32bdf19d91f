"""Reasons: one piece of evidence each, with the figures and the words a reviewer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

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
        unit: a currency code, `tips`, `s`, `years`, `days`, `times`, `hour` or `share`.
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
    "share": ("", ""),
}

WORDS: dict[str, tuple[str, str]] = {
    "declared_age": (
        "The tipper's declared age is {observed}, below {limit}",
        "打赏者申报年龄{observed}岁，未满{limit}岁",
    ),
    "declared_minor_mode": (
        "The account is in minor mode, where tipping is not offered",
        "账号处于未成年人模式，该模式不提供打赏",
    ),
    "minor_mode_hours": (
        "Used in minor mode at {observed} o'clock, after services to minors have ended",
        "未成年人模式下于{observed}时使用，已过未成年人服务时段",
    ),
    "minor_band": (
        "{observed} {unit} by a minor, over {limit} {unit} of this age band",
        "未成年人已付{observed}{unit}，超过该年龄段{limit}{unit}",
    ),
    "above_own_history": (
        "One tip of {observed} {unit}; this tipper's usual is {usual}, up to {limit} ({n} tips)",
        "单笔{observed}{unit}；该用户平时约{usual}，上限{limit}（{n}笔）",
    ),
    "above_site": (
        "{observed} {unit}; one tip in a thousand on this site passes {limit} (usual {usual})",
        "{observed}{unit}；全站千分之一的打赏超过{limit}（平时{usual}）",
    ),
    "first_tips": (
        "{observed} {unit} among the very first tips seen of this account ({n} before)",
        "该账号最初几笔打赏即达{observed}{unit}（此前{n}笔）",
    ),
    "new_account": (
        "The account is {observed} days old",
        "账号注册仅{observed}天",
    ),
    "sustained_week": (
        "About {observed} {unit} within a week; usual for this tipper is {usual}, and one "
        "in a thousand on this site passes {limit}",
        "一周约{observed}{unit}；该用户平时约{usual}，全站千分之一超过{limit}",
    ),
    "new_device": (
        "From a device not seen before ({n} known)",
        "来自首次出现的设备（已知{n}台）",
    ),
    "new_instrument": (
        "Paid with an instrument not seen before ({n} known)",
        "使用首次出现的支付工具（已知{n}个）",
    ),
    "other_holder": (
        "The payment instrument belongs to somebody else",
        "支付工具归他人所有",
    ),
    "session_above_own": (
        "{observed} {unit} in one session; usual are {usual}, up to {limit} ({n} sessions)",
        "一次连续打赏共{observed}{unit}；平时约{usual}，上限{limit}（{n}次）",
    ),
    "session_above_site": (
        "{observed} {unit} in one session; one in a thousand on this site passes {limit}",
        "一次连续打赏共{observed}{unit}；全站千分之一超过{limit}",
    ),
    "session_tempo": (
        "{observed} tips in one session; usual are {usual}, up to {limit} ({n} sessions)",
        "一次连续打赏{observed}笔；平时约{usual}笔，上限{limit}笔（{n}次）",
    ),
    "quickening": (
        "A tip every {observed} s lately; usual are {usual} s ({n} gaps)",
        "近来每{observed}秒一笔；平时约{usual}秒（{n}个间隔）",
    ),
    "rising": (
        "Tips rise to about {observed} {unit} within the session; usual are {usual}",
        "连续打赏中金额升至约{observed}{unit}；平时约{usual}",
    ),
    "benign_love_number": (
        "{observed} {unit} is a number of affection (520, 1314), from a steady supporter of this "
        "streamer ({n} tips)",
        "{observed}{unit}为表白数字（520、1314），且为该主播的长期支持者（{n}笔）",
    ),
    "benign_combo": (
        "A combo of {observed} gifts, each of an ordinary price for this tipper ({n} tips)",
        "连击{observed}个礼物，单价属该用户平常水平（{n}笔）",
    ),
    "benign_occasion": (
        "During a PK or a ceremony, when many tip more than usual",
        "正值PK或盛典，众人打赏普遍增多",
    ),
    "cap_tip": (
        "One tip of {observed} {unit}, over the limit of {limit}",
        "单笔{observed}{unit}，超过上限{limit}",
    ),
    "cap_day": (
        "{observed} {unit} today, over the daily limit of {limit}",
        "今日累计{observed}{unit}，超过每日上限{limit}",
    ),
    "cap_month": (
        "{observed} {unit} this month, over the monthly limit of {limit}",
        "本月累计{observed}{unit}，超过每月上限{limit}",
    ),
    "cap_day_reminder": (
        "{observed} {unit} today: a good part of the daily limit of {limit}",
        "今日累计{observed}{unit}，已达每日上限{limit}的提醒线",
    ),
    "cap_month_reminder": (
        "{observed} {unit} this month: a good part of the monthly limit of {limit}",
        "本月累计{observed}{unit}，已达每月上限{limit}的提醒线",
    ),
    "user_limit_tip": (
        "One tip of {observed} {unit}, over the user's own limit of {limit}",
        "单笔{observed}{unit}，超过用户自设上限{limit}",
    ),
    "user_limit_day": (
        "{observed} {unit} today, over the user's own daily limit of {limit}",
        "今日累计{observed}{unit}，超过用户自设每日上限{limit}",
    ),
    "user_limit_month": (
        "{observed} {unit} this month, over the user's own monthly limit of {limit}",
        "本月累计{observed}{unit}，超过用户自设每月上限{limit}",
    ),
    "room_count": (
        "PK number {observed} of this room within the restricted hours; {limit} are allowed",
        "限制时段内该直播间第{observed}次PK，上限{limit}次",
    ),
}
"""Code → (English, Chinese). Each code that a detector uses stands here."""


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
