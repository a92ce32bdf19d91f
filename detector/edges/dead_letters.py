"""Dead letters: the records that were no events, read back, and how far they have been replayed.

A dead letter is the record as it came, with our headers behind its own (`runtime.lane` writes
them). `edges.replay` sends letters back; here they are only read.

How far a replay has come stands in Kafka as the offsets of groups that have no members, one group
for a reason and the topic the letters came from: every letter of theirs before the offset has been
sent back, or is cut and cannot be. One offset for all reasons could not say that `not_json` was
replayed and `time_invalid` was not. Kafka forgets such offsets `offsets.retention.minutes` after
the last commit (7 days unless the broker says otherwise); after that a letter counts as not sent.
"""

from __future__ import annotations

import base64
import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.edges.kafka import client_options
from detector.edges.kafka_reasons import told_why
from detector.runtime.ports import Partition, Stop
from detector.setting_sections import KafkaSettings
from detector.settings import Settings

_LABEL = ("reason", "detail", "topic", "partition", "offset", "version", "policy")
_CUT = "cut_from_bytes"
_ANSWER_MS = 30_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Headers = list[tuple[str, bytes]]


class Label(NamedTuple):
    """Why a record became a dead letter, and where it came from.

    Attributes:
        reason: of `core.event.REASONS`, or of an earlier version's.
        detail: what was found and what was expected; no personal data.
        topic: where the record lay.
        partition: of that topic.
        offset: in that partition.
        version: of the detector that refused it.
        policy: name@hash of the pack in force.
    """

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    version: str
    policy: str


class Letter(NamedTuple):
    """One dead letter; prints as where it lies: `tip-dead-letters[0]@17`.

    Attributes:
        at: the partition it lies in.
        offset: its own, in that partition.
        written_at_ms: epoch ms.
        key: the original.
        value: the original; its first part if `is_cut`.
        headers: the original ones.
        label: None when the record is not one of ours.
        is_cut: the broker did not take the whole record, so the rest of it is gone.
    """

    at: Partition
    offset: int
    written_at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    label: Label | None
    is_cut: bool

    def __str__(self) -> str:
        return f"{self.at}@{self.offset}"

    def to_record(self, is_replayed: bool, is_shown: bool) -> dict[str, Any]:
        """What `dead-letters list` writes.

        Args:
            is_replayed: whether it was sent back.
            is_shown: with key and value, which are personal data.
        """
        label = self.label._asdict() if self.label else dict.fromkeys(_LABEL)
        record = {
            "dead_partition": self.at.partition,
            "dead_offset": self.offset,
            "written_at": _rfc3339(self.written_at_ms),
            **label,
            "bytes": len(self.value or b""),
            "cut": self.is_cut,
            "replayed": is_replayed,
        }
        if is_shown:
            record |= _text("key", self.key) | _text("value", self.value)
        return record


def split_headers(headers: Sequence[tuple[str, bytes]]) -> tuple[Headers, Label | None, bool]:
    """The original headers, our label, and whether the record is cut.

    Ours stand behind the original ones, which may have the same names.

    >>> ours = [("reason", b"not_json"), ("detail", b"line 1"), ("topic", b"tips"),
    ...         ("partition", b"3"), ("offset", b"17"), ("version", b"0.1.0"), ("policy", b"cn@1")]
    >>> original, label, is_cut = split_headers([("topic", b"theirs"), *ours])
    >>> original, label.topic, label.offset, is_cut
    ([('topic', b'theirs')], 'tips', 17, False)
    >>> split_headers([("topic", b"theirs")])
    ([('topic', b'theirs')], None, False)
    """
    names = [name for name, _ in headers]
    for start in range(len(names) - len(_LABEL), -1, -1):
        end = start + len(_LABEL)
        if tuple(names[start:end]) == _LABEL:
            label = _read_label([value for _, value in headers[start:end]])
            if label is not None:
                return list(headers[:start]), label, _CUT in names[end:]
    return list(headers), None, False


def _read_label(values: Sequence[bytes | None]) -> Label | None:
    reason, detail, topic, partition, offset, version, policy = (
        (value or b"").decode("utf-8", "replace") for value in values
    )
    try:
        return Label(reason, detail, topic, int(partition), int(offset), version, policy)
    except ValueError:
        return None


