"""Cases: the flags of one kind on one subject that belong together.

A case opens with its first flag and lives until `cool_down_ms` of event time have passed without
another finding, but no longer than `max_age_ms`: what goes on for longer becomes a new case, so
that somebody looks at it again. A finding in an open case is written only when it says something
new: the case worsens (its severity rises), its main figure has doubled, other rules were broken or
the same ones on another day, or the finding is a hard fact of its own (each tip of a declared
minor). Only opening and worsening are worth a page.

A subject can be snoozed for one kind of case, say since a reviewer found that there is nothing to
it: until then its findings are only counted, unless one is graver than what was snoozed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from detector.core.generations import Generations
from detector.core.reasons import SEVERITIES

_SNOOZE_MS = 90 * 86_400_000
"""The longest snooze: as long as flags are kept."""

_MEDIUM = SEVERITIES.index("medium")


class Case(NamedTuple):
    """An open case: its id, first and last finding, gravest severity (0 low, 1 medium, 2 high), and
    the news and main figure that were last written."""

    case_id: str
    opened_ms: int
    last_ms: int
    rank: int
    news: str
    figure: float

    def save(self) -> bytes:
        """The case as a JSON list."""
        return orjson.dumps(tuple(self))

    @classmethod
    def load(cls, saved: bytes) -> Case:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> case = Case("c_1", 1772380800000, 1772380802272, 2, "night_limit", 0.1)
        >>> Case.load(case.save()) == case
        True
        """
        return cls._make(orjson.loads(saved))


