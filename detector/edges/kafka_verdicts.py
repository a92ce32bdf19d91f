"""The verdict topic behind `ports.VerdictLog`: read by every instance whole, with no group.

One consumer follows the ends of all partitions; what it reads is held for the lanes of this
instance, which all want it at nearly the same time. Whatever lies further back, for a lane that has
just come, a second consumer reads again. While the topic is absent, refused or silent, scoring goes
on without it.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors

from detector.edges.kafka import ANSWER_MS, bounds, make_reader, read_between
from detector.runtime.ports import Found, Record, Retry, Stop
from detector.setting_sections import KafkaSettings

log = logging.getLogger(__name__)

_FETCH_BYTES = 1024 * 1024
_HELD_RECORDS = 2_000
_HELD_BYTES = 4 * 1024 * 1024
_POLL_EVERY_S = 0.25
_LOOK_EVERY_S = 30.0
_PAUSE_S = 5.0
_PATIENCE_S = 1.0


class _Tail:
    """The newest records of one partition.

    Attributes:
        start: the oldest offset there is, as of the last time somebody asked.
        since: every record from here to `end` is held.
        end: the offset to be read next.
    """

    __slots__ = ("_bytes", "_records", "end", "since", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.since = self.end = end
        self._records: deque[Any] = deque()
        self._bytes = 0

    def add(self, record: Any) -> None:
        """Takes the next record in; the oldest are let go where there is no more room.

        A record from before the end is of a log that was made anew: what was held is of no use.

        >>> from types import SimpleNamespace
        >>> tail = _Tail(0, 7)
        >>> for offset in (7, 9):
        ...     tail.add(SimpleNamespace(offset=offset, value=b"{}"))
        >>> tail.end, [each.offset for each in tail.between(8, 10)], tail.holds(8, 11)
        (10, [9], False)
        """
        if record.offset < self.end:
            self._records.clear()
            self._bytes = 0
            self.start = self.since = record.offset
        self._records.append(record)
        self._bytes += len(record.value or b"")
        self.end = record.offset + 1
        while len(self._records) > _HELD_RECORDS or self._bytes > _HELD_BYTES:
            oldest = self._records.popleft()
            self._bytes -= len(oldest.value or b"")
            self.since = oldest.offset + 1

    def holds(self, since: int, until: int) -> bool:
        """Whether all between two offsets is held; another instance may have read further."""
        return self.since <= since and until <= self.end

    def between(self, since: int, until: int) -> list[Any]:
        """The records between two offsets, where all of them are held."""
        records = list(self._records)
        first = bisect_left(records, since, key=lambda record: record.offset)
        last = bisect_left(records, until, key=lambda record: record.offset)
        return records[first:last]


class KafkaVerdicts:
    """Reads the verdict topic. See `ports.VerdictLog`.

    Args:
        settings: of Kafka.
        topic: of the verdicts.

    Raises:
        KafkaError: no broker answers.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._follower = make_reader(settings, "read_committed", _FETCH_BYTES)
        self._reader = make_reader(settings, "read_committed", _FETCH_BYTES)
        # Asked for the end of the log itself, which does not depend on who has a transaction open.
        self._ends = make_reader(settings, "read_uncommitted", _FETCH_BYTES)
        self._tails: dict[int, _Tail] = {}
        self._polled_s = self._looked_s = self._failed_s = float("-inf")
        self._trouble = ""

    def spans(self) -> Mapping[int, tuple[int, int]]:
        now_s = time.monotonic()
        if now_s - self._polled_s >= _POLL_EVERY_S:
            self._polled_s = now_s
            try:
                if now_s - self._looked_s >= _LOOK_EVERY_S:
                    self._looked_s = now_s
                    self._look()
                self._follow()
            except (Retry, Stop, kafka_errors.KafkaError) as error:
                self._note(str(error))
        return {number: (tail.start, tail.end) for number, tail in self._tails.items()}

    def ends(self) -> Mapping[int, int]:
        try:
            partitions = [TopicPartition(self._topic, number) for number in self._numbers()]
            if not partitions:
                return {}
            ends = self._ends.end_offsets(partitions, timeout_ms=ANSWER_MS)
        except kafka_errors.KafkaError as error:
            raise Retry(f"{self._topic}: {error}") from error
        return {at.partition: int(end) for at, end in ends.items()}

    def read(self, since: Mapping[int, int], until: Mapping[int, int]) -> Found:
        records: list[tuple[int, Record]] = []
        lost = 0
        for number in sorted(until):
            first, last = since.get(number), until[number]
            if first is not None and first >= last:
                continue
            tail = self._tails.get(number)
            if tail is not None and first is not None and tail.holds(first, last):
                found: list[Record] = tail.between(first, last)
            else:
                found, gone = self._read_again(number, first, last)
                lost += gone
            records += [(number, record) for record in found]
        return Found(records, lost)

    def close(self) -> None:
        for consumer in (self._follower, self._reader, self._ends):
            consumer.close(autocommit=False, timeout_ms=1000)

    def _look(self) -> None:
        """Finds partitions that were not there before, and where the logs start by now."""
        numbers = self._numbers()
        if not numbers:
            self._note(f"no topic {self._topic}; `tip-detector topics create` makes it")
            return
        for number in numbers:
            at = TopicPartition(self._topic, number)
            start, end = bounds(self._reader, at)
            tail = self._tails.get(number)
            if tail is not None:
                tail.start = start
                continue
            self._tails[number] = _Tail(start, end)
            self._follower.assign([TopicPartition(self._topic, each) for each in self._tails])
            self._follower.seek(at, end)
        self._note("")

    def _numbers(self) -> list[int]:
        return sorted(self._ends.partitions_for_topic(self._topic) or ())

    def _follow(self) -> None:
        """Takes in what has come, without waiting."""
        if not self._tails:
            return
        for at, records in self._follower.poll(timeout_ms=0, max_records=_HELD_RECORDS).items():
            tail = self._tails[at.partition]
            if records[0].offset < tail.end:
                log.error(
                    "%s[%d] ended at offset %d and begins again: was the topic deleted and made "
                    "again? Start again to learn from it", *at, tail.end,
                )  # fmt: skip
            for record in records:
                tail.add(record)

    def _read_again(self, number: int, first: int | None, last: int) -> tuple[list[Record], int]:
        """Records that are not held, and how many are gone; after a failure not for some seconds.

        The loop waits meanwhile, and must not spend its time on a partition that does not answer.
        """
        if time.monotonic() - self._failed_s < _PAUSE_S:
            raise Retry(self._trouble)
        at = TopicPartition(self._topic, number)
        try:
            if number not in self._numbers():
                return [], last - (first or 0)
            start, _ = bounds(self._reader, at)
            _, end = bounds(self._ends, at)
            wanted = start if first is None else first
            since, until = max(start, wanted), min(end, last)
            records = list(read_between(self._reader, at, since, until, _PATIENCE_S))
        except (Retry, Stop, kafka_errors.KafkaError) as error:
            self._failed_s = time.monotonic()
            self._note(str(error))
            raise Retry(str(error)) from error
        return records, max(0, min(start, last) - wanted) + max(0, last - max(end, wanted))

    def _note(self, trouble: str) -> None:
        """Says once what is wrong, and once that it no longer is."""
        if trouble and not self._trouble:
            log.warning("verdicts: %s; scoring goes on, and learns later", trouble)
        elif self._trouble and not trouble:
            log.info("verdicts: %s is read again", self._topic)
        self._trouble = trouble
