"""What comes from the topics goes into the tables, together with how far they were read.

Knows how flags, decisions and accounts change the cases. Applying a record again changes nothing,
so a topic may be read anew at any time. Does not know Kafka, and reads nothing for pages
(`queries`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from detector.console.database import Database, chunks
from detector.console.intake import AccountRecord, DecisionRecord, FlagRecord
from detector.console.schema import accounts, cases, decisions, evidence, flags, leads, offsets
from detector.console.standing import Ranks, standing

DECISIONS_READ = 200
"""Decisions of one case that are looked at: the newest."""

_FLAG_COLUMNS = [column.name for column in flags.columns]
_DELETED_AT_ONCE = 500

Row = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Records read together.

    Attributes:
        offsets: (topic, partition) → (the topic's id, the offset to be read next).
    """

    flags: list[FlagRecord] = field(default_factory=list)
    decisions: list[DecisionRecord] = field(default_factory=list)
    accounts: list[AccountRecord] = field(default_factory=list)
    offsets: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)


class Store:
    """Applies batches, lets time pass, forgets.

    Args:
        database: where to.
        expire_ms: a case to which nothing has happened for so long is no longer in the queue.
        keep_ms: after so long it is forgotten.
    """

    def __init__(self, database: Database, expire_ms: int, keep_ms: int) -> None:
        self._database = database
        self._expire_ms = expire_ms
        self._keep_ms = keep_ms
        self._changes = 0
        self._started_ns = time.time_ns()
        self._orphans: bool | None = None

    @property
    def revision(self) -> str:
        """Changes whenever anything in the queue may have changed."""
        return f"{self._started_ns:x}-{self._changes}"

    def positions(self) -> dict[tuple[str, int], tuple[str, int]]:
        """How far each partition was read, as in `Batch.offsets`."""
        with self._database.engine.connect() as at:
            return {
                (row.topic, row.partition): (row.topic_id, row.next_offset)
                for row in at.execute(select(offsets))
            }

    def apply(self, batch: Batch, now_ms: int) -> int:
        """Applies a batch, and remembers how far it reaches, in one transaction.

        Returns:
            The flags and decisions that were not there before.
        """
        with self._database.write() as at:
            new_flags = self._new_flags(at, batch.flags)
            asked = self._enter(at, new_flags)
            new = self._new_decisions(at, batch.decisions)
            self._database.add(at, decisions, [each._asdict() for each in new])
            asked |= {each.case_id for each in new if each.case_id}
            asked |= self._adopt(at, new_flags)
            self._settle(at, asked, now_ms)
            self._rate(at, batch.accounts)
            self._database.upsert(
                at, offsets,
                [
                    {"topic": topic, "partition": number, "topic_id": topic_id, "next_offset": end}
                    for (topic, number), (topic_id, end) in batch.offsets.items()
                ],
            )  # fmt: skip
        if new_flags or new:
            self._changes += 1
        return len(new_flags) + len(new)

    def sweep(self, now_ms: int) -> None:
        """Ends snoozes, lets cases expire, and forgets what is too old."""
        with self._database.write() as at:
            changed = at.execute(
                update(cases)
                .where(cases.c.state == "snoozed", cases.c.until_ms <= now_ms)
                .values(state="open", until_ms=None)
            ).rowcount
            changed += at.execute(
                update(cases)
                .where(
                    cases.c.state.in_(("open", "snoozed")),
                    cases.c.changed_ms < now_ms - self._expire_ms,
                )
                .values(state="expired")
            ).rowcount
            old = select(cases.c.case_id).where(cases.c.changed_ms < now_ms - self._keep_ms)
            gone = at.execute(old.limit(_DELETED_AT_ONCE)).scalars().all()
            for table in (flags, decisions, evidence, leads, cases):
                at.execute(delete(table).where(table.c.case_id.in_(gone)))
            at.execute(
                delete(decisions).where(
                    decisions.c.arrived_ms < now_ms - self._keep_ms,
                    decisions.c.case_id.not_in(select(cases.c.case_id)),
                )
            )
        if changed or gone:
            self._changes += 1

    def forget_everything(self) -> None:
        """After the database was made anew."""
        self._changes += 1
        self._orphans = None

    # -- flags ------------------------------------------------------------------------------------

    def _new_flags(self, at: Connection, read: Sequence[FlagRecord]) -> list[FlagRecord]:
        by_id = {each.flag_id: each for each in reversed(read)}
        for some in chunks(list(by_id)):
            known = at.execute(select(flags.c.flag_id).where(flags.c.flag_id.in_(some)))
            for flag_id in known.scalars():
                del by_id[flag_id]
        return list(reversed(by_id.values()))

    def _enter(self, at: Connection, new: Sequence[FlagRecord]) -> set[str]:
        """Writes flags and the cases they belong to; the cases that may now stand elsewhere."""
        if not new:
            return set()
        self._database.add(
            at, flags, [{name: getattr(each, name) for name in _FLAG_COLUMNS} for each in new]
        )
        by_case: defaultdict[str, list[FlagRecord]] = defaultdict(list)
        for each in new:
            by_case[each.case_id].append(each)
        rows = _find_cases(at, by_case)
        asked = {case_id for case_id in by_case
                 if case_id not in rows or rows[case_id]["state"] != "open"}  # fmt: skip
        leading: dict[str, FlagRecord] = {}
        for case_id, members in by_case.items():
            row = rows.setdefault(case_id, _opened(members[0]))
            leading.update((case_id, each) for each in members if _add_flag(row, each))
        self._database.upsert(at, cases, list(rows.values()))
        self._database.upsert(
            at, leads, [{"case_id": key, "flag": flag.raw} for key, flag in leading.items()]
        )
        return asked

    # -- decisions --------------------------------------------------------------------------------

    def _new_decisions(
        self, at: Connection, read: Sequence[DecisionRecord]
    ) -> list[DecisionRecord]:
        """Those not known yet, each with its case as far as its flag is known."""
        by_id = {each.decision_id: each for each in read}
        for some in chunks(list(by_id)):
            known = select(decisions.c.decision_id).where(decisions.c.decision_id.in_(some))
            for decision_id in at.execute(known).scalars():
                del by_id[decision_id]
        case_of: dict[str, str] = {}
        for some in chunks([each.flag_id for each in by_id.values() if not each.case_id]):
            named = select(flags.c.flag_id, flags.c.case_id).where(flags.c.flag_id.in_(some))
            case_of.update((row.flag_id, row.case_id) for row in at.execute(named))
        new = [
            each if each.case_id else each._replace(case_id=case_of.get(each.flag_id, ""))
            for each in by_id.values()
        ]
        if any(not each.case_id for each in new):
            self._orphans = True
        return new

    def _adopt(self, at: Connection, new: Sequence[FlagRecord]) -> set[str]:
        """Gives decisions that were read before their flag to its case; the cases."""
        if self._orphans is None:
            orphan = select(decisions.c.decision_id).where(decisions.c.case_id == "").limit(1)
            self._orphans = at.execute(orphan).first() is not None
        if not self._orphans:
            return set()
        case_of = {each.flag_id: each.case_id for each in new}
        adopted = set()
        for some in chunks(list(case_of)):
            waiting = select(decisions.c.decision_id, decisions.c.flag_id).where(
                decisions.c.flag_id.in_(some), decisions.c.case_id == ""
            )
            for row in at.execute(waiting).all():
                case_id = case_of[row.flag_id]
                of = decisions.c.decision_id == row.decision_id
                at.execute(update(decisions).where(of).values(case_id=case_id))
                adopted.add(case_id)
        return adopted

    def _settle(self, at: Connection, case_ids: Iterable[str], now_ms: int) -> None:
        """Finds out where cases stand that anything happened to."""
        rows = _find_cases(at, case_ids)
        by_case = _find_decisions(at, list(rows))
        for case_id, row in rows.items():
            made = by_case[case_id]
            ranks = Ranks(row["medium_ms"], row["high_ms"])
            row.update(standing(made, ranks, row["rank"], now_ms)._asdict())
            row["version"] = row["flags"] + len(made)
            row["changed_ms"] = max([row["changed_ms"], *(each.arrived_ms for each in made)])
        self._database.upsert(at, cases, list(rows.values()))

    # -- accounts ---------------------------------------------------------------------------------

    def _rate(self, at: Connection, read: Sequence[AccountRecord]) -> None:
        newest = {(each.subject_type, each.subject_id): each for each in read}
        self._database.upsert(at, accounts, [each._asdict() for each in newest.values()])


