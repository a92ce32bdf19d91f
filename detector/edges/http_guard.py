"""Who may read the HTTP port: TLS, basic auth and bearer tokens, from files that may change.

Knows certificates and secrets, and nothing of metrics. Secrets are kept as digests, and what is
wrong with a file is told without its content.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from detector.setting_sections import HttpSettings
from detector.settings import ConfigError

T = TypeVar("T")
log = logging.getLogger(__name__)

_LEAST_SECRET_CHARS = 8


class FromFiles(Generic[T]):
    """What was made of some files, made anew once they have changed.

    While the new files cannot be used, such as a certificate whose key is not there yet, the old
    value stays in force and a log line says so.

    Args:
        paths: the files.
        make: reads them.

    Raises:
        ConfigError: they cannot be used now, at the start.
    """

    def __init__(self, paths: list[Path], make: Callable[[], T]) -> None:
        self._paths = paths
        self._make = make
        self._seen = self._stamps()
        self._value = make()

    def get(self) -> T:
        """The value as of the files now."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._value = self._make()
                log.info("read again, since it changed: %s", self._paths[0])
            except ConfigError as error:
                log.error("%s; the former one stays in force", error)
        return self._value

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [_stamp(path) for path in self._paths]


class Guard:
    """Lets those read who know the secret; without one, everybody.

    Args:
        settings: of the HTTP port.

    Raises:
        ConfigError: a file cannot be read, or holds no secret worth the name.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._schemes: list[str] = []
        self._digests: list[FromFiles[bytes]] = []
        if settings.username:
            path, name = Path(settings.password_file), settings.username
            self._add("Basic", "http.password_file", path, lambda secret: _basic(name, secret))
        if settings.token_file:
            self._add("Bearer", "http.token_file", Path(settings.token_file), str)

    def _add(self, scheme: str, setting: str, path: Path, shape: Callable[[str], str]) -> None:
        self._schemes.append(scheme)
        self._digests.append(FromFiles(
            [path], lambda: _digest(f"{scheme.lower()} {shape(_read_secret(setting, path))}")
        ))  # fmt: skip

    @property
    def challenge(self) -> str:
        """How to ask for the secret: the value of WWW-Authenticate."""
        return ", ".join(f'{scheme} realm="tip-detector"' for scheme in self._schemes)

    def admits(self, authorization: str | None) -> bool:
        """Whether this Authorization header opens the door; takes as long when it does not."""
        if not self._digests:
            return True
        scheme, _, rest = (authorization or "").partition(" ")
        given = _digest(f"{scheme.lower()} {rest.strip()}")
        return any([hmac.compare_digest(given, each.get()) for each in self._digests])


def make_tls(settings: HttpSettings) -> FromFiles[ssl.SSLContext] | None:
    """The server's side of TLS, 1.2 or newer; None where it is off.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    if not settings.tls_certificate_file:
        return None
    certificate, key = Path(settings.tls_certificate_file), Path(settings.tls_key_file)

    def make() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise ConfigError(
                f"http.tls_certificate_file: {certificate} with tls_key_file {key}: {why}"
            ) from None
        return context

    return FromFiles([certificate, key], make)


def _no_passphrase() -> str:
    """Else OpenSSL would ask at the terminal, and a service would wait for ever."""
    raise ValueError("the key has a passphrase; expected one without")


def _basic(name: str, secret: str) -> str:
    """
    >>> _basic("Aladdin", "open sesame")  # the example of RFC 7617
    'QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    return base64.b64encode(f"{name}:{secret}".encode()).decode()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _read_secret(setting: str, path: Path) -> str:
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{setting}: {path}: {why}") from None
    if len(secret) < _LEAST_SECRET_CHARS:
        raise ConfigError(
            f"{setting}: {path}: {len(secret)} characters: expected at least {_LEAST_SECRET_CHARS}"
        )
    return secret


def _stamp(path: Path) -> tuple[int, int, int]:
    """Differs once a file has changed; also where Kubernetes turns a link to another folder."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size
