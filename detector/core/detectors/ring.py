"""Rings (犯罪团伙, 自我打赏): tippers of one room who are one hand, and money that comes back.

Links are shared devices, shared instruments and payouts that end up with tippers; an address is
none. What a linked group adds to them is accounts made together, tips at the same seconds, and most
of the room's receipts. One kind of link alone is a family's phone, a net café or a prize: it is
never more than a hint. Breadth is benign: a big night of many unlinked tippers scores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log
from typing import NamedTuple

from detector.core.crowd import CARDS_FROM, Crowd, Tipper
from detector.core.evidence import any_of, corroborated, strength
from detector.core.linked import (
    FAMILY,
    LEAST_GROUP,
    InStep,
    Sets,
    is_any_paid,
    is_new,
    is_paid,
    is_paid_back,
    most_within,
    seen_lately,
    sets_of,
)
from detector.core.reasons import Reason
from detector.core.tipper import DAY_MS, HOUR_MS

_DEVICES, _INSTRUMENTS = 4.0, 3.0  # tippers more than things: half a proof
_RETURNED = 0.2
_SOON_HOURS, _SOON = 24.0, 0.45  # money that comes back within a day
_TOGETHER_MS = 48 * HOUR_MS  # accounts made within it
_TOGETHER_SEEN_MS = HOUR_MS
_MADE_TOGETHER = 4.0
_SAME_SECONDS = 0.3
_SAME_SECONDS_FROM = 4
_CONCENTRATED = 0.5
_MUCH = 0.4  # of a room's receipts
_LIKE_SPREAD = 0.15  # of log mean tips: within 15 %
_FORGOTTEN_AFTER_MS = 30 * DAY_MS
_SURE = 0.35  # strength from which a link counts as one
_MOSTLY_BACK = 0.6
_CYCLES = 3  # tip, payout, tip, payout, tip, payout
_CARDS = 0.2
_CARD_AFTER_CARD, _MANY_CARDS = 0.5, 10  # share of the tips, and how many: nobody's wallet
_UNSURE_TIPS = 10
_AGAIN = 0.8
_PUDONG = 1 / 3  # of what was tipped came back
_SYNCED, _BURSTS = 4.0, 5.0  # tippers, and bursts of each: half a proof
_ALONE, _UNSURE = 0.58, 0.74  # most that one family, that uncertain links, can come to
_AT_ONCE, _MEDIUM_AT_MOST = 0.76, 0.89  # with the thresholds as shipped
_ORDINARY = 0.1  # of the room's score, for a tip of somebody unlinked
_HALVE_AT = 500  # so that what a room was long ago does not hide what it is
_CROWDED = 60  # tippers from which a device that most of them use is no device


class Group(NamedTuple):
    """The linked tippers of one room, and what speaks for one hand behind them.

    Attributes:
        at_ms: the latest tip of one of them.
        tippers, of: linked tippers, and tippers of the room.
        devices, instruments: how many tippers more than things they share.
        payees: tippers who got money back.
        returned: share of what they tipped that came back to them, 0..1.
        back_hours: from a tipper's last tip to a payout to him, on average.
        made_together: linked accounts made within two days of each other.
        same_seconds: share of the group's tips within two seconds of another member's.
        cards: different instruments of the group's tippers beyond their first, a tip, 0..1.
        share: of the room's receipts, 0..1.
        like: how alike the members' mean tips are, 0..1.
        device, instrument, money, identity, tempo, amount: strength of each evidence, 0..1.
        level: the room's score, 0..1.
    """

    at_ms: int
    tippers: int
    of: int
    devices: int
    instruments: int
    payees: int
    returned: float
    back_hours: float
    made_together: int
    same_seconds: float
    cards: float
    share: float
    like: float
    device: float
    instrument: float
    money: float
    identity: float
    tempo: float
    amount: float
    level: float


NO_GROUP = Group(0, 0, 0, 0, 0, 0, 0.0, 0.0, 0, *(0.0,) * 11)


class Tempo(NamedTuple):
    """Tips of linked tippers: those within two seconds of another one's, and the latest of them."""

    linked: int = 0
    same: int = 0
    last_ms: int = 0
    last_mark: int = 0

    def one_more(self, is_same: bool, at_ms: int, mark: int) -> Tempo:
        """With one more tip; old ones lose weight."""
        linked, same, _, _ = self
        if linked >= _HALVE_AT:
            linked, same = linked // 2, same // 2
        return Tempo(linked + 1, same + is_same, at_ms, mark)


