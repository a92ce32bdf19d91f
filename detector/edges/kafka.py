"""Kafka: the source, the sink, and the topics. The only place that knows kafka-python.

Rebalancing is cooperative (KIP-429): members keep reading what stays theirs. kafka-python calls
the listener on its IO thread, where nothing may block, so the listener only takes notes; the loop
reads them after each poll. The client joins a group inside `poll`, hence what was revoked has been
noted by the time `poll` returns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata

from detector.runtime.ports import Changes, Output, Partition, Record, Retry, Stop
from detector.settings import KafkaSettings, read_password

log = logging.getLogger(__name__)
T = TypeVar("T")

_REFUSED = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.KafkaConfigurationError,
)
_ANSWER_MS = 3_000
_CUT_NOTE_BYTES = 200_000


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """What the consumer, the producer and the admin client have in common."""
    options: dict[str, Any] = {
        "bootstrap_servers": [each.strip() for each in settings.bootstrap_servers.split(",")],
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": settings.retry_backoff_max_ms,
        "bootstrap_timeout_ms": 5_000,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = settings.ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            options[name] = getattr(settings, name) or None
    if settings.sasl_mechanism:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = read_password(settings)
    return options


def connect(
    make: Callable[[], T], longest_pause_s: float, is_stopping: Callable[[], bool],
    on_wait: Callable[[str], None],
) -> T | None:  # fmt: skip
    """Makes a client, waiting for a broker as long as it takes.

    Args:
        make: makes it, or raises a KafkaError.
        longest_pause_s: pauses double from 0.5 s up to this.
        is_stopping: asked while waiting; the answer True ends the wait.
        on_wait: told why there is no client yet.

    Returns:
        The client; None if asked to stop before there was one.

    Raises:
        Stop: a broker answered and refused.
    """
    pause_s = 0.5
    while not is_stopping():
        try:
            return make()
        except _REFUSED as error:
            raise Stop(f"Kafka refuses: {error}") from error
        except (kafka_errors.KafkaError, OSError) as error:
            on_wait(f"no broker answers yet ({error}); next attempt in {pause_s:.1f} s")
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s and not is_stopping():
            time.sleep(0.05)
        pause_s = min(pause_s * 2, longest_pause_s)
    return None


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes notes on the client's IO thread; never blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = Changes()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        with self._lock:
            self._changes.assigned |= {Partition(*each) for each in assigned}

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        with self._lock:
            self._leave(self._changes.revoked, revoked)

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        with self._lock:
            self._leave(self._changes.lost, lost)

    def _leave(self, left: set[Partition], partitions: set[TopicPartition]) -> None:
        gone = {Partition(*each) for each in partitions}
        left |= gone
        self._changes.assigned -= gone

    def take(self) -> Changes:
        with self._lock:
            changes, self._changes = self._changes, Changes()
        return changes


class KafkaSource:
    """Reads the tips topic as a member of a group. See `ports.Source`.

    Raises:
        KafkaError: no broker answers, or one refuses; `connect` sorts that out.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._notes = _Notes()
        self._is_paused = False
        self._consumer = KafkaConsumer(
            **client_options(settings),
            group_id=settings.group_id,
            enable_auto_commit=False,
            auto_offset_reset=settings.auto_offset_reset,
            isolation_level="read_committed",
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(300, settings.session_timeout_ms // 10),
            max_poll_interval_ms=settings.max_poll_interval_ms,
            max_poll_records=settings.max_poll_records,
            fetch_max_bytes=settings.fetch_max_bytes,
            fetch_max_wait_ms=100,
            allow_auto_create_topics=False,
            metadata_max_age_ms=30_000,
            metrics_enabled=False,
        )
        self._consumer.subscribe([topic], listener=self._notes)

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[Record]]:
        try:
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        except _REFUSED as error:
            raise Stop(f"reading is refused: {error}") from error
        except kafka_errors.KafkaError as error:
            if not error.retriable:
                raise Stop(f"reading failed: {error}") from error
            log.warning("poll failed, trying again: %s", error)
            time.sleep(timeout_s)
            return {}
        return {Partition(*partition): records for partition, records in batches.items()}

    def take_changes(self) -> Changes:
        return self._notes.take()

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
        }
        try:
            self._consumer.commit(offsets, timeout_ms=_ANSWER_MS)
        except _REFUSED as error:
            raise Stop(f"committing is refused: {error}") from error
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error

    def pause(self) -> None:
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._consumer.resume(*self._consumer.paused())

    def position(self, partition: Partition) -> int:
        try:
            position = self._consumer.position(TopicPartition(*partition), timeout_ms=_ANSWER_MS)
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error
        if position is None:
            raise Retry(f"{partition}: its position is not known yet")
        return int(position)

    def ends(self) -> Mapping[Partition, int]:
        partitions = list(self._consumer.assignment())
        if not partitions:
            return {}
        try:
            ends = self._consumer.end_offsets(partitions, timeout_ms=_ANSWER_MS)
        except kafka_errors.KafkaError as error:
            raise Retry(str(error)) from error
        return {Partition(*partition): end for partition, end in ends.items()}

    def close(self, timeout_s: float) -> None:
        self._consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))


