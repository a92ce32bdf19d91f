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
    "hour_above_own": (
        "{observed} {unit} within about an hour, where the session had brought {usual} {unit} an "
        "hour before (limit {limit} {unit})",
        "约一小时内打赏{observed}{unit}，此前该次观看每小时约{usual}{unit}（界限{limit}{unit}）",
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
    "minor_child_time": (
        "Share of recent hours with tips that lie after school or on free days: {observed}; "
        "before {usual} ({n} hours)",
        "近期打赏时段落在放学后或假日的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_new_device": (
        "Share of recent hours with tips from a device new to the account: {observed}; before "
        "{usual} ({n} hours)",
        "近期打赏时段使用新设备的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_new_streamer": (
        "Share of recent hours with tips to streamers new to the account: {observed}; before "
        "{usual} ({n} hours)",
        "近期打赏时段打赏新主播的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_other_genre": (
        "Share of recent hours in another kind of room than usual: {observed}; before {usual} "
        "({n} hours)",
        "近期打赏时段观看其他类型直播间的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_child_room": (
        "Share of recent hours in rooms that children watch: {observed}; before {usual} "
        "({n} hours)",
        "近期打赏时段在儿童常看直播间的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_child_words": (
        "Share of recent hours with words that children use of themselves: {observed}; before "
        "{usual} ({n} hours)",
        "近期打赏时段出现未成年人用语的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_other_holder": (
        "Share of recent hours paid with somebody else's instrument: {observed}; before {usual} "
        "({n} hours)",
        "近期打赏时段使用他人支付工具的占比{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_recharges": (
        "Many recharges, tipped away within minutes: share of recent hours {observed}; before "
        "{usual} ({n} hours)",
        "多次充值且数分钟内打赏殆尽：占近期时段{observed}；此前{usual}（{n}个小时段）",
    ),
    "minor_spending": (
        "About {observed} {unit} within a week; a usual week of this account comes to {usual} "
        "({n} tips)",
        "一周约{observed}{unit}；该账号平时每周约{usual}（{n}笔）",
    ),
    "minor_runs": (
        "{observed} tips in one sitting; usual are {usual} ({n} sittings)",
        "一次连续打赏{observed}笔；平时约{usual}笔（{n}次）",
    ),
    "minor_known_minor": (
        "The account was known to be a minor's {observed} days ago, or a refund was claimed for "
        "a minor ({n} claims)",
        "该账号{observed}天前曾被认定为未成年人使用，或曾以未成年人为由申请退款（{n}次）",
    ),
    "benign_adult_time": (
        "Share of recent hours with tips in school hours or at night: {observed}, which speaks "
        "for an adult ({n} hours)",
        "近期打赏时段落在上课时间或深夜的占比{observed}，更像成年人（{n}个小时段）",
    ),
    "benign_adult_words": (
        "Share of recent hours with an adult's words: {observed} ({n} hours)",
        "近期打赏时段出现成年人用语的占比{observed}（{n}个小时段）",
    ),
    "benign_same_device": (
        "From a device that the account has used {observed} times",
        "来自该账号已使用{observed}次的设备",
    ),
    "refund_adult_hours": (
        "Share of hours with tips in which a child is at school or asleep: {observed} ({n} hours)",
        "打赏时段落在上课时间或深夜的占比{observed}（{n}个小时段）",
    ),
    "refund_adult_life": (
        "For {observed} days the account lived an even life that did not look like a child's "
        "({n} tips)",
        "该账号{observed}天来使用平稳，不像未成年人（{n}笔）",
    ),
    "refund_one_device": (
        "One device all along, and no instrument of somebody else ({n} tips)",
        "始终使用同一设备，且未使用他人支付工具（{n}笔）",
    ),
    "refund_adult_age": (
        "The account's age was given as an adult's",
        "账号登记年龄为成年人",
    ),
    "refund_adult_words": (
        "An adult's words came with tips in {observed} of {n} hours",
        "{n}个打赏时段中有{observed}个出现成年人用语",
    ),
    "refund_no_break": (
        "Nearly all that the account gave is claimed, and in {n} hours with tips nothing showed a "
        "child or another user",
        "几乎全部打赏都被申请退款，而{n}个打赏时段中未见未成年人或他人使用的迹象",
    ),
    "refund_perks": (
        "{observed} gifts with lasting rights or goods (such as 舰长) were bought before the claim",
        "申请退款前购买过{observed}次附带权益或实物的礼物（如舰长）",
    ),
    "refund_claimant": (
        "The same claimant has claimed for {observed} accounts or more",
        "同一申请人至少为{observed}个账号申请退款",
    ),
    "refund_claimed_before": (
        "The account has claimed refunds {observed} times before",
        "该账号此前已申请退款{observed}次",
    ),
    "refund_named_late": (
        "A real name was added {observed} days before the claim",
        "申请退款前{observed}天才补充实名",
    ),
    "refund_childlike": (
        "The account did look like a child's before the claim: {observed} ({n} hours)",
        "申请前该账号的使用确像未成年人：{observed}（{n}个小时段）",
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
