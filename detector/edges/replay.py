"""Replay: dead letters back into the tips topic, each exactly once.

Letters are sent in transactions, and each transaction also commits how far their reasons have come
(`dead_letters.Progress`). So a replay that is killed has either sent a letter and knows it, or
neither, for whoever reads the tips `read_committed`. All replays of one detector share a
transactional id: a second one fences the first.

A replay that fails leaves its last transaction open; those who read the tips `read_committed` wait
for its end, at most `_TRANSACTION_MS`, or until the next replay.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from detector.edges.dead_letters import (
    Letter,
    Progress,
    open_letters,
    progress_group,
    stop_on_failure,
)
from detector.edges.kafka import client_options
from detector.runtime.ports import Stop
from detector.settings import Settings

log = logging.getLogger(__name__)

_LETTERS = 500  # at most, in one transaction
_BYTES = 16 * 1024 * 1024  # a transaction ends with the letter that reaches this
_ANSWER_S = 60
_WHY_S = 5
_TRANSACTION_MS = 20_000


@dataclass(slots=True)
class Outcome:
    """What a replay did.

    Attributes:
        sent: letters sent back and committed; those that would be, in a dry run.
        skipped: why → letters. `no_label`: not one of ours; `cut`: the rest of it is gone;
            `other_topic`: it came from a topic that is not the tips topic now; `no_bytes`: neither
            key nor value; `sent_before`: by an earlier replay.
        left: letters beyond the limit.
    """

    sent: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left: int = 0

    def __str__(self) -> str:
        """
        >>> str(Outcome(sent=2, skipped=Counter(sent_before=3, cut=1), left=4))
        'sent 2; skipped 4 (cut 1, sent_before 3); left 4'
        """
        whys = ", ".join(f"{why} {count}" for why, count in sorted(self.skipped.items()))
        skipped = f"{self.skipped.total()} ({whys})" if whys else "0"
        return f"sent {self.sent}; skipped {skipped}; left {self.left}"


def replay(
    settings: Settings, outcome: Outcome, reason: str | None = None, limit: int | None = None,
    is_dry_run: bool = False,
) -> None:  # fmt: skip
    """Sends letters back, oldest first: their bytes, key and headers, and `replayed_from`.

    Only the letters that are there at the start: one that dies again waits for the next replay.

    Args:
        settings: where the letters lie, and the one topic they may go back to.
        outcome: filled in on the way, so that it also counts when the replay fails.
        reason: only letters with this one; None for all.
        limit: letters to send at most; None for all.
        is_dry_run: send nothing, and leave a replay that is running alone.

    Raises:
        Stop: a topic is missing, another replay took over, or Kafka failed.
    """
    # The sender comes first: once the others are fenced, nobody moves the progress read after it.
    with (
        _no_sender() if is_dry_run else _sender(settings) as send,
        open_letters(settings) as letters,
    ):
        progress = Progress(settings)
        for batch in _batches(_choose(letters, settings, progress, outcome, reason, limit)):
            send(batch)
            outcome.sent += len(batch)


def _choose(
    letters: Iterable[Letter], settings: Settings, progress: Progress, outcome: Outcome,
    reason: str | None, limit: int | None,
) -> Iterator[Letter]:  # fmt: skip
    """The letters to send; counts the others."""
    chosen = 0
    for letter in letters:
        if reason is not None and (letter.label is None or letter.label.reason != reason):
            continue
        if why_not := _why_not(letter, settings, progress):
            outcome.skipped[why_not] += 1
        elif limit is not None and chosen >= limit:
            outcome.left += 1
        else:
            chosen += 1
            yield letter


def _batches(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """What goes into one transaction each."""
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter.value or b"")
        if len(batch) >= _LETTERS or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _why_not(letter: Letter, settings: Settings, progress: Progress) -> str | None:
    if letter.label is None:
        return "no_label"
    if letter.is_cut:
        log.warning("%s: only its first %d bytes were kept; it cannot be replayed",
                    letter, len(letter.value or b""))  # fmt: skip
        return "cut"
    if letter.label.topic != settings.topics.tips:
        return "other_topic"
    if letter.key is None and letter.value is None:
        return "no_bytes"  # the client cannot send such a record
    return "sent_before" if progress.is_replayed(letter) else None


Send = Callable[[Sequence[Letter]], None]


@contextmanager
def _no_sender() -> Iterator[Send]:
    yield lambda batch: None


@contextmanager
def _sender(settings: Settings) -> Iterator[Send]:
    """The only one that sends: whoever had this transactional id before is fenced."""
    with stop_on_failure("beginning a replay"):
        producer = KafkaProducer(
            **client_options(settings.kafka),
            transactional_id=f"{settings.kafka.group_id}-dead-letters",
            transaction_timeout_ms=_TRANSACTION_MS,
            acks="all",
            retry_backoff_ms=5,  # beginning right after a commit is retried once this long after
            linger_ms=2,
            max_block_ms=_ANSWER_S * 1000,
            max_request_size=64 * 1024 * 1024,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
    try:
        with stop_on_failure("beginning a replay"):
            producer.init_transactions()
        yield lambda batch: _send(producer, settings, batch)
    finally:
        with suppress(kafka_errors.KafkaTimeoutError):  # no broker: what was not sent stays unsent
            producer.close(timeout=2)


def _send(producer: Any, settings: Settings, batch: Sequence[Letter]) -> None:
    """One transaction: the letters, and the progress that they make."""
    tips = settings.topics.tips
    futures: list[Any] = []
    try:
        partitions = producer.partitions_for(tips)
        producer.begin_transaction()
        for letter in batch:
            futures.append(_send_one(producer, tips, partitions, letter))  # noqa: PERF401
        producer.flush(_ANSWER_S)
        for letter, future in zip(batch, futures, strict=True):
            _settle(letter, future)
        for group, offsets in _progress(settings, batch).items():
            producer.send_offsets_to_transaction(offsets, ConsumerGroupMetadata(group))
        producer.commit_transaction()
    except kafka_errors.KafkaError as error:
        if _is_fenced(error, futures):
            raise Stop(
                "another replay took over and sends what this one had not committed (or a "
                f"transaction took more than {_TRANSACTION_MS // 1000} s)"
            ) from error
        raise Stop(f"sending letters back to {tips} failed: {error}") from error


def _send_one(producer: Any, tips: str, partitions: set[int], letter: Letter) -> Any:
    """Back to the partition it came from, where its tipper's other tips are."""
    came_from = letter.label.partition if letter.label else -1
    return producer.send(
        tips, key=letter.key, value=letter.value,
        headers=[*letter.headers, ("replayed_from", str(letter).encode())],
        partition=came_from if came_from in partitions else None,
    )  # fmt: skip


