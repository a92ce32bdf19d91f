"""Counts of a room's PKs within the hours that a policy pack restricts.

Knows one pack's rules. The counts themselves are kept by whoever asks.
"""

from __future__ import annotations

from detector.core.event import Event
from detector.core.features import Moment
from detector.core.policy import Policy, RoomCount, is_within, minute_of
from detector.core.reasons import Reason


class RoomCounts:
    """The `room_count` rules of one pack.

    Args:
        policy: the pack.

    Attributes:
        ids: of its rules.
    """

    def __init__(self, policy: Policy) -> None:
        self._rules: list[tuple[RoomCount, int, int]] = [
            (rule, minute_of(rule.starts), minute_of(rule.ends))
            for rule in policy.of_type(RoomCount)
        ]
        self.ids = frozenset(rule.id for rule, _, _ in self._rules)

    def add(self, pks: dict[str, tuple[int, int]], event: Event, moment: Moment) -> list[Reason]:
        """Counts a `room` event; the reasons of the rules that it breaks.

        Args:
            pks: rule → (local day, PKs started within its hours of that day); changed in place.
            event: of type `room`; one that starts no PK, or is late, is not counted.
            moment: its local time.
        """
        if event.room_event != "pk_start" or moment.is_late:
            return []
        reasons: list[Reason] = []
        for rule, starts, ends in self._rules:
            if not is_within(moment.minute, starts, ends):
                continue
            # Hours over midnight belong to the evening they began in.
            day = moment.day - (starts > ends and moment.minute < ends)
            before_day, before = pks.get(rule.id, (day, 0))
            count = before + 1 if before_day == day else 1
            pks[rule.id] = (day, count)
            if count > rule.limit:
                reasons.append(
                    Reason("room_count", "content", count, None, rule.limit, "times", 0, 1.0,
                           rule.id, rule.severity, rule.action)
                )  # fmt: skip
        return reasons
