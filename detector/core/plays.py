"""Prizes of one room to those who had just tipped, whatever the rounds were like.

A game needs no clear rounds: a few people open box after box, or bet while the next bets come in.
What is left to see is that prizes go, again and again, to somebody who has just sent one of the
same one or two gifts, and hardly to anybody else. Winners of a free draw have sent all kinds of
gifts, or none. Does not judge: see the detector of gambling.
"""

from __future__ import annotations

from math import exp
from typing import Any

from detector.core.tipper import DAY_MS

JUST_MS = 10 * 60_000
"""A stake is no older than this when its prize comes."""

FORGOTTEN_AFTER_MS = 10 * DAY_MS
"""Time constant: games of a month ago say little."""

_ONE_DRAW_MS = 15_000  # prizes so close together are of one draw
_MAX_CODES = 8
_MAX_WINNERS = 16
_BY_CHANCE = 0.5  # share of the two gifts sent most among all that are sent


class Plays:
    """Counts of one room's prizes; those of a month ago weigh little.

    Attributes:
        wins: prizes to those who had just tipped, and are not linked to others.
        strays: prizes to anybody else.
        draws: moments at which a win was paid.
        prompt: sum over wins of 1 - 2 × the share of the crowd that tipped since the winner did:
            0 on average for winners drawn out of the whole crowd.
        codes: like gift → wins of those who sent it last, of the latest few.
        winners: marks of the latest different winners.
        win_ms: when the latest win was paid; 0 for never.

    >>> plays = Plays()
    >>> for game in range(6):
    ...     plays.win(7 + game % 2, 100 + game % 4, 0.1, (1 + game) * 60_000)
    >>> round(plays.draws, 1), len(plays.winners), round(plays.likeness, 1), round(plays.balance, 1)
    (6.0, 4, 0.7, 1.0)
    >>> Plays.load(plays.save()).save() == plays.save()
    True
    """

    __slots__ = (
        "_at_ms", "_draw_ms", "codes", "draws", "prompt", "strays", "win_ms", "winners", "wins",
    )  # fmt: skip

    def __init__(self) -> None:
        self.wins = self.strays = self.draws = self.prompt = 0.0
        self.codes: dict[int, float] = {}
        self.winners: list[int] = []
        self._at_ms = 0  # when the counts were last brought up to date
        self._draw_ms = 0
        self.win_ms = 0

    def win(self, code: int, winner: int, later: float, at_ms: int) -> None:
        """Enters a prize to somebody who had just tipped.

        Args:
            code: the like gift that he sent last.
            winner: his mark.
            later: share of the crowd that has tipped since, 0..1.
            at_ms: event time, epoch ms.
        """
        self._fade(at_ms)
        self.wins += 1.0
        self.prompt += 1.0 - 2.0 * later
        if abs(at_ms - self._draw_ms) > _ONE_DRAW_MS:
            self.draws += 1.0
            self._draw_ms = at_ms
        self.win_ms = max(self.win_ms, at_ms)
        self.codes[code] = self.codes.pop(code, 0.0) + 1.0
        if len(self.codes) > _MAX_CODES:
            del self.codes[next(iter(self.codes))]
        if winner not in self.winners:
            self.winners.append(winner)
            del self.winners[:-_MAX_WINNERS]

    def stray(self, at_ms: int) -> None:
        """Enters a prize to anybody else."""
        self._fade(at_ms)
        self.strays += 1.0

    @property
    def likeness(self) -> float:
        """How much more the winners had sent the same one or two gifts than chance has it, 0..1."""
        like = sum(wins for _, wins in self._most()) / (self.wins + 1.0)
        return max(0.0, (like - _BY_CHANCE) / (1.0 - _BY_CHANCE))

    @property
    def balance(self) -> float:
        """How evenly two gifts share the wins, 0..1."""
        most = self._most()
        return most[1][1] / most[0][1] if len(most) == 2 else 0.0

    @property
    def hits(self) -> float:
        """Share of the prizes that were wins, 0..1."""
        return self.wins / (self.wins + self.strays) if self.wins else 0.0

    def played(self) -> tuple[int, ...]:
        """The one or two gifts that won most."""
        return tuple(sorted(code for code, _ in self._most()))

    def _most(self) -> list[tuple[int, float]]:
        return sorted(self.codes.items(), key=lambda each: (-each[1], each[0]))[:2]

    def _fade(self, at_ms: int) -> None:
        if at_ms <= self._at_ms:
            return
        kept = exp((self._at_ms - at_ms) / FORGOTTEN_AFTER_MS)
        self._at_ms = at_ms
        self.wins *= kept
        self.strays *= kept
        self.draws *= kept
        self.prompt *= kept
        self.codes = {code: wins * kept for code, wins in self.codes.items()}

    def save(self) -> list[Any]:
        """JSON-able."""
        return [
            self.wins, self.strays, self.draws, self.prompt, list(self.codes.items()),
            self.winners, self._at_ms, self._draw_ms, self.win_ms,
        ]  # fmt: skip

    @classmethod
    def load(cls, saved: list[Any]) -> Plays:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        plays = cls()
        (
            plays.wins, plays.strays, plays.draws, plays.prompt, codes, plays.winners,
            plays._at_ms, plays._draw_ms, plays.win_ms,
        ) = saved  # fmt: skip
        plays.codes = dict(codes)
        return plays
