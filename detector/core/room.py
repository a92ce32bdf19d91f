"""One streamer's room: its crowd, its rounds, its PKs, and what the detectors made of them.

Bounded whatever the streamer's size. A room changes in place; whoever keeps one that must not
change any more takes a `copy` of it before.
"""

from __future__ import annotations

from typing import Any

import orjson

from detector.core import lexicon
from detector.core.bursts import Bursts
from detector.core.crowd import (
    CODE,
    INSTRUMENT,
    LARGEST,
    LAST_MS,
    MARK,
    MAX_TIPPERS,
    PRIZES,
    TIPS,
    VALUE,
    WIDTH,
    Crowd,
    mark,
)
from detector.core.detectors.gambling import NOTHING_STAKED, Stakes, weigh
from detector.core.detectors.ring import (
    NO_GROUP,
    Group,
    Returns,
    Tempo,
    gather,
)
from detector.core.event import Event
from detector.core.plays import JUST_MS, Plays
from detector.core.rounds import Rounds
from detector.core.tipper import HOUR_MS

_OCCASIONS = ("pk", "ceremony")
_LONGEST_OCCASION_MS = {"pk_start": HOUR_MS, "ceremony_start": 12 * HOUR_MS}
_AFTER_OCCASION_MS = 60_000
_PROMPT = 0.1  # a winner who is of the last tenth to have tipped won by that very tip
_SMALL_CHANGE = 0.2  # of a tipper's mean tip
_LATELY_MS = HOUR_MS  # who tipped since may have staked; what on, is not known
_LONGEST_LOTTERY_MS = 2 * HOUR_MS
_SAME_SECONDS_MS = 2_000
# A look costs in proportion to the crowd: while so many events as it has tippers go by, the room is
# looked at so often as a rule, and so often where each of them is worth a look.
_LOOKS, _MOST_LOOKS = 16, 48
_MAX_PAYEES = 8
_LENGTH_BYTES = 4
_LARGEST_CROWD = MAX_TIPPERS * WIDTH * 8


