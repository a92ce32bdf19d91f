"""The Kafka consumer behind `ports.Source`.

Rebalancing is cooperative (KIP-429): members keep reading what stays theirs. kafka-python calls
the listener on its IO thread, where nothing may block, so the listener only takes notes; the loop
reads them after each poll.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import MemberState, OffsetAndMetadata

from detector.edges.kafka import ANSWER_MS, REFUSED, client_options
from detector.edges.kafka_assignor import ByTopicAssignor
from detector.edges.kafka_headers import accept_any_header_name
from detector.runtime.ports import Aborted, Changes, Membership, Partition, Record, Retry, Stop
from detector.setting_sections import KafkaSettings

log = logging.getLogger(__name__)

_PARTITION_BYTES = 1024 * 1024
"""Of one partition at a time: with more, one gets far ahead of the others while catching up, and
what it passes on has to wait for them."""

_MOVED_ON = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes notes on the client's IO thread; never blocks."""

    def __init__(self, assignor: ByTopicAssignor) -> None:
        self._assignor = assignor
        self._lock = threading.Lock()
        self._changes = Changes()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        with self._lock:
            self._changes.assigned |= {Partition(*each) for each in assigned}

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        with self._lock:
            self._leave(self._changes.revoked, revoked)

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._assignor.forget()
        with self._lock:
            self._leave(self._changes.lost, lost)

    def renew(self, partitions: set[Partition]) -> None:
        """We are another member than before: what we seem to have kept was lost and came back."""
        with self._lock:
            kept = partitions - self._changes.assigned
            self._changes.lost |= kept
            self._changes.assigned |= kept

    def _leave(self, left: set[Partition], partitions: set[TopicPartition]) -> None:
        gone = {Partition(*each) for each in partitions}
        left |= gone
        self._changes.assigned -= gone

    def take(self) -> Changes:
        with self._lock:
            changes, self._changes = self._changes, Changes()
        return changes