class KafkaSink:
    """Writes outputs with an idempotent producer. See `ports.Sink`.

    What the client has not taken yet waits here, and what it could not deliver comes back here, so
    nothing is dropped while a broker is away; the loop reads nothing more in the meantime.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = KafkaProducer(
            **client_options(settings),
            acks="all",
            linger_ms=2,
            max_block_ms=1_000,
            delivery_timeout_ms=2**31 - 1,
            max_request_size=64 * 1024 * 1024,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        self._waiting: deque[Output] = deque()
        self._under_way: list[tuple[Any, Output]] = []

    def send(self, outputs: Sequence[Output]) -> None:
        self._waiting.extend(outputs)
        self._hand_over()

    def flush(self, timeout_s: float) -> bool:
        self._hand_over()
        try:
            self._producer.flush(timeout=timeout_s)
        except kafka_errors.KafkaTimeoutError:
            return False
        self._settle()
        return not self._waiting and not self._under_way

    def close(self, timeout_s: float) -> None:
        self._producer.close(timeout=timeout_s)

    def _hand_over(self) -> None:
        while self._waiting:
            output = self._waiting[0]
            try:
                future = self._producer.send(
                    output.topic, key=output.key, value=output.value, headers=output.headers
                )
            except kafka_errors.KafkaTimeoutError:
                return  # no metadata or no room: the client has not taken it
            except kafka_errors.MessageSizeTooLargeError:
                self._waiting[0] = _cut(output)
                continue
            except _REFUSED as error:
                raise Stop(f"writing to {output.topic} is refused: {error}") from error
            self._waiting.popleft()
            self._under_way.append((future, output))

    def _settle(self) -> None:
        """Looks at what became of each output under way."""
        still: list[tuple[Any, Output]] = []
        for future, output in self._under_way:
            if not future.is_done:
                still.append((future, output))
            elif future.failed():
                error = future.exception
                if isinstance(error, kafka_errors.MessageSizeTooLargeError):
                    self._waiting.append(_cut(output))
                elif getattr(error, "retriable", False):
                    self._waiting.append(output)
                else:
                    raise Stop(f"writing to {output.topic} failed: {error}")
        self._under_way = still


def _cut(output: Output) -> Output:
    """A dead letter the broker will not take whole: its first part, and a header that says so.

    Raises:
        Stop: it was cut before and is still refused.
    """
    value = output.value or b""
    if len(value) <= _CUT_NOTE_BYTES:
        raise Stop(f"the broker refuses {len(value)} bytes for {output.topic}: raise its limit")
    log.warning("%s: %d bytes are over the broker's limit; only the first %d are kept",
                output.topic, len(value), _CUT_NOTE_BYTES)  # fmt: skip
    headers = [*output.headers, ("cut_from_bytes", str(len(value)).encode())]
    return output._replace(value=value[:_CUT_NOTE_BYTES], headers=headers)
