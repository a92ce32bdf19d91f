"""Why no broker lets a client in, in words that help.

kafka-python tells its log why an attempt failed, and its caller only that none succeeded in time.
Knows nothing of what the client is for, and never sees a password: neither side puts one into its
errors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

_LOGGER = logging.getLogger("kafka.net.manager")

_LIKELY_CAUSES = (
    ("mismatch", "the certificate names another host: use that name in kafka.bootstrap_servers"),
    ("has expired", "the broker's certificate is too old"),
    ("CERTIFICATE_VERIFY_FAILED", "kafka.ssl_cafile lacks the authority that signed the broker's "
                                  "certificate"),
    ("ALERT", "the broker refuses our certificate: see kafka.ssl_certfile"),
    ("EOF occurred", "that listener speaks no TLS: see kafka.security_protocol"),
    ("WRONG_VERSION", "that listener speaks no TLS: see kafka.security_protocol"),
    ("socket disconnected", "the broker hung up: see kafka.security_protocol, and with SASL "
                            "kafka.sasl_username and the password"),
    ("DNS Resolution", "kafka.bootstrap_servers names a host that is not known here"),
    ("ECONNREFUSED", "nothing listens there: see kafka.bootstrap_servers"),
    ("SaslAuthenticationFailed", "see kafka.sasl_username and the password"),
)  # fmt: skip
"""A part of what was said → its likely cause; the first that fits."""


@contextmanager
def told_why() -> Iterator[None]:
    """Around making a client: where none can be made, the error says why.

    Raises:
        SaslAuthenticationFailedError: instead of a time-out, where a broker refused the user.
        KafkaConnectionError: instead of a time-out, where anything else is known.
    """
    heard = _Heard()
    _LOGGER.addHandler(heard)
    try:
        yield
    except kafka_errors.KafkaTimeoutError as error:
        if heard.why is None:
            raise
        kind = kafka_errors.KafkaConnectionError
        if isinstance(heard.why, kafka_errors.SaslAuthenticationFailedError):
            kind = kafka_errors.SaslAuthenticationFailedError
        raise kind(explain(str(heard.why))) from error
    finally:
        _LOGGER.removeHandler(heard)


def explain(said: str) -> str:
    """What a client said, and what probably caused it.

    >>> explain("KafkaConnectionError: 111 ECONNREFUSED")
    '111 ECONNREFUSED: nothing listens there: see kafka.bootstrap_servers'
    >>> explain("something new")
    'something new'
    """
    cause = next((cause for part, cause in _LIKELY_CAUSES if part in said), "")
    told = said.removeprefix("KafkaConnectionError: ").removeprefix("Handshake failed: ")
    return f"{told}: {cause}" if cause else told


class _Heard(logging.Handler):
    """The last failure that the client logged; one of authentication is kept.

    A broker that refuses a user says so and hangs up, and where both come at once the client hears
    only the latter: of several attempts some are told why.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.why: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(self.why, kafka_errors.SaslAuthenticationFailedError):
            return
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Exception) and not isinstance(
                argument, kafka_errors.KafkaTimeoutError
            ):
                self.why = argument
