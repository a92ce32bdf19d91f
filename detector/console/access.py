"""Who may see what: users, their roles, tokens against forged requests, and the audit log.

Knows three ways in: everybody on the loopback address, users with a password or a token, and names
that a trusted proxy has checked. Keeps no sessions: a browser sends its credentials each time.
Secrets are compared in constant time, kept as digests, and never logged.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
import time
import tomllib
from collections import OrderedDict, deque
from collections.abc import Mapping
from hashlib import scrypt, sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from detector.console.model import User
from detector.core.problems import Problems, describe
from detector.setting_sections import ConsoleSettings, Section
from detector.settings import ConfigError

_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}
_REMEMBERED = 200
_FAILURES, _FAILURE_WINDOW_S = 10, 60.0
_FAILURES_REMEMBERED = 10_000

Name = Annotated[str, Field(pattern=r"^[^\s:\x00-\x1f]{1,100}$")]


class _Entry(Section):
    name: Name
    role: Literal["reader", "reviewer"]
    password: Annotated[str, Field(pattern=r"^(scrypt\$[0-9a-f]{32}\$[0-9a-f]{64})?$")] = ""
    token: Annotated[str, Field(pattern=r"^(sha256\$[0-9a-f]{64})?$")] = ""


class _UsersFile(Section):
    user: Annotated[list[_Entry], Field(min_length=1, max_length=1_000)]


class TooMany(Exception):
    """Too many wrong passwords for one name from one address; later again."""


class Access:
    """Tells who asks.

    Args:
        settings: of the console.
        secret: what tokens against forged requests are made with.

    Raises:
        ConfigError: the users' file cannot be used.
    """

    def __init__(self, settings: ConsoleSettings, secret: bytes) -> None:
        self._settings = settings
        self._secret = secret
        is_listed = settings.access == "users"
        users = read_users(Path(settings.users_file)) if is_listed else []
        self._by_name = {each.name: each for each in users}
        self._by_token = {each.token: each for each in users if each.token}
        self._salt = secrets.token_bytes(16)
        self._known: OrderedDict[bytes, User] = OrderedDict()  # passwords take long to check
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def user(self, headers: Mapping[str, str], address: str) -> User | None:
        """Who asks; None where nobody says, or it is wrong.

        Args:
            headers: of the request, lower case.
            address: where it comes from.

        Raises:
            TooMany: wrong passwords for that name came from there too often in the last minute.
        """
        if self._settings.access == "open":
            return User("local", "reviewer")
        if self._settings.access == "proxy":
            return self._user_of_proxy(headers, address)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self._by_token.get(token_digest(given.strip()))
            return _as_user(found) if found else None  # too long to be guessed
        if scheme.lower() == "basic":
            return self._user_of_password(given.strip(), address)
        return None

    def csrf(self, user: User) -> str:
        """The token that every form of this user's pages carries."""
        return hmac.new(self._secret, f"csrf {user.name}".encode(), "sha256").hexdigest()

    def is_genuine(self, user: User, token: str, headers: Mapping[str, str]) -> bool:
        """Whether a form came from a page of ours: it has our token, and no other site sent it.

        What carries a bearer token is no browser's doing, and needs no other.
        """
        is_token = headers.get("authorization", "").lower().startswith("bearer ")
        if self._settings.access == "users" and is_token:
            return True
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        return hmac.compare_digest(self.csrf(user).encode(), token.encode())

    def _user_of_proxy(self, headers: Mapping[str, str], address: str) -> User | None:
        try:
            came_from = ip_address(address)
        except ValueError:
            return None
        if not any(came_from in network for network in self._settings.proxy_addresses):
            return None
        name = headers.get(self._settings.proxy_user_header.lower(), "").strip()
        role = headers.get(self._settings.proxy_role_header.lower(), "").strip()
        if not 1 <= len(name) <= 100:
            return None
        return User(name, "reviewer" if role == "reviewer" else "reader")

    def _user_of_password(self, given: str, address: str) -> User | None:
        key = hmac.digest(self._salt, given.encode(), "sha256")
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        self._check_failures((address, name))
        entry = self._by_name.get(name)
        # For an unknown name it takes as long, so that nobody learns which names there are.
        is_right = password_matches(password, entry.password if entry else "")
        if entry is None or not is_right:
            return self._fail((address, name))
        with self._lock:
            self._known[key] = _as_user(entry)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return _as_user(entry)

    def _check_failures(self, of: tuple[str, str]) -> None:
        with self._lock:
            recent = self._failures.get(of)
            while recent and recent[0] < time.monotonic() - _FAILURE_WINDOW_S:
                recent.popleft()
            if recent and len(recent) >= _FAILURES:
                raise TooMany

    def _fail(self, of: tuple[str, str]) -> None:
        with self._lock:
            self._failures.setdefault(of, deque(maxlen=_FAILURES)).append(time.monotonic())
            self._failures.move_to_end(of)
            while len(self._failures) > _FAILURES_REMEMBERED:
                self._failures.popitem(last=False)


def read_users(path: Path) -> list[Any]:
    """The users of a file.

    Raises:
        ConfigError: with every problem, one a line; no secret among them.
    """
    written: dict[str, Any] = {}
    try:
        written = tomllib.loads(path.read_text("utf-8"))
        users = _UsersFile.model_validate(written).user
    except OSError as error:
        raise ConfigError(f"console.users_file: {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        problems = Problems(str(path))
        describe(error, written, problems)
        raise ConfigError(problems.text()) from None
    names = [each.name for each in users]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'{path}: user "{name}" stands there twice')
    return users


def user_entry(name: str, role: str, password: str) -> tuple[str, str]:
    """An entry for the users' file, and the token that it also admits."""
    token = secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    entry = (
        f'[[user]]\nname = "{name}"\nrole = "{role}"\n'
        f'password = "scrypt${salt.hex()}${_digest(password, salt)}"\n'
        f'token = "{token_digest(token)}"\n'
    )
    return entry, token


def password_matches(password: str, kept: str) -> bool:
    """Whether it is the password of which `kept` is the salted digest.

    >>> entry, _ = user_entry("lin", "reviewer", "correct horse")
    >>> kept = tomllib.loads(entry)["user"][0]["password"]
    >>> password_matches("correct horse", kept), password_matches("wrong", kept)
    (True, False)
    """
    _, salt, digest = kept.split("$") if kept else ("", "00" * 16, "")
    return hmac.compare_digest(_digest(password, bytes.fromhex(salt)), digest)


def token_digest(token: str) -> str:
    """How a token stands in the users' file: it is long and random, so it needs no salt."""
    return "sha256$" + sha256(token.encode()).hexdigest()


def _digest(password: str, salt: bytes) -> str:
    return scrypt(password.encode(), salt=salt, dklen=32, **_SCRYPT).hex()  # type: ignore[arg-type]


def _as_user(entry: Any) -> User:
    return User(entry.name, entry.role)
