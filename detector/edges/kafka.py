"""What all clients of Kafka have in common: their options, and waiting for a broker.

Knows kafka-python, as do `kafka_source`, `kafka_sink`, `kafka_checkpoints` and `topics`, and
nothing else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from kafka import errors as kafka_errors

from detector.runtime.ports import Stop
from detector.settings import KafkaSettings, read_password

T = TypeVar("T")

ANSWER_MS = 3_000
"""How long a broker may take to answer one question."""

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
    """What the consumer, the producer and the admin client have in common."""
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
        except REFUSED as error:
            raise Stop(f"Kafka refuses: {error}") from error
        except (kafka_errors.KafkaError, OSError) as error:
            on_wait(f"no broker answers yet ({error}); next attempt in {pause_s:.1f} s")
        until_s = time.monotonic() + pause_s
        while time.monotonic() < until_s and not is_stopping():
            time.sleep(0.05)
        pause_s = min(pause_s * 2, longest_pause_s)
    return None
