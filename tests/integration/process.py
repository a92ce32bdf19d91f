"""A real `tip-detector run` in a process of its own, and what it shows at its HTTP port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]


class Detector:
    """One running detector; its prefix names its group and topics.

    Args:
        folder: where its log goes.
        bootstrap: the broker.
        prefix: of the topics and the group.
        module: what is run: the detector, or something that wraps it.
        config: its settings file; None for none.
        settings: environment overrides, such as `INPUT__MAPPING`.
    """

    command: tuple[str, ...] = ("run",)
    first_line = b"metrics at"

    def __init__(
        self, folder: Path, bootstrap: str, prefix: str, module: str = "detector",
        config: Path | None = None, **settings: str,
    ) -> None:  # fmt: skip
        self.prefix = prefix
        self._command = [sys.executable, "-m", module, *self.command]
        if config is not None:
            self._command += ["--config", str(config)]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"TIP_DETECTOR__{name}": value for name, value in {
                "KAFKA__BOOTSTRAP_SERVERS": bootstrap,
                "KAFKA__GROUP_ID": prefix,
                "KAFKA__SESSION_TIMEOUT_MS": "3000",
                "KAFKA__RETRY_BACKOFF_MAX_MS": "500",
                "TOPICS__TIPS": f"{prefix}-tips",
                "TOPICS__FLAGS": f"{prefix}-flags",
                "TOPICS__DEAD_LETTERS": f"{prefix}-dead",
                "HTTP__PORT": "0",
                **settings,
            }.items()},
        }  # fmt: skip
        self.log = folder / f"{prefix}-{time.monotonic_ns()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Detector:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip
        return self

    def __enter__(self) -> Detector:
        return self.start()

    def __exit__(self, *_: object) -> None:
        process = self.process
        if process.poll() is None:
            process.kill()
            process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def terminate(self) -> tuple[int, float]:
        """Sends SIGTERM; (exit code, seconds it took)."""
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        return code, time.monotonic() - started_s

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of its HTTP port."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text())
        assert found, self.log.read_text()
        try:
            with urllib.request.urlopen(found[0] + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        _, text = self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "tip_detector_" + name
            and all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def wait_ready(self, is_ready: bool = True, timeout_s: float = 30) -> None:
        """Waits until /readyz says so."""
        deadline_s = time.monotonic() + timeout_s
        answer: object = None
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, self.log.read_text()
            if self.first_line in self.log.read_bytes():
                answer = self.get("/readyz")
                if (answer[0] == 200) == is_ready:  # type: ignore[index]
                    return
            time.sleep(0.1)
        raise AssertionError(f"/readyz: {answer}\n{self.log.read_text()[-3000:]}")
