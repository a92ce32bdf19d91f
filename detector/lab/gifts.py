"""What can be given: the ladder of gifts, paid messages, monthly guards, and how money is written.

Knows prices in fen (`_minor`) and names, both made up; does not know who gives.
"""

from __future__ import annotations

from bisect import bisect_right
from random import Random
from typing import NamedTuple


class Gift(NamedTuple):
    gift_id: str
    name: str
    price_minor: int


def _ladder() -> tuple[Gift, ...]:
    steps = (
        (10, "小星光"), (20, "薄荷糖"), (50, "暖手宝"), (100, "雏菊"), (100, "汽水"),
        (200, "纸飞机"), (300, "饭团"), (520, "小情话"), (660, "好运来"), (990, "海盐蛋糕"),
        (1_500, "八音盒"), (2_000, "萤火灯"), (3_000, "热茶一壶"), (5_200, "捧花"),
        (6_600, "顺风船"), (9_900, "长久花环"), (12_800, "热气球"), (18_800, "山茶礼盒"),
        (26_000, "旋转木马"), (39_900, "夜航班"), (52_000, "满城烟花"), (66_600, "金色列车"),
        (99_900, "云上城堡"), (131_400, "一生一世"), (188_800, "极光巡游"), (300_000, "星河远征"),
    )  # fmt: skip
    return tuple(Gift(f"g{n:03d}", name, price) for n, (price, name) in enumerate(steps, start=1))


LADDER = _ladder()
PRICES = tuple(gift.price_minor for gift in LADDER)
TOP_STEP = len(LADDER) - 1

MESSAGES = tuple(
    Gift(f"m{n}", "高亮留言", price)
    for n, price in enumerate((3_000, 5_000, 10_000, 50_000, 100_000), start=1)
)
GUARDS = (
    Gift("v1", "银羽守护", 19_800),
    Gift("v2", "金羽守护", 199_800),
    Gift("v3", "凤羽守护", 1_999_800),
)
BIRTHDAY_GIFTS = (Gift("b520", "五二零花车", 52_000), Gift("b1314", "一三一四星船", 131_400))

WORDS = (
    "晚上好", "下班了来听歌", "这局稳住", "主播辛苦了", "今天状态真好", "点一首老歌",
    "慢慢来不着急", "明天还来", "恭喜新纪录", "从开播就在", "加油加油", "身体要紧早点休息",
)  # fmt: skip
CHILD_WORDS = (
    "作业写完了", "明天要上学", "压岁钱都给你", "我妈妈去上班了", "先不要告诉别人", "放学就来看",
)  # fmt: skip

COMBOS = (10, 66, 99, 188, 520, 1_314)
RECHARGES = tuple(
    yuan * 100 for yuan in (6, 30, 68, 98, 198, 328, 648, 998, 1_998, 3_998, 6_998, 9_998, 19_998)
)


def money(minor: int) -> str:
    """Fen as yuan with two decimals: 520 gives "5.20"."""
    return f"{minor // 100}.{minor % 100:02d}"


def recharge_for(minor: int) -> int:
    """The smallest recharge on offer that covers an amount; whole thousands above the largest."""
    place = bisect_right(RECHARGES, minor - 1)
    return RECHARGES[place] if place < len(RECHARGES) else -(-minor // 100_000) * 100_000


def worth(minor: int, rng: Random) -> tuple[Gift, int]:
    """A gift and a quantity that come to about an amount: one of the dearest that fit, repeated."""
    gift = LADDER[max(0, bisect_right(PRICES, minor) - 1 - int(rng.random() * 3))]
    return gift, max(1, round(minor / gift.price_minor))


def combo(rng: Random, gift: Gift) -> int:
    """How many at once in a combo: love and luck numbers of cheap gifts, ten of dearer ones."""
    if gift.price_minor <= 100:
        return COMBOS[min(5, int(rng.random() ** 1.6 * 6))]
    return COMBOS[int(rng.random() * 4)] if gift.price_minor <= 520 else 10
