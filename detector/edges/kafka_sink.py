"""The Kafka producers behind `ports.Sink`: one for each promise of delivery.

A commit runs on a thread of the sink's own, since kafka-python waits for the end of a transaction
without a limit, and the loop must be able to give up when it is asked to stop. The loop never
works on while a commit is under way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from detector.edges.kafka import REFUSED, client_options
from detector.edges.kafka_source import KafkaSource
from detector.runtime.ports import Aborted, Membership, Output, Partition, Retry, Stop
from detector.setting_sections import KafkaSettings

log = logging.getLogger(__name__)

CUT_BYTES = 200_000
"""Of a record that the broker will not take whole, this much of the value is kept."""

CUT_TEXT_BYTES = 1_000
"""As much is kept of its key and of each header."""

CUT_HEADERS = 32
"""As many of its headers are kept: the last ones, among which are our own."""

TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)

_FENCED = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)
_MOST_FENCES = 3
_FENCE_WINDOW_S = 60.0
_GRACE_S = 5.0


class ExactlyOnceSink:
    """Outputs, saved state and offsets in one transaction a commit.

    The broker fences a zombie twice: by the transactional id's epoch, and by the group's
    generation that comes with the offsets (KIP-447).

    Args:
        settings: of Kafka.
        transactional_id: this instance's; another process with the same id fences this one.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self._settings = settings
        self._transactional_id = transactional_id
        self._limits = _Limits()
        self._fenced_s: list[float] = []
        self._job: _Job | None = None
        self._producer = self._make()

    def submit(
        self, outputs: Sequence[Output], saves: Sequence[Output],
        next_offsets: Mapping[Partition, int], membership: Membership,
    ) -> None:  # fmt: skip
        self._job = _Job(
            lambda given_up: self._transact(
                [*outputs, *saves], _offsets(next_offsets), membership, given_up
            )
        )

    def wait(self, timeout_s: float) -> bool:
        """See `ports.Sink`. Longer than the broker keeps a transaction open, nobody waits.

        The client may be stuck for good by then: a new one ends the transaction one way or the
        other, and what was committed is asked from the group.
        """
        job = self._job
        if job is None or job.wait(timeout_s):
            return True
        if job.age_s > self._settings.transaction_timeout_ms / 1000 + _GRACE_S and job.is_commit:
            log.warning("a commit has not ended for %.0f s: its client is given up", job.age_s)
            job.give_up()
            self._job = _Job(self._start_again, is_commit=False)
        return False

    def close(self, timeout_s: float) -> None:
        if self._job is not None:
            self._job.give_up()
        _close(self._producer, timeout_s)

    def _start_again(self, given_up: threading.Event) -> None:
        self._replace(given_up)
        raise Aborted("the last commit did not end")

    def _make(self) -> KafkaProducer:
        producer = KafkaProducer(
            **_producer_options(self._settings),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
        )
        try:
            producer.init_transactions()
        except BaseException as error:
            _close(producer, 0)
            if kafka_errors.InvalidTransactionTimeoutError.__name__ in str(error):  # has no type
                raise Stop(
                    f"kafka.transaction_timeout_ms = {self._settings.transaction_timeout_ms}: the "
                    "broker allows less; see its transaction.max.timeout.ms"
                ) from error
            raise
        return producer

    def _transact(
        self, outputs: list[Output], offsets: dict[TopicPartition, OffsetAndMetadata],
        membership: Membership, given_up: threading.Event,
    ) -> None:  # fmt: skip
        producer = self._producer
        futures: list[tuple[Any, Output]] = []
        try:
            producer.begin_transaction()
            for output in outputs:
                future = _send(producer, output, self._limits, given_up)
                futures.append((future, output))  # one by one: the rest may raise
            producer.send_offsets_to_transaction(offsets, membership)
            producer.flush()
            for future, _ in futures:  # the client may call a commit done that lacks a record
                future.get(timeout=0)
            producer.commit_transaction()
        except kafka_errors.KafkaError as error:
            self._abort(error, futures, given_up)

    def _abort(
        self, error: kafka_errors.KafkaError, futures: list[tuple[Any, Output]],
        given_up: threading.Event,
    ) -> None:  # fmt: skip
        """Ends a transaction that failed; always raises."""
        if given_up.is_set():  # somebody else goes on from here
            raise Aborted(str(error)) from error
        failed = [(future.exception, output) for future, output in futures if future.is_done]
        for each, output in failed:
            if isinstance(each, REFUSED):
                raise Stop(f"writing to {output.topic} is refused: {each}") from error
        if isinstance(error, REFUSED):
            raise Stop(f"writing is refused: {error}") from error
        if too_large := [output for each, output in failed if isinstance(each, TOO_LARGE)]:
            self._limits.lower(too_large)
        if any(isinstance(each, _FENCED) for each in (error, *(each for each, _ in failed))):
            self._count_fence(error)
        self._replace(given_up)
        raise Aborted(str(error)) from error

    def _count_fence(self, error: kafka_errors.KafkaError) -> None:
        now_s = time.monotonic()
        self._fenced_s = [at for at in self._fenced_s if now_s - at < _FENCE_WINDOW_S] + [now_s]
        if len(self._fenced_s) > _MOST_FENCES:
            raise Stop(
                f"the transactional id {self._transactional_id!r} was fenced {_MOST_FENCES} times "
                "within a minute: does another instance run with the same kafka.instance_id?"
            ) from error

    def _replace(self, given_up: threading.Event) -> None:
        """A new producer under the same id; its start aborts whatever the old one left open.

        The old one is not used again, even where it could abort by itself: after a record was
        refused, kafka-python numbers the next ones wrongly and calls their commit done.
        """
        _close(self._producer, 0)
        while not given_up.is_set():
            try:
                self._producer = self._make()
                return
            except REFUSED as refusal:
                raise Stop(f"writing is refused: {refusal}") from refusal
            except (kafka_errors.KafkaError, OSError) as wait:
                log.warning("no new transaction yet: %s", wait)
                given_up.wait(0.5)


