"""Rounds of one room: many like gifts by many tippers, a silence, and perhaps money to a few.

Keeps a window for each like gift that is being sent, makes a round of it when a silence or a payout
to one of its tippers ends it, and remembers the latest rounds. Knows nothing of ids or words, and
does not judge: whether rounds are gambling is the detector's question.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from detector.core.crowd import LARGEST, MAX_TIPPERS, ROUND, ROUND_BEFORE
from detector.core.plays import JUST_MS
from detector.core.tipper import HOUR_MS

MAX_WINDOWS = 12
"""Like gifts followed at a time; the one sent longest ago makes room."""

MAX_ROUNDS = 24
MAX_CODES = 16
_MAX_OUTCOMES = 6

LEAST_TIPPERS = 5
"""Tippers of a round at least, over all the gifts of it."""

_LEAST_TIPPERS_OF_ONE = 3  # of one gift: a round may have two
_TIPS_A_TIPPER = 4.0  # more is combos
_SILENCE_MS = 10_000
_SILENCE_GAPS = 4.0  # times the mean gap within the window
_UNSURE_GAPS = 4.0
_SILENCE_SHARE = 0.5  # of the window's length
_LONGEST_MS = HOUR_MS  # a round is minutes; longer is an evening
_PAID_WITHIN_MS = 24 * HOUR_MS
_HALVE_AT = 4_000  # tips of one code, so that its share in rounds follows


class Window:
    """The run of one like gift that is going on.

    Attributes:
        serial: names it in the crowd's rows.
        start_ms, last_ms: first and latest tip.
        n, tippers, value: tips, distinct tippers, sum in minor units of the base currency.
        occasions, lotteries, bets, linked: of those tips, how many came in a PK or ceremony, in an
            open lottery, with words of a wager, from tippers linked to others.
        outcomes: amount → tips of it, of the first few amounts.
    """

    __slots__ = (
        "bets", "last_ms", "linked", "lotteries", "n", "occasions", "outcomes", "serial",
        "start_ms", "tippers", "value",
    )  # fmt: skip

    def __init__(self, serial: int, at_ms: int) -> None:
        self.serial = serial
        self.start_ms = self.last_ms = at_ms
        self.n = self.tippers = self.value = 0
        self.occasions = self.lotteries = self.bets = self.linked = 0
        self.outcomes: dict[int, int] = {}

    def is_over(self, at_ms: int) -> bool:
        """Whether the silence until `at_ms` is long against the window itself."""
        silence_ms = at_ms - self.last_ms
        if silence_ms < _SILENCE_MS:
            return False
        length_ms = self.last_ms - self.start_ms
        gaps = self.n - 1
        if silence_ms < _SILENCE_SHARE * length_ms or gaps <= 0:
            return gaps <= 0
        unsure = 1.0 + _UNSURE_GAPS / gaps  # few gaps say little of what is long against them
        return silence_ms >= _SILENCE_GAPS * unsure * length_ms / gaps

    def is_round(self) -> bool:
        """Whether many sent it, each hardly more than once, and for no occasion's sake."""
        return (
            self.tippers >= _LEAST_TIPPERS_OF_ONE
            and self.n <= _TIPS_A_TIPPER * self.tippers
            and self.last_ms - self.start_ms <= _LONGEST_MS
            and 2 * self.occasions < self.n
        )

    def save(self) -> list[Any]:
        return [
            self.serial, self.start_ms, self.last_ms, self.n, self.tippers, self.value,
            self.occasions, self.lotteries, self.bets, self.linked, list(self.outcomes.items()),
        ]  # fmt: skip

    @classmethod
    def load(cls, saved: list[Any]) -> Window:
        window = cls(0, 0)
        (
            window.serial, window.start_ms, window.last_ms, window.n, window.tippers, window.value,
            window.occasions, window.lotteries, window.bets, window.linked, outcomes,
        ) = saved  # fmt: skip
        window.outcomes = dict(outcomes)
        return window


class Round(NamedTuple):
    """A window that ended.

    Attributes:
        code: which like gift.
        serial, start_ms, end_ms, n, tippers, value, lotteries, bets, linked: as in `Window`.
        first, second: tips of its most frequent amount, and of the next.
        rest_ms: silence after it, as far as it was seen; -1 if a payout came before any.
        is_quiet: whether there was a silence after it, before a payout or the next like gift.
        winners, paid: payouts to its tippers, and their sum.
        prompt: of those payouts, how many went to somebody who had only just tipped, or how
            unlikely it is that a prize drawn among all who tip here went to one of this round.
    """

    code: int
    serial: int
    start_ms: int
    end_ms: int
    n: int
    tippers: int
    value: int
    lotteries: int
    bets: int
    linked: int
    first: int
    second: int
    rest_ms: int
    is_quiet: bool
    winners: int = 0
    paid: int = 0
    prompt: float = 0.0


