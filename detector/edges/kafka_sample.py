"""The newest records of a topic, read without a group and without leaving a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition

from detector.edges.kafka import bounds, make_reader, read_between
from detector.edges.kafka_reasons import told_why
from detector.runtime.canary import without_canaries
from detector.setting_sections import KafkaSettings

_FETCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Some records, and where the partitions they are from start and end.

    Attributes:
        records: ConsumerRecords.
        spans: partition → (its oldest offset, the offset after its newest).
    """

    records: list[Any] = field(default_factory=list)
    spans: Mapping[int, tuple[int, int]] = field(default_factory=dict)


def take_sample(settings: KafkaSettings, topic: str, partitions: int, most: int) -> Sample:
    """The newest records of a topic, as many of each partition.

    Args:
        settings: of Kafka.
        topic: which topic.
        partitions: how many it has.
        most: records in all, at most; but one of each partition.

    Raises:
        KafkaError: no broker lets us in.
        Retry: it went away.
        Stop: reading is not allowed.
    """
    with told_why():
        reader = make_reader(settings, "read_committed", _FETCH_BYTES)
    try:
        each = max(1, most // partitions)
        spans: dict[int, tuple[int, int]] = {}
        records: list[Any] = []
        for number in range(partitions):
            at = TopicPartition(topic, number)
            start, end = spans[number] = bounds(reader, at)
            records += read_between(reader, at, max(start, end - each), end)
        return Sample(list(without_canaries(records)), spans)
    finally:
        reader.close(autocommit=False, timeout_ms=1_000)