class KafkaSource:
    """Reads topics as a member of a group. See `ports.Source`.

    Args:
        settings: of Kafka.
        widths: which topics, and how many partitions each has at least.
        most_records: of a poll.
        internal: which of them other members write to; these are always read from the start.

    Raises:
        KafkaError: no broker answers, or one refuses; `connect` sorts that out.
    """

    def __init__(
        self, settings: KafkaSettings, widths: Mapping[str, int], most_records: int,
        internal: Collection[str] = (),
    ) -> None:  # fmt: skip
        accept_any_header_name()
        assignor = ByTopicAssignor(widths)
        self._notes = _Notes(assignor)
        self._joined: Membership | None = None
        self._read_from_end = set(widths) - set(internal)
        if settings.auto_offset_reset == "earliest":
            self._read_from_end.clear()
        self._few_records = most_records // 10
        self._consumer = KafkaConsumer(
            **client_options(settings),
            group_id=settings.group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of a log cut off behind us; else the loop seeks
            isolation_level="read_committed",  # offsets of an open transaction are waited for too
            partition_assignment_strategy=[assignor],
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(300, settings.session_timeout_ms // 10),
            max_poll_interval_ms=settings.max_poll_interval_ms,
            max_poll_records=most_records,
            fetch_max_bytes=settings.fetch_max_bytes,
            max_partition_fetch_bytes=min(settings.fetch_max_bytes, _PARTITION_BYTES),
            fetch_max_wait_ms=100,
            allow_auto_create_topics=False,
            metadata_max_age_ms=30_000,
            metrics_enabled=False,
        )
        self._consumer.subscribe(list(widths), listener=self._notes)

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[Record]]:
        self._finish_joining()
        try:
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        except REFUSED as error:
            raise Stop(f"reading is refused: {error}") from error
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise Stop(f"reading failed: {error}") from error
            log.warning("poll failed, trying again: %s", error)
            time.sleep(timeout_s)
            return {}
        self._note_membership()
        return {Partition(*partition): records for partition, records in batches.items()}

    def membership(self) -> Membership | None:
        """See `ports.Source`: the one that came with the assignment.

        While we join again, the client may have a newer one on its IO thread, whose assignment it
        applies in a later poll only.
        """
        now, joined = self._consumer.group_metadata(), self._joined
        # A member that was thrown out has no id: a broker would take its offsets unasked.
        is_out = now.generation_id < 0 or joined is None or now.member_id != joined.member_id
        return None if is_out else joined

    def _finish_joining(self) -> None:
        """Makes the next poll go on with a join that the last one began.

        A leader that joins again because the topics changed would else forget it: kafka-python
        holds the change for dealt with as soon as it has shared out the partitions, never applies
        what it was given itself, and sends no heartbeat from then on.
        """
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _note_membership(self) -> None:
        now = self._consumer.group_metadata()
        if now.state is not MemberState.STABLE:
            return
        if self._joined is None or now.member_id != self._joined.member_id:
            # The client calls nothing lost that it was thrown out of while it joined again.
            self._notes.renew(self.assignment())
        self._joined = now

    def is_settled(self) -> bool:
        return self._consumer.group_metadata().state is not MemberState.REBALANCING

    def take_changes(self) -> Changes:
        return self._notes.take()

    def assignment(self) -> set[Partition]:
        return {Partition(*partition) for partition in self._consumer.assignment()}

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Commits offsets outside a transaction, for `AtLeastOnceSink`.

        Raises:
            Retry: the broker is away.
            Aborted: the group has moved on without us.
            Stop: not allowed.
        """
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
        }
        try:
            self._consumer.commit(offsets, timeout_ms=ANSWER_MS)
        except REFUSED as error:
            raise Stop(f"committing is refused: {error}") from error
        except _MOVED_ON as error:
            raise Aborted(f"offsets not committed: {error}") from error
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error

    def committed(self, partition: Partition) -> int | None:
        offset = self._ask(lambda: self._consumer.committed(
            TopicPartition(*partition), timeout_ms=ANSWER_MS
        ))  # fmt: skip
        return None if offset is None else int(offset)

    def seek(self, partition: Partition, offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(*partition), offset)
        except (ValueError, kafka_errors.IllegalStateError) as error:
            raise Retry(f"{partition} is no longer ours: {error}") from error

    def position(self, partition: Partition) -> int:
        position = self._ask(lambda: self._consumer.position(
            TopicPartition(*partition), timeout_ms=ANSWER_MS
        ))  # fmt: skip
        if position is None:
            raise Retry(f"{partition}: its position is not known yet")
        return int(position)

    def origin(self, partition: Partition) -> int:
        at = TopicPartition(*partition)
        ask = (
            self._consumer.end_offsets if partition.topic in self._read_from_end
            else self._consumer.beginning_offsets
        )  # fmt: skip
        return int(self._ask(lambda: ask([at], timeout_ms=ANSWER_MS))[at])

    def start(self, partition: Partition) -> int:
        at = TopicPartition(*partition)
        starts = self._ask(lambda: self._consumer.beginning_offsets([at], timeout_ms=ANSWER_MS))
        return int(starts[at])

    def ends(self) -> Mapping[Partition, int]:
        partitions = list(self._consumer.assignment())
        if not partitions:
            return {}
        ends = self._ask(lambda: self._consumer.end_offsets(partitions, timeout_ms=ANSWER_MS))
        return {Partition(*partition): end for partition, end in ends.items()}

    def is_behind(self) -> bool:
        consumer = self._consumer
        waiting = 0
        for at in consumer.assignment():
            end = consumer.highwater(at)
            if end is not None:
                with suppress(kafka_errors.KafkaError):  # its position is not known yet
                    waiting += end - (consumer.position(at, timeout_ms=0) or end)
        return waiting > self._few_records

    def partition_count(self, topic: str) -> int:
        return len(self._consumer.partitions_for_topic(topic) or ())

    def close(self, timeout_s: float) -> None:
        self._consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except REFUSED as error:
            raise Stop(f"refused: {error}") from error
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error
