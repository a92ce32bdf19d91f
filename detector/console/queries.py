"""What the pages show, as it stands in the tables.

Knows how to ask for it, and gives the records of `model`. Changes nothing, but for keeping evidence
that was read once.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import and_, delete, func, or_, select, tuple_

from detector.console.database import Database
from detector.console.model import (
    AccountView,
    Decision,
    FlagView,
    QueueFilter,
    QueueRow,
)
from detector.console.schema import accounts, cases, decisions, evidence, flags, leads
from detector.console.store import DECISIONS_READ
from detector.core.reasons import SEVERITIES

FLAGS_SHOWN = 200
EARLIER_SHOWN = 20
_EVIDENCE_KEPT = 1_000

_CASES = select(cases, leads.c.flag).join(leads, leads.c.case_id == cases.c.case_id)

_ORDER = (cases.c.rank, cases.c.score, cases.c.last_ms, cases.c.case_id)
"""Worst first: severity, score, then what is newest."""


class Queries:
    """Asks the database.

    Args:
        database: which.
        page_rows: rows on a page of the queue.
    """

    def __init__(self, database: Database, page_rows: int) -> None:
        self._database = database
        self.page_rows = page_rows

    def queue(
        self, asked: QueueFilter, user: str, seen_ms: int
    ) -> tuple[tuple[QueueRow, ...], int, int]:
        """(a page of the queue, cases in all, how many of those changed after `seen_ms`).

        Args:
            asked: the filter; a page beyond the last is empty.
            user: who asks, for `mine`.
            seen_ms: when who asks last looked, epoch ms.
        """
        where = _conditions(asked, user)
        page = (
            _CASES.where(where)
            .order_by(*(column.desc() for column in _ORDER))
            .limit(self.page_rows)
            .offset((asked.page - 1) * self.page_rows)
        )
        news = func.sum((cases.c.changed_ms > seen_ms).cast(cases.c.flags.type))
        with self._database.engine.connect() as at:
            rows = tuple(_queue_row(row, seen_ms) for row in at.execute(page))
            total, new = at.execute(select(func.count(), news).where(where)).one()
        return rows, total, int(new or 0)

    def case(self, case_id: str, seen_ms: int = 0) -> tuple[QueueRow, bytes] | None:
        """A case and its leading flag as it stands in Kafka; None where it is not known."""
        with self._database.engine.connect() as at:
            row = at.execute(_CASES.where(cases.c.case_id == case_id)).first()
        return None if row is None else (_queue_row(row, seen_ms), row.flag)

    def flags(self, case_id: str) -> tuple[FlagView, ...]:
        """The flags of a case, the newest first."""
        query = (
            select(flags)
            .where(flags.c.case_id == case_id)
            .order_by(flags.c.arrived_ms.desc(), flags.c.event_time_ms.desc())
            .limit(FLAGS_SHOWN)
        )
        with self._database.engine.connect() as at:
            return tuple(
                FlagView(
                    row.flag_id, row.event_id, row.event_time_ms, row.arrived_ms,
                    SEVERITIES[row.rank], row.score, row.is_update,
                )
                for row in at.execute(query)
            )  # fmt: skip

    def decisions(self, case_id: str) -> tuple[Decision, ...]:
        """What was done to a case, the newest first."""
        query = (
            select(decisions)
            .where(decisions.c.case_id == case_id)
            .order_by(decisions.c.arrived_ms.desc(), decisions.c.decision_id.desc())
            .limit(DECISIONS_READ)
        )
        undone, shown = 0, []
        with self._database.engine.connect() as at:
            for row in at.execute(query):
                is_verdict = row.act in ("confirmed", "false_positive", "unclear")
                is_undone = is_verdict and undone > 0
                undone += (row.act == "undo") - is_undone
                shown.append(
                    Decision(
                        row.act,
                        row.at_ms,
                        row.by,
                        row.note,
                        row.until_ms,
                        row.to,
                        row.flag_id,
                        is_undone,
                    )
                )
        return tuple(shown)

    def earlier(self, row: QueueRow) -> tuple[QueueRow, ...]:
        """Other cases of the same subject, the newest first."""
        query = (
            _CASES.where(
                cases.c.subject_type == row.subject_type,
                cases.c.subject_id == row.subject_id,
                cases.c.case_id != row.case_id,
                cases.c.is_shadow == row.is_shadow,
            )
            .order_by(cases.c.last_ms.desc())
            .limit(EARLIER_SHOWN)
        )
        with self._database.engine.connect() as at:
            return tuple(_queue_row(each, 0) for each in at.execute(query))

    def account(self, subject_type: str, subject_id: str) -> AccountView | None:
        """The credit record of an account; None if it never lost points."""
        query = select(accounts.c.record).where(
            accounts.c.subject_type == subject_type, accounts.c.subject_id == subject_id
        )
        with self._database.engine.connect() as at:
            found = at.execute(query).scalar()
        if found is None:
            return None
        record = orjson.loads(found)
        return AccountView(
            record["score"], record["tier"], record["is_top"], record["attention"],
            record["since"], record["updated_at"],
            tuple(
                (each["at"], each["points"], each["kind"], each["text"])
                for each in record["reasons"]
            ),
        )  # fmt: skip

    def neighbours(self, row: QueueRow) -> tuple[str, str]:
        """The case ids before and after it in the open queue; empty where there is none."""
        mine = (SEVERITIES.index(row.severity), row.score, row.last_ms, row.case_id)
        here = tuple_(*_ORDER)
        is_open = and_(cases.c.state == "open", ~cases.c.is_shadow)
        before = select(cases.c.case_id).where(is_open, here > mine).order_by(*_ORDER).limit(1)
        after = (
            select(cases.c.case_id)
            .where(is_open, here < mine)
            .order_by(*(column.desc() for column in _ORDER))
            .limit(1)
        )
        with self._database.engine.connect() as at:
            return at.execute(before).scalar() or "", at.execute(after).scalar() or ""

    def kept_evidence(self, case_id: str, flags: int, since_ms: int) -> bytes | None:
        """Evidence read since then, while the case had so many flags; None where there is none."""
        query = select(evidence.c.body).where(
            evidence.c.case_id == case_id,
            evidence.c.flags == flags,
            evidence.c.made_ms >= since_ms,
        )
        with self._database.engine.connect() as at:
            return at.execute(query).scalar()

    def keep_evidence(self, case_id: str, flags: int, body: bytes, now_ms: int) -> None:
        """Keeps it; the oldest are let go."""
        row = {"case_id": case_id, "flags": flags, "made_ms": now_ms, "body": body}
        with self._database.write() as at:
            self._database.upsert(at, evidence, [row])
            newest = select(evidence.c.made_ms).order_by(evidence.c.made_ms.desc())
            oldest_ms = at.execute(newest.offset(_EVIDENCE_KEPT).limit(1)).scalar()
            if oldest_ms is not None:
                at.execute(delete(evidence).where(evidence.c.made_ms <= oldest_ms))


def _conditions(asked: QueueFilter, user: str) -> Any:
    conditions = [cases.c.is_shadow == asked.is_shadow, *_state(asked.state, user)]
    if asked.kind:
        conditions.append(cases.c.kind == asked.kind)
    if asked.severity:
        conditions.append(cases.c.rank == SEVERITIES.index(asked.severity))
    subjects = [("streamer", asked.streamer), ("tipper", asked.tipper)]
    wanted = [
        and_(cases.c.subject_type == kind, cases.c.subject_id == found)
        for kind, found in subjects
        if found
    ]
    if wanted:
        conditions.append(or_(*wanted))
    if asked.since_ms is not None:
        conditions.append(cases.c.last_ms >= asked.since_ms)
    if asked.until_ms is not None:
        conditions.append(cases.c.last_ms < asked.until_ms)
    return and_(*conditions)


def _state(state: str, user: str) -> list[Any]:
    if state == "all":
        return []
    if state == "closed":
        return [cases.c.state.in_(("confirmed", "false_positive"))]
    if state in ("snoozed", "expired"):
        return [cases.c.state == state]
    is_open = cases.c.state == "open"
    if state == "unclear":
        return [is_open, cases.c.is_unclear]
    return [is_open, cases.c.owner == user] if state == "mine" else [is_open]


def _queue_row(row: Any, seen_ms: int) -> QueueRow:
    lead = orjson.loads(row.flag)
    reason = lead["reasons"][0]
    return QueueRow(
        case_id=row.case_id,
        kind=row.kind,
        severity=SEVERITIES[row.rank],
        score=row.score,
        action=lead.get("action", "none"),
        state=row.state,
        subject_type=row.subject_type,
        subject_id=row.subject_id,
        sentence=reason["text"],
        observed=reason["observed"],
        usual=reason["usual"],
        limit=reason["limit"],
        unit=reason["unit"],
        opened_ms=row.opened_ms,
        last_ms=row.last_ms,
        arrived_ms=row.arrived_ms,
        changed_ms=row.changed_ms,
        flags=row.flags,
        version=row.version,
        is_unclear=row.is_unclear,
        is_paged=row.is_paged,
        is_new=row.changed_ms > seen_ms,
        is_shadow=row.is_shadow,
        owner=row.owner,
        until_ms=row.until_ms,
        flag_id=row.lead_id,
    )
