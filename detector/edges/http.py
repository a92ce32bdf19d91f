"""The HTTP port: /metrics for Prometheus, /healthz and /readyz for whoever restarts or routes."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from detector.edges.http_guard import FromFiles, Guard, make_tls
from detector.edges.metrics import Metrics
from detector.runtime.status import Status
from detector.setting_sections import HttpSettings

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
PATIENCE_S = 10.0
"""How long a connection may last: all of it, from the handshake to the last byte."""


class Probe:
    """What the two probes answer.

    Args:
        status: the loop's.
        max_lag_s: lag up to which the detector is ready.
        stalled_after_s: time without a turn of the loop until it is not healthy.
    """

    def __init__(self, status: Status, max_lag_s: float, stalled_after_s: float) -> None:
        self.status = status
        self._max_lag_s = max_lag_s
        self._stalled_after_s = stalled_after_s
        self._made_s = time.monotonic()

    def health(self) -> tuple[bool, str]:
        """Whether the loop turns. Waiting for a broker is healthy: a restart would not help."""
        idle_s = time.monotonic() - max(self.status.turned_s, self._made_s)
        if self.status.state != "starting" and idle_s > self._stalled_after_s:
            return False, f"the loop has not turned for {idle_s:.0f} s"
        return True, "the loop turns"

    def readiness(self) -> tuple[bool, str]:
        """Whether partitions are assigned and caught up."""
        status = self.status
        if status.state != "running":
            return False, f"{status.state}: {status.detail}"
        if not status.partitions:
            return False, "no partition is assigned yet; does the tips topic exist?"
        if status.lag_s is None:
            return False, "how far behind is not known yet"
        if status.lag_s > self._max_lag_s:
            return False, f"{status.lag_s:.0f} s behind, allowed are {self._max_lag_s:.0f} s"
        notice = status.notice and f"; {status.notice}"
        return True, f"{status.partitions} partitions, {status.lag_records} records behind{notice}"


class HttpServer:
    """Serves on threads of its own until `close`.

    Args:
        settings: where to listen, and who may read; port 0 takes any free one.
        metrics, probe: what to answer with.

    Attributes:
        url: the address it really listens at.

    Raises:
        OSError: the address is taken or not ours.
        ConfigError: the certificate or a secret cannot be used.
    """

    def __init__(self, settings: HttpSettings, metrics: Metrics, probe: Probe) -> None:
        class Handler(_Handler):
            answers = _Answers(metrics, probe, Guard(settings))

        self._server = _Server((settings.host, settings.port), Handler, make_tls(settings))
        scheme = "https" if settings.tls_certificate_file else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{scheme}://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True, args=(0.2,)
        )
        self._thread.start()
        if not (settings.is_local or settings.is_guarded):
            log.warning("%s/metrics can be read by whoever reaches it: see http.username, "
                        "http.token_file", self.url)  # fmt: skip
        elif not settings.is_local and scheme == "http":
            log.warning("%s: secrets travel in clear: see http.tls_certificate_file", self.url)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, none of which lasts, and never more than a few.

    Where more come than there is room for, the oldest goes: an ordinary scrape is long done by
    then, and who holds connections open to keep others out holds them in vain.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # a queue that is full costs whoever comes a second or more

    def __init__(
        self, address: tuple[str, int], handler: type[_Handler],
        tls: FromFiles[ssl.SSLContext] | None,
    ) -> None:  # fmt: skip
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._tls = tls
        self._since_s: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts one; its handshake is left to its thread."""
        connection, address = super().get_request()
        connection.settimeout(PATIENCE_S)
        if self._tls is not None:
            connection = self._tls.get().wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._since_s) >= MOST_CONNECTIONS:
                self._end_oldest()
            self._since_s[request] = time.monotonic()
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._tls is not None:
            request.do_handshake()
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._since_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """A few times a second: ends connections that drip."""
        long_ago_s = time.monotonic() - PATIENCE_S
        with self._lock:
            while self._since_s and next(iter(self._since_s.values())) < long_ago_s:
                self._end_oldest()

    def _end_oldest(self) -> None:
        """Wakes the thread that waits on it, which then closes it.

        Not SSLSocket's own shutdown: that takes its encryption away while the thread still uses it.
        """
        connection = next(iter(self._since_s))
        del self._since_s[connection]
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave or speak no TLS are theirs to explain."""
        log.debug("a connection ended early", exc_info=True)


class _Answers:
    def __init__(self, metrics: Metrics, probe: Probe, guard: Guard) -> None:
        self._metrics = metrics
        self._probe = probe
        self.guard = guard

    def to(self, path: str, authorization: str | None) -> tuple[int, str, bytes]:
        """(status, content type, body) of a GET. The probes are open: a kubelet has no secret."""
        if path == "/metrics":
            if not self.guard.admits(authorization):
                return 401, "text/plain; charset=utf-8", b"who is there?\n"
            is_ready, _ = self._probe.readiness()
            body = self._metrics.exposition(self._probe.status.state, is_ready)
            return 200, CONTENT_TYPE_LATEST, body
        if path == "/healthz":
            return self._probe_answer(*self._probe.health())
        if path == "/readyz":
            return self._probe_answer(*self._probe.readiness())
        return 404, "text/plain; charset=utf-8", b"see /metrics, /healthz, /readyz\n"

    @staticmethod
    def _probe_answer(is_well: bool, detail: str) -> tuple[int, str, bytes]:
        body = orjson.dumps({"ok": is_well, "detail": detail}) + b"\n"
        return (200 if is_well else 503), "application/json", body


class _Handler(BaseHTTPRequestHandler):
    answers: _Answers
    server_version = "tip-detector"
    sys_version = ""
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        path, authorization = self.path.partition("?")[0], self.headers.get("Authorization")
        status, content_type, body = self.answers.to(path, authorization)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", self.answers.guard.challenge)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line each."""
