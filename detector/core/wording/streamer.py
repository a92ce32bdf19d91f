"""Statistical reasons of the streamer view."""

STREAMER: dict[str, tuple[str, str]] = {
    "rounds_paid": (
        "After about {observed} rounds of like gifts, money went to a few of those who had sent "
        "them ({n} payouts)",
        "约{observed}轮相同礼物之后，有款项付给其中少数送礼者（{n}笔）",
    ),
    "stakes_returned": (
        "About the same share of the gifts is paid out round after round: {observed} ({n} payouts)",
        "每轮付出的比例大致相同：约为礼物总额的{observed}（{n}笔）",
    ),
    "prizes_to_players": (
        "{observed} prizes went to viewers who had tipped within ten minutes, most of them with "
        "the same one or two gifts ({n} different winners)",
        "{observed}笔奖金付给十分钟内刚送过礼的观众，其礼物多为相同的一两种（{n}名不同中奖者）",
    ),
    "like_winners": (
        "The winners are those who had tipped last, more than by chance: {observed}",
        "中奖者多为最后送礼的人，高于偶然的程度：{observed}",
    ),
    "like_rounds": (
        "About {observed} rounds of like gifts from some {usual} viewers each",
        "约{observed}轮相同礼物，每轮约{usual}人",
    ),
    "like_stakes": (
        "Like gifts of about {observed} {unit}, from about {n} viewers a round",
        "相同礼物约{observed}{unit}，每轮约{n}人",
    ),
    "two_outcomes": (
        "{observed} gifts or counts in comparable numbers make up most of each round, as two "
        "sides of a bet would",
        "每轮以{observed}种数量相近的礼物或个数为主，如同两方下注",
    ),
    "bet_words": (
        "Words of a wager come with {observed} of these gifts (share)",
        "这些礼物中附有下注用语的比例为{observed}",
    ),
    "paid_lottery": (
        "{observed} of these gifts (share) were sent while a lottery was open in the room",
        "这些礼物中在直播间抽奖开放期间送出的比例为{observed}",
    ),
    "benign_no_payout": (
        "No payout to anyone who tipped in these rounds was seen",
        "未见向这些轮次的送礼者付款",
    ),
    "shared_devices": (
        "{n} tippers are linked; up to {observed} of them use one device",
        "{n}名打赏者相互关联；其中至多{observed}人共用一台设备",
    ),
    "shared_instruments": (
        "{n} tippers are linked; up to {observed} of them pay with one instrument",
        "{n}名打赏者相互关联；其中至多{observed}人共用一个支付工具",
    ),
    "many_cards": (
        "A share of {observed} of the tips of the {n} linked tippers comes with another instrument "
        "than the one before",
        "{n}名关联打赏者的打赏中，比例为{observed}的每笔都换了支付工具",
    ),
    "money_back": (
        "A share of {observed} of what was tipped went back to those who tipped ({n} tippers)",
        "打赏金额中比例为{observed}的款项回流至打赏者（{n}人）",
    ),
    "money_back_soon": (
        "It went back {observed} hours after the last tip on average",
        "平均在最后一笔打赏后{observed}小时回流",
    ),
    "made_together": (
        "{observed} of the {n} linked accounts were made within two days of each other",
        "{n}个关联账号中有{observed}个在两天内先后注册",
    ),
    "same_seconds": (
        "The {n} linked tippers act together: {observed} of their tips (share) come within two "
        "seconds of one another",
        "{n}名关联打赏者行动一致：其打赏中比例为{observed}的相隔不超过两秒",
    ),
    "group_share": (
        "The {n} linked tippers gave a share of {observed} of the room's receipts, or alike sums",
        "{n}名关联打赏者的打赏占直播间收入的比例为{observed}，或金额相近",
    ),
    "benign_nothing_back": (
        "No money was seen to go back to a tipper",
        "未见款项回流至打赏者",
    ),
    "benign_broad": (
        "A broad audience: {observed} tippers lately, of whom {n} are linked",
        "受众广泛：近期{observed}名打赏者，其中{n}名相互关联",
    ),
}
