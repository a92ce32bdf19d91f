"""`tip-detector console`: puts the parts together, serves the pages, ends in good order."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

from detector.assembly import Assembly
from detector.console.access import Access, user_entry
from detector.console.app import App
from detector.console.casebook import Casebook
from detector.console.database import Database
from detector.console.metrics import ConsoleMetrics
from detector.console.projection import Projection
from detector.console.queries import Queries
from detector.console.store import Store
from detector.console.tips import Tips
from detector.console.verdicts import Desk
from detector.settings import DAY_MS, ConfigError

log = logging.getLogger(__name__)

_MIN_PASSWORD_CHARS = 12
_GRACE_S = 3

logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its own start is no news


class Console:
    """One console, ready to run.

    Args:
        assembly: as the settings say.

    Attributes:
        url: the address it really listens at.

    Raises:
        ConfigError: the users' file cannot be used.
        Stop: the database cannot be used.
        OSError: the address is taken or not ours.
    """

    def __init__(self, assembly: Assembly) -> None:
        settings = assembly.settings
        console = settings.console
        self._metrics = ConsoleMetrics()
        self._database = Database(console.database.get_secret_value())
        store = Store(self._database, console.expire_days * DAY_MS, console.keep_days * DAY_MS)
        queries = Queries(self._database, console.page_rows)
        self._projection = Projection(settings, self._database, store, self._metrics)
        self._tips = Tips(assembly)
        self._desk = Desk(settings, queries, self._projection, self._metrics)
        casebook = Casebook(
            assembly, self._database, store, queries, self._projection, self._tips
        )  # fmt: skip
        access = Access(console, self._database.secret)
        app = App(
            console, settings.engine.zone, casebook, self._desk, self._projection, self._metrics,
            access,
        )  # fmt: skip
        self._socket = _listen(console.host, console.port)
        host = f"[{console.host}]" if ":" in console.host else console.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app.asgi, log_config=None, access_log=False, server_header=False,
                timeout_graceful_shutdown=_GRACE_S, limit_concurrency=200,
                proxy_headers=False, lifespan="off",
            )
        )  # fmt: skip
        self._error: BaseException | None = None

    def run(self) -> None:
        """Serves until `stop`, or until Kafka refuses.

        Raises:
            Stop: Kafka refuses.
        """
        reader = threading.Thread(target=self._read, name="projection")
        reader.start()
        log.info("console at %s", self.url)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._projection.stop()
            reader.join(10)
            self._desk.close()
            self._tips.close()
            self._database.close()
            self._socket.close()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends `run` soon."""
        self._server.should_exit = True

    def _read(self) -> None:
        try:
            self._projection.run()
        except BaseException as error:  # whatever it is, pages that grow old must not be served
            self._error = error
            self.stop()


def run_console(assembly: Assembly) -> int:
    """Runs until SIGTERM or SIGINT."""
    console = Console(assembly)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: console.stop())
    console.run()
    return 0


def print_user(name: str, role: str) -> int:
    """Asks for a password, and prints an entry for the users' file.

    Raises:
        ConfigError: the password is too short.
    """
    if sys.stdin.isatty():
        password = getpass.getpass(f"password of {name}: ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < _MIN_PASSWORD_CHARS:
        raise ConfigError(f"password: expected at least {_MIN_PASSWORD_CHARS} characters")
    entry, token = user_entry(name, role, password)
    print(entry, end="")
    print(f"token for programs, shown only now: {token}", file=sys.stderr)
    return 0


def _listen(host: str, port: int) -> Any:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # who is told of the address may come at once
    except OSError as error:
        listening.close()
        raise OSError(f"{host}:{port}: {os.strerror(error.errno or 0)}") from error
    return listening
