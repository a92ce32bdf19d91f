"""A real Prometheus and a real Alertmanager with what is shipped, and a mail server of ours.

Only addresses and durations differ from the shipped files: each minute lasts a second. Knows
neither Kafka nor the detector; it is told where to scrape.
"""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import yaml
from aiosmtpd.controller import Controller

from tests.alerts.shipped import ALERTMANAGER, PROMETHEUS, RULES, hurried, load
from tests.conftest import program
from tests.kafka_node import HOST, keep_port


class MailServer:
    """Takes every mail.

    Attributes:
        mails: in the order of their arrival.
        port: where it listens.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.port = keep_port(self, None)
        self._controller = Controller(self, hostname=HOST, port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 taken"

    def wait_for(
        self, to: str, is_wanted: Callable[[str, str], bool], within_s: float
    ) -> tuple[str, str]:
        """(subject, text) of a mail to somebody, once there is one that is wanted."""
        deadline_s = time.monotonic() + within_s
        while True:
            for mail in self.mails:
                subject, text = str(mail["Subject"]), text_of(mail)
                if mail["To"] == to and is_wanted(subject, text):
                    return subject, text
            seen = [(str(mail["To"]), str(mail["Subject"])) for mail in self.mails]
            assert time.monotonic() < deadline_s, f"no such mail among {seen}"
            time.sleep(0.05)


def text_of(mail: EmailMessage) -> str:
    """The plain text of a mail, with the line ends it was written with."""
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


class Server:
    """One program with an HTTP port of its own on 127.0.0.1, ready when `/-/ready` says so."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self._command = command
        self._log = folder / "log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + 30
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.__exit__()
                raise AssertionError(f"{self._command[0]}: {self._log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Alertmanager(Server):
    """With the shipped routes and templates; its webhooks lead nowhere.

    Args:
        folder: where its files go.
        mail_port: where its mails go; by default nowhere.
    """

    def __init__(self, folder: Path, mail_port: int = 9) -> None:
        folder.mkdir()
        shipped = (ALERTMANAGER / "alertmanager.yml").read_text("utf-8")
        text = re.sub(r"(_wait|_interval): (.+)", lambda m: f"{m[1]}: 1s", shipped)
        text = text.replace("repeat_interval: 1s", "repeat_interval: 1h")
        text = text.replace("127.0.0.1:25", f"{HOST}:{mail_port}")
        text = text.replace("templates/*.tmpl", f"{ALERTMANAGER}/templates/*.tmpl")
        (folder / "alertmanager.yml").write_text(text, "utf-8")
        port = keep_port(self, None)
        super().__init__(folder, [
            program("prometheus-alertmanager"), "--config.file=alertmanager.yml",
            "--storage.path=data", f"--web.listen-address={HOST}:{port}",
            "--cluster.listen-address=",
        ], port)  # fmt: skip


class Prometheus(Server):
    """With the shipped rules, in which each minute lasts a second.

    Args:
        folder: where its files go.
        targets: job → address, instead of the shipped ones; a job that is not here is left out.
        alertmanager: whom it tells.
    """

    def __init__(self, folder: Path, targets: dict[str, str], alertmanager: Alertmanager) -> None:
        (folder / "rules").mkdir(parents=True)
        config = load(PROMETHEUS / "prometheus.yml")
        config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"] = [
            {**job, "static_configs": [{"targets": [targets[job["job_name"]]]}]}
            for job in config["scrape_configs"]
            if job["job_name"] in targets
        ]
        address = alertmanager.url.removeprefix("http://")
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [address]}]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
        for path in RULES:
            (folder / "rules" / path.name).write_text(hurried(path.read_text("utf-8")), "utf-8")
        port = keep_port(self, None)
        super().__init__(folder, [
            program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address={HOST}:{port}", "--rules.alert.resend-delay=1s",
        ], port)  # fmt: skip
