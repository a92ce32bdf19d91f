"""What clients of Kafka have in common: options, waiting for a broker, reading without a group.

Knows kafka-python, as do the other modules named after Kafka, and `topics`; nothing else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.edges.kafka_reasons import told_why
from detector.runtime.ports import Retry, Stop
from detector.setting_sections import KafkaSettings
from detector.settings import ConfigError, read_password

T = TypeVar("T")

ANSWER_MS = 3_000
"""How long a broker may take to answer one question."""

_PATIENCE_S = 6.0
_POLL_MS = 200

REFUSED = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.TransactionalIdAuthorizationFailedError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.KafkaConfigurationError,
)


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """What the consumer, the producer and the admin client have in common.

    Raises:
        ConfigError: a file that the settings name cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [each.strip() for each in settings.bootstrap_servers.split(",")],
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol,
        "reconnect_backoff_max_ms": settings.retry_backoff_max_ms,
        "bootstrap_timeout_ms": 5_000,
        "request_timeout_ms": 10_000,  # an answer that was lost on the way is not waited for longer
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = settings.ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            options[name] = _readable(f"kafka.{name}", getattr(settings, name)) or None
    if settings.sasl_mechanism:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = read_password(settings)
    return options


def _readable(setting: str, path: str) -> str:
    """The path, if a file can be read there, or if it is empty."""
    try:
        if path:
            Path(path).open("rb").close()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror or error}") from None
    return path


def make_reader(settings: KafkaSettings, isolation_level: str, fetch_bytes: int) -> KafkaConsumer:
    """A consumer of no group, which is told what to read.

    Raises:
        KafkaError: no broker answers, or one refuses; `connect` sorts that out.
    """
    return KafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        isolation_level=isolation_level,
        auto_offset_reset="earliest",
        max_poll_records=500,
        fetch_max_bytes=fetch_bytes,
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=50,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def bounds(consumer: KafkaConsumer, at: TopicPartition) -> tuple[int, int]:
    """Where a partition's log starts and ends, as far as the consumer's isolation lets it see.

    Raises:
        Retry: the broker is away.
        Stop: not allowed.
    """
    try:
        start = consumer.beginning_offsets([at], timeout_ms=ANSWER_MS)[at]
        end = consumer.end_offsets([at], timeout_ms=ANSWER_MS)[at]
    except REFUSED as error:
        raise Stop(f"{at.topic}: reading is refused: {error}") from error
    except (kafka_errors.KafkaError, KeyError) as error:
        raise Retry(f"{at.topic}: {error}") from error
    return int(start), int(end)


def read_between(
    consumer: KafkaConsumer, at: TopicPartition, since: int, until: int,
    patience_s: float = _PATIENCE_S,
) -> Iterator[Any]:  # fmt: skip
    """The records of a partition between two offsets, read with a consumer that has no other task.

    Args:
        consumer: from `make_reader`.
        at: the partition.
        since, until: offsets; what lies before the log's start is not there.
        patience_s: how long to wait while nothing comes.

    Raises:
        Retry: the broker is away, or nothing comes.
        Stop: not allowed.
    """
    consumer.assign([at])
    consumer.seek(at, since)
    silent_ms = 0
    while True:
        try:
            if (consumer.position(at, timeout_ms=ANSWER_MS) or since) >= until:
                return
            batches = consumer.poll(timeout_ms=_POLL_MS)
        except REFUSED as error:
            raise Stop(f"{at.topic}: reading is refused: {error}") from error
        except kafka_errors.KafkaError as error:
            raise Retry(f"{at.topic}: {error}") from error
        silent_ms = 0 if batches else silent_ms + _POLL_MS
        if silent_ms > patience_s * 1000:
            raise Retry(f"{at.topic}[{at.partition}]: nothing comes: is a transaction open?")
        for record in batches.get(at, ()):
            if record.offset >= until:
                return
            yield record


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
            with told_why():
                return make()
        except REFUSED as error:
            raise Stop(f"Kafka refuses: {error}") from error
        except (kafka_errors.KafkaError, OSError) as error:
            on_wait(f"no broker answers yet ({error}); next attempt in {pause_s:.1f} s")
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s and not is_stopping():
            time.sleep(0.05)
        pause_s = min(pause_s * 2, longest_pause_s)
    return None
