"""Alertmanager's API (v2), and how a case reads as one of its alerts.

Knows no Kafka, and not which cases there are. No alert holds a subject's id: a case's id is a
digest, and the reasons' texts hold figures only.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from detector.core.case_alerts import CaseAlert
from detector.core.wording.credit import KIND_WORDS, SEVERITY_WORDS

ALERT_NAME = "TipCase"

_ANSWER_S = 5.0
_MOST_BYTES = 32 * 1024 * 1024
_MOST_REASONS = 6
_SUBJECT_WORDS = {"tipper": ("tipper", "打赏者"), "streamer": ("streamer", "主播")}


class AlertmanagerError(Exception):
    """It did not answer, or not as expected; the same may work later."""


class Links(NamedTuple):
    """Where an alert points to; empty: nowhere.

    Attributes:
        case_url: case id → where a reviewer finds it.
        runbook: what to do about such alerts.
    """

    case_url: Callable[[str], str]
    runbook: str = ""


def to_alert(case_id: str, case: CaseAlert, links: Links) -> dict[str, Any]:
    """A case as an alert: labels that stay the same as long as it lasts, and when it ends.

    Raises:
        LookupError, TypeError, ValueError: its flag is none of a version that is known here.
    """
    flag = case.flag
    labels = {
        "alertname": ALERT_NAME,
        "team": "reviewers",
        "kind": flag["kind"],
        "severity": flag["severity"],
        "case_id": case_id,
        "subject_type": flag["subject"]["type"],
    }
    annotations = {
        "summary": _summary(flag, 0, "{kind} ({subject}), severity {severity}: {action}"),
        "summary_zh": _summary(flag, 1, "{kind}（{subject}），严重程度{severity}：{action}"),
        "description": _description(flag, "en"),
        "description_zh": _description(flag, "zh"),
    }
    if links.runbook:
        annotations["runbook_url"] = links.runbook
    alert = {
        "labels": labels,
        "annotations": annotations,
        "startsAt": _moment(min(case.since_ms, case.until_ms)).isoformat(),
        "endsAt": _moment(case.until_ms).isoformat(),
    }
    if url := links.case_url(urllib.parse.quote(case_id, safe="")):
        annotations["console_url"] = alert["generatorURL"] = url
    return alert


def _summary(flag: Mapping[str, Any], language: int, form: str) -> str:
    kind = KIND_WORDS.get(flag["kind"], (flag["kind"],) * 2)
    return form.format(
        kind=kind[language].capitalize(),
        subject=_SUBJECT_WORDS[flag["subject"]["type"]][language],
        severity=SEVERITY_WORDS[flag["severity"]][language],
        action=flag["action"],
    )


def _description(flag: Mapping[str, Any], language: str) -> str:
    """The gravest reasons, one a line, as the flag has them; then what speaks against it."""
    against = {"en": "against: ", "zh": "反证："}[language]
    reasons = sorted(flag["reasons"], key=_is_benign)
    return "\n".join(
        f"- {against if _is_benign(reason) else ''}{reason['text'][language]}"
        for reason in reasons[:_MOST_REASONS]
    )


def _is_benign(reason: Mapping[str, Any]) -> bool:
    return str(reason["code"]).startswith("benign_")


class Alertmanager:
    """One Alertmanager.

    Args:
        url: its address, with the path it is served under, if any.
        token_file: holds the bearer token that it wants; read each time, empty for none.
    """

    def __init__(self, url: str, token_file: str = "") -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._token_file = token_file

    def bring_up_to_date(
        self, alerts: Collection[dict[str, Any]], is_over: Callable[[str], bool], now_ms: int
    ) -> None:
        """Makes it fire these alerts, and ends those of cases that are over.

        What it fires is asked for first, so nobody has to remember what it was told before.

        Args:
            alerts: from `to_alert`.
            is_over: case id → whether its alert must end; alerts of others' cases stay.
            now_ms: epoch ms.

        Raises:
            AlertmanagerError: it does not answer, or refuses.
        """
        ended = [
            _ended(firing, now_ms) for firing in self._firing() if is_over(_case_id(firing))
        ]  # fmt: skip
        if alerts or ended:
            self._ask("", orjson.dumps([*alerts, *ended]))

    def _firing(self) -> list[dict[str, Any]]:
        """Our alerts as it has them: those that have not ended."""
        query = urllib.parse.urlencode({"filter": f'alertname="{ALERT_NAME}"'})
        try:
            firing = orjson.loads(self._ask("?" + query, None))
            return [alert for alert in firing if _case_id(alert)]
        except (ValueError, TypeError, LookupError) as error:
            raise AlertmanagerError(f"GET {self._url}: no list of alerts") from error

    def _ask(self, query: str, body: bytes | None) -> bytes:
        verb = "GET" if body is None else "POST"
        try:
            request = urllib.request.Request(self._url + query, body, self._headers(), method=verb)
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
                return bytes(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace").strip()
            raise AlertmanagerError(f"{verb} {self._url}: {error.code}: {said}") from error
        except (OSError, HTTPException) as error:  # no answer in time, or no file with a token
            raise AlertmanagerError(f"{verb} {self._url}: {error}") from error
        except ValueError:  # whose text holds the token
            raise AlertmanagerError(
                f"{verb} {self._url}: cannot be asked: expected one line of ASCII in "
                f"alertmanager.token_file = {self._token_file}"
            ) from None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._token_file:
            token = Path(self._token_file).read_text("utf-8").strip()
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _case_id(alert: Mapping[str, Any]) -> str:
    return str(alert["labels"].get("case_id", ""))


def _ended(firing: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """An alert with the same labels that has ended; not before it began."""
    return {
        "labels": firing["labels"],
        "annotations": firing["annotations"],
        "startsAt": firing["startsAt"],
        "endsAt": max(_moment(now_ms), datetime.fromisoformat(firing["startsAt"])).isoformat(),
    }


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
