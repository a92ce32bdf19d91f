"""From a record of a topic to what the console keeps of it. Never raises on any input.

Knows the flags, verdicts, accounts and notes as they stand in Kafka. Does not know what they do to
a case (`store`, `standing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from detector.console.model import ACTS, MAX_NOTE_CHARS
from detector.core.cases import identity
from detector.core.event import Rejected
from detector.core.fields import read_time_ms
from detector.core.reasons import KINDS, SEVERITIES
from detector.core.verdict import VerdictError, read_verdict
from detector.runtime.ports import Record

MAX_ID_CHARS = 600
"""Of four bytes each, which is what PostgreSQL's indexes can hold; longer ids are cut."""

_REASON_KEYS = {"code", "family", "observed", "usual", "limit", "unit", "n", "text"}

UNDO_HEADER = "undo"
"""A verdict that takes back the last one of its case, so says the console that wrote it."""


@dataclass(frozen=True, slots=True)
class FlagRecord:
    """What is kept of a flag; `raw` is the record's value, for the one that leads its case."""

    flag_id: str
    case_id: str
    kind: str
    rank: int
    score: float
    subject_type: str
    subject_id: str
    event_id: str
    event_time_ms: int
    arrived_ms: int
    is_update: bool
    is_shadow: bool
    is_paged: bool
    raw: bytes


class DecisionRecord(NamedTuple):
    """A row of `schema.decisions`; `case_id` is empty where only the flag is named."""

    decision_id: str
    case_id: str
    flag_id: str
    act: str
    at_ms: int
    arrived_ms: int
    by: str
    note: str
    until_ms: int | None
    to: str


class AccountRecord(NamedTuple):
    """A row of `schema.accounts`; a record of None deletes it."""

    subject_type: str
    subject_id: str
    record: bytes | None


def read_flag(record: Record) -> FlagRecord | None:
    """A flag; None where the record is none."""
    try:
        raw = record.value or b""
        found = orjson.loads(raw)
        subject, reasons = found["subject"], found["reasons"]
        if subject["type"] not in ("tipper", "streamer") or found["kind"] not in KINDS:
            return None
        if not reasons or not all(map(_is_reason, reasons)):
            return None
        return FlagRecord(
            flag_id=text(found["flag_id"], 64),
            case_id=text(found["case_id"], 64),
            kind=found["kind"],
            rank=SEVERITIES.index(found["severity"]),
            score=float(found["score"]),
            subject_type=subject["type"],
            subject_id=text(subject["id"], MAX_ID_CHARS),
            event_id=text(found["event_id"], MAX_ID_CHARS),
            event_time_ms=int(found["event_time"]),
            arrived_ms=record.timestamp,
            is_update=bool(found["update"]),
            is_shadow=bool(found["detector"]["shadow"]),
            is_paged=found.get("paged") is not False,
            raw=raw,
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def read_verdict_record(record: Record) -> DecisionRecord | None:
    """A verdict on a flag; None where the record is none, or is about an event alone."""
    try:
        found = orjson.loads(record.value or b"")
        verdict = read_verdict(found)
    except (ValueError, VerdictError):
        return None
    if verdict.flag_id is None:
        return None
    is_undo = any(name == UNDO_HEADER for name, _ in record.headers)
    note = found.get("note")
    return DecisionRecord(
        decision_id=identity("verdict", (record.value or b"").hex(), str(is_undo)),
        case_id="",
        flag_id=text(verdict.flag_id, 256),
        act="undo" if is_undo else verdict.judgement,
        at_ms=verdict.decided_ms,
        arrived_ms=record.timestamp,
        by=text(verdict.reviewer, 256),
        note=text(note, MAX_NOTE_CHARS) if isinstance(note, str) else "",
        until_ms=None,
        to="",
    )


def read_note(record: Record) -> DecisionRecord | None:
    """A snooze, its end, or a hand-over; None where the record is none of them."""
    try:
        found = orjson.loads(record.value or b"")
        if found["act"] not in ACTS:
            return None
        until = found.get("until")
        return DecisionRecord(
            decision_id=identity("note", (record.value or b"").hex()),
            case_id=text(found["case_id"], 64),
            flag_id="",
            act=found["act"],
            at_ms=read_time_ms("at", found["at"]),
            arrived_ms=record.timestamp,
            by=text(found["by"], 256),
            note=text(found.get("note", ""), MAX_NOTE_CHARS),
            until_ms=None if until is None else read_time_ms("until", until),
            to=text(found.get("to", ""), 256),
        )
    except (ValueError, TypeError, LookupError, AttributeError, Rejected):
        return None


def read_account(record: Record) -> AccountRecord | None:
    """A credit record, or that there is none any more; None where the record is neither."""
    try:
        if record.value is None:
            return None
        found = orjson.loads(record.value)
        subject = found["subject"]
        if subject["type"] not in ("tipper", "streamer"):
            return None
        int(found["score"]), found["reasons"][:0], found["tier"]
        return AccountRecord(subject["type"], text(subject["id"], MAX_ID_CHARS), record.value)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _is_reason(found: Any) -> bool:
    return bool(found.keys() >= _REASON_KEYS and found["text"].keys() >= {"en", "zh"})


def text(found: Any, limit: int) -> str:
    """A text as the database can hold it: cut, and without NUL, which PostgreSQL refuses.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(found, str):
        raise TypeError("expected a text")
    return found[:limit].replace("\0", "�")
