"""The subject's events, looked for in the tips topic when somebody opens a case.

Knows how to find the right stretch of the topic and when to stop. Does not know what the events
mean (`evidence`). One look at a time: it is bounded in records, seconds and events kept.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.partitioner import murmur2

from detector.assembly import Assembly
from detector.core.event import Event
from detector.edges.kafka import ANSWER_MS, bounds, make_reader, read_between
from detector.runtime.ports import Retry, Stop

MAX_EVENTS = 20_000
"""Events of one subject that are kept."""

_FETCH_BYTES = 4 * 1024 * 1024
_PATIENCE_S = 1.0
_LOOK_AT_CLOCK_EVERY = 256
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")
_ROOM = b'"room"'


@dataclass(slots=True)
class Found:
    """What a look found.

    Attributes:
        events: of the subject, in no order; of a tipper also payouts to it, and what rooms did.
        raw: the record of the event that was asked for; None if it was not met, or has ids that
            stand under pseudonyms everywhere else.
        read: records looked at.
        cut_by: the limit that was met: `records`, `seconds` or `events`; empty: none.
    """

    events: list[Event] = field(default_factory=list)
    raw: bytes | None = None
    read: int = 0
    cut_by: str = ""


class Unreadable(Exception):
    """The topic cannot be read now; the text says why."""


class Tips:
    """Looks into the tips topic.

    Args:
        assembly: whose mapping and settings.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._settings = assembly.settings
        self._lock = threading.Lock()
        self._reader: Any = None

    def look(self, subject: tuple[str, str], since_ms: int, until_ms: int, event_id: str) -> Found:
        """The events of a subject among the records of a stretch of time, the newest preferred.

        Args:
            subject: (`tipper` or `streamer`, id).
            since_ms, until_ms: of the records, by the broker's clock.
            event_id: the event whose record is wanted as it came.

        Raises:
            Unreadable: the topic cannot be read now.
        """
        deadline_s = time.monotonic() + self._settings.console.evidence_s
        if not self._lock.acquire(timeout=self._settings.console.evidence_s):
            raise Unreadable("others are looking too: try again")
        try:
            return self._look(subject, (since_ms, until_ms), event_id, deadline_s)
        except (Retry, Stop, kafka_errors.KafkaError, OSError) as error:
            raise Unreadable(str(error).partition("\n")[0]) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Gives back its client."""
        if self._reader is not None:
            self._reader.close()

    def _look(
        self, subject: tuple[str, str], span_ms: tuple[int, int], event_id: str, deadline_s: float
    ) -> Found:
        if self._reader is None:
            self._reader = make_reader(self._settings.kafka, "read_committed", _FETCH_BYTES)
        topic, sieve = self._settings.topics.tips, _Sieve(self._assembly, subject, event_id)
        numbers = sorted(self._reader.partitions_for_topic(topic) or ())
        if not numbers:
            raise Unreadable(f"there is no topic {topic}")
        home = self._home(subject, numbers)
        ordered = sorted(numbers, key=lambda number: number != home)
        found = sieve.found
        for place, number in enumerate(ordered):
            left = self._settings.console.evidence_records - found.read
            # Where the subject's own partition is known, it comes first and gets all it needs.
            share = left if number == home else left // (len(ordered) - place)
            at = TopicPartition(topic, number)
            since, until = self._stretch(at, span_ms)
            if until - since > share:
                since, found.cut_by = until - share, "records"
            for record in read_between(self._reader, at, since, until, _PATIENCE_S):
                found.read += 1
                sieve.take(record)
                if len(found.events) >= MAX_EVENTS:
                    found.cut_by = "events"
                    return found
                if found.read % _LOOK_AT_CLOCK_EVERY == 0 and time.monotonic() > deadline_s:
                    found.cut_by = "seconds"
                    return found
        return found

    def _home(self, subject: tuple[str, str], numbers: list[int]) -> int | None:
        """Where Kafka's usual partitioner puts the subject's events; None where another key does.

        A producer with another partitioner makes it wrong, and only the order of the search.
        """
        if self._settings.topics.tips_key != subject[0] or self._assembly.pseudonyms is not None:
            return None
        place: int = (murmur2(subject[1].encode()) & 0x7FFFFFFF) % len(numbers)
        return numbers[place]

    def _stretch(self, at: TopicPartition, span_ms: tuple[int, int]) -> tuple[int, int]:
        start, end = bounds(self._reader, at)
        offsets = []
        for ms, otherwise in zip(span_ms, (end, end), strict=True):
            found = self._reader.offsets_for_times({at: ms}, timeout_ms=ANSWER_MS).get(at)
            # No record so late: Kafka answers with nothing, the demo's broker with a time of -1.
            offsets.append(otherwise if found is None or found.timestamp < 0 else found.offset)
        return max(start, offsets[0]), max(start, offsets[1])


class _Sieve:
    """Keeps the records that are about a subject."""

    def __init__(self, assembly: Assembly, subject: tuple[str, str], event_id: str) -> None:
        self.found = Found()
        self._decode = assembly.decoder.decode
        self._kind, self._id = subject
        self._event_id = event_id
        # A cheap look before decoding, where the id must stand in the record letter by letter.
        # A pseudonym stands in none; and whoever is to see pseudonyms must not see the record.
        self._has_ids = assembly.pseudonyms is None
        is_letter_by_letter = self._has_ids and _PLAIN.fullmatch(self._id)
        self._bytes = self._id.encode() if is_letter_by_letter else b""

    def take(self, record: Any) -> None:
        value = record.value
        if value is None:
            return
        is_of_tipper = self._kind == "tipper"
        if self._bytes and self._bytes not in value and not (is_of_tipper and _ROOM in value):
            return
        event = self._decode(value, record.timestamp)
        if not isinstance(event, Event):
            return
        if event.event_id == self._event_id and self._has_ids:
            self.found.raw = value
        own = event.tipper_id if is_of_tipper else event.streamer_id
        is_around = event.type == "room" or event.account_id == self._id
        if own == self._id or (is_of_tipper and is_around):
            self.found.events.append(event)