class Returns(NamedTuple):
    """Payouts to tippers, and the sum of the times from their last tips to them, ms."""

    payouts: int = 0
    after_ms: int = 0

    def one_more(self, after_ms: int) -> Returns:
        """With one more payout; old ones lose weight."""
        payouts, sum_ms = self
        if payouts >= _HALVE_AT:
            payouts, sum_ms = payouts // 2, sum_ms // 2
        return Returns(payouts + 1, sum_ms + max(0, after_ms))


def gather(
    crowd: Crowd, tempo: Tempo, returns: Returns, gambling: float, at_ms: int
) -> tuple[Group, frozenset[int]]:
    """What speaks most for one hand behind some tippers of a room, and the marks of these.

    Args:
        crowd: its tippers.
        tempo, returns: of its linked ones, of money that went back to its tippers.
        gambling: the room's score of gambling: winners get money back as well.
        at_ms: now, epoch ms.
    """
    tippers = seen_lately(crowd, at_ms)
    in_step = InStep(crowd, tippers)
    candidates = sets_of(crowd, tippers, in_step)
    linked = {each.mark for sets in candidates for group in sets for each in group}
    paid_alone = [each for each in tippers if is_paid(each) and each.mark not in linked]
    found, marks = NO_GROUP, frozenset[int]()
    for sets in [*candidates, []]:
        others = paid_alone if not sets or any(map(is_any_paid, sets)) else []
        members = [each for group in sets for each in group] + others
        if members:
            group = _weigh(sets, others, tippers, in_step, tempo, returns, gambling)
            if group.level > found.level:
                found, marks = group, frozenset(each.mark for each in members)
    return found, marks


def _weigh(
    sets: Sets, others: list[Tipper], tippers: list[Tipper], in_step: InStep, tempo: Tempo,
    returns: Returns, gambling: float,
) -> Group:  # fmt: skip
    """What speaks for one hand behind these tippers, and others that money went back to."""
    linked = [each for group in sets for each in group]
    members = linked + others
    payees = sum(map(is_paid, members))
    value = sum(each.value for each in tippers)
    devices = _excess(each.device for each in linked)
    instruments = _excess(each.instrument for each in linked)
    returned = _returned(sets, others, value, gambling)
    made_together = _made_together(linked)
    at_once = _at_once(in_step.synced(linked))
    same_seconds = tempo.same / tempo.linked if tempo.linked >= _SAME_SECONDS_FROM else 0.0
    cards = _cards(linked, tippers)
    share = sum(each.value for each in members) / value
    like = _like(linked)
    # A device that a whole large crowd uses is a placeholder for devices that nobody knows.
    is_placeholder = len(tippers) >= _CROWDED and devices > len(tippers) / 2
    device = 0.0 if is_placeholder else strength(devices / _DEVICES)
    instrument = any_of(_by_instruments(instruments), _by_cards(cards))
    money = strength(returned / _RETURNED)
    identity = strength((made_together - 1) / _MADE_TOGETHER) if made_together >= 3 else 0.0
    back_hours = returns.after_ms / HOUR_MS / max(1, returns.payouts)
    pace = any_of(
        at_once,
        strength(same_seconds / _SAME_SECONDS) if tempo.same >= _SAME_SECONDS_FROM else 0.0,
        0.6 * _came_together(linked, tippers),
    )
    # One or two accounts are a friend of the house, unless much of what the room lives on goes
    # back to them, again and again.
    is_group = len(members) >= LEAST_GROUP or (
        returns.payouts >= _CYCLES and returned >= _PUDONG and share >= _MUCH
    )
    amount = any_of(0.8 * strength(share / _CONCENTRATED), 0.5 * like) if is_group else 0.0
    rhythm = any_of(pace, money * _back(back_hours, returns.payouts / max(1, payees)))
    # One phone has one user at a time: its accounts do not tip at the same moment by chance.
    is_one_phones = tempo.same >= _SAME_SECONDS_FROM and same_seconds >= _SAME_SECONDS
    is_at_once = at_once >= 0.5 or (is_one_phones and device >= _SURE)
    is_carding = (
        cards >= _CARD_AFTER_CARD and sum(each.more_cards for each in linked) >= _MANY_CARDS
    )
    is_household = max(map(len, sets), default=0) <= FAMILY
    return Group(
        max(each.last_ms for each in members), len(members), len(tippers), devices, instruments,
        payees, returned, back_hours, made_together, max(same_seconds, at_once), cards, share,
        like, device, instrument, money, identity, pace, amount,
        _level((device, instrument, money, at_once), identity, rhythm, amount,
               is_at_once or is_carding, is_household),
    )  # fmt: skip


