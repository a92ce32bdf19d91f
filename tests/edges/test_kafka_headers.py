"""Records whose header names are not UTF-8 are read like any other, in memory and from Kafka."""

from __future__ import annotations

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from detector.edges.kafka_headers import accept_any_header_name


class Raw(str):
    """A header name that goes out as bytes which are no UTF-8."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff" + super().encode(encoding, errors)


def written(*headers: tuple[str, bytes | None]) -> bytes:
    """A batch of three records, the second with these headers."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for offset, each in enumerate([[], list(headers), []]):
        builder.append(offset, 1_772_380_802_272, b"k", b"%d" % offset, each)
    return bytes(builder.build())


def test_a_header_name_that_is_no_utf_8_hides_neither_its_record_nor_those_behind_it() -> None:
    accept_any_header_name()
    records = list(DefaultRecordBatch(written((Raw("name"), b"1"), ("null", None))))
    assert [record.value for record in records] == [b"0", b"1", b"2"]
    assert records[1].headers == [("\ufffdname", b"1"), ("null", None)]
