"""Storms: so many high flags at once that paging for each would help nobody.

A hundred grave cases within minutes are seldom a hundred criminals: mostly a producer sends
nonsense, or a rule was changed. So those beyond a limit are written and not paged, until the rate
has fallen. Knows counts and times only: no kind, no subject, no case.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any


class Storm:
    """Counts the high flags of one engine that would page: those that open or worsen a case.

    A storm begins with the flag that is one more than `most` within `window_ms`; this one is still
    paged, so that somebody learns of the storm. It ends when half of `most`, or fewer, are left in
    the window. Time only goes forward: an event from before the newest one counts as now.

    Args:
        most: flags within the window that are no storm yet, >= 1.
        window_ms: event time, ms.

    Attributes:
        storms: how many have begun.

    >>> storm = Storm(most=2, window_ms=1000)
    >>> [storm.meet("high", "opened", at_ms) for at_ms in (0, 10, 20, 30)]
    [{}, {}, {'storm': True}, {'storm': True, 'paged': False}]
    >>> storm.is_on(500), storm.is_on(1025), storm.storms
    (True, False, 1)
    """

    __slots__ = ("_is_on", "_most", "_times", "_window_ms", "storms")

    def __init__(self, most: int, window_ms: int) -> None:
        self._most = most
        self._window_ms = window_ms
        self._times: list[int] = []  # of the newest `most` + 1, ascending
        self._is_on = False
        self.storms = 0

    def is_on(self, now_ms: int) -> bool:
        """Whether a storm goes on, epoch ms of event time."""
        return self._is_on and self._within(now_ms) > self._most // 2

    def meet(self, severity: str, step: str, now_ms: int) -> dict[str, bool]:
        """Counts a flag.

        Args:
            severity: the flag's.
            step: what it does to its case: `opened`, `worsened` or `updated`.
            now_ms: event time, epoch ms.

        Returns:
            What is to stand in its record: `storm` during one, `paged` where it must not page.
        """
        was_on = self._is_on = self.is_on(now_ms)
        if severity == "high" and step != "updated":
            times = self._times
            times.append(max(now_ms, times[-1]) if times else now_ms)
            del times[: -self._most - 1]
            if not was_on and self._within(now_ms) > self._most:
                self._is_on = True
                self.storms += 1
        if not self._is_on:
            return {}
        return {"storm": True, "paged": False} if was_on and severity == "high" else {"storm": True}

    def clear(self) -> None:
        """Counts from nothing again."""
        self._times, self._is_on, self.storms = [], False, 0

    def save(self) -> dict[str, Any]:
        """What it has counted, JSON-able."""
        return {"times": list(self._times), "is_on": self._is_on, "storms": self.storms}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what another one had counted; limit and window may differ.

        Raises:
            ValueError, TypeError, LookupError: it is not what `save` gives.
        """
        times = sorted(int(each) for each in saved["times"])
        self._times = times[-self._most - 1 :]
        self._is_on, self.storms = bool(saved["is_on"]), int(saved["storms"])

    def _within(self, now_ms: int) -> int:
        """Flags counted within the window up to now."""
        times = self._times
        newest_ms = max(now_ms, times[-1]) if times else now_ms
        return len(times) - bisect_right(times, newest_ms - self._window_ms)
