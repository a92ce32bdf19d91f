"""A real Alertmanager on a free port of 127.0.0.1, the alerts it has, and whom it pages."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import orjson

from tests.kafka_node import keep_port

CONFIG = """\
route: {receiver: pager, group_by: [case_id], group_wait: 0s, group_interval: 1s}
receivers: [{name: pager, webhook_configs: [{url: "%s"}]}]
"""


class _Pager(BaseHTTPRequestHandler):
    """Takes Alertmanager's notifications."""

    pages: list[tuple[str, str]]

    def do_POST(self) -> None:
        page = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.pages += [(each["labels"]["case_id"], each["status"]) for each in page["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


class AlertmanagerNode:
    """One Alertmanager; the port stays its own while it is down. What it fires it never keeps.

    Args:
        program: `prometheus-alertmanager`.
        directory: where its files go.

    Attributes:
        pages: what somebody was paged with: case id, and `firing` or `resolved`.
    """

    def __init__(self, program: str, directory: Path) -> None:
        self._directory = directory
        self._port = keep_port(self, None)
        self.url = f"http://127.0.0.1:{self._port}"
        self.pages: list[tuple[str, str]] = []
        handler = type("Pager", (_Pager,), {"pages": self.pages})
        self._pager = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._pager.serve_forever, args=(0.1,), daemon=True).start()
        pager_url = f"http://127.0.0.1:{self._pager.server_address[1]}"
        (directory / "alertmanager.yml").write_text(CONFIG % pager_url)
        self._command = [
            program, f"--config.file={directory}/alertmanager.yml",
            f"--storage.path={directory}/data", f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(self.url + "/-/ready", timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, (self._directory / "log").read_text()
                assert time.monotonic() < deadline_s, "Alertmanager opened no port"
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._pager.shutdown()
        self._pager.server_close()

    def firing(self) -> dict[str, dict[str, Any]]:
        """Case id → the alert, of those that have not ended."""
        with urllib.request.urlopen(self.url + "/api/v2/alerts", timeout=5) as answer:
            alerts = orjson.loads(answer.read())
        return {alert["labels"].get("case_id", ""): alert for alert in alerts}

    def post(self, alerts: list[dict[str, Any]]) -> None:
        """Adds alerts of somebody else's."""
        request = urllib.request.Request(
            self.url + "/api/v2/alerts", orjson.dumps(alerts),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=5).close()
