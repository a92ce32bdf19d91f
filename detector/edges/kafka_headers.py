"""Names of record headers that are not UTF-8: read with replacement characters.

Kafka says that they are UTF-8 and no broker checks it. kafka-python calls the record corrupt and
reads nothing behind it, so that one record of a careless producer would stand in the way for good.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

_read_strictly = DefaultRecordBatch._read_msg


class _Lenient(bytearray):
    """Bytes of which every slice can be decoded."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def _read(batch: Any) -> Any:
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:  # the batch still stands before the record
        batch._buffer = _Lenient(batch._buffer)
        return _read_strictly(batch)


def accept_any_header_name() -> None:
    """Makes all consumers of this process read such records."""
    DefaultRecordBatch._read_msg = _read
