"""A log line for each high flag that was committed, so that a rise in a metric can be traced.

Never holds a subject's id, nor an event's, which may be made of one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from detector.runtime.ports import Partition

log = logging.getLogger(__name__)

_MOST_A_MINUTE = 60


class HighFlag(NamedTuple):
    """A high flag, and the record that led to it."""

    record: dict[str, Any]
    partition: Partition
    offset: int

    def __str__(self) -> str:
        flag = self.record
        unpaged = ", not paged" if flag.get("paged") is False else ""
        return (
            f"high flag {flag['flag_id']}: {flag['kind']}, severity {flag['severity']}, "
            f"case {flag['case_id']}, from {self.partition}@{self.offset}{unpaged}"
        )


class FlagLog:
    """Writes at most 60 lines a minute; how many more there were is told with the next minute's.

    >>> lines = FlagLog(most_a_minute=1)
    >>> [lines.room(wanted, at_s) for wanted, at_s in ((3, 0.0), (2, 30.0), (2, 61.0))]
    [1, 0, 1]
    """

    def __init__(self, most_a_minute: int = _MOST_A_MINUTE) -> None:
        self._most = most_a_minute
        self._since_s = float("-inf")
        self._written = 0
        self._held_back = 0

    def write(self, flags: Sequence[HighFlag], steady_s: float) -> None:
        """Logs flags that are committed.

        Args:
            flags: of one batch, in order.
            steady_s: now, on a clock that never jumps.
        """
        for flag in flags[: self.room(len(flags), steady_s)]:
            log.info("%s", flag)

    def room(self, wanted: int, steady_s: float) -> int:
        """How many of these may be written now; the rest is counted."""
        if steady_s - self._since_s >= 60:
            if self._held_back:
                log.info("%d more high flags were not logged one by one", self._held_back)
            self._since_s, self._written, self._held_back = steady_s, 0, 0
        granted = min(wanted, self._most - self._written)
        self._written += granted
        self._held_back += wanted - granted
        return granted
