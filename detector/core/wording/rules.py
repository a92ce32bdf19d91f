"""Reasons that a rule of the policy pack gives."""

RULES: dict[str, tuple[str, str]] = {
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