class AtLeastOnceSink:
    """Outputs first, then the offsets, then saved state, so that none runs ahead of the other.

    Args:
        settings: of Kafka.
        source: whose offsets are committed.
    """

    def __init__(self, settings: KafkaSettings, source: KafkaSource) -> None:
        self._settings = settings
        self._producer = KafkaProducer(**_producer_options(settings))
        self._source = source
        self._limits = _Limits()
        self._stages: list[Callable[[], _Job | None]] = []
        self._job: _Job | None = None

    def submit(
        self, outputs: Sequence[Output], saves: Sequence[Output],
        next_offsets: Mapping[Partition, int], membership: Membership,
    ) -> None:  # fmt: skip
        self._stages = [
            lambda: _Job(lambda given_up: self._write(outputs, given_up)) if outputs else None,
            lambda: self._source.commit(next_offsets),
            lambda: _Job(lambda given_up: self._write(saves, given_up)) if saves else None,
        ]

    def wait(self, timeout_s: float) -> bool:
        while self._stages or self._job is not None:
            if self._job is None:
                try:
                    self._job = self._stages[0]()
                except Retry as error:
                    log.warning("offsets not committed, trying again: %s", error)
                    return False
                self._stages.pop(0)
            if self._job is not None:
                if not self._job.wait(timeout_s):
                    return False
                self._job = None
        return True

    def close(self, timeout_s: float) -> None:
        if self._job is not None:
            self._job.give_up()
        _close(self._producer, timeout_s)

    def _write(self, outputs: Sequence[Output], given_up: threading.Event) -> None:
        """Writes until all is acknowledged; what failed and may still succeed is sent again."""
        waiting = list(outputs)
        while not given_up.is_set():
            futures = [(_send(self._producer, each, self._limits, given_up), each)
                       for each in waiting]  # fmt: skip
            self._producer.flush()
            failed = [(future.exception, each) for future, each in futures if future.exception]
            waiting = [output for _, output in failed]
            if not waiting:
                return
            for error, output in failed:
                if not isinstance(error, TOO_LARGE) and not getattr(error, "retriable", False):
                    raise Stop(f"writing to {output.topic} failed: {error}") from error
            if too_large := [output for error, output in failed if isinstance(error, TOO_LARGE)]:
                self._limits.lower(too_large)
            self._replace(given_up)

    def _replace(self, given_up: threading.Event) -> None:
        """A new producer: after one refusal an idempotent one refuses everything."""
        _close(self._producer, 0)
        while not given_up.is_set():
            try:
                self._producer = KafkaProducer(**_producer_options(self._settings))
                return
            except (kafka_errors.KafkaError, OSError) as wait:
                log.warning("no new producer yet: %s", wait)
                given_up.wait(0.5)