class Snooze(NamedTuple):
    """Until when (epoch ms) findings up to a severity (as in `Case`) are not written."""

    until_ms: int
    rank: int

    def save(self) -> bytes:
        """The snooze as a JSON list."""
        return orjson.dumps(tuple(self))

    @classmethod
    def load(cls, saved: bytes) -> Snooze:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> Snooze.load(Snooze(1772380802272, 1).save())
        Snooze(until_ms=1772380802272, rank=1)
        """
        return cls._make(orjson.loads(saved))


class Opened(NamedTuple):
    """What a finding did to its case. `step` is `opened`, `worsened`, `updated`, `silent` or
    `snoozed`; snoozed ones belong to no case."""

    case_id: str
    step: str


class Cases:
    """The open cases of one engine.

    Args:
        cool_down_ms: event time without a finding after which a case is closed.
        max_age_ms: event time after which it is closed in any case.
        max_entries: cases, and snoozes, remembered at most.
        snoozes: somebody else's, to be heeded; None for its own.
        prefix: what its cases' ids begin with.

    Attributes:
        open: `kind|subject type|subject id` → case; all but those dropped by `turned_by_size` had
            cooled down.
        snoozes: the same → snooze; some are over.
        standing: the same, as the operator's settings have them: never saved, heeded besides.
        snoozed: findings that were not written since their subject was snoozed.

    >>> cases = Cases(cool_down_ms=1000, max_age_ms=10_000)
    >>> steps = [("low", 5.0, 0), ("low", 6.0, 10), ("high", 6.0, 20), ("low", 5.0, 5000)]
    >>> [cases.add("binge", "tipper", "t1", severity, "", figure, f"e{at_ms}", at_ms, False).step
    ...  for severity, figure, at_ms in steps]
    ['opened', 'silent', 'worsened', 'opened']
    """

    def __init__(
        self, cool_down_ms: int, max_age_ms: int, max_entries: int = 200_000,
        snoozes: Generations[Snooze] | None = None, prefix: str = "c_",
    ) -> None:  # fmt: skip
        self._cool_down_ms = cool_down_ms
        self._max_age_ms = max_age_ms
        self.open: Generations[Case] = Generations(max_entries, cool_down_ms)
        self.snoozes: Generations[Snooze] = (
            Generations(max_entries, _SNOOZE_MS) if snoozes is None else snoozes
        )
        self.standing: Mapping[str, Snooze] = {}
        self._prefix = prefix
        self.snoozed = 0

    def add(
        self, kind: str, subject_type: str, subject_id: str, severity: str, news: str,
        figure: float, event_id: str, now_ms: int, is_fact: bool,
    ) -> Opened:  # fmt: skip
        """Enters one finding.

        Args:
            kind, subject_type, subject_id: which case it belongs to.
            severity: of this finding.
            news: what it is about; another text than the last written one is news.
            figure: its main figure, > 0; twice the last written one is news.
            event_id: the event that led to it; names the case if it opens one.
            now_ms: event time, epoch ms.
            is_fact: whether the finding is news in itself.
        """
        key = case_key(kind, subject_type, subject_id)
        rank = SEVERITIES.index(severity)
        for snooze in (self.snoozes.get(key), self.standing.get(key)):
            if snooze is not None and now_ms < snooze.until_ms and rank <= snooze.rank:
                self.snoozed += 1
                return Opened("", "snoozed")
        case = self.open.get(key)
        if case is None or self._is_over(case, now_ms):
            case_id = self._prefix + identity(key, event_id)
            self.open.put(key, Case(case_id, now_ms, now_ms, rank, news, figure), now_ms)
            return Opened(case_id, "opened")
        last_ms = max(case.last_ms, now_ms)
        if rank > case.rank:
            step = "worsened"
        elif is_fact or news != case.news or figure >= 2 * case.figure:
            step = "updated"
        else:
            step = "silent"
        if step == "silent":
            case = case._replace(last_ms=last_ms)
        else:
            rank = max(rank, case.rank)
            case = Case(case.case_id, case.opened_ms, last_ms, rank, news, figure)
        self.open.put(key, case, now_ms)
        return Opened(case.case_id, step)

    def snooze(
        self, kind: str, subject_type: str, subject_id: str, until_ms: int, now_ms: int,
        severity: str | None = None,
    ) -> None:  # fmt: skip
        """Leaves findings of one kind on one subject unwritten for a while; replaces a snooze.

        Args:
            kind, subject_type, subject_id: as in `add`.
            until_ms: when it ends, epoch ms of event time: at most 90 days from now; a time that
                has passed ends the one there is.
            now_ms: event time, epoch ms.
            severity: the gravest that is snoozed; None for that of the case, or `medium` where none
                is remembered, so that what is high is always told.

        >>> cases = Cases(cool_down_ms=1000, max_age_ms=10_000)
        >>> cases.snooze("binge", "tipper", "t1", until_ms=500, now_ms=0)
        >>> findings = [("medium", 10), ("high", 20), ("low", 30), ("low", 5000)]
        >>> [cases.add("binge", "tipper", "t1", severity, "", 1.0, f"e{at_ms}", at_ms, False).step
        ...  for severity, at_ms in findings]
        ['snoozed', 'opened', 'snoozed', 'opened']
        """
        key = case_key(kind, subject_type, subject_id)
        case = self.open.get(key)
        if severity is not None:
            rank = SEVERITIES.index(severity)
        else:
            rank = _MEDIUM if case is None else case.rank
        self.snoozes.put(key, Snooze(min(until_ms, now_ms + _SNOOZE_MS), rank), now_ms)

    def save(self) -> dict[str, Any]:
        """What it has counted, JSON-able; `open` and `snoozes` are saved by themselves."""
        return {"snoozed": self.snoozed}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what another one had counted.

        Raises:
            ValueError, TypeError, LookupError: it is not what `save` gives.
        """
        self.snoozed = int(saved["snoozed"])

    def _is_over(self, case: Case, now_ms: int) -> bool:
        return (
            now_ms - case.last_ms > self._cool_down_ms or now_ms - case.opened_ms > self._max_age_ms
        )


def case_key(kind: str, subject_type: str, subject_id: str) -> str:
    """By what cases and snoozes are found."""
    return f"{kind}|{subject_type}|{subject_id}"


def identity(*parts: str) -> str:
    """A stable 128-bit id of some texts, as 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return digest.hexdigest()
