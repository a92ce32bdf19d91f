"""The console's database: SQLite in a file of its own, or PostgreSQL by a URL.

Knows how to open it, to write in turn, and to notice that it was taken away. Does not know what
stands in it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from detector.console import schema
from detector.runtime.ports import Stop

DEFAULT_FILE = "tip-detector-console.db"
IN_CHUNK = 500
"""Values that one query asks for at most."""

_BUSY_MS = 5_000


class Database:
    """Opens the database and makes its tables.

    Args:
        url: of SQLAlchemy; empty for `DEFAULT_FILE` in the working directory.

    Attributes:
        engine: for reading; what writes uses `write`.
        is_fresh: the tables were made just now: everything has to be read in.

    Raises:
        Stop: the URL cannot be used, or the database does not answer.
    """

    def __init__(self, url: str) -> None:
        self._lock = threading.Lock()
        try:
            parsed = make_url(url or f"sqlite:///{DEFAULT_FILE}")
            is_sqlite = parsed.get_backend_name() == "sqlite"
            self._file = Path(parsed.database) if is_sqlite and parsed.database else None
            self._options: dict[str, Any] = {} if is_sqlite else {"pool_pre_ping": True}
            self._url = parsed
            self._open()
        except (SQLAlchemyError, ArgumentError, ImportError, OSError) as error:
            raise Stop(f"console.database: {_without_secrets(error)}") from None

    def _open(self) -> None:
        if self._file is not None:
            os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))  # it holds user ids
            self._inode = self._file.stat().st_ino
        self.engine: Engine = create_engine(self._url, **self._options)
        if self._file is not None:
            event.listen(self.engine, "connect", _tune)
        self.is_fresh = self._make_tables()
        self.secret = self._find_secret()

    def _make_tables(self) -> bool:
        """Makes the tables, anew where they are of another version; whether they are empty."""
        with self.engine.begin() as at:
            schema.meta.create(at, checkfirst=True)
            row = at.execute(select(schema.meta.c.value).where(schema.meta.c.name == "version"))
            if row.scalar() == schema.VERSION:
                return False
            schema.metadata.drop_all(at)
            schema.metadata.create_all(at)
            at.execute(schema.meta.insert().values(name="version", value=schema.VERSION))
            return True

    def _find_secret(self) -> bytes:
        """What tokens against forged requests are made with: lives as long as the database."""
        with self.engine.begin() as at:
            found = at.execute(select(schema.meta.c.value).where(schema.meta.c.name == "secret"))
            secret = found.scalar()
            if secret is None:
                secret = secrets.token_hex(32)
                at.execute(schema.meta.insert().values(name="secret", value=secret))
        return bytes.fromhex(str(secret))

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; one at a time, since SQLite has only one writer."""
        with self._lock, self.engine.begin() as at:
            yield at

    def is_there(self) -> bool:
        """Whether the file is still the one that was opened; always, without a file."""
        if self._file is None:
            return True
        try:
            return self._file.stat().st_ino == self._inode
        except OSError:
            return False

    def reopen(self) -> None:
        """Opens it again, after it was taken away."""
        with self._lock:
            self.engine.dispose()
            self._open()

    def close(self) -> None:
        """Closes its connections."""
        self.engine.dispose()

    def upsert(self, at: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Writes rows, over those with the same key; all rows have the same columns."""
        if not rows:
            return
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key]
        others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        at.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))

    def add(self, at: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Writes rows whose keys are not there yet; all rows have the same columns."""
        if rows:
            at.execute(self._insert(table).on_conflict_do_nothing(), list(rows))

    def _insert(self, table: Table) -> Any:
        dialect = sqlite if self._file is not None else postgresql
        return dialect.insert(table)


def _tune(connection: sqlite3.Connection, _: Any) -> None:
    for pragma in (
        "journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={_BUSY_MS}", "cache_size=-32768",
        "temp_store=MEMORY",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}").close()


def _without_secrets(error: Exception) -> str:
    """The first line of an error, which is the driver's; the URL may hold a password."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, ArgumentError):
        return "expected a URL such as postgresql+psycopg://user@host/name"
    if isinstance(error, ImportError):
        return f"{error}; for PostgreSQL: pip install 'tip-detector[console-postgresql]'"
    return str(cause).strip().partition("\n")[0]


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The values, `IN_CHUNK` at a time."""
    for first in range(0, len(values), IN_CHUNK):
        yield values[first : first + IN_CHUNK]
