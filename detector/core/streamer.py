"""The streamer view: what one receiver's room does.

Runs on events keyed by streamer, apart from the tipper view, so that each can live on the topic
that is keyed for it. It knows rooms and the detectors of gambling and rings, and counts PKs within
the hours a policy restricts. It reads no words, names or addresses: they are not sent here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from detector.core.detectors.gambling import Gambling
from detector.core.detectors.ring import Ring
from detector.core.detectors.surge import SURGING, Surge
from detector.core.event import Event
from detector.core.features import Moment
from detector.core.fusion import Flag, Fusion
from detector.core.generations import Generations
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.reasons import Reason
from detector.core.room import Room, code_of
from detector.core.room_counts import RoomCounts
from detector.core.shadow import About, Shadow

_FAINT = 0.02  # a lower score of a room is nothing
_WORTH_ASKING = 0.2  # from which it matters who of a room is meant; well below any threshold


class _Seen(NamedTuple):
    """One event of one room, and what is found of it."""

    room: Room
    event: Event
    moment: Moment
    scores: dict[str, float]
    flags: list[Flag]


class StreamerView:
    """State, rules and detectors by streamer.

    Args:
        policy: the pack in force.
        currencies: amounts are compared in minor units of the base currency.
        fusion: makes flags of findings.
        corrected: (kind, a detector's score) → the score, as verdicts have moved it.
        max_entries, idle_ms: how many streamers are remembered, and how long without an event.
        shadow: a candidate that judges as well; None without one.

    Attributes:
        streamers: streamer id → room. Rooms change in place, see `begin_epoch`.
        surges: streamer id → takings per minute, likewise.
        surging_minutes: minutes of some streamer that surged, since this object was made.
    """

    types = frozenset(("tip", "payout", "room"))
    """Events that it reads."""

    def __init__(
        self,
        policy: Policy,
        currencies: Currencies,
        fusion: Fusion,
        corrected: Callable[[str, float], float],
        max_entries: int,
        idle_ms: int,
        shadow: Shadow | None = None,
    ) -> None:
        unit, scale = currencies.base, 10**currencies.base_decimals
        self._corrected = corrected
        self._gambling = Gambling(unit, scale)
        self._ring = Ring()
        self.streamers: Generations[Room] = Generations(max_entries, idle_ms)
        self.surges: Generations[Surge] = Generations(max_entries, idle_ms)
        self.surging_minutes = 0
        self._epoch = 0
        self.reconfigure(policy, fusion, shadow)

    def reconfigure(self, policy: Policy, fusion: Fusion, shadow: Shadow | None) -> None:
        """Judges by these from now on, as `Args` of the class has them; what is known stays."""
        self._fusion = fusion
        self._shadow = shadow
        self._counts = RoomCounts(policy)

    def begin_epoch(self) -> None:
        """To be called when both maps are cut: from now on nothing in them is changed in place."""
        self._epoch += 1

    def observe(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        """Scores an event and learns from it.

        A tip is scored as part of its room's running totals: they include it.

        Args:
            event: of one of `types`.
            moment: its local time.
            now_ms: the watermark, epoch ms; what is idle is measured from it.

        Returns:
            Scores above 0 by kind, and the flags it led to.
        """
        streamer_id = event.streamer_id
        if streamer_id is None:
            return {}, []
        room = self.streamers.get(streamer_id)
        if room is None:
            room = Room(self._epoch)
        elif room.epoch != self._epoch:
            room = room.copy(self._epoch)
        seen: _Seen | None = None
        if event.type == "tip":
            self._add_takings(streamer_id, event, now_ms)
            at = room.add_tip(event, moment.is_late)
            if room.stakes.level >= _FAINT or room.group.level >= _FAINT:
                seen = _Seen(room, event, moment, {}, [])
                self._look_at_tip(seen, at)
        else:
            seen = _Seen(room, event, moment, {}, [])
            if event.type == "payout":
                self._look_at_payout(seen)
            else:
                self._look_at_room(seen)
        self.streamers.put(streamer_id, room, now_ms)
        return ({}, []) if seen is None else (seen.scores, seen.flags)

    def _add_takings(self, streamer_id: str, event: Event, now_ms: int) -> None:
        surge = self.surges.get(streamer_id)
        if surge is None:
            surge = Surge(self._epoch)
        elif surge.epoch != self._epoch:
            surge = surge.copy(self._epoch)
        score = surge.observe(event.event_time_ms, event.value_minor or 0)
        if score is not None and score >= SURGING:
            self.surging_minutes += 1
        self.surges.put(streamer_id, surge, now_ms)

    def _look_at_tip(self, seen: _Seen, at: int) -> None:
        room, event = seen.room, seen.event
        if room.stakes.level >= _FAINT:
            score = self._gambling.score(
                room.stakes, room.rounds, code_of(event), event.event_time_ms
            )
            self._judge_gambling(seen, score)
        if room.group.level >= _FAINT:
            self._judge_ring(seen, at)

    def _look_at_payout(self, seen: _Seen) -> None:
        room, at_ms = seen.room, seen.event.event_time_ms
        at, may_be_won = room.add_payout(seen.event)
        if at < 0:
            return
        if room.stakes.level >= _FAINT and may_be_won:
            self._judge_gambling(seen, self._gambling.of_payout(room.stakes, at_ms))
        if room.group.level >= _FAINT:
            self._judge_ring(seen, at)

    def _look_at_room(self, seen: _Seen) -> None:
        seen.room.add_room_event(seen.event)
        reasons = self._counts.add(seen.room.pks, seen.event, seen.moment)
        if reasons:
            self._raise("cap", 1.0, reasons, seen, {})
        if self._shadow is not None:
            self._shadow.look_at_room(reasons, seen.moment, _about(seen, {}))

    def _judge_gambling(self, seen: _Seen, score: float) -> None:
        seen.scores["gambling"] = score = self._corrected("gambling", score)
        if score >= self._floor("gambling"):
            stakes = seen.room.stakes
            reasons, figures = self._gambling.explain(stakes), self._gambling.figures(stakes)
            self._judge("gambling", score, reasons, seen, figures)

    def _judge_ring(self, seen: _Seen, at: int) -> None:
        """Judges the room's group, for an event of the tipper whose row begins there."""
        group = seen.room.group
        is_member = group.level >= _WORTH_ASKING and seen.room.is_member(at, seen.event)
        score = self._ring.score(group, is_member, seen.event.event_time_ms)
        seen.scores["ring"] = score = self._corrected("ring", score)
        if score >= self._floor("ring"):
            reasons, figures = self._ring.explain(group), self._ring.figures(group)
            self._judge("ring", score, reasons, seen, figures)

    def _floor(self, kind: str) -> float:
        if self._shadow is not None:
            return self._shadow.floor[kind]
        return self._fusion.floor.get(kind, 0.5)

    def _judge(
        self, kind: str, score: float, reasons: list[Reason], seen: _Seen,
        figures: dict[str, float],
    ) -> None:  # fmt: skip
        self._raise(kind, score, reasons, seen, figures)
        if self._shadow is not None:
            self._shadow.share(kind, score, reasons, _about(seen, figures))

    def _raise(
        self, kind: str, score: float, reasons: list[Reason], seen: _Seen,
        figures: dict[str, float],
    ) -> None:  # fmt: skip
        flag = self._fusion.flag(kind, score, reasons, *_about(seen, figures))
        if flag is not None:
            seen.flags.append(flag)


def _about(seen: _Seen, figures: dict[str, float]) -> About:
    subject = ("streamer", seen.event.streamer_id or "")
    return About(seen.event, subject, seen.moment.day, figures)
