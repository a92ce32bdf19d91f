"""Gambling disguised as tipping (直播变相赌博): rounds of like stakes, and money to a few of them.

A round is many like gifts by many tippers and then a silence or a payout to one of them. Rounds
alone are weak: what makes gambling of them is that money goes back to some of those who staked,
again and again. The typologies, with their cases, are lotteries by gift, blind boxes and two-sided
bets. Popular gifts (no silence, or no repetition), PKs, combos and free lotteries are none.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import NamedTuple

from detector.core.crowd import MAX_TIPPERS
from detector.core.evidence import any_of, strength
from detector.core.plays import FORGOTTEN_AFTER_MS, Plays
from detector.core.reasons import Reason
from detector.core.rounds import Merged, Rounds, merged
from detector.core.tipper import HOUR_MS

_OVER_AFTER_MS = 12 * HOUR_MS  # no stake without a round or prize since
_SESSION_ENDS_MS = 6 * HOUR_MS  # a longer silence ends an evening, not a round
_ROUNDS = 3.0  # rounds without payouts that are half a proof of their own kind
_CLEAR, _SERIES, _SERIES_MS = 0.4, 4, 2 * HOUR_MS  # so many rounds within it are a game going on
_BY_CHANCE = 0.3
_UNSURE_TIPS = 10
_UNCLOSED = 0.15
_LEAST_WEIGHT = 0.1
_BALANCED = 0.3  # the smaller of two outcomes, as a share of the larger
_LEAST_RETURN, _MOST_RETURN = 0.02, 1.5  # paid out by stakes; beyond it, the prize is not theirs
_MOST_WINNERS = 0.8
_STABLE = 0.35  # coefficient of variation of the paid share
_AGREEING_CAP = 0.88
_SPOKEN = 0.5  # of the rounds, with words of a wager in some stake: half a proof
_BETS = 0.05  # of the stakes; fewer say less
_LEAST_WINNERS = 3  # of whom the law speaks where it speaks of gathering to gamble
_DRAWS = 2.5  # half a proof
_LIKE = 0.6
_HITS = 0.5  # the other half may go to accounts that nobody knows to be the winners'
_ORDINARY = 0.15  # of the room's score, for a tip that is no stake


class Stakes(NamedTuple):
    """What the rounds of one room come to.

    Attributes:
        at_ms: when they were weighed.
        seen_ms: when the game was seen last: a prize, a round that was drawn, or one of a series;
            of rooms without any, a round.
        rounds: rounds that a silence ended, within one session; old ones count less.
        drawn: rounds after which money went to a few of their tippers; doubtful ones count less.
        winners: payouts to tippers of rounds.
        tippers: of a round, on average.
        stake: mean stake, minor units of the base currency.
        returned: share of the stakes that was paid out; 0 if nothing.
        money, tempo, coding, content: strength of each evidence, 0..1.
        stability: how alike the paid shares of the rounds are, 0..1.
        bets, lotteries: share of the stakes with words of a wager, in an open lottery.
        level: the room's score, 0..1.
        wins, hits: prizes to those who had just tipped, and their share of all prizes, 0..1.
        winners_known: different ones of those, of the latest few.
        likeness: how much more than by chance they had sent one or two like gifts, 0..1.
        prompt: how much more than by chance they were the last who had tipped, 0..1.
        played: strength of these prizes as evidence, 0..1.
        is_series: whether rounds have followed each other lately, paid or not.
        codes: like gifts whose senders got money back.
    """

    at_ms: int
    seen_ms: int
    rounds: float
    drawn: float
    winners: int
    tippers: float
    stake: float
    returned: float
    money: float
    tempo: float
    coding: float
    content: float
    stability: float
    bets: float
    lotteries: float
    level: float
    wins: float
    hits: float
    winners_known: int
    likeness: float
    prompt: float
    played: float
    is_series: bool
    codes: tuple[int, ...]


NOTHING_STAKED = Stakes(0, 0, 0.0, 0.0, 0, *(0.0,) * 11, 0.0, 0.0, 0, 0.0, 0.0, 0.0, False, ())


class _Weighed(NamedTuple):
    """The rounds of one time, and how sure it is that they were rounds, that they were drawn."""

    group: Merged
    is_round: float
    is_drawn: float

    @property
    def weight(self) -> float:
        return max(self.is_round, self.is_drawn)

    @property
    def end_ms(self) -> int:
        return self.group.rounds[-1].end_ms


def weigh(rounds: Rounds, plays: Plays, at_ms: int) -> Stakes:
    """What the rounds and prizes of a room come to at a moment; asked for when one ended or was
    paid."""
    stakes = _weigh_rounds(rounds, at_ms)
    if plays.draws < 1.0:
        return stakes
    played = _played(plays)
    prompt = min(1.0, max(0.0, plays.prompt / plays.wins))
    coding = strength(plays.balance / _BALANCED) * plays.likeness
    support = any_of(
        0.8 * prompt, 0.8 * plays.likeness, 0.5 * coding, 0.6 * stakes.tempo, 0.6 * stakes.content,
        0.6 * stakes.stability,
    )  # fmt: skip
    faded = exp(min(0, plays.win_ms - at_ms) / FORGOTTEN_AFTER_MS)
    level = played * (0.6 + 0.4 * support) * faded
    codes = stakes.codes
    if played >= 0.5:
        codes = tuple(sorted({*codes, *plays.played()}))
    return stakes._replace(
        at_ms=at_ms,
        seen_ms=max(stakes.seen_ms if stakes.drawn or stakes.is_series else 0, plays.win_ms),
        level=max(stakes.level, level),
        wins=plays.wins, hits=plays.hits,
        winners_known=len(plays.winners), likeness=plays.likeness, prompt=prompt, played=played,
        codes=codes,
    )  # fmt: skip


def _played(plays: Plays) -> float:
    """How surely prizes are what those played for who had just tipped, 0..1.

    By few draws, or few different winners, or winners of all kinds of gifts, it is not known; nor
    where most prizes go to others.
    """
    if len(plays.winners) < _LEAST_WINNERS:
        return 0.0
    hits = min(1.0, plays.hits / _HITS)
    return strength(plays.draws / _DRAWS) * hits * min(1.0, plays.likeness / _LIKE)


def _weigh_rounds(rounds: Rounds, at_ms: int) -> Stakes:
    weighed = [_weighed(group, rounds, at_ms) for group in merged(rounds.past)]
    total = sum(each.weight for each in weighed)
    if total < _LEAST_WEIGHT:
        return NOTHING_STAKED
    paid = [each.group for each in weighed if each.is_drawn > 0.0]
    tippers = _mean(weighed, total, lambda group: group.tippers)
    quiet = sum(each.is_round for each in weighed)
    drawn = sum(each.is_drawn for each in weighed) * _hits(rounds, tippers) ** 2
    bets = _mean(weighed, total, lambda group: sum(r.bets for r in group.rounds) / group.n)
    lotteries = _mean(
        weighed, total, lambda group: sum(r.lotteries for r in group.rounds) / group.n
    )
    balanced = sum(each.weight for each in weighed if each.group.balance >= _BALANCED)
    coding = balanced / total * strength(balanced / 2)
    content = any_of(_bet_words(weighed, total, bets), 0.6 * strength(lotteries / 0.5))
    money, tempo = strength(drawn), strength(max(quiet, drawn / 2) / _ROUNDS)
    stability = _stability(paid)
    series = [
        each for each in weighed if each.is_round >= _CLEAR and at_ms - each.end_ms <= _SERIES_MS
    ]
    is_series = len(series) >= _SERIES
    on = [each for each in weighed if each.is_drawn > 0.0] + series * is_series
    seen_ms = max(each.end_ms for each in on or weighed)
    return Stakes(
        at_ms, seen_ms, quiet, drawn, sum(group.winners for group in paid), tippers,
        _mean(weighed, total, lambda group: group.value / group.n),
        sum(group.paid for group in paid) / max(1, sum(group.value for group in paid)),
        money, tempo, coding, content, stability, bets, lotteries,
        _level(money, tempo, coding, content, stability), 0.0, 0.0, 0, 0.0, 0.0, 0.0,
        is_series, tuple(sorted({r.code for each in weighed if each.is_drawn >= 0.5
                      for r in each.group.rounds if r.winners})),
    )  # fmt: skip


def _bet_words(weighed: list[_Weighed], total: float, bets: float) -> float:
    """How surely people talk of a wager, 0..1: many stakes do, or some in most of several rounds.

    Most stakes carry no words at all. One in a hundred with such a word is chance in a large round.
    """
    spoken = sum(each.weight for each in weighed if any(r.bets for r in each.group.rounds))
    by_round = strength(spoken / total / _SPOKEN) * strength(spoken / _ROUNDS)
    return max(strength(bets / 0.15), min(1.0, bets / _BETS) * by_round)


def _mean(weighed: list[_Weighed], total: float, of: Callable[[Merged], float]) -> float:
    return sum(each.weight * of(each.group) for each in weighed) / total


def _weighed(group: Merged, rounds: Rounds, at_ms: int) -> _Weighed:
    weight = exp(min(0, group.rounds[-1].end_ms - at_ms) / FORGOTTEN_AFTER_MS) * _apart(group)
    coverage = sum(each.n * _coverage(rounds, each.code) for each in group.rounds) / group.n
    return _Weighed(group, weight * coverage * _is_rested(group), weight * _drawn(group))


def _level(money: float, tempo: float, coding: float, content: float, stability: float) -> float:
    with_payouts = money * (
        0.6 + 0.4 * any_of(0.8 * tempo, 0.6 * coding, 0.6 * content, 0.6 * stability)
    )
    without = tempo * (0.62 + 0.12 * max(coding, content))
    if min(tempo, coding, content) >= 0.5:
        without = min(_AGREEING_CAP, tempo * (0.75 + 0.15 * any_of(coding, content)))
    return max(with_payouts, without)


def _apart(group: Merged) -> float:
    """How little the tippers of these rounds are one person's accounts: that is a ring's work."""
    linked = sum(each.linked for each in group.rounds) / group.n
    return (1.0 - linked) ** 2


def _is_rested(group: Merged) -> bool:
    return any(0 <= each.rest_ms <= _SESSION_ENDS_MS for each in group.rounds)


def _drawn(group: Merged) -> float:
    """How sure it is that this round was drawn: money to a few, out of what was staked.

    Where no silence shows that the round was closed, a winner must at least have just staked.
    """
    if not group.winners:
        return 0.0
    prompt = min(1.0, group.prompt / group.winners)
    sure = 1.0 if group.is_quiet else _UNCLOSED + (0.9 - _UNCLOSED) * prompt
    if not _LEAST_RETURN <= group.paid / group.value <= _MOST_RETURN:
        sure *= 0.3
    if group.winners > _MOST_WINNERS * group.tippers:
        sure *= 0.3
    return sure


def _hits(rounds: Rounds, tippers: float) -> float:
    """Share of the prizes that went to stakers, 0..1: who draws among all hits few of them.

    Of rounds larger than what is remembered of a crowd, as many strays are expected.
    """
    hits, strays = rounds.payouts
    expected = max(0.0, 1.0 - MAX_TIPPERS / max(1.0, tippers))
    strays_left = max(0.0, strays - expected * (hits + strays))
    return hits / (hits + strays_left) if hits else 0.0


def _coverage(rounds: Rounds, code: int) -> float:
    """How much more of a like gift comes in rounds than chance would put there, 0..1.

    Of gifts that come at random a fifth to a quarter falls into what looks like a round.
    """
    in_rounds, tips = rounds.codes.get(code, (0, 0))
    return max(0.0, (in_rounds / (tips + _UNSURE_TIPS) - _BY_CHANCE) / (1.0 - _BY_CHANCE))


def _stability(paid: list[Merged]) -> float:
    """How alike the paid shares are; nothing of fewer than three."""
    if len(paid) < 3:
        return 0.0
    shares = [group.paid / group.value for group in paid]
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / len(shares)
    return 1.0 - strength(variance**0.5 / mean / _STABLE)


class Gambling:
    """Detector of `gambling`. Families: money_flow, tempo, amount and content.

    Args:
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "gambling"

    def __init__(self, unit: str, scale: int) -> None:
        self._unit = unit
        self._scale = scale

    def score(self, stakes: Stakes, rounds: Rounds, code: int, at_ms: int) -> float:
        """The room's score, times how much a tip of this like gift is a stake."""
        if not stakes.level:
            return 0.0
        counts = rounds.codes.get(code)
        is_stake = code in stakes.codes or (counts is not None and 2 * counts[0] >= counts[1])
        # The same gift is an ordinary one again once nobody plays.
        is_on = at_ms - stakes.seen_ms <= _OVER_AFTER_MS
        return self.of_payout(stakes, at_ms) * (1.0 if is_stake and is_on else _ORDINARY)

    def of_payout(self, stakes: Stakes, at_ms: int) -> float:
        """The room's score, for money to somebody who staked."""
        return stakes.level * exp(min(0, stakes.at_ms - at_ms) / FORGOTTEN_AFTER_MS)

    def explain(self, s: Stakes) -> list[Reason]:
        """The evidence behind the score, benign explanations included."""
        reasons = []
        if s.drawn:
            reasons.append(
                Reason("rounds_paid", "money_flow", s.drawn, None, 1, "times", s.winners, s.money)
            )
            reasons.append(
                Reason("stakes_returned", "money_flow", s.returned, None, None, "share", s.winners,
                       0.9 * s.money * s.stability)
            )  # fmt: skip
        if s.played >= 0.2:
            reasons.append(
                Reason("prizes_to_players", "money_flow", s.wins, None, None, "times",
                       s.winners_known, s.played)
            )  # fmt: skip
            reasons.append(
                Reason("like_winners", "tempo", s.prompt, None, None, "share", s.winners_known,
                       any_of(s.prompt, 0.5 * s.likeness) * s.played)
            )  # fmt: skip
        elif not s.drawn:
            reasons.append(
                Reason("benign_no_payout", "money_flow", 0, None, None, "times", 0, 0.3,
                       is_benign=True)
            )  # fmt: skip
        if s.tippers:
            reasons.append(
                Reason("like_rounds", "tempo", max(1.0, s.rounds, s.drawn), s.tippers, None,
                       "times", round(s.tippers), s.tempo)
            )  # fmt: skip
            reasons.append(
                Reason("like_stakes", "amount", s.stake / self._scale, None, None, self._unit,
                       round(s.tippers), 0.3)
            )  # fmt: skip
        if s.coding >= 0.2:
            reasons.append(Reason("two_outcomes", "amount", 2, None, None, "times", 0, s.coding))
        if s.bets >= 0.05:
            reasons.append(
                Reason("bet_words", "content", s.bets, None, None, "share", 0, s.content)
            )
        if s.lotteries >= 0.5:
            reasons.append(
                Reason("paid_lottery", "content", s.lotteries, None, None, "share", 0, s.content)
            )
        return reasons

    def figures(self, s: Stakes) -> dict[str, float]:
        """What a flag keeps of the room, by name."""
        return {
            "rounds": s.rounds,
            "rounds_paid": s.drawn,
            "payouts_to_tippers": s.winners,
            "tippers_a_round": s.tippers,
            "stake_minor": s.stake,
            "share_returned": s.returned,
            "prizes_to_players": s.wins,
            "share_of_prizes": s.hits,
        }
