"""One streamer's room: its crowd, its rounds, its PKs, and what the detectors made of them.

Bounded whatever the streamer's size. A room changes in place; whoever keeps one that must not
change any more takes a `copy` of it before.
"""

from __future__ import annotations

from typing import Any

import orjson

from detector.core import lexicon
from detector.core.crowd import MAX_TIPPERS, WIDTH, Crowd, mark
from detector.core.detectors.gambling import NOTHING_STAKED, Stakes, weigh
from detector.core.event import Event
from detector.core.rounds import Rounds
from detector.core.tipper import HOUR_MS

_OCCASIONS = ("pk", "ceremony")
_LONGEST_OCCASION_MS = {"pk_start": HOUR_MS, "ceremony_start": 12 * HOUR_MS}
_AFTER_OCCASION_MS = 60_000
_PRIZES = ("prize", "rebate")
_PROMPT = 0.1  # a winner who is of the last tenth to have tipped won by that very tip
_LONGEST_LOTTERY_MS = 2 * HOUR_MS
_LENGTH_BYTES = 4
_LARGEST_CROWD = MAX_TIPPERS * WIDTH * 8


class Room:
    """What is remembered of one streamer.

    Attributes:
        epoch: of the view, when this object was made or copied; not saved.
        pks: rule → (local day, PKs started within its hours of that day).
        occasion_until_ms, lottery_until_ms: while a PK or ceremony, a lottery, is on.
        crowd, rounds: see there.
        stakes: what its rounds come to.
    """

    __slots__ = (
        "crowd", "epoch", "lottery_until_ms", "occasion_until_ms", "pks", "rounds", "stakes",
    )  # fmt: skip

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self.pks: dict[str, tuple[int, int]] = {}
        self.occasion_until_ms = self.lottery_until_ms = 0
        self.crowd = Crowd()
        self.rounds = Rounds()
        self.stakes: Stakes = NOTHING_STAKED

    def add_tip(self, event: Event, is_late: bool) -> int:
        """Enters a tip; where its tipper's row of the crowd begins.

        Args:
            event: the tip.
            is_late: behind the watermark: which round it belonged to is no longer known.
        """
        at = self.crowd.add(event)
        if is_late:
            return at
        at_ms = event.event_time_ms
        window, ended = self.rounds.window_of(code_of(event), at_ms)
        self.rounds.enter(
            window, self.crowd.rows, at, event.value_minor or 0, event.amount_minor or 0, at_ms
        )
        if event.room_mode in _OCCASIONS or at_ms < self.occasion_until_ms:
            window.occasions += 1
        if event.room_mode == "lottery" or at_ms < self.lottery_until_ms:
            window.lotteries += 1
        if event.marks is not None and event.marks & lexicon.BET:
            window.bets += 1
        if self.crowd.is_linked(at):
            window.linked += 1
        if ended:
            self.stakes = weigh(self.rounds, at_ms)
        return at

    def add_payout(self, event: Event) -> int:
        """Enters a payout; where the row of the tipper who got it begins, -1 if none did."""
        at, at_ms = self.crowd.give_back(event), event.event_time_ms
        is_of_round = at >= 0 and self.rounds.pay(
            self.crowd.rounds_of(at), event.value_minor or 0, at_ms,
            self.crowd.is_among_latest(at, _PROMPT),
        )  # fmt: skip
        if is_of_round:
            self.stakes = weigh(self.rounds, at_ms)
        elif event.reason in _PRIZES:
            self.rounds.stray()
        return at

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
            self.rounds.save(), list(self.stakes),
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
        pks, room.occasion_until_ms, room.lottery_until_ms, rounds, stakes = orjson.loads(
            saved[crowd_ends:]
        )
        room.pks = {rule: (day, count) for rule, (day, count) in pks}
        room.rounds = Rounds.load(rounds)
        room.stakes = Stakes._make([*stakes[:-1], tuple(stakes[-1])])
        return room


def code_of(tip: Event) -> int:
    """What makes two tips like: the gift, or the amount where there is none.

    >>> tip = Event()
    >>> tip.amount_minor = 2700
    >>> code_of(tip)
    -2700
    """
    return mark(tip.gift_id) or -(tip.amount_minor or 0)
