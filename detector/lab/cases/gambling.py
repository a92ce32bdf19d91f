"""Gambling by gift: two gifts that stand for two outcomes, draws one enters by a gift, boxes.

The room is the case's subject. What makes it a game of chance for money is the way back: prizes in
cash after each round. Some rooms pay off the platform, and then only the rounds are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from detector.lab.cases.story import Story
from detector.lab.gifts import LADDER, Gift
from detector.lab.scenario import MINUTE_MS, SECOND_MS, Event
from detector.lab.site import Site, payout, tip
from detector.lab.tippers import card, tipper_id

_BETS = ("押单", "押双", "押大", "这把压小", "上分", "下分", "回本了", "再来一局", "跟一手")
_DRAW_WORDS = ("中奖了吗", "还差几个人开", "已上车", "退我", "怎么领现金", "扣1参与")


class _Player(NamedTuple):
    """Who plays: an unfilled tip, and where a prize goes."""

    form: Event
    account_id: str
    instrument_id: str


def _players(site: Site, rng: Random, room: int, count: int, now_ms: int) -> list[_Player]:
    """Different people in a room, paid to where they paid from, or to an account of their own."""
    players = []
    is_named, is_card_told = rng.random() < 0.6, rng.random() < 0.6
    for tipper in site.people(rng, count):
        form = site.form(tipper, room, now_ms, rng)
        account = tipper_id(tipper) if is_named else f"b{rng.getrandbits(32):08x}"
        instrument = form.get("instrument_id", card(tipper, False)) if is_card_told else ""
        players.append(_Player(form, account, instrument))
    return players


def _rounds(
    site: Site, rng: Random, start_ms: int, room: int, pays: bool
) -> Iterator[Event]:  # fmt: skip
    """Two gifts of one price; a minute to bet, a moment to look, and a multiple for the winners."""
    step = rng.choice((3, 5, 6, 8, 10))
    sides = (LADDER[step], LADDER[step + 1]._replace(price_minor=LADDER[step].price_minor))
    players = _players(site, rng, room, rng.randint(5, 20), start_ms)
    pays_back, length_s = rng.uniform(1.6, 1.96), rng.uniform(25, 90)
    at_ms, talk = start_ms, rng.choice((0.0, 0.08, 0.3))
    for _ in range(rng.randint(6, 16)):
        won = rng.random() < 0.5
        winners: list[tuple[_Player, int]] = []
        bets = rng.sample(players, rng.randint(min(3, len(players)), len(players)))
        for player in bets:
            side = rng.random() < 0.5
            stake = rng.choice((1, 1, 1, 2, 3, 5, 10))
            bet_ms = at_ms + int(rng.random() * length_s * SECOND_MS)
            event = tip(player.form, bet_ms, sides[side], stake)
            if rng.random() < talk:
                event["message"] = rng.choice(_BETS)
            yield event
            if side == won:
                winners.append((player, int(stake * sides[0].price_minor * pays_back)))
        at_ms += int((length_s + rng.uniform(5, 20)) * SECOND_MS)
        if pays:
            for player, prize_minor in winners:
                paid_ms = at_ms + int(rng.uniform(0.1, 15) * SECOND_MS)
                yield payout(player.form, paid_ms, prize_minor, "prize", *player[1:])
        at_ms += int(rng.uniform(10, 60) * SECOND_MS)


def dice(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Odd or even by two gifts; winners are paid after each round."""
    yield from _rounds(site, rng, start_ms, _room(site, rng), pays=True)


def unpaid(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """The same, paid off the platform: no payout is ever seen."""
    yield from _rounds(site, rng, start_ms, _room(site, rng), pays=False)


def raffle(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """One cheap gift is one ticket; a few in a hundred win cash, a fifth to a half of what came."""
    room = _room(site, rng)
    gift = LADDER[rng.choice((8, 9, 10, 11))]
    at_ms, share = start_ms, rng.uniform(0.18, 0.5)
    is_announced = rng.random() < 0.5
    for _ in range(rng.randint(3, 6)):
        players = _players(site, rng, room, rng.randint(20, 60), at_ms)
        length_ms = int(rng.uniform(2, 6) * MINUTE_MS)
        if is_announced:
            yield site.streamers.room_event(room, "lottery_open", at_ms)
        stakes_minor = 0
        for player in players:
            count = rng.choice((1, 1, 1, 2, 5))
            stakes_minor += count * gift.price_minor
            event = tip(player.form, at_ms + int(rng.random() * length_ms), gift, count)
            if rng.random() < 0.05:
                event["message"] = rng.choice(_DRAW_WORDS)
            yield event
        at_ms += length_ms
        if is_announced:
            yield site.streamers.room_event(room, "lottery_draw", at_ms)
        won = max(1, len(players) // 28 + rng.randint(0, 2))
        winners = rng.sample(players, min(won, len(players)))
        for player in winners:
            paid_ms = at_ms + int(rng.uniform(5, 120) * SECOND_MS)
            prize_minor = int(stakes_minor * share / len(winners))
            yield payout(player.form, paid_ms, prize_minor, "prize", *player[1:])
        at_ms += int(rng.uniform(2, 10) * MINUTE_MS)


def boxes(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A few people buy box after box; what they win is bought back at four fifths."""
    room = _room(site, rng)
    box = Gift("x7", "惊喜盲盒", rng.choice((200, 500, 990, 2_000)))
    for player in _players(site, rng, room, rng.randint(3, 9), start_ms):
        at_ms = start_ms + int(rng.uniform(0, 20) * MINUTE_MS)
        for _ in range(rng.randint(4, 14)):
            boxes_bought = rng.choice((1, 5, 10, 10, 20))
            yield tip(player.form, at_ms, box, boxes_bought)
            at_ms += int(rng.uniform(3, 40) * SECOND_MS)
            if rng.random() < 0.3:  # something worth selling
                won_minor = int(boxes_bought * box.price_minor * rng.uniform(0.5, 6.0) * 0.8)
                paid_ms = at_ms + int(rng.uniform(20, 300) * SECOND_MS)
                yield payout(player.form, paid_ms, won_minor, "prize", *player[1:])


def _room(site: Site, rng: Random) -> int:
    """Any room, more often a small one."""
    return site.small_room(rng) if rng.random() < 0.6 else site.any_room(rng)


_WINDOW = (0.15, 0.93)
STORIES = (
    Story("dice", dice, most=500, window=_WINDOW, subject="streamer"),
    Story("raffle", raffle, most=390, window=_WINDOW, subject="streamer"),
    Story("boxes", boxes, most=260, window=_WINDOW, subject="streamer"),
    Story("unpaid", unpaid, most=320, window=_WINDOW, subject="streamer"),
)
