"""From a record's bytes to an Event, a refusal or a skip. Never raises on any input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from detector.core.event import Event, Rejected
from detector.core.event_reader import EventReader


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is well formed and no tip.

    Attributes:
        reason: from the mapping's closed set, such as `free_gift`; or `duplicate`.
    """

    reason: str


class Mapping(Protocol):
    """What `mapping.Mapping` offers: one platform's shapes to canonical objects."""

    @property
    def makes_event_ids(self) -> bool: ...

    def to_canonical(self, record: dict[str, Any]) -> dict[str, Any] | Skipped:
        """The canonical object; raises Rejected where the record has none."""


class Decoder:
    """Decodes records of one platform.

    Args:
        reader: reads canonical objects.
        mapping: the platform's mapping; None where records are canonical.
        max_record_bytes: larger records are refused unread.
        conceal: is shown every event, and whether its id was made of its other fields, before
            anybody else; it may replace ids. None where they stay as they are.
    """

    def __init__(
        self, reader: EventReader, mapping: Mapping | None = None, max_record_bytes: int = 65_536,
        conceal: Callable[[Event, bool], None] | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._mapping = mapping
        self._conceal = conceal
        self._makes_ids = mapping is not None and mapping.makes_event_ids
        self._max_record_bytes = max_record_bytes

    def decode(self, data: bytes | None, received_ms: int) -> Event | Rejected | Skipped:
        """One record.

        Args:
            data: the record's value; None is a Kafka tombstone.
            received_ms: when it reached us, epoch ms.
        """
        record = read_object(data, self._max_record_bytes)
        if record.__class__ is Rejected:
            return record
        try:
            if self._mapping is not None:
                record = self._mapping.to_canonical(record)
                if record.__class__ is Skipped:
                    return record
            event = self._reader.read(record, received_ms)
            if self._conceal is not None:
                self._conceal(event, self._makes_ids or not record.get("event_id"))
            return event
        except Rejected as refusal:
            # A fresh object: the caught one would keep its traceback, and with it the record.
            return Rejected(refusal.reason, refusal.detail)


def read_object(data: bytes | None, max_bytes: int) -> Any:
    """The JSON object that a record's value is, as a dict; or why it is none.

    >>> read_object(b'{"a": 1}', 100), read_object(b"[1]", 100).reason
    ({'a': 1}, 'not_object')
    """
    if data is None:
        return Rejected("not_json", "the record has no value")
    if len(data) > max_bytes:
        return Rejected("record_too_large", f"{len(data)} bytes, expected at most {max_bytes}")
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _refuse_syntax(data, error)
    if record.__class__ is not dict:
        return Rejected("not_object", "expected a JSON object")
    return record


def _refuse_syntax(data: bytes, error: orjson.JSONDecodeError) -> Rejected:
    try:
        bytes(data).decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return Rejected("invalid_utf8", f"byte {unicode_error.start} is not UTF-8")
    return Rejected("not_json", f"line {error.lineno} column {error.colno}: not JSON")