def _settle(letter: Letter, future: Any) -> None:
    try:
        future.get(_ANSWER_S)
    except kafka_errors.MessageSizeTooLargeError as error:
        raise Stop(f"{letter}: the broker refuses its size; raise max.message.bytes") from error


def _progress(
    settings: Settings, batch: Sequence[Letter]
) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
    """Group → partition → the offset after the last letter; a partition's letters are in order."""
    offsets: dict[str, dict[TopicPartition, OffsetAndMetadata]] = defaultdict(dict)
    for letter in batch:
        if letter.label is not None:
            group = progress_group(settings.kafka, letter.label)
            next_offset = OffsetAndMetadata(letter.offset + 1, "", -1)
            offsets[group][TopicPartition(*letter.at)] = next_offset
    return offsets


def _is_fenced(error: kafka_errors.KafkaError, futures: Sequence[Any]) -> bool:
    """Whether another producer has our transactional id now.

    The client may say so itself, or in the text of another error; or a call fails because of the
    state it is in, and only the records that were under way tell why.
    """
    fenced = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)
    if isinstance(error, fenced) or "ProducerFenced" in str(error):
        return True
    until_s = time.monotonic() + _WHY_S
    for future in futures:
        try:
            future.get(max(0.0, until_s - time.monotonic()))
        except fenced:
            return True
        except kafka_errors.KafkaError:
            continue
    return False