@contextmanager
def open_letters(settings: Settings) -> Iterator[Iterator[Letter]]:
    """All dead letters there are now, oldest first across partitions; joins no group.

    Raises:
        Stop: there is no such topic, no broker answers, or it refuses.
    """
    topic = settings.topics.dead_letters
    with stop_on_failure(f"reading {topic}"):
        consumer = KafkaConsumer(
            **client_options(settings.kafka), group_id=None, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=100,
            max_poll_records=1_000, allow_auto_create_topics=False, metrics_enabled=False,
        )  # fmt: skip
    try:
        yield _read(consumer, topic)
    finally:  # here, not when the generator is collected: closed at exit, the client hangs
        consumer.close(autocommit=False, timeout_ms=1_000)


def _read(consumer: Any, topic: str) -> Iterator[Letter]:
    with stop_on_failure(f"reading {topic}"):
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise Stop(f"{topic}: no such topic; `tip-detector topics create` makes it")
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        starts = consumer.beginning_offsets(partitions, timeout_ms=_ANSWER_MS)
        ends = consumer.end_offsets(partitions, timeout_ms=_ANSWER_MS)
        by_partition = [_records(consumer, each, starts[each], ends[each]) for each in partitions]
        for record in heapq.merge(*by_partition, key=attrgetter("timestamp")):
            yield _letter(record)


def _records(consumer: Any, partition: TopicPartition, start: int, end: int) -> Iterator[Any]:
    """A partition's records, a chunk at a time: in between, others may use the consumer."""
    next_offset, deadline_s = start, time.monotonic() + _ANSWER_MS / 1000
    while next_offset < end:
        if consumer.assignment() != {partition}:
            consumer.assign([partition])
            consumer.seek(partition, next_offset)
        records = consumer.poll(timeout_ms=200).get(partition, [])
        # the position also passes what is no record, such as the end of a transaction
        position = consumer.position(partition, timeout_ms=_ANSWER_MS) or next_offset
        if position > next_offset:
            next_offset = position
            yield from (record for record in records if record.offset < end)
            deadline_s = time.monotonic() + _ANSWER_MS / 1000
        elif time.monotonic() > deadline_s:
            raise Stop(f"{Partition(*partition)}@{next_offset}: no answer in {_ANSWER_MS} ms")


def _letter(record: Any) -> Letter:
    headers, label, is_cut = split_headers(record.headers)
    return Letter(Partition(record.topic, record.partition), record.offset, record.timestamp,
                  record.key, record.value, headers, label, is_cut)  # fmt: skip


class Progress:
    """Which letters have been sent back, as of the first question about their reason."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next: dict[str, dict[int, int]] = {}  # group → partition → offset

    def is_replayed(self, letter: Letter) -> bool:
        """Whether a replay sent it.

        Raises:
            Stop: no broker answers, or it refuses.
        """
        if letter.label is None or letter.is_cut:
            return False
        group = progress_group(self._settings.kafka, letter.label)
        if group not in self._next:
            with stop_on_failure(f"reading the offsets of group {group}"):
                self._next[group] = self._fetch(group, letter.at.topic)
        return letter.offset < self._next[group].get(letter.at.partition, 0)

    def _fetch(self, group: str, topic: str) -> dict[int, int]:
        # read_committed: waits for the offsets of a transaction that is being committed
        consumer = KafkaConsumer(
            **client_options(self._settings.kafka), group_id=group, enable_auto_commit=False,
            isolation_level="read_committed", allow_auto_create_topics=False, metrics_enabled=False,
        )  # fmt: skip
        try:
            return {
                number: consumer.committed(TopicPartition(topic, number), timeout_ms=_ANSWER_MS)
                or 0
                for number in consumer.partitions_for_topic(topic)
            }
        finally:
            consumer.close(autocommit=False, timeout_ms=1_000)


def progress_group(kafka: KafkaSettings, label: Label) -> str:
    """The group whose offsets say how far letters like this one have been replayed."""
    return f"{kafka.group_id}-dead-letters-{label.topic}-{label.reason}"


@contextmanager
def stop_on_failure(what: str) -> Iterator[None]:
    """Turns a failure of Kafka into Stop, which says what was being done."""
    try:
        with told_why():
            yield
    except kafka_errors.KafkaError as error:
        raise Stop(f"{what} failed: {error}") from error


def _text(name: str, data: bytes | None) -> dict[str, str | None]:
    """A field with the text, or one with base64 where the bytes are no text.

    >>> _text("key", b"u1"), _text("key", b"\\xff"), _text("key", None)
    ({'key': 'u1'}, {'key_base64': '/w=='}, {'key': None})
    """
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data or b"").decode()}


def _rfc3339(time_ms: int) -> str | None:
    """
    >>> _rfc3339(1_776_000_000_000), _rfc3339(2**63)
    ('2026-04-12T13:20:00.000Z', None)
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
