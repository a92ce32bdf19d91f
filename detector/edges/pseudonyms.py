"""Pseudonyms: ids of users and what names them as keyed digests, before anything else sees them.

Knows the key, and which attributes of an event name somebody. It is applied right after decoding,
so that scores, state, batches and flags are made of pseudonyms only; event ids stay, since they are
the way back to the platform's own record. Does not know what is done with an event afterwards, and
cannot tell an id from its pseudonym: whoever has the key compares.
"""

from __future__ import annotations

import hmac
import os
import stat
from base64 import urlsafe_b64encode
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from detector.core.event import Event
from detector.setting_sections import PseudonymsSettings
from detector.settings import ConfigError

NAMING = (
    "tipper_id", "streamer_id", "account_id", "claimant_id", "device_id", "instrument_id",
    "room_id", "ip",
)  # fmt: skip
"""Attributes of an event that name somebody, or what is somebody's."""

_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 32, 4_096
_REMEMBERED = 65_536
_DIGEST_BYTES, _CHARS = 16, 22


class Pseudonyms:
    """Makes pseudonyms of ids: HMAC-SHA-256 under one key, cut to 128 bits.

    The same text has the same pseudonym wherever it stands, so that an account that tips and is
    paid is still one.

    Args:
        key: random bytes.
        version: the key's, for all to see.

    Attributes:
        prefix: what every pseudonym begins with.
        fingerprint: tells keys apart, and reveals nothing of them.

    >>> pseudonyms = Pseudonyms(bytes(32), version=1)
    >>> pseudonyms.of("u1"), pseudonyms.of("u1") == Pseudonyms(bytes(32), 1).of("u1")
    ('p1_NwPu5H9LxolWJruBLtSs2A', True)
    >>> pseudonyms
    Pseudonyms(version=1)
    """

    def __init__(self, key: bytes, version: int) -> None:
        self.version = version
        self.prefix = f"p{version}_"
        self.fingerprint = self.prefix + _digest(key, b"\0fingerprint")[:11]
        prefix = self.prefix

        def of(text: str) -> str:
            return prefix + _digest(key, text.encode("utf-8", "surrogatepass"))

        self._remembered = lru_cache(_REMEMBERED)(of)

    def __repr__(self) -> str:
        return f"Pseudonyms(version={self.version})"

    def of(self, text: str) -> str:
        """The pseudonym of an id."""
        return self._remembered(text)

    def once(self, text: str) -> str:
        """The pseudonym of an id; what looks like a pseudonym of this key is taken for one.

        >>> pseudonyms = Pseudonyms(bytes(32), version=1)
        >>> pseudonyms.once(pseudonyms.of("u1")) == pseudonyms.once("u1")
        True
        """
        is_one = text.startswith(self.prefix) and len(text) == len(self.prefix) + _CHARS
        return text if is_one else self.of(text)

    def conceal(self, event: Event, is_id_made: bool) -> None:
        """Replaces what names somebody, in place.

        The message goes: it may hold a name, and its words have been looked for.

        Args:
            event: a fresh one.
            is_id_made: whether its id was made of other fields: it then shows an id, or is a digest
                that could be guessed, and is replaced too.
        """
        of = self._remembered
        for slot, value in zip(NAMING, _naming(event), strict=True):
            if value is not None:
                setattr(event, slot, of(value))
        event.message = None
        if is_id_made:
            event.event_id = of(event.event_id)


_naming = attrgetter(*NAMING)


def _digest(key: bytes, text: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(key, text, "sha256")[:_DIGEST_BYTES])[:_CHARS].decode()


def load_pseudonyms(settings: PseudonymsSettings) -> Pseudonyms | None:
    """As the settings say; None where no key is set.

    Raises:
        ConfigError: the key cannot be read, is too short, or others can read or change it. The
            text holds nothing of the key.
    """
    if not settings.key_file:
        return None
    where = f"pseudonyms.key_file: {settings.key_file}"
    try:
        with Path(settings.key_file).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(_MOST_KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror or error}") from None
    if mode & 0o027:
        raise ConfigError(
            f"{where}: its mode is {mode:04o}: expected 0600, 0400, or 0640 at most: nobody else "
            "may read it, nor its group change it"
        )
    if not _LEAST_KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
        shown = f"{len(key)} bytes" if len(key) <= _MOST_KEY_BYTES else "more"
        raise ConfigError(
            f"{where}: found {shown}, expected {_LEAST_KEY_BYTES} to {_MOST_KEY_BYTES} random "
            f"bytes, as of `head -c {_LEAST_KEY_BYTES} /dev/urandom`"
        )
    if len(set(key)) < _LEAST_KEY_BYTES // 4:
        raise ConfigError(f"{where}: found {len(set(key))} different bytes, expected random ones")
    return Pseudonyms(key, settings.version)
