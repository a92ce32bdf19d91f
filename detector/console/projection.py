"""The topics read into the database, on a thread of its own, for as long as the console runs.

Knows Kafka and how far each topic was read; applies what it reads through `store`. With the rows it
commits the offsets, so that a restart goes on exactly there. A topic that was made anew, and a
database that was taken away, are noticed and read from the start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka import errors as kafka_errors
from sqlalchemy.exc import SQLAlchemyError

from detector.console.database import Database
from detector.console.intake import read_account, read_flag, read_note, read_verdict_record
from detector.console.metrics import ConsoleMetrics
from detector.console.store import Batch, Store
from detector.edges.kafka import ANSWER_MS, REFUSED, client_options, connect, make_reader
from detector.edges.topics import ensure_review_topics
from detector.runtime.ports import Retry, Stop
from detector.settings import Settings

log = logging.getLogger(__name__)

_BATCH_RECORDS = 5_000
_FETCH_BYTES = 4 * 1024 * 1024
_POLL_MS = 100
_LOOK_EVERY_S = 5.0
_SWEEP_EVERY_S = 1.0
_PAUSE_S = 1.0
_NO_ID = "00000000-0000-0000-0000-000000000000"

Position = tuple[str, int]  # topic, partition


class Projection:
    """Reads the topics of flags, verdicts, accounts and notes.

    Args:
        settings: which topics, and where Kafka is.
        database, store: where to.
        metrics: told of lag and rebuilds.

    Attributes:
        lag_records: records that are not in the database yet; None while unknown.
        is_rebuilding: the database was empty, and the topics are not read to their ends yet.
        trouble: why nothing is read; empty if it is.
        turned_s: when the loop last turned, on the steady clock.
    """

    def __init__(
        self, settings: Settings, database: Database, store: Store, metrics: ConsoleMetrics
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._metrics = metrics
        self._readers: dict[str, Any] = {
            settings.topics.flags: (read_flag, "flags"),
            settings.topics.verdicts: (read_verdict_record, "decisions"),
            settings.console_topic: (read_note, "decisions"),
            settings.topics.accounts: (read_account, "accounts"),
        }
        self._positions: dict[Position, tuple[str, int]] = {}
        self._read = threading.Condition()
        self._stopping = threading.Event()
        self._looked_s = self._swept_s = float("-inf")
        self._consumer: Any = None
        self._admin: Any = None
        self.lag_records: int | None = None
        self.is_rebuilding = database.is_fresh
        self.trouble = "not connected yet"
        self.turned_s = time.monotonic()
        if database.is_fresh:
            metrics.rebuilt()

    def run(self) -> None:
        """Reads until `stop`.

        Raises:
            Stop: a broker refuses.
        """
        self._consumer = self._connect(
            lambda: make_reader(self._settings.kafka, "read_committed", _FETCH_BYTES)
        )
        self._admin = self._connect(
            lambda: KafkaAdminClient(**client_options(self._settings.kafka))
        )
        self._connect(lambda: ensure_review_topics(self._settings))
        while not self._stopping.is_set():
            self.turned_s = time.monotonic()
            try:
                self._turn()
                self.trouble = ""
            except REFUSED as error:
                raise Stop(f"Kafka refuses: {error}") from error
            except (Retry, kafka_errors.KafkaError, SQLAlchemyError) as error:
                self._fail(error)
        for client in (self._consumer, self._admin):
            if client is not None:
                client.close()

    def stop(self) -> None:
        """Ends `run` soon."""
        self._stopping.set()

    def wait_for(self, ends: Mapping[Position, int], timeout_s: float) -> bool:
        """Whether partitions have been read up to these offsets, in time."""

        if not ends.keys() <= self._positions.keys():
            self._looked_s = float("-inf")  # a topic that was just made

        def are_read() -> bool:
            return all(
                end <= self._positions.get(at, ("", 0))[1] for at, end in ends.items() if end
            )

        with self._read:
            return self._read.wait_for(are_read, timeout_s)

    def _turn(self) -> None:
        now_s = time.monotonic()
        if not self._database.is_there():
            log.error("the console's database was taken away: it is made and read in anew")
            self._database.reopen()
            self._begin_anew()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._look()
            self._looked_s = now_s
        if self._positions:
            polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            if polled:
                self._apply(polled)
            self._advance()
        else:
            self._stopping.wait(_POLL_MS / 1000)
        if now_s - self._swept_s >= _SWEEP_EVERY_S:
            self._swept_s = now_s
            self._store.sweep(_now_ms())
            self._measure()

    def _apply(self, polled: Mapping[Any, list[Any]]) -> None:
        batch = Batch()
        for at, records in polled.items():
            read, kind = self._readers[at.topic]
            found = [each for each in map(read, records) if each is not None]
            getattr(batch, kind).extend(found)
            topic_id, _ = self._positions[at.topic, at.partition]
            batch.offsets[at.topic, at.partition] = (topic_id, records[-1].offset + 1)
            if kind == "flags" and len(found) < len(records):
                log.error("%s[%d]: %d records are no flags", *at, len(records) - len(found))
        self._store.apply(batch, _now_ms())
        with self._read:
            self._positions.update(batch.offsets)
            self._read.notify_all()

    def _advance(self) -> None:
        """Goes past what stands in topics beside records: a transaction's end takes an offset."""
        moved = {
            at: (topic_id, position)
            for at, (topic_id, known) in self._positions.items()
            if (position := self._consumer.position(TopicPartition(*at), timeout_ms=ANSWER_MS) or 0)
            > known
        }
        if moved:
            with self._read:
                self._positions.update(moved)
                self._read.notify_all()

    def _look(self) -> None:
        """Finds partitions that were not there before, and topics that were made anew."""
        found: dict[Position, str] = {}
        there = set(self._admin.list_topics()) & self._readers.keys()
        for each in self._admin.describe_topics(sorted(there)) if there else ():
            topic_id = str(each.get("topic_id") or _NO_ID)
            for partition in each.get("partitions", ()):
                found[str(each["name"]), int(partition["partition_index"])] = topic_id
        if found.items() <= {at: known for at, (known, _) in self._positions.items()}.items():
            return
        starts = self._offsets("beginning_offsets", found)
        ends = self._offsets("end_offsets", found)
        stored, positions = self._store.positions(), {}
        for at, topic_id in found.items():
            start, end = starts[at], ends[at]
            known_id, position = stored.get(at, (topic_id, start))
            if known_id != topic_id or position > end:
                log.error("%s[%d] was made anew: it is read from its start", *at)
                self._metrics.rebuilt()
                position = start
            elif position < start:
                log.error("%s[%d]: %d records were deleted unread", *at, start - position)
            positions[at] = (topic_id, max(position, start))
        self._consumer.assign([TopicPartition(*at) for at in found])
        for at, (_, position) in positions.items():
            self._consumer.seek(TopicPartition(*at), position)
        with self._read:
            self._positions = positions

    def _offsets(self, of: str, partitions: Iterable[Position]) -> dict[Position, int]:
        """`beginning_offsets` or `end_offsets`; the client knows none of a topic just made."""
        asked = [TopicPartition(*at) for at in partitions]
        try:
            found = getattr(self._consumer, of)(asked, timeout_ms=ANSWER_MS)
        except KeyError as error:
            raise Retry(f"{error.args[0]} has no leader yet") from error
        return {(at.topic, at.partition): int(offset) for at, offset in found.items()}

    def _begin_anew(self) -> None:
        self._store.forget_everything()
        self._metrics.rebuilt()
        self.is_rebuilding = True
        with self._read:
            self._positions = {}
        self._looked_s = float("-inf")

    def _measure(self) -> None:
        if not any(topic == self._settings.console_topic for topic, _ in self._positions):
            return
        ends = self._offsets("end_offsets", self._positions)
        self.lag_records = sum(max(0, end - self._positions[at][1]) for at, end in ends.items())
        if self.is_rebuilding and not self.lag_records:
            self.is_rebuilding = False
            log.info("the topics are read in")

    def _fail(self, error: Exception) -> None:
        """Goes on from what the database says was read, after a pause."""
        self.trouble = str(error).partition("\n")[0]
        log.warning("the topics cannot be read in now (%s)", self.trouble)
        self.lag_records = None
        with self._read:
            self._positions = {}
        self._looked_s = float("-inf")
        self._stopping.wait(_PAUSE_S)

    def _connect(self, make: Any) -> Any:
        def wait(why: str) -> None:
            self.trouble, self.turned_s = why, time.monotonic()
            log.warning("%s", why)

        longest_s = self._settings.kafka.retry_backoff_max_ms / 1000
        return connect(make, longest_s, self._stopping.is_set, wait)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