def summed(at: Connection, state: str = "open") -> dict[tuple[str, int], tuple[int, int]]:
    """(kind, rank) → (how many live cases stand so, the oldest one's arrival in epoch ms)."""
    query = (
        select(cases.c.kind, cases.c.rank, func.count(), func.min(cases.c.arrived_ms))
        .where(cases.c.state == state, ~cases.c.is_shadow)
        .group_by(cases.c.kind, cases.c.rank)
    )
    return {(kind, rank): (count, oldest) for kind, rank, count, oldest in at.execute(query)}


def _find_cases(at: Connection, case_ids: Iterable[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for some in chunks(list(case_ids)):
        query = select(cases).where(cases.c.case_id.in_(some))
        found.update((row["case_id"], dict(row)) for row in at.execute(query).mappings())
    return found


def _find_decisions(at: Connection, case_ids: Sequence[str]) -> defaultdict[str, list[Any]]:
    by_case: defaultdict[str, list[Any]] = defaultdict(list)
    for some in chunks(case_ids):
        query = (
            select(decisions)
            .where(decisions.c.case_id.in_(some))
            .order_by(decisions.c.arrived_ms.desc())
        )
        for row in at.execute(query):
            if len(by_case[row.case_id]) < DECISIONS_READ:
                by_case[row.case_id].append(row)
    return by_case


def _opened(flag: FlagRecord) -> Row:
    """A case before its first flag was added."""
    return {
        "case_id": flag.case_id, "kind": flag.kind, "subject_type": flag.subject_type,
        "subject_id": flag.subject_id, "is_shadow": flag.is_shadow, "is_paged": flag.is_paged,
        "lead_id": flag.flag_id, "lead_ms": -1, "rank": -1, "score": flag.score,
        "opened_ms": flag.event_time_ms, "last_ms": flag.event_time_ms,
        "arrived_ms": flag.arrived_ms, "medium_ms": None, "high_ms": None,
        "flagged_ms": flag.arrived_ms, "changed_ms": flag.arrived_ms, "flags": 0, "version": 0,
        "state": "open", "is_unclear": False, "owner": "", "until_ms": None,
    }  # fmt: skip


def _add_flag(row: Row, flag: FlagRecord) -> bool:
    """Adds a flag to its case; whether it speaks for it from now on."""
    arrived_ms = flag.arrived_ms
    row["opened_ms"] = min(row["opened_ms"], flag.event_time_ms)
    row["last_ms"] = max(row["last_ms"], flag.event_time_ms)
    row["arrived_ms"] = min(row["arrived_ms"], arrived_ms)
    row["flagged_ms"] = max(row["flagged_ms"], arrived_ms)
    row["changed_ms"] = max(row["changed_ms"], arrived_ms)
    for rank, name in ((1, "medium_ms"), (2, "high_ms")):
        if flag.rank >= rank:
            row[name] = arrived_ms if row[name] is None else min(row[name], arrived_ms)
    row["flags"] += 1
    row["version"] += 1
    if (flag.rank, arrived_ms, flag.flag_id) <= (row["rank"], row["lead_ms"], row["lead_id"]):
        return False
    row["rank"], row["score"], row["is_paged"] = flag.rank, flag.score, flag.is_paged
    row["lead_id"], row["lead_ms"] = flag.flag_id, arrived_ms
    return True