def _level(
    links: tuple[float, float, float, float], identity: float, tempo: float, amount: float,
    is_one: bool, is_household: bool,
) -> float:  # fmt: skip
    """The score of some tippers: strengths of links by device, instrument, money and bursts, what
    else agrees, and whether they act as only one hand does, or might be one household."""
    *_, money, _ = links
    support = any_of(*sorted(links)[:-1], identity, tempo, amount)
    score = any_of(*links) * (_ALONE + (1.0 - _ALONE) * support)
    is_like_one = max(tempo, amount) >= _SURE
    # That much of a room's receipts does not go back to those who gave most of it by chance.
    independent = sum(each >= _SURE for each in (*links, identity))
    independent += is_like_one and money >= _MOSTLY_BACK
    if independent < 2:
        if is_one:
            return min(max(score, _AT_ONCE), _MEDIUM_AT_MOST)
        return min(score, _UNSURE if is_like_one else _ALONE)
    # A family shares phone and card as well; money that goes back to those who gave it is no
    # family's. In the Pudong cases 33 and 40 % came back.
    if is_household and max(money, identity, tempo, amount) < _SURE:
        return min(score, _UNSURE)
    return corroborated(score, support) if money >= _SURE else score


def _back(hours: float, times: float) -> float:
    """How unlike chance money comes back: within a day, and so often to each."""
    soon = _SOON * (0.0 < hours <= _SOON_HOURS)
    again = _AGAIN * strength((times - 1.0) / (_CYCLES - 1)) if times > 1.0 else 0.0
    return any_of(soon, again)


def _at_once(group: list[Tipper]) -> float:
    """How surely they tip in the same bursts and hardly otherwise, by how many and how often."""
    if not group:
        return 0.0
    bursts = sum(each.bursts.bit_count() for each in group) / len(group)
    return min(strength(len(group) / _SYNCED), strength(bursts / _BURSTS))


def _cards(linked: list[Tipper], tippers: list[Tipper]) -> float:
    """How many more new instruments a tip they have than the others.

    Where a payment has a token of its own, everybody's do.
    """
    cards, tips = sum(each.more_cards for each in linked), sum(each.tips for each in linked)
    if cards < CARDS_FROM:
        return 0.0
    others = sum(each.tips for each in tippers) - tips
    usual = (sum(each.more_cards for each in tippers) - cards) / (others + _UNSURE_TIPS)
    return max(0.0, cards / tips - usual)


def _excess(things: Iterable[int]) -> int:
    """How many users more than things there are, of things that more than one uses."""
    used = [thing for thing in things if thing]
    return len(used) - len(set(used))


def _returned(sets: Sets, others: list[Tipper], value: int, gambling: float) -> float:
    """Share of what was tipped that came back: of the linked, of those paid, or of all the room's.

    More than somebody tipped does not come back to him: that is a prize, or a withdrawal.
    """
    tipped = sum(each.value for group in sets for each in group)
    came_back = sum(_came_back(group) for group in sets)
    to_others = sum(min(each.returned, each.value) for each in others) * (1.0 - gambling)
    of_linked = came_back / tipped if tipped else 0.0
    of_payees = 0.0
    if len(others) >= LEAST_GROUP:
        of_payees = to_others / sum(each.value for each in others)
    return max(of_linked, of_payees, (came_back + to_others) / value)


