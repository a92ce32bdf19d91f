"""The mark by which a canary is told from a platform's record, before anything is decoded.

A canary is a record in the tips topic that stands for nobody's tip: it only shows how long tips
take. It must have both the header and this very value, so no tip can hide behind the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from detector.runtime.ports import Record

CANARY_HEADER = "tip-detector-canary"
"""Its value says who sent it, and which one it is."""

CANARY_VALUE = b'{"canary":"tip-detector","note":"not a tip; skip records with this header"}'

_headers = attrgetter("headers")


def without_canaries(records: Sequence[Record]) -> Sequence[Record]:
    """The records that are the platform's; where none has headers that is seen at once."""
    if not any(map(_headers, records)):
        return records
    return [record for record in records if not _is_canary(record)]


def _is_canary(record: Record) -> bool:
    return record.value == CANARY_VALUE and any(name == CANARY_HEADER for name, _ in record.headers)