class Rounds:
    """Windows and rounds of one room.

    Attributes:
        past: the latest rounds, in the order in which they ended.
        codes: like gift → [tips in rounds that a silence ended, tips at all], of gifts that had a
            round.
        payouts: [to tippers of rounds, prizes to others].
    """

    __slots__ = ("_serial", "_windows", "codes", "past", "payouts")

    def __init__(self) -> None:
        self._serial = 0
        self._windows: dict[int, Window] = {}  # the one sent longest ago first
        self.past: list[Round] = []
        self.codes: dict[int, list[int]] = {}
        self.payouts = [0, 0]

    def window_of(self, code: int, at_ms: int) -> tuple[Window, bool]:
        """The window that a tip belongs to, and whether a round ended to make room for it."""
        windows = self._windows
        window = windows.pop(code, None)
        ended = False
        if window is not None and (
            window.is_over(at_ms) or at_ms - window.start_ms > 2 * _LONGEST_MS
        ):
            ended = self._end(code, window, at_ms)
            window = None
        if window is None:
            if len(windows) >= MAX_WINDOWS:
                oldest = next(iter(windows))
                ended = self._end(oldest, windows.pop(oldest), at_ms) or ended
            self._serial += 1
            window = Window(self._serial, at_ms)
        windows[code] = window
        return window, ended

    def enter(
        self, window: Window, rows: array[int], at: int, value: int, amount: int, at_ms: int
    ) -> None:
        """Adds a tip to its window.

        Args:
            window: as `window_of` gave it.
            rows, at: the crowd's rows, and where the tipper's begins; notes the round there.
            value: minor units of the base currency.
            amount: minor units of the tip's own currency.
            at_ms: event time, epoch ms.
        """
        serial = window.serial
        if rows[at + ROUND] != serial and rows[at + ROUND_BEFORE] != serial:
            rows[at + ROUND_BEFORE] = rows[at + ROUND]
            rows[at + ROUND] = serial
            window.tippers += 1
        window.n += 1
        total = window.value + value
        window.value = total if total < LARGEST else LARGEST
        if at_ms > window.last_ms:
            window.last_ms = at_ms
        outcomes = window.outcomes
        if amount in outcomes:
            outcomes[amount] += 1
        elif len(outcomes) < _MAX_OUTCOMES:
            outcomes[amount] = 1

    def pay(
        self, serials: tuple[int, int], value: int, at_ms: int, is_prompt: bool, crowd: int
    ) -> bool:  # fmt: skip
        """Enters a payout to a tipper with stakes in these windows; whether it was of a round.

        Args:
            serials: of the windows, the latest first; 0 for none.
            value: minor units of the base currency.
            at_ms: event time, epoch ms.
            is_prompt: whether the tipper had only just tipped.
            crowd: tippers who are remembered.
        """
        latest, before = serials
        going_on = next((w for w in self._windows.values() if w.serial == latest), None)
        is_closed = going_on is None or going_on.is_over(at_ms)
        prompt = float(is_prompt)
        if not is_closed and self._win(before, value, at_ms, prompt, needs_quiet=True):
            return True  # the next round has begun already: it is the one before that is paid
        if going_on is not None and going_on.tippers >= _LEAST_TIPPERS_OF_ONE:
            self._draw(going_on, at_ms)
        return any(
            self._win(serial, value, at_ms, max(prompt, self._surprise(serial, crowd, at_ms)))
            for serial in serials
        )

    def _surprise(self, serial: int, crowd: int, at_ms: int) -> float:
        """How unlikely a winner of this round is if all the crowd was drawn from, 0..1.

        Nothing of a round that ended a while ago: everybody has been in some round.
        """
        for found in reversed(self.past):
            if found.serial == serial and at_ms - found.end_ms <= JUST_MS:
                return max(0.0, 1.0 - found.tippers / max(1, crowd))
        return 0.0

    def pay_somebody(self, value: int, at_ms: int) -> bool:
        """Enters a prize to somebody who is no known tipper; whether it was of a round.

        Of a round of more tippers than a crowd remembers, most are unknown.
        """
        for window in list(self._windows.values()):
            if window.tippers > MAX_TIPPERS and window.is_over(at_ms):
                self._draw(window, at_ms)
        for found in reversed(self.past):
            if found.tippers > MAX_TIPPERS and at_ms - found.end_ms <= HOUR_MS:
                return self._win(found.serial, value, at_ms, 0.0, needs_quiet=True)
        return False

    def stray(self) -> None:
        """Enters a prize to somebody without a stake in any round."""
        self._count_payout(1)

    def _win(
        self, serial: int, value: int, at_ms: int, prompt: float, needs_quiet: bool = False
    ) -> bool:
        """Enters a payout of the round with this serial, if there is one; whether there was."""
        for index in range(len(self.past) - 1, -1, -1):
            found = self.past[index]
            if found.serial == serial and at_ms - found.end_ms <= _PAID_WITHIN_MS:
                if needs_quiet and not found.is_quiet:
                    return False
                self.past[index] = found._replace(
                    winners=found.winners + 1,
                    paid=min(LARGEST, found.paid + value),
                    prompt=found.prompt + prompt,
                )
                self._count_payout(0)
                return True
        return False

    def _count_payout(self, which: int) -> None:
        self.payouts[which] += 1
        if self.payouts[which] > _HALVE_AT:
            self.payouts = [count // 2 for count in self.payouts]

    def _draw(self, drawn: Window, at_ms: int) -> None:
        """A payout ends the window of its tipper, and those that ran beside it."""
        for code, window in list(self._windows.items()):
            if window is drawn or (
                window.tippers >= _LEAST_TIPPERS_OF_ONE
                and window.start_ms <= drawn.last_ms
                and window.last_ms >= drawn.start_ms
            ):
                del self._windows[code]
                self._end(code, window, at_ms, is_drawn=True)

    def _end(self, code: int, window: Window, at_ms: int, is_drawn: bool = False) -> bool:
        """Makes a round of a window if it is one."""
        is_quiet = window.is_over(at_ms)
        if not (window.is_round() and (is_quiet or is_drawn)):
            if code in self.codes:
                self._count(code, 0, window.n)
            return False
        counts = sorted(window.outcomes.values(), reverse=True)
        self.past.append(
            Round(
                code, window.serial, window.start_ms, window.last_ms, window.n, window.tippers,
                window.value, window.lotteries, window.bets, window.linked, counts[0],
                counts[1] if len(counts) > 1 else 0,
                at_ms - window.last_ms if is_quiet else -1, is_quiet,
            )
        )  # fmt: skip
        del self.past[:-MAX_ROUNDS]
        self._count(code, window.n * is_quiet, window.n)
        return True

    def _count(self, code: int, in_rounds: int, tips: int) -> None:
        counts = self.codes.pop(code, None)
        if counts is None:
            counts = [0, 0]
            if len(self.codes) >= MAX_CODES:
                del self.codes[next(iter(self.codes))]
        counts[0] += in_rounds
        counts[1] += tips
        if counts[1] > _HALVE_AT:
            counts[0] //= 2
            counts[1] //= 2
        self.codes[code] = counts

    def save(self) -> list[Any]:
        """JSON-able."""
        return [
            self._serial,
            [[code, window.save()] for code, window in self._windows.items()],
            [list(each) for each in self.past],
            list(self.codes.items()),
            self.payouts,
        ]

    @classmethod
    def load(cls, saved: list[Any]) -> Rounds:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        rounds = cls()
        rounds._serial, windows, past, codes, rounds.payouts = saved
        rounds._windows = {code: Window.load(window) for code, window in windows}
        rounds.past = [Round._make(each) for each in past]
        rounds.codes = dict(codes)
        return rounds


class Merged(NamedTuple):
    """What the rounds of one time, a gift each, come to together."""

    rounds: tuple[Round, ...]
    tippers: int
    n: int
    value: int
    winners: int
    paid: int
    prompt: float

    @property
    def is_quiet(self) -> bool:
        return any(each.is_quiet for each in self.rounds)

    @property
    def balance(self) -> float:
        """How evenly two outcomes share the tips, 0..1: two gifts, or two counts of one gift."""
        by_gift = sorted((each.n for each in self.rounds), reverse=True)
        if len(by_gift) > 1:
            first, second = by_gift[:2]
        else:
            first, second = self.rounds[0].first, self.rounds[0].second
        return second / first if first + second >= 0.8 * self.n else 0.0


def merged(rounds: list[Round]) -> Iterator[Merged]:
    """Rounds at one time as one; those with too few tippers even so are left out."""
    group: list[Round] = []
    end_ms = 0
    for each in sorted(rounds, key=lambda found: (found.start_ms, found.serial)):
        length_ms = each.end_ms - each.start_ms
        if group and (end_ms - each.start_ms) * 2 >= length_ms and each.start_ms <= end_ms:
            group.append(each)
            end_ms = max(end_ms, each.end_ms)
            continue
        yield from _as_one(group)
        group, end_ms = [each], each.end_ms
    yield from _as_one(group)


def _as_one(group: list[Round]) -> Iterator[Merged]:
    tippers = sum(each.tippers for each in group)
    if tippers >= LEAST_TIPPERS:
        yield Merged(
            tuple(group), tippers, sum(each.n for each in group), sum(each.value for each in group),
            sum(each.winners for each in group), sum(each.paid for each in group),
            sum(each.prompt for each in group),
        )  # fmt: skip
