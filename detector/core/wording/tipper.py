"""Statistical reasons of the tipper view."""

TIPPER: dict[str, tuple[str, str]] = {
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
}