class Room:
    """What is remembered of one streamer.

    Attributes:
        epoch: of the view, when this object was made or copied; not saved.
        pks: rule → (local day, PKs started within its hours of that day).
        occasion_until_ms, lottery_until_ms: while a PK or ceremony, a lottery, is on.
        crowd, bursts, rounds, plays: see there.
        stakes: what its rounds come to.
        tempo, returns, group: of its linked tippers, of payouts to tippers, and what they come to.
        members: marks of those whom the group is.
        payees: mark of an account or instrument → what went there before any tip came from there,
            minor units of the base currency.
    """

    __slots__ = (
        "_unseen", "bursts", "crowd", "epoch", "group", "lottery_until_ms", "members",
        "occasion_until_ms", "payees", "pks", "plays", "returns", "rounds", "stakes", "tempo",
    )  # fmt: skip

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self.pks: dict[str, tuple[int, int]] = {}
        self.occasion_until_ms = self.lottery_until_ms = 0
        self.crowd = Crowd()
        self.bursts = Bursts()
        self.rounds = Rounds()
        self.plays = Plays()
        self.stakes: Stakes = NOTHING_STAKED
        self.tempo = Tempo()
        self.returns = Returns()
        self.group: Group = NO_GROUP
        self.members: frozenset[int] = frozenset()
        self.payees: dict[int, int] = {}
        self._unseen = 0  # tips of watched tippers, and payouts, since `group` was looked for

    def add_tip(self, event: Event, is_late: bool) -> int:
        """Enters a tip; where its tipper's row of the crowd begins.

        Args:
            event: the tip.
            is_late: behind the watermark: which round it belonged to is no longer known.
        """
        crowd = self.crowd
        at = crowd.add(event)
        if self.payees:
            self._came_from_payee(at)
        is_linked = crowd.is_linked(at)
        has_burst_ended = not is_late and self._enter_burst(event, at)
        if is_linked or crowd.is_watched(at):
            self._watch(at, event.event_time_ms, is_linked, has_burst_ended)
        if not is_late:
            self._stake(event, at, is_linked)
        return at

    def _enter_burst(self, event: Event, at: int) -> bool:
        """Enters a tip into the room's bursts; whether it shows that one has ended."""
        at_ms, mode = event.event_time_ms, event.room_mode
        if at_ms < self.occasion_until_ms or (mode is not None and mode in _OCCASIONS):
            return False
        return self.bursts.enter(self.crowd, at, at_ms)

    def _stake(self, event: Event, at: int, is_linked: bool) -> None:
        """Enters a tip into the room's rounds."""
        at_ms = event.event_time_ms
        code = code_of(event)
        self.crowd.rows[at + CODE] = code
        window, ended = self.rounds.window_of(code, at_ms)
        self.rounds.enter(
            window, self.crowd.rows, at, event.value_minor or 0, event.amount_minor or 0, at_ms
        )
        mode = event.room_mode
        if at_ms < self.occasion_until_ms or (mode is not None and mode in _OCCASIONS):
            window.occasions += 1
        if at_ms < self.lottery_until_ms or mode == "lottery":
            window.lotteries += 1
        if event.marks is not None and event.marks & lexicon.BET:
            window.bets += 1
        if is_linked:
            window.linked += 1
        if ended:
            self.stakes = weigh(self.rounds, self.plays, at_ms)

    def _watch(self, at: int, at_ms: int, is_linked: bool, has_burst_ended: bool) -> None:
        """Enters a tip of somebody watched; looks at the group again, less often in large rooms."""
        tempo, tipper = self.tempo, self.crowd.rows[at + MARK]
        if is_linked:
            is_same = tipper != tempo.last_mark and abs(at_ms - tempo.last_ms) <= _SAME_SECONDS_MS
            self.tempo = tempo.one_more(is_same, at_ms, tipper)
        self._unseen += 1
        self._look(at_ms, _MOST_LOOKS if has_burst_ended else _LOOKS)

    def _look(self, at_ms: int, looks: int) -> None:
        """Looks at the group, unless it has been looked at lately; `looks`: per round of the crowd.

        A look finds nothing new if nothing has happened since the last one.
        """
        if self._unseen <= len(self.crowd) // looks:
            return
        self._unseen = 0
        self.group, self.members = gather(
            self.crowd, self.tempo, self.returns, self.stakes.level, at_ms
        )

    def _came_from_payee(self, at: int) -> None:
        """A tip of an account, or with an instrument, that money of the room went to before."""
        rows = self.crowd.rows
        for thing in (rows[at + MARK], rows[at + INSTRUMENT]):
            value = self.payees.pop(thing, 0)
            if value:
                self.crowd.credit(at, value)

    def add_payout(self, event: Event) -> tuple[int, bool]:
        """Enters a payout.

        Returns:
            Where the row of the tipper who got it begins, -1 if none did; and whether he may have
            won it: a prize, or money after a round with a stake of his.
        """
        crowd, at_ms, value = self.crowd, event.event_time_ms, event.value_minor or 0
        at, is_prize = crowd.payee_of(event), event.reason in PRIZES
        if at >= 0:
            last_ms = crowd.rows[at + LAST_MS]
            is_prompt = crowd.is_among_latest(at, _PROMPT)
            is_of_round = (is_prize or at_ms - last_ms <= _LATELY_MS) and self.rounds.pay(
                crowd.rounds_of(at), value, at_ms, is_prompt, len(crowd)
            )
            if not self._is_won(event, at, is_of_round):
                crowd.credit(at, value)
                self.returns = self.returns.one_more(at_ms - last_ms)
            if is_prize and not is_of_round and at_ms - last_ms > _LATELY_MS:
                self.rounds.stray()
        else:
            is_of_round = is_prize and self.rounds.pay_somebody(value, at_ms)
            if not is_prize:
                self._remember_payee(event)
            elif not is_of_round:
                self.rounds.stray()
        if is_prize:
            self._enter_prize(at, at_ms)
        if is_of_round or is_prize:
            self.stakes = weigh(self.rounds, self.plays, at_ms)
        if at >= 0:
            self._unseen += 1
            self._look(at_ms, _MOST_LOOKS)
        return at, is_prize or is_of_round

    def _enter_prize(self, at: int, at_ms: int) -> None:
        """A prize to the tipper of this row, -1 for somebody else."""
        crowd, plays = self.crowd, self.plays
        rows = crowd.rows
        if at < 0 or at_ms - rows[at + LAST_MS] > JUST_MS or not rows[at + CODE]:
            plays.stray(at_ms)
        elif not crowd.is_linked(at):  # one person's accounts pay each other: a ring's work
            plays.win(rows[at + CODE], rows[at + MARK], crowd.later_than(at), at_ms)

    def _is_won(self, event: Event, at: int, is_of_round: bool) -> bool:
        """Whether a payout is a prize, and not the tipper's own money coming back.

        More than all that he tipped is; so is what goes to somebody who shares nothing with
        anybody, if it is called a prize or was paid after a round with a stake of his.
        """
        crowd = self.crowd
        if event.reason not in PRIZES:
            return False
        if (event.value_minor or 0) > crowd.rows[at + VALUE]:
            return True
        return (event.reason == "prize" or is_of_round) and not crowd.is_linked(at)

    def _remember_payee(self, event: Event) -> None:
        payees, value = self.payees, event.value_minor or 0
        for thing in {mark(event.account_id), mark(event.instrument_id)} - {0}:
            payees[thing] = min(LARGEST, payees.pop(thing, 0) + value)
        while len(payees) > _MAX_PAYEES:
            del payees[next(iter(payees))]

    def is_member(self, at: int, event: Event) -> bool:
        """Whether an event of the tipper of this row is the ring's own, if there is one.

        He is of the linked group, or got money back; small change beside what he usually gives here
        is nobody's business. Asked for few events.
        """
        rows = self.crowd.rows
        value = event.value_minor or 0
        if event.type == "tip" and value * rows[at + TIPS] < _SMALL_CHANGE * rows[at + VALUE]:
            return False
        crowd = self.crowd
        if rows[at + MARK] not in self.members and (crowd.is_linked(at) or crowd.is_watched(at)):
            self._look(event.event_time_ms, _MOST_LOOKS)
        return rows[at + MARK] in self.members

    def add_room_event(self, event: Event) -> None:
        """Notes when an occasion or a lottery is on."""
        what, at_ms = event.room_event or "", event.event_time_ms
        if what in _LONGEST_OCCASION_MS:
            self.occasion_until_ms = at_ms + _LONGEST_OCCASION_MS[what]
        elif what in ("pk_end", "ceremony_end"):
            self.occasion_until_ms = at_ms + _AFTER_OCCASION_MS
        elif what == "lottery_open":
            self.lottery_until_ms = at_ms + _LONGEST_LOTTERY_MS
        elif what == "lottery_draw":
            self.lottery_until_ms = at_ms

    def copy(self, epoch: int) -> Room:
        """The same room, apart from this one."""
        copied = Room.load(self.save())
        copied.epoch = epoch
        return copied

    def save(self) -> bytes:
        """The length of the crowd's bytes, these, and all else as JSON."""
        crowd = self.crowd.save()
        rest: list[Any] = [
            list(self.pks.items()), self.occasion_until_ms, self.lottery_until_ms,
            self.rounds.save(), list(self.stakes), list(self.tempo), list(self.returns),
            list(self.group), list(self.payees.items()), self._unseen, self.plays.save(),
            self.bursts.save(), sorted(self.members),
        ]  # fmt: skip
        return len(crowd).to_bytes(_LENGTH_BYTES, "little") + crowd + orjson.dumps(rest)

    @classmethod
    def load(cls, saved: bytes) -> Room:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> room = Room()
        >>> room.pks["night_pks"] = (20514, 3)
        >>> Room.load(room.save()).pks, Room.load(room.save()).save() == room.save()
        ({'night_pks': (20514, 3)}, True)
        """
        room = cls()
        crowd_ends = _LENGTH_BYTES + int.from_bytes(saved[:_LENGTH_BYTES], "little")
        if crowd_ends > min(len(saved), _LENGTH_BYTES + _LARGEST_CROWD):
            raise ValueError(f"a room: found {len(saved)} bytes, expected {crowd_ends} or more")
        room.crowd = Crowd.load(saved[_LENGTH_BYTES:crowd_ends])
        (
            pks, room.occasion_until_ms, room.lottery_until_ms, rounds, stakes, tempo, returns,
            group, payees, room._unseen, plays, bursts, members,
        ) = orjson.loads(saved[crowd_ends:])  # fmt: skip
        room.pks = {rule: (day, count) for rule, (day, count) in pks}
        room.rounds = Rounds.load(rounds)
        room.plays = Plays.load(plays)
        room.bursts = Bursts.load(bursts)
        room.members = frozenset(members)
        room.stakes = Stakes._make([*stakes[:-1], tuple(stakes[-1])])
        room.tempo, room.returns = Tempo._make(tempo), Returns._make(returns)
        room.group = Group._make(group)
        room.payees = dict(payees)
        return room


def code_of(tip: Event) -> int:
    """What makes two tips like: the gift, or the amount where there is none.

    >>> tip = Event()
    >>> tip.amount_minor = 2700
    >>> code_of(tip)
    -2700
    """
    return mark(tip.gift_id) or -(tip.amount_minor or 0)
