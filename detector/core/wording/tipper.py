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
    "above_peers": (
        "{observed} {unit}; of those who have tipped as much, as long, one tip in a thousand "
        "passes {limit} (usual {usual})",
        "{observed}{unit}；同等消费水平与账号年龄的用户，千分之一的打赏超过{limit}（平时{usual}）",
    ),
    "heavy_days": (
        "About {observed} days of the last two months with tips that few on this site give "
        "({n} days known)",
        "近两个月约有{observed}天打赏额为全站罕见（已知{n}天）",
    ),
    "office_recharges": (
        "About {observed} of {n} recharges within a week in office hours; by the hours alone it "
        "would be {usual}",
        "一周{n}次充值中约{observed}次在工作日上班时间；按时长比例应为{usual}次",
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
    "day_above_own": (
        "{observed} {unit} in one day; usual are {usual}, up to {limit} ({n} days)",
        "一天打赏共{observed}{unit}；平时约{usual}，上限{limit}（{n}天）",
    ),
    "session_recharges": (
        "{observed} recharges within the session; usual are {usual} a week, up to {limit}",
        "本次连续打赏中充值{observed}次；平时每周约{usual}次，上限{limit}",
    ),
    "unusual_hours": (
        "At an hour of the night at which {observed} of this tipper's tips came ({n} tips)",
        "深夜时段，该用户以往仅有{observed}的打赏在此时段（{n}笔）",
    ),
    "after_pk": (
        "Since the last PK of the session {observed} times as much a minute as up to it",
        "本次PK结束后，每分钟打赏额为此前的{observed}倍",
    ),
    "room_hopping": (
        "{observed} changes of streamer within the session",
        "本次连续打赏中更换主播{observed}次",
    ),
    "accelerating": (
        "A tip every {observed} s lately; every {usual} s over the session ({n} tips)",
        "近来每{observed}秒一笔；本次平均每{usual}秒一笔（{n}笔）",
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
    "benign_small_gifts": (
        "Gifts of about {observed} {unit}, smaller than this tipper's usual {usual} ({n} sessions)",
        "单笔约{observed}{unit}，低于该用户平时的{usual}（{n}次）",
    ),
}