class _Job:
    """One commit on a thread of its own, which a stopping process need not wait for."""

    def __init__(self, run: Callable[[threading.Event], None], is_commit: bool = True) -> None:
        self.is_commit = is_commit
        self._began_s = time.monotonic()
        self._given_up = threading.Event()
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._run = run
        threading.Thread(target=self._work, name="commit", daemon=True).start()

    def _work(self) -> None:
        try:
            self._run(self._given_up)
        except BaseException as error:  # handed to the loop, which decides
            self._error = error
        finally:
            self._done.set()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began_s

    def wait(self, timeout_s: float) -> bool:
        """Whether it is done; raises what it raised."""
        if not self._done.wait(timeout_s):
            return False
        if self._error is not None:
            raise self._error
        return True

    def give_up(self) -> None:
        self._given_up.set()


class _Limits:
    """Which topics refuse large records: what goes there is cut."""

    def __init__(self) -> None:
        self._cut: set[str] = set()

    def lower(self, refused: Sequence[Output]) -> None:
        """Remembers which topics refused a record for its size.

        Args:
            refused: what the client says was; that may be more than was, since it fails what
                waits behind a refused record with the same error. Large ones are believed.

        Raises:
            Stop: there is none that may be cut and was not cut before.
        """
        large = [
            each for each in refused
            if _size(each) > CUT_BYTES
            and each.partition is None and each.topic not in self._cut
        ]  # fmt: skip
        if not large:
            worst = max(refused, key=_size)
            raise Stop(
                f"the broker refuses {_size(worst)} bytes for {worst.topic}: raise its limit"
            )
        self._cut |= {each.topic for each in large}

    def fit(self, output: Output) -> Output:
        """The output, or the beginning of its parts with a header that says so."""
        size = _size(output)
        if output.topic not in self._cut or size <= CUT_BYTES:
            return output
        log.warning("%s: %d bytes are over the broker's limit; only the first %d are kept",
                    output.topic, size, CUT_BYTES)  # fmt: skip
        key, value = output.key, output.value
        headers = [(name[:CUT_TEXT_BYTES], text[:CUT_TEXT_BYTES])
                   for name, text in output.headers[-CUT_HEADERS:]]  # fmt: skip
        return output._replace(
            key=key and key[:CUT_TEXT_BYTES],
            value=value and value[:CUT_BYTES],
            headers=[*headers, ("cut_from_bytes", str(len(value or b"")).encode())],
        )


def _size(output: Output) -> int:
    """Bytes of all that is in it, but for a few of framing."""
    headers = sum(len(name.encode()) + len(text) + 4 for name, text in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


def _send(
    producer: KafkaProducer, output: Output, limits: _Limits, given_up: threading.Event
) -> Any:
    """Hands one output to the client, waiting while it has no metadata or no room."""
    while True:
        output = limits.fit(output)
        try:
            return producer.send(
                output.topic, key=output.key, value=output.value, headers=output.headers,
                partition=output.partition,
            )  # fmt: skip
        except kafka_errors.KafkaTimeoutError as error:
            if given_up.is_set():
                raise
            log.warning("%s: not accepted yet, trying again: %s", output.topic, error)
        except kafka_errors.MessageSizeTooLargeError:
            limits.lower([output])


def _close(producer: KafkaProducer, timeout_s: float) -> None:
    """Closes it in any case; what it holds is given up when the time is over."""
    try:
        producer.close(timeout=timeout_s)
    except kafka_errors.KafkaError:  # which leaves its thread running
        producer._sender.force_close()


def _offsets(next_offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
        for partition, offset in next_offsets.items()
    }


def _producer_options(settings: KafkaSettings) -> dict[str, Any]:
    return {
        **client_options(settings),
        "acks": "all",
        "linger_ms": 0,
        "retry_backoff_ms": 5,  # else the first send after a commit waits 100 ms
        "max_block_ms": 2_000,
        "delivery_timeout_ms": 2**31 - 1,
        "max_request_size": 64 * 1024 * 1024,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
