"""Whole cases and whole queue pages, put together from what the parts know.

Knows which part to ask for what. Does not know HTTP (`app`), nor how it looks (`pages`).
"""

from __future__ import annotations

import logging
import time
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import TypeAdapter

from detector.assembly import Assembly
from detector.console.database import Database
from detector.console.evidence import CaseSpan, Frame, make_evidence
from detector.console.export import Exporter
from detector.console.model import (
    UNDO_MS,
    CaseView,
    Channel,
    EvidenceView,
    ExportView,
    Language,
    QueueFilter,
    QueuePage,
    ReasonView,
    User,
)
from detector.console.projection import Projection
from detector.console.queries import Queries
from detector.console.store import Store, summed
from detector.console.tips import Tips, Unreadable
from detector.console.verdicts import undoable
from detector.core.reasons import SEVERITIES
from detector.settings import DAY_MS

log = logging.getLogger(__name__)


_EVIDENCE_HOLDS_MS = 10 * 60_000
_AFTER_MS = DAY_MS
_EVIDENCE: TypeAdapter[EvidenceView] = TypeAdapter(EvidenceView)

Counts = dict[tuple[str, int], tuple[int, int]]


class Casebook:
    """Answers with what the pages show.

    Args:
        assembly: for the sources of rules, the mapping and the currencies.
        database, store, queries, projection: what was read.
        tips: where a subject's events are looked for.
    """

    def __init__(
        self, assembly: Assembly, database: Database, store: Store, queries: Queries,
        projection: Projection, tips: Tips,
    ) -> None:  # fmt: skip
        settings = assembly.settings
        self._database = database
        self._store = store
        self._queries = queries
        self._projection = projection
        self._tips = tips
        self._policy = assembly.policy
        self._evidence_ms = settings.console.evidence_days * DAY_MS
        zone = ZoneInfo(settings.engine.zone)
        self._frame = Frame(assembly.currencies, zone, settings.school.times())
        self._exporter = Exporter(zone, settings.console.pseudonym_key.get_secret_value())
        self._counted: tuple[str, Counts] = ("", {})

    @property
    def revision(self) -> str:
        """Changes whenever anything in the queue may have changed."""
        return self._store.revision

    def open_cases(self) -> Counts:
        """(kind, rank) → (open cases, arrival of the oldest in epoch ms)."""
        revision = self._store.revision
        if self._counted[0] != revision:
            with self._database.engine.connect() as at:
                self._counted = (revision, summed(at))
        return self._counted[1]

    def queue(self, asked: QueueFilter, user: User, seen_ms: int) -> QueuePage:
        """A page of the queue as a user sees it who last looked at `seen_ms`, epoch ms."""
        revision = self._store.revision
        rows, total, new = self._queries.queue(asked, user.name, seen_ms)
        counts = {
            (kind, SEVERITIES[rank]): count
            for (kind, rank), (count, _) in self.open_cases().items()
        }
        return QueuePage(
            filter=asked, rows=rows, counts=counts, total=total,
            pages=max(1, -(-total // self._queries.page_rows)), new=new, revision=revision,
            lag_records=self._projection.lag_records,
            is_rebuilding=self._projection.is_rebuilding,
        )  # fmt: skip

    def case(self, case_id: str, user: User, now_ms: int) -> CaseView | None:
        """All of a case but its events; None where it is not known."""
        found = self._queries.case(case_id)
        if found is None:
            return None
        row, lead = found
        flag = orjson.loads(lead)
        decisions = self._queries.decisions(case_id)
        can_decide = user.role == "reviewer" and not row.is_shadow
        last = undoable(decisions, user.name, now_ms) if can_decide else None
        return CaseView(
            row=row,
            reasons=tuple(self._reason(each, flag) for each in flag["reasons"]),
            features=flag.get("features", {}),
            policy=flag.get("policy", {}),
            detector=flag["detector"].get("version", ""),
            flags=self._queries.flags(case_id),
            decisions=decisions,
            earlier=self._queries.earlier(row),
            account=self._queries.account(row.subject_type, row.subject_id),
            raw=orjson.dumps(flag, option=orjson.OPT_INDENT_2).decode(),
            undo_until_ms=None if last is None else last.at_ms + UNDO_MS,
            neighbours=self._queries.neighbours(row),
            can_decide=can_decide,
        )

    def evidence(self, case: CaseView, now_ms: int) -> EvidenceView:
        """The subject's events around a case: read a while ago, or now."""
        row = case.row
        kept = self._queries.kept_evidence(row.case_id, row.flags, now_ms - _EVIDENCE_HOLDS_MS)
        if kept is not None:
            return _EVIDENCE.validate_json(kept)
        subject = (row.subject_type, row.subject_id)
        since_ms = min(row.opened_ms, row.arrived_ms) - self._evidence_ms
        until_ms = max(row.changed_ms, row.last_ms) + _AFTER_MS
        lead = next((each for each in case.flags if each.flag_id == row.flag_id), None)
        event_id = lead.event_id if lead else ""
        started_s = time.monotonic()
        try:
            found = self._tips.look(subject, since_ms, until_ms, event_id)
        except Unreadable as error:
            log.warning("the tips topic cannot be read for evidence: %s", error)
            return EvidenceView("unreadable", self._frame.currencies.base, problem=str(error))
        flagged = frozenset(each.event_id for each in case.flags)
        span = CaseSpan(subject, row.opened_ms, row.last_ms, flagged)
        view = make_evidence(found, span, self._frame)
        log.info(
            "evidence: %d records in %.1f s%s", found.read, time.monotonic() - started_s,
            f", cut by {found.cut_by}" if found.cut_by else "",
        )  # fmt: skip
        self._queries.keep_evidence(row.case_id, row.flags, _EVIDENCE.dump_json(view), now_ms)
        return view

    def export(
        self, case: CaseView, channel: Channel, language: Language, is_pseudonymised: bool,
        now_ms: int,
    ) -> ExportView:  # fmt: skip
        """A case as a file."""
        evidence = self.evidence(case, now_ms)
        return self._exporter.export(case, evidence, channel, language, is_pseudonymised, now_ms)

    def _reason(self, reason: dict[str, Any], flag: dict[str, Any]) -> ReasonView:
        rule = None
        if flag.get("policy", {}).get("hash") == self._policy.digest:
            rule = next(
                (each for each in self._policy.rules if each.id == reason.get("rule")), None
            )
        return ReasonView(
            code=reason["code"],
            family=reason["family"],
            text=reason["text"],
            observed=reason["observed"],
            usual=reason["usual"],
            limit=reason["limit"],
            unit=reason["unit"],
            n=reason["n"],
            rule=reason.get("rule", ""),
            source=rule.source if rule else "",
            confidence=rule.confidence if rule else "",
            is_benign=reason["code"].startswith("benign_"),
        )
