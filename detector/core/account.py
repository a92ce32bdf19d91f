"""One account's credit as a value: the marks that cases left, and the score that follows from them.

The score is a pure function of the marks, so that one that was wrong is given back in full, with
the recovery it had held up. Knows no flags, no records and no other account; see `credit` for what
costs how much, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal, NamedTuple, get_args

import orjson

Tier = Literal["A", "B", "C", "D"]
TIERS: tuple[Tier, ...] = get_args(Tier)

Status = Literal["open", "confirmed", "missed", "dismissed"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""Of a case: nobody has judged it; it was confirmed; it was, and had never been flagged; it was
found to be nothing."""

START, HIGHEST = 100, 120
WEEK_MS = 7 * 86_400_000
NEVER_MS = 1 << 62
MAX_MARKS = 8
"""Marks an account keeps; those before them are settled as they stand."""


@dataclass(frozen=True, slots=True)
class CreditRules:
    """What the operator sets.

    Attributes:
        recovery_per_week: points that a week without a finding gives, > 0.
        open_share: share of a case's points that it costs while nobody has judged it, 0..1.
        tier_a, tier_b, tier_c: scores from which an account is in that tier, descending; the rest
            are in D.
        top_share: share of streamers, by takings, that are looked at as top ones, 0..1 exclusive.
        max_entries: accounts remembered at most.
    """

    recovery_per_week: float
    open_share: float
    tier_a: int
    tier_b: int
    tier_c: int
    top_share: float
    max_entries: int

    @property
    def idle_ms(self) -> int:
        """Time in which an account recovers from anything: after it there is nothing to remember.

        >>> rules = CreditRules(2.0, 0.5, 100, 80, 60, 0.01, 1000)
        >>> rules.idle_ms / WEEK_MS
        50.0
        """
        return int(START / self.recovery_per_week * WEEK_MS)

    def tier(self, score: int) -> Tier:
        """The tier of a score.

        >>> rules = CreditRules(2.0, 0.5, 100, 80, 60, 0.01, 1000)
        >>> [rules.tier(score) for score in (120, 100, 99, 79, 0)]
        ['A', 'A', 'B', 'C', 'D']
        """
        least = (self.tier_a, self.tier_b, self.tier_c)
        return next((tier for tier, each in zip(TIERS, least, strict=False) if score >= each), "D")


class Mark(NamedTuple):
    """What one case left: its id (empty for a missed one), kind, gravest severity (0 low, 1 medium,
    2 high), points in full (> 0), status, and when it was opened and last written about, epoch ms.
    """

    case_id: str
    kind: str
    rank: int
    points: float
    status: Status
    opened_ms: int
    last_ms: int

    def cost(self, rules: CreditRules) -> float:
        """Points that it takes as it stands, >= 0."""
        if self.status == "dismissed":
            return 0.0
        return self.points * rules.open_share if self.status == "open" else self.points


class Account(NamedTuple):
    """One account.

    Attributes:
        since_ms: when it first lost points, epoch ms.
        base_ms, base_score: what the marks are counted from: 100 when it was first seen, or what
            was left after the last mark that is no longer kept.
        marks: in order of opening, `MAX_MARKS` at most.
        told: whole points of the record last written.
        due_ms: when clean time alone will have raised them, epoch ms; `NEVER_MS` at the top.

    >>> rules = CreditRules(2.0, 0.5, 100, 80, 60, 0.01, 1000)
    >>> account = Account.known_since(0).marked(Mark("c_1", "ring", 2, 8.0, "open", 0, 0), rules)
    >>> [account.score(now_ms, rules) for now_ms in (0, WEEK_MS, 2 * WEEK_MS, 99 * WEEK_MS)]
    [96.0, 98.0, 100.0, 120.0]
    """

    since_ms: int
    base_ms: int
    base_score: float
    marks: tuple[Mark, ...]
    told: int
    due_ms: int

    @classmethod
    def known_since(cls, first_ms: int) -> Account:
        """An account without marks, known since then, epoch ms."""
        return cls(0, first_ms, float(START), (), START, NEVER_MS)

    def score(self, now_ms: int, rules: CreditRules) -> float:
        """Points at a time, 0..120; not before the newest mark."""
        score, clean_ms = self._settled(self.marks, rules)
        return _recovered(score, now_ms - clean_ms, rules)

    def marked(self, mark: Mark, rules: CreditRules) -> Account:
        """With one more mark, or another state of the one of its case.

        A case opened before the newest one counts as opened with it. Where there are too many, the
        oldest is settled as it stands.
        """
        for index, known in enumerate(self.marks):
            if mark.case_id and known.case_id == mark.case_id:
                return self.replaced(index, mark)
        if not self.marks:
            return self._replace(since_ms=self.since_ms or mark.opened_ms, marks=(mark,))
        opened_ms = max(mark.opened_ms, self.marks[-1].opened_ms)
        mark = mark._replace(opened_ms=opened_ms, last_ms=max(opened_ms, mark.last_ms))
        if len(self.marks) < MAX_MARKS:
            return self._replace(marks=(*self.marks, mark))
        score, clean_ms = self._settled(self.marks[:1], rules)
        return self._replace(base_score=score, base_ms=clean_ms, marks=(*self.marks[1:], mark))

    def replaced(self, index: int, mark: Mark) -> Account:
        """With another mark in place of the one at an index."""
        return self._replace(marks=(*self.marks[:index], mark, *self.marks[index + 1 :]))

    def mark_told(self, now_ms: int, rules: CreditRules) -> Account:
        """After a record of its score at a time was written."""
        score = self.score(now_ms, rules)
        told = whole(score)
        if told >= HIGHEST:
            return self._replace(told=told, due_ms=NEVER_MS)
        missing = max(0.0, told + 1 - score)
        clean_ms = self._settled(self.marks, rules)[1]
        from_ms = max(now_ms, clean_ms)
        return self._replace(
            told=told, due_ms=from_ms + ceil(missing / rules.recovery_per_week * WEEK_MS)
        )

    def _settled(self, marks: tuple[Mark, ...], rules: CreditRules) -> tuple[float, int]:
        """Points after some marks, and since when the time is clean."""
        score, clean_ms = self.base_score, self.base_ms
        for mark in marks:
            if mark.status != "dismissed":
                score = _recovered(score, mark.opened_ms - clean_ms, rules)
                score = max(0.0, score - mark.cost(rules))
                clean_ms = max(clean_ms, mark.last_ms)
        return score, clean_ms

    def save(self) -> bytes:
        """As a JSON list."""
        return orjson.dumps((*self[:3], [tuple(mark) for mark in self.marks], *self[4:]))

    @classmethod
    def load(cls, saved: bytes) -> Account:
        """The inverse of `save`.

        Raises:
            ValueError, TypeError: it is something else.

        >>> rules = CreditRules(2.0, 0.5, 100, 80, 60, 0.01, 1000)
        >>> mark = Mark("c_1", "ring", 2, 8.0, "open", 7, 9)
        >>> account = Account.known_since(5).marked(mark, rules)
        >>> Account.load(account.save()) == account
        True
        """
        account = cls._make(orjson.loads(saved))
        return account._replace(marks=tuple(map(Mark._make, account.marks)))


def whole(score: float) -> int:
    """Whole points of a score; rounding errors of a sum do not cost one."""
    return floor(score + 1e-6)


def _recovered(score: float, clean_ms: int, rules: CreditRules) -> float:
    return min(float(HIGHEST), score + rules.recovery_per_week * max(0, clean_ms) / WEEK_MS)
