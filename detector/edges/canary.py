"""The canary: a marked record through the real tips topic, and how long until it is committed.

It watches from outside what any tip goes through: written, replicated, read by whichever instance
has the partition, committed with what else was read. So it tells by the group's own offsets that it
was seen; the loop only skips it. Knows nothing of what the detector makes of tips.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from detector.edges.kafka import ANSWER_MS, client_options
from detector.runtime.canary import CANARY_HEADER, CANARY_VALUE
from detector.setting_sections import CanarySettings, KafkaSettings

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.025
_LOOK_AT_LEAST_EVERY_S = 1.0


class CanaryTelemetry(Protocol):
    """Where the canary says how it fared."""

    def canary_begun(self, now_s: float) -> None: ...
    def canary_sent(self) -> None: ...
    def canary_seen(self, seconds: float, now_s: float) -> None: ...
    def canary_lost(self) -> None: ...


class Canary:
    """Sends one after the other, to each partition in turn, on a thread of its own.

    Each instance sends its own, and waits for its own only; which instance reads it is all the
    same.

    Args:
        kafka: the settings; of the group, too, that reads the tips.
        topic: of the tips.
        settings: how often, and how long one is waited for.
        telemetry: where to say how it went.
    """

    def __init__(
        self, kafka: KafkaSettings, topic: str, settings: CanarySettings,
        telemetry: CanaryTelemetry,
    ) -> None:  # fmt: skip
        self._kafka = kafka
        self._topic = topic
        self._settings = settings
        self._telemetry = telemetry
        self._id = uuid.uuid4().hex
        self._number = 0
        self._is_lost = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)

    def start(self) -> None:
        self._telemetry.canary_begun(time.time())
        self._thread.start()

    def close(self) -> None:
        """Ends it within a second; one that is on its way is not counted."""
        self._stopping.set()
        self._thread.join(1)

    def _run(self) -> None:
        flight: _Flight | None = None
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._telemetry.canary_sent()
            try:
                flight = flight or _Flight(self._kafka, self._topic, self._settings.timeout_s)
                at = flight.partition(self._number)
                sent_s = time.monotonic()  # how long it took to connect says nothing of tips
                next_offset = flight.send(at, f"{self._id}/{self._number}".encode())
                took_s = self._wait_for(flight, at, next_offset, sent_s)
            except (kafka_errors.KafkaError, OSError) as error:
                self._lose(f"it could not be sent, or the group not be asked: {error}")
            else:
                self._judge(at, next_offset, took_s)
            self._number += 1
            self._stopping.wait(self._settings.interval_s - (time.monotonic() - began_s))
        if flight is not None:
            flight.close()

    def _wait_for(
        self, flight: _Flight, at: TopicPartition, next_offset: int, sent_s: float
    ) -> float:
        """How long it took until the group had committed this; more than the limit: not in time."""
        while True:
            is_seen = flight.committed(at) >= next_offset
            took_s = time.monotonic() - sent_s
            if is_seen or took_s > self._settings.timeout_s or self._stopping.is_set():
                return took_s
            # What took long already need not be known to the millisecond.
            pause_s = min(max(_LOOK_EVERY_S, took_s / 20), _LOOK_AT_LEAST_EVERY_S)
            self._stopping.wait(pause_s)

    def _judge(self, at: TopicPartition, next_offset: int, took_s: float) -> None:
        if self._stopping.is_set():
            return
        if took_s > self._settings.timeout_s:
            self._lose(f"{at.topic}[{at.partition}]@{next_offset - 1} was not committed in time")
            return
        self._telemetry.canary_seen(took_s, time.time())
        if self._is_lost:
            log.info("canaries are seen again, after %.1f s", took_s)
        self._is_lost = False

    def _lose(self, why: str) -> None:
        self._telemetry.canary_lost()
        if not self._is_lost:  # one line for all that follow
            log.warning("a canary is lost: %s", why)
        self._is_lost = True


class _Flight:
    """The two clients: one that sends, one that asks for the group's offsets and never joins it."""

    def __init__(self, settings: KafkaSettings, topic: str, timeout_s: float) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        options = client_options(settings)
        self._asker = KafkaConsumer(
            **options, group_id=settings.group_id, enable_auto_commit=False,
            allow_auto_create_topics=False, metrics_enabled=False,
        )  # fmt: skip
        try:
            self._producer = KafkaProducer(
                **options, acks="all", linger_ms=0, max_block_ms=int(timeout_s * 1000),
                allow_auto_create_topics=False, metrics_enabled=False,
            )  # fmt: skip
        except BaseException:
            self._asker.close(autocommit=False, timeout_ms=500)
            raise

    def partition(self, number: int) -> TopicPartition:
        """The partitions of the topic in turn; both clients know it when this returns."""
        partitions = sorted(self._producer.partitions_for(self._topic) or (0,))
        at = TopicPartition(self._topic, partitions[number % len(partitions)])
        self.committed(at)
        return at

    def send(self, at: TopicPartition, mark: bytes) -> int:
        """Writes one; the offset that stands for having read it."""
        future = self._producer.send(
            at.topic, key=mark, value=CANARY_VALUE, partition=at.partition,
            headers=[(CANARY_HEADER, mark)],
        )  # fmt: skip
        return int(future.get(timeout=self._timeout_s).offset) + 1

    def committed(self, at: TopicPartition) -> int:
        """How far the group is; 0 where it has committed nothing."""
        return self._asker.committed(at, timeout_ms=ANSWER_MS) or 0

    def close(self) -> None:
        self._producer.close(timeout=0.5)
        self._asker.close(autocommit=False, timeout_ms=500)
