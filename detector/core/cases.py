"""Cases: the flags of one kind on one subject that belong together.

A case opens with its first flag and lives until `cool_down_ms` of event time have passed without
another finding. A finding in an open case is written only when it says something new: the case
worsens (its severity rises), its main figure has doubled, other rules were broken or the same ones
on another day, or the finding is a hard fact of its own (each tip of a declared minor). Only
opening and worsening are worth a page.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import orjson

from detector.core.generations import Generations
from detector.core.reasons import SEVERITIES


class Case(NamedTuple):
    """An open case: its id, last finding, gravest severity (0 low, 1 medium, 2 high), and the news
    and main figure that were last written."""

    case_id: str
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

        >>> case = Case("c_1", 1772380802272, 2, "night_limit", 0.1)
        >>> Case.load(case.save()) == case
        True
        """
        return cls._make(orjson.loads(saved))


class Opened(NamedTuple):
    """What a finding did to its case. `step` is `opened`, `worsened`, `updated` or `silent`."""

    case_id: str
    step: str


class Cases:
    """The open cases of one engine.

    Args:
        cool_down_ms: event time without a finding after which a case is closed.
        max_entries: cases remembered at most.

    Attributes:
        open: `kind|subject type|subject id` → case; all but those dropped by `turned_by_size` had
            cooled down.

    >>> cases = Cases(cool_down_ms=1000)
    >>> steps = [("low", 5.0, 0), ("low", 6.0, 10), ("high", 6.0, 20), ("low", 5.0, 5000)]
    >>> [cases.add("binge", "tipper", "t1", severity, "", figure, f"e{at_ms}", at_ms, False).step
    ...  for severity, figure, at_ms in steps]
    ['opened', 'silent', 'worsened', 'opened']
    """

    def __init__(self, cool_down_ms: int, max_entries: int = 200_000) -> None:
        self._cool_down_ms = cool_down_ms
        self.open: Generations[Case] = Generations(max_entries, cool_down_ms)

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
        key = f"{kind}|{subject_type}|{subject_id}"
        rank = SEVERITIES.index(severity)
        case = self.open.get(key)
        if case is None or now_ms - case.last_ms > self._cool_down_ms:
            case_id = "c_" + identity(key, event_id)
            self.open.put(key, Case(case_id, now_ms, rank, news, figure), now_ms)
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
            case = Case(case.case_id, last_ms, max(rank, case.rank), news, figure)
        self.open.put(key, case, now_ms)
        return Opened(case.case_id, step)


def identity(*parts: str) -> str:
    """A stable 128-bit id of some texts, as 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return digest.hexdigest()
