"""A real `tip-detector console` in a process of its own, and made-up flags for it to show."""

from __future__ import annotations

import base64
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from tests.integration.process import Detector
from tests.kafka_node import KafkaNode

KIND_OF_SUBJECT = {"gambling": "streamer", "ring": "streamer"}


def flag(
    number: int, case: int | None = None, kind: str = "binge", severity: str = "medium",
    **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """A flag as the detector writes it; `number` makes its ids, `case` those of its case."""
    case = number if case is None else case
    subject = {"type": KIND_OF_SUBJECT.get(kind, "tipper"), "id": f"u{case}"}
    return {
        "flag_id": f"f_{number:032x}", "kind": kind, "severity": severity, "action": "cool_off",
        "subject": subject, "event_id": f"e{number}", "event_time": 1_772_380_802_272 + number,
        "score": 0.8, "case_id": f"c_{case:032x}", "update": case != number,
        "reasons": [
            {"code": "session_above_own", "family": "amount", "observed": 5200, "usual": 35,
             "limit": 410, "unit": "CNY", "n": 148, "text": {"en": f"case {case}", "zh": "案件"}},
            {"code": "benign_combo", "family": "amount", "observed": 66, "usual": None,
             "limit": None, "unit": "tips", "n": 1, "text": {"en": "a combo", "zh": "连击"}},
        ],
        "features": {"value_minor": 520_000.0},
        "policy": {"pack": "cn", "version": "1", "hash": "0" * 16},
        "detector": {"version": "0", "shadow": False}, **changes,
    }  # fmt: skip


def write(node: KafkaNode, topic: str, records: Iterable[dict[str, Any]]) -> None:
    node.produce(topic, [(b"k", orjson.dumps(each)) for each in records])


class Console(Detector):
    """One running console; see `Detector`. Its database lies in `folder`."""

    command = ("console",)
    first_line = b"console at"

    def __init__(self, folder: Path, bootstrap: str, prefix: str, **settings: str) -> None:
        self.database = folder / f"{prefix}.db"
        super().__init__(
            folder, bootstrap, prefix,
            **{
                "CONSOLE__PORT": "0", "CONSOLE__DATABASE": f"sqlite:///{self.database}",
                "TOPICS__VERDICTS": f"{prefix}-verdicts", "TOPICS__ACCOUNTS": f"{prefix}-accounts",
                **settings,
            },
        )  # fmt: skip

    @property
    def url(self) -> str:
        found = re.findall(r"console at (http://127\.0\.0\.1:\d+)", self.log.read_text())
        assert found, self.log.read_text()
        return str(found[-1])


class Browser:
    """Asks a console over HTTP, as one user; keeps cookies and follows no redirect."""

    def __init__(self, console: Console, login: str = "") -> None:
        self._console = console
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), _NoRedirect()
        )
        self._headers = {}
        if login:
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()

    def ask(
        self, path: str, form: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """(status, body) of a GET, or of a POST of a form."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(
            self._console.url + path, data, {**self._headers, **(headers or {})}
        )
        try:
            with self._opener.open(request, timeout=20) as answer:
                self.headers = answer.headers
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            self.headers = error.headers
            return error.code, error.read().decode()

    def json(self, path: str) -> Any:
        status, body = self.ask(path)
        assert status == 200, body
        return orjson.loads(body)

    def case(self, number: int) -> Any:
        return self.json(f"/cases/c_{number:032x}.json")

    @property
    def csrf(self) -> str:
        """Of the form that marks all as seen, which is there for who has seen nothing yet."""
        page = self.ask("/", headers={"Cookie": "seen=0"})[1]
        found = re.search(r'name="csrf" value="(\w+)"', page)
        assert found
        return found[1]

    def do(self, number: int, deed: str, **form: Any) -> tuple[int, str]:
        """Does something to a case as it stands now, unless the form says otherwise."""
        version = self.case(number)["row"]["version"]
        return self.ask(
            f"/cases/c_{number:032x}/{deed}", {"csrf": self.csrf, "version": version, **form}
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
