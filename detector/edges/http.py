"""The HTTP port: /metrics for Prometheus, /healthz and /readyz for whoever restarts or routes."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from detector.edges.metrics import Metrics
from detector.runtime.status import Status


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
    """Serves on a thread of its own until `close`.

    Args:
        host, port: where to listen; port 0 takes any free one.
        metrics, probe: what to answer with.

    Attributes:
        url: the address it really listens at.

    Raises:
        OSError: the address is taken or not ours.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, probe: Probe) -> None:
        class Handler(_Handler):
            answers = _Answers(metrics, probe)

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True, args=(0.2,)
        )
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


class _Answers:
    def __init__(self, metrics: Metrics, probe: Probe) -> None:
        self._metrics = metrics
        self._probe = probe

    def to(self, path: str) -> tuple[int, str, bytes]:
        """(status, content type, body) of a GET."""
        if path == "/metrics":
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
    timeout = 10

    def do_GET(self) -> None:
        status, content_type, body = self.answers.to(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line each."""
