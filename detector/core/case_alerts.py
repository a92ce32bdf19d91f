"""Which cases somebody is to be told of now: grave, not judged, not over.

Made of committed flags and verdicts alone, in whatever order the two are read, so that whoever
reads both again knows the same. Knows no clock, and not how anybody is told.

A case is told of from its first high flag on, unless a storm kept that flag from paging, until
somebody judges it or nothing high was written in it for `lasts_ms`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from detector.core.generations import Generations
from detector.core.verdict import Verdict

_REMEMBERED = 100_000
"""Flags, and judged cases, remembered at most: about 200 bytes each."""

_FOR_GOOD = 2**63


class CaseAlert(NamedTuple):
    """One case to be told of; times are epoch ms.

    Attributes:
        flag: the newest high flag of the case, as it was written.
        since_ms: when its first high flag was written.
        until_ms: when it is over, unless something new is written.
    """

    flag: dict[str, Any]
    since_ms: int
    until_ms: int


class CaseAlerts:
    """The cases to be told of.

    Args:
        lasts_ms: after the event of its newest high flag a case is over.
        lives_ms: how long a case can go on being written of, >= `lasts_ms`; what is older need not
            be told of it.
        most: cases at most; beyond, the one whose newest high flag is the oldest is dropped.

    Attributes:
        active: case id → alert.
        version: another number whenever `active` is another.
        dropped: cases dropped for want of room.

    >>> flag = {"flag_id": "f_1", "case_id": "c_1", "event_id": "e_1", "kind": "minor",
    ...         "severity": "high", "event_time": 5_000, "detector": {"shadow": False}}
    >>> cases = CaseAlerts(lasts_ms=1_000, lives_ms=9_000, most=10)
    >>> cases.add_flag(flag, written_ms=5_050, now_ms=5_060)
    >>> list(cases.active), cases.active["c_1"].until_ms
    (['c_1'], 6000)
    >>> verdict = Verdict("f_1", None, "confirmed", "minor", "r1", 5_400, None)
    >>> cases.add_verdict(verdict, written_ms=5_500)
    >>> cases.active, cases.is_over("c_1")
    ({}, True)
    """

    def __init__(self, lasts_ms: int, lives_ms: int, most: int) -> None:
        self._lasts_ms = lasts_ms
        self._most = most
        self.active: dict[str, CaseAlert] = {}
        self.version = 0
        self.dropped = 0
        # What a verdict may name (a flag, or an event and a kind) → its case, whether it is high.
        self._flags = Generations[tuple[str, bool]](_REMEMBERED, lives_ms)
        self._verdicts = Generations[int](_REMEMBERED, lives_ms)  # the same → when it was judged
        self._since = Generations[int](_REMEMBERED, lives_ms)  # case → its first high flag
        self._over = Generations[int](_REMEMBERED, lives_ms)  # case → flags since then are news

    def add_flag(self, flag: dict[str, Any], written_ms: int, now_ms: int) -> None:
        """Takes in a committed flag.

        Args:
            flag: the record.
            written_ms: when it was written, epoch ms.
            now_ms: epoch ms; a case that is over by then is not told of.

        Raises:
            KeyError, TypeError: it is no flag.
        """
        if flag["detector"]["shadow"]:
            return
        case_id, is_high = str(flag["case_id"]), flag["severity"] == "high"
        for name in (str(flag["flag_id"]), f"{flag['event_id']}|{flag['kind']}"):
            self._flags.put(name, (case_id, is_high), written_ms)
            judged_ms = self._verdicts.get(name)
            if judged_ms is not None:
                self._judge(case_id, is_high, judged_ms)
        if not is_high:
            return
        since_ms = self._since.get(case_id)
        if since_ms is None:
            since_ms = written_ms
            self._since.put(case_id, since_ms, written_ms)
            if flag.get("paged") is False:
                self._over.put(case_id, _FOR_GOOD, written_ms)
        if (self._over.get(case_id) or 0) > since_ms:
            return
        until_ms = int(flag["event_time"]) + self._lasts_ms
        if case_id in self.active:
            until_ms = max(until_ms, self.active[case_id].until_ms)
        if until_ms <= now_ms:
            return
        self.active[case_id] = CaseAlert(flag, since_ms, until_ms)
        self.version += 1
        if len(self.active) > self._most:
            self._drop_one(written_ms)

    def add_verdict(self, verdict: Verdict, written_ms: int) -> None:
        """Takes in a verdict; an unclear one judges nothing.

        Args:
            verdict: the record.
            written_ms: when it was written, epoch ms.
        """
        if verdict.judgement == "unclear":
            return
        name = verdict.flag_id or f"{verdict.event_id}|{verdict.kind}"
        self._verdicts.put(name, written_ms, written_ms)
        found = self._flags.get(name)
        if found is not None:
            self._judge(*found, written_ms)

    def expire(self, now_ms: int) -> None:
        """Leaves out what is over by now, epoch ms."""
        for case_id in [id for id, alert in self.active.items() if alert.until_ms <= now_ms]:
            self._end(case_id)

    def is_over(self, case_id: str) -> bool:
        """Whether a case is known not to be told of any more; False of one never heard of."""
        return case_id not in self.active and case_id in self._over

    def _judge(self, case_id: str, is_high: bool, judged_ms: int) -> None:
        """A verdict on a high flag holds for its case for good; on another, until it worsens."""
        over_ms = max(_FOR_GOOD if is_high else judged_ms, self._over.get(case_id) or 0)
        self._over.put(case_id, over_ms, judged_ms)
        alert = self.active.get(case_id)
        if alert is not None and over_ms > alert.since_ms:
            self._end(case_id)

    def _drop_one(self, now_ms: int) -> None:
        """Drops the case with the oldest news; more news brings it back."""
        case_id = min(self.active, key=lambda case_id: self.active[case_id].until_ms)
        self._over.put(case_id, self.active[case_id].since_ms, now_ms)
        self._end(case_id)
        self.dropped += 1

    def _end(self, case_id: str) -> None:
        del self.active[case_id]
        self.version += 1
