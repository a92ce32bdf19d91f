"""A PostgreSQL server in a process of its own, from Debian's package, for one run of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.conftest import why_missing
from tests.kafka_node import keep_port

LIMIT_S = 30
USER = "console"


class PostgreSQL:
    """One server on a free port of 127.0.0.1; what it holds goes when it stops.

    PostgreSQL refuses to run as root, so root's tests run it as the package's user.
    """

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            pytest.skip(why_missing("postgres", "no program postgres"))
        self._programs = found[-1]
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._port = keep_port(self, None)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._folder, "postgres", "postgres")

    def __enter__(self) -> Self:
        data, log = self._folder / "data", (self._folder / "log").open("wb")
        with log:
            subprocess.run(
                [self._programs / "initdb", "--no-sync", "--auth=trust", f"--username={USER}",
                 "--encoding=UTF8", "--no-locale", data],
                cwd=self._folder, stdout=log, stderr=log, check=True, **self._as,
            )  # fmt: skip
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", data, "-p", str(self._port), "-F",
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
                cwd=self._folder, stdout=log, stderr=log, **self._as,
            )  # fmt: skip
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            try:
                psycopg.connect(self._address("postgres")).close()
                return self
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)  # ends sessions, and itself
        self._process.wait(LIMIT_S)
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The URL of an empty database, as `console.database` takes it."""
        name = f"d{uuid.uuid4().hex}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as at:
            at.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self._address(name).replace("postgresql:", "postgresql+psycopg:")

    def _address(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}"
