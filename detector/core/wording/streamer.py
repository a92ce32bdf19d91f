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
}