def _came_back(group: list[Tipper]) -> int:
    """What of their tips came back to tippers who share something."""
    value, returned = sum(each.value for each in group), sum(each.returned for each in group)
    return min(returned, value) if is_paid_back(returned, value) else 0


def _made_together(linked: list[Tipper]) -> int:
    """The most linked accounts that were made within two days of each other, and are young here."""
    made = sorted(each.created_s * 1000 for each in linked if is_new(each))
    return most_within(made, _TOGETHER_MS)


def _came_together(linked: list[Tipper], tippers: list[Tipper]) -> float:
    """How much more the linked came within one hour than the others did, 0..1."""
    marks = {each.mark for each in linked}
    others = [each.first_ms for each in tippers if each.mark not in marks]
    if len(linked) < LEAST_GROUP or len(others) < len(linked):
        return 0.0
    most = most_within(sorted(each.first_ms for each in linked), _TOGETHER_SEEN_MS) / len(linked)
    usual = most_within(sorted(others), _TOGETHER_SEEN_MS) / len(others)
    return max(0.0, most - usual) * strength(len(linked) / 4)


def _like(linked: list[Tipper]) -> float:
    """How alike the linked tippers' mean tips are, 0..1; nothing of fewer than four."""
    if len(linked) < 4:
        return 0.0
    logs = [log(each.value / each.tips) for each in linked]
    mean = sum(logs) / len(logs)
    spread = (sum((each - mean) ** 2 for each in logs) / len(logs)) ** 0.5
    return 1.0 - strength(spread / _LIKE_SPREAD)


def _by_instruments(instruments: int) -> float:
    return strength(instruments / _INSTRUMENTS)


def _by_cards(share: float) -> float:
    return 0.8 * strength(share / _CARDS)


class Ring:
    """Detector of `ring`. Families: device, instrument, money_flow, identity, tempo and amount."""

    kind = "ring"

    def score(self, group: Group, is_member: bool, at_ms: int) -> float:
        """The room's score, for a tip of a linked tipper or a payout to one; less for others."""
        fresh = exp(min(0, group.at_ms - at_ms) / _FORGOTTEN_AFTER_MS)
        return group.level * fresh * (1.0 if is_member else _ORDINARY)

    def explain(self, g: Group) -> list[Reason]:
        """The evidence behind the score, benign explanations included."""
        n, soon = g.tippers, 0.9 * g.money * (0.0 < g.back_hours <= 24)
        by_instruments, by_cards = _by_instruments(g.instruments), _by_cards(g.cards)
        reasons = [
            Reason(code, family, observed, None, limit, unit, n, weight)
            for code, family, observed, limit, unit, weight in (
                ("shared_devices", "device", g.devices + 1, 2, "times", g.device),
                ("shared_instruments", "instrument", g.instruments + 1, 2, "times", by_instruments),
                ("many_cards", "instrument", g.cards, None, "share", by_cards),
                ("money_back", "money_flow", g.returned, 0.2, "share", g.money),
                ("money_back_soon", "money_flow", g.back_hours, 24, "hours", soon),
                ("made_together", "identity", g.made_together, 2, "times", g.identity),
                ("same_seconds", "tempo", g.same_seconds, None, "share", g.tempo),
                ("group_share", "amount", g.share, None, "share", g.amount),
            )
            if weight >= 0.2
        ]
        if not g.payees:
            reasons.append(
                Reason("benign_nothing_back", "money_flow", 0, None, None, "times", 0, 0.3,
                       is_benign=True)
            )  # fmt: skip
        if g.share < 0.2 and g.of >= 10 * n:
            reasons.append(
                Reason("benign_broad", "amount", g.of, None, None, "times", n, 0.3, is_benign=True)
            )
        return reasons

    def figures(self, g: Group) -> dict[str, float]:
        """What a flag keeps of the group, by name."""
        return {
            "tippers_linked": g.tippers,
            "tippers_known": g.of,
            "devices_shared": g.devices,
            "instruments_shared": g.instruments,
            "tippers_paid": g.payees,
            "share_returned": g.returned,
            "hours_to_return": g.back_hours,
            "accounts_made_together": g.made_together,
            "share_same_seconds": g.same_seconds,
            "share_other_cards": g.cards,
            "share_of_receipts": g.share,
        }
