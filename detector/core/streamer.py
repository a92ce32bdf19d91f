"""The streamer view: what one receiver's room does.

Runs on events keyed by streamer, apart from the tipper view, so that each can live on the topic
that is keyed for it. Here it counts PKs within the hours a policy restricts.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from detector.core.event import Event
from detector.core.features import Moment
from detector.core.fusion import Flag, Fusion
from detector.core.generations import Generations
from detector.core.policy import Policy, RoomCount, is_within, minute_of
from detector.core.reasons import Reason


class StreamerStats(NamedTuple):
    """One streamer under one rule: PKs started within its hours of `pk_day` (a local day)."""

    pk_day: int = 0
    pks: int = 0

    def save(self) -> bytes:
        """The counts as a JSON list."""
        return orjson.dumps(tuple(self))

    @classmethod
    def load(cls, saved: bytes) -> StreamerStats:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> StreamerStats.load(StreamerStats(20514, 3).save())
        StreamerStats(pk_day=20514, pks=3)
        """
        return cls._make(orjson.loads(saved))


class StreamerView:
    """State and rules by streamer.

    Args:
        policy: the pack in force.
        fusion: makes flags of findings.
        max_entries, idle_ms: how many streamers are remembered, and how long without an event.
    """

    types = frozenset(("tip", "payout", "room"))
    """Events that it reads."""

    def __init__(self, policy: Policy, fusion: Fusion, max_entries: int, idle_ms: int) -> None:
        self._fusion = fusion
        self._rules: list[tuple[RoomCount, int, int]] = [
            (rule, minute_of(rule.starts), minute_of(rule.ends))
            for rule in policy.of_type(RoomCount)
        ]
        self.streamers: Generations[StreamerStats] = Generations(max_entries, idle_ms)

    def observe(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        """Scores an event, then learns from it.

        Args:
            event: of one of `types`.
            moment: its local time.
            now_ms: the watermark, epoch ms; what is idle is measured from it.

        Returns:
            Scores above 0 by kind, and the flags it led to.
        """
        if event.type != "room":
            return {}, []
        reasons = self._count_pks(event, moment)
        if not reasons:
            return {}, []
        subject = ("streamer", event.streamer_id or "")
        flag = self._fusion.flag("cap", 1.0, reasons, event, subject, moment.day, None)
        return {}, [] if flag is None else [flag]

    def _count_pks(self, event: Event, moment: Moment) -> list[Reason]:
        """Adds a `room` event; the reasons of the rules that it breaks."""
        streamer_id = event.streamer_id
        if event.room_event != "pk_start" or streamer_id is None or moment.is_late:
            return []
        reasons: list[Reason] = []
        for rule, starts, ends in self._rules:
            if not is_within(moment.minute, starts, ends):
                continue
            # Hours over midnight belong to the evening they began in.
            day = moment.day - (starts > ends and moment.minute < ends)
            counted_for = f"{rule.id}|{streamer_id}"
            before = self.streamers.get(counted_for) or StreamerStats()
            pks = before.pks + 1 if before.pk_day == day else 1
            self.streamers.put(counted_for, StreamerStats(day, pks), event.event_time_ms)
            if pks > rule.limit:
                reasons.append(
                    Reason("room_count", "content", pks, None, rule.limit, "times", 0, 1.0,
                           rule.id, rule.severity, rule.action)
                )  # fmt: skip
        return reasons
