"""The console's routes: who may ask, what is asked, which page answers.

Knows HTTP. What a page says comes from `casebook`, how it looks from `pages`, what is done to a
case from `verdicts`. Every answer carries headers that let a browser load nothing from elsewhere
and run nothing that stands in a page.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from detector.console.access import Access, TooMany
from detector.console.casebook import Casebook
from detector.console.intake import MAX_ID_CHARS, text
from detector.console.metrics import ConsoleMetrics
from detector.console.model import (
    ACTS,
    CHANNELS,
    LANGUAGES,
    STATE_FILTERS,
    CaseView,
    Problem,
    QueueFilter,
    QueuePage,
    User,
    View,
)
from detector.console.pages import Pages
from detector.console.projection import Projection
from detector.console.verdicts import Desk, Refused, Request
from detector.core.reasons import KINDS, SEVERITIES
from detector.setting_sections import ConsoleSettings

log = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent / "static"
MAX_BODY_BYTES = 16_384
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_STATUS: dict[Problem, int] = {
    "not_found": 404, "forbidden": 403, "csrf": 403, "conflict": 409, "bad_request": 400,
    "kafka_away": 503, "unanswered": 504, "too_late": 409, "unauthorised": 401,
}  # fmt: skip
_STALLED_S = 60.0
_QUEUE, _CASE = TypeAdapter(QueuePage), TypeAdapter(CaseView)
_YEAR_S = 31_536_000

Answer = Callable[[HttpRequest, View], Response]


class Failed(Exception):
    """The request gets an error page.

    Attributes:
        problem: what it is about.
    """

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem


class App:
    """The pages of one console.

    Args:
        settings: of the console.
        zone: IANA name of the zone that times are shown in.
        casebook, desk, projection, metrics: what the pages are made of.
        access: who may see them.

    Attributes:
        asgi: what a server runs.
    """

    def __init__(
        self, settings: ConsoleSettings, zone: str, casebook: Casebook, desk: Desk,
        projection: Projection, metrics: ConsoleMetrics, access: Access,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._zone = zone
        self._casebook = casebook
        self._desk = desk
        self._projection = projection
        self._metrics = metrics
        self._access = access
        self._pages = Pages()
        case = "/cases/{case_id}"
        get, post = self._get, self._post
        self.asgi: Any = _with_headers(
            Starlette(
                routes=[
                    Route("/", get(self._queue)),
                    Route("/queue.json", get(self._queue_file)),
                    Route("/changes", get(self._changes)),
                    Route("/seen", post(self._seen), methods=["POST"]),
                    Route(f"{case}.json", get(self._case_file)),
                    Route(case, get(self._case)),
                    Route(f"{case}/evidence", get(self._evidence)),
                    Route(f"{case}/export", get(self._export)),
                    Route(f"{case}/export.json", get(self._export_file)),
                    Route(f"{case}/{{deed}}", post(self._do), methods=["POST"]),
                    Route("/metrics", self._show_metrics),
                    Route("/healthz", self._health),
                    Route("/readyz", self._ready),
                    Mount("/static", StaticFiles(directory=STATIC)),
                ],
                middleware=[
                    Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(settings)),
                ],
            )
        )

    # -- who asks, and what goes wrong ------------------------------------------------------------

    def _get(self, answer: Answer) -> Callable[[HttpRequest], Awaitable[Response]]:
        @functools.wraps(answer)
        async def respond(request: HttpRequest) -> Response:
            return await run_in_threadpool(self._respond, request, answer)

        return respond

    def _post(
        self, answer: Callable[[HttpRequest, View, dict[str, str]], Response]
    ) -> Callable[[HttpRequest], Awaitable[Response]]:
        @functools.wraps(answer)
        async def respond(request: HttpRequest) -> Response:
            body = await _read_form(request)

            def checked(request: HttpRequest, view: View) -> Response:
                if body is None:
                    raise Failed("bad_request", f"at most {MAX_BODY_BYTES} bytes")
                if not self._access.is_genuine(view.user, body.get("csrf", ""), request.headers):
                    raise Failed("csrf")
                return answer(request, view, body)

            return await run_in_threadpool(self._respond, request, checked)

        return respond

    def _respond(self, request: HttpRequest, answer: Answer) -> Response:
        address = request.client.host if request.client else ""
        try:
            user = self._access.user(request.headers, address)
        except TooMany:
            return Response("too many wrong passwords: try again in a minute\n", 429)
        if user is None:
            if "authorization" in request.headers:
                self._metrics.refused_login()
                log.warning("a login was refused")
            return self._refuse_login(request)
        view = self._view(request, user)
        try:
            response = answer(request, view)
        except (Failed, Refused) as failure:
            problem: Problem = failure.problem  # type: ignore[assignment]
            log.info("a %s was answered with %s", request.method, problem)
            page = self._pages.problem(problem, str(failure), view)
            response = HTMLResponse(page, _STATUS[problem])
        if "lang" in request.query_params:
            _keep(response, "lang", view.language)
        return response

    def _refuse_login(self, request: HttpRequest) -> Response:
        page = self._pages.problem("unauthorised", "", self._view(request, User("", "reader")))
        response = HTMLResponse(page, 401)
        if self._settings.access == "users":
            response.headers["WWW-Authenticate"] = 'Basic realm="tip-detector", charset="UTF-8"'
        return response

    def _view(self, request: HttpRequest, user: User) -> View:
        asked = request.query_params.get("lang") or request.cookies.get("lang")
        language = next((each for each in LANGUAGES if each == asked), self._settings.language)
        query = f"?{request.url.query}" if request.url.query else ""
        return View(
            user=user,
            language=language,
            zone=self._zone,
            csrf=self._access.csrf(user),
            url=request.url.path + query,
            now_ms=_now_ms(),
            is_fragment="x-fragment" in request.headers,
        )

    # -- the queue --------------------------------------------------------------------------------

    def _queue(self, request: HttpRequest, view: View) -> Response:
        response = HTMLResponse(self._pages.queue(self._find_page(request, view), view))
        if "seen" not in request.cookies:  # the first time: what comes from now on is new
            _keep(response, "seen", str(view.now_ms))
        return response

    def _queue_file(self, request: HttpRequest, view: View) -> Response:
        return _json_bytes(_QUEUE.dump_json(self._find_page(request, view)))

    def _find_page(self, request: HttpRequest, view: View) -> QueuePage:
        asked = read_filter(dict(request.query_params), ZoneInfo(self._zone))
        return self._casebook.queue(asked, view.user, _seen_ms(request, view.now_ms))

    def _changes(self, request: HttpRequest, view: View) -> Response:
        revision = self._casebook.revision
        count = sum(count for count, _ in self._casebook.open_cases().values())
        return _json({"revision": revision, "open": count})

    def _seen(self, request: HttpRequest, view: View, form: dict[str, str]) -> Response:
        response = _back(form.get("back", "/"))
        _keep(response, "seen", str(view.now_ms))
        return response

    # -- a case -----------------------------------------------------------------------------------

    def _find(self, request: HttpRequest, view: View) -> CaseView:
        case_id = text(request.path_params["case_id"], MAX_ID_CHARS)
        case = self._casebook.case(case_id, view.user, view.now_ms)
        if case is None:
            raise Failed("not_found")
        return case

    def _case(self, request: HttpRequest, view: View) -> Response:
        case, evidence = self._find(request, view), None
        if "evidence" in request.query_params:
            evidence = self._casebook.evidence(case, view.now_ms)
        log.info("audit: %s opened %s", view.user.name, case.row.case_id)
        return HTMLResponse(self._pages.case(case, evidence, view))

    def _case_file(self, request: HttpRequest, view: View) -> Response:
        case = self._find(request, view)
        log.info("audit: %s read %s", view.user.name, case.row.case_id)
        return _json_bytes(_CASE.dump_json(case))

    def _evidence(self, request: HttpRequest, view: View) -> Response:
        case = self._find(request, view)
        evidence = self._casebook.evidence(case, view.now_ms)
        return HTMLResponse(self._pages.evidence(case, evidence, view))

    def _do(self, request: HttpRequest, view: View, form: dict[str, str]) -> Response:
        if view.user.role != "reviewer":
            raise Failed("forbidden")
        asked = _read_request(request.path_params["case_id"], request.path_params["deed"], form)
        if self._find(request, view).row.is_shadow:
            raise Failed("bad_request", "nobody decides on a trial")
        try:
            self._desk.do(asked, view.user)
        except Refused as refusal:
            if refusal.problem != "conflict":
                raise
            page = self._pages.case(self._find(request, view), None, view, conflict=True)
            return HTMLResponse(page, 409)
        log.info("audit: %s did %s to %s", view.user.name, asked.act, asked.case_id)
        return RedirectResponse(f"/cases/{asked.case_id}", 303)

    def _export(self, request: HttpRequest, view: View) -> Response:
        return HTMLResponse(self._pages.export(self._make_export(request, view), view))

    def _export_file(self, request: HttpRequest, view: View) -> Response:
        export = self._make_export(request, view)
        response = _json(export.document, orjson.OPT_INDENT_2)
        name = f"case-{export.case_id}-{export.channel}.json"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def _make_export(self, request: HttpRequest, view: View) -> Any:
        """The file; that it was made is in the audit log before anybody has it."""
        query = request.query_params
        channel = next((each for each in CHANNELS if each == query.get("channel", "refund")), None)
        ids = query.get("ids", "pseudonym")
        if channel is None or ids not in ("pseudonym", "full"):
            raise Failed("bad_request", f"channel: {', '.join(CHANNELS)}; ids: pseudonym, full")
        if ids == "full" and view.user.role != "reviewer":
            raise Failed("forbidden")
        case = self._find(request, view)
        entry = {"audit": "export", "by": view.user.name, "at": view.now_ms, "ids": ids,
                 "case_id": case.row.case_id, "channel": channel}  # fmt: skip
        self._desk.record(entry)
        log.info("audit: %s exported %s for %s, ids: %s", view.user.name, case.row.case_id,
                 channel, ids)  # fmt: skip
        return self._casebook.export(case, channel, view.language, ids == "pseudonym", view.now_ms)

    # -- for machines -----------------------------------------------------------------------------

    def _show_metrics(self, request: HttpRequest) -> Response:
        body = self._metrics.exposition(self._casebook.open_cases(), self._projection.lag_records)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    def _health(self, request: HttpRequest) -> Response:
        idle_s = time.monotonic() - self._projection.turned_s
        is_well = idle_s < _STALLED_S
        detail = "the loop turns" if is_well else f"the loop has not turned for {idle_s:.0f} s"
        return _json({"ok": is_well, "detail": detail}, status=200 if is_well else 503)

    def _ready(self, request: HttpRequest) -> Response:
        lag = self._projection.lag_records
        is_ready = lag is not None and not self._projection.is_rebuilding
        detail = self._projection.trouble or f"{lag} records behind"
        return _json({"ok": is_ready, "detail": detail}, status=200 if is_ready else 503)


def read_filter(query: dict[str, str], zone: ZoneInfo) -> QueueFilter:
    """What a query asks the queue for; times are local to the zone.

    Raises:
        Failed: `bad_request`, with what was expected.

    >>> read_filter({"kind": "ring", "since": "2026-03-01"}, ZoneInfo("Asia/Shanghai")).since_ms
    1772294400000
    """
    return QueueFilter(
        kind=_one_of(query, "kind", KINDS),
        severity=_one_of(query, "severity", SEVERITIES),
        state=_one_of(query, "state", STATE_FILTERS) or "open",  # type: ignore[arg-type]
        streamer=text(query.get("streamer", "").strip(), MAX_ID_CHARS),
        tipper=text(query.get("tipper", "").strip(), MAX_ID_CHARS),
        since_ms=_local_ms(query, "since", zone),
        until_ms=_local_ms(query, "until", zone),
        is_shadow=query.get("shadow") == "1",
        page=_whole(query, "page", 1, 100_000),
    )


def _one_of(query: dict[str, str], name: str, allowed: tuple[str, ...]) -> str:
    found = query.get(name, "")
    if found and found not in allowed:
        raise Failed("bad_request", f"{name}: expected one of {', '.join(allowed)}")
    return found


def _local_ms(query: dict[str, str], name: str, zone: ZoneInfo) -> int | None:
    found = query.get(name, "")
    if not found:
        return None
    try:
        return int(datetime.fromisoformat(found).replace(tzinfo=zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Failed("bad_request", f"{name}: expected a time such as 2026-03-01T20:00") from None


def _whole(query: dict[str, str], name: str, otherwise: int, most: int) -> int:
    found = query.get(name, "")
    if not found:
        return otherwise
    if not (found.isascii() and found.isdigit() and 1 <= int(found[:9]) <= most):
        raise Failed("bad_request", f"{name}: expected a whole number from 1 to {most}")
    return int(found)


def _read_request(case_id: str, deed: str, form: dict[str, str]) -> Request:
    acts = {"undo": "undo", "snooze": "snooze", "wake": "wake", "hand-over": "hand_over"}
    act = form.get("act", "") if deed == "decide" else acts.get(deed, "")
    if act not in ACTS or (deed == "decide" and act not in ACTS[:3]):
        raise Failed("bad_request", "expected confirmed, false_positive or unclear")
    return Request(
        case_id,
        _whole(form, "version", 0, 999_999_999),
        next(each for each in ACTS if each == act),
        form.get("flag_id", ""),
        form.get("note", ""),
        _whole(form, "hours", 0, 999_999_999),
        form.get("to", "").strip(),
    )


async def _read_form(request: HttpRequest) -> dict[str, str] | None:
    """The fields of an urlencoded form, the last of each name; None where it is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=50)
    return {name: values[-1] for name, values in fields.items()}


def _seen_ms(request: HttpRequest, now_ms: int) -> int:
    found = request.cookies.get("seen", "")
    return int(found) if found.isascii() and found.isdigit() and len(found) < 16 else now_ms


def _keep(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=_YEAR_S, httponly=True, samesite="strict")


def _back(url: str) -> Response:
    """To a page of ours, wherever `url` would lead."""
    is_ours = url.startswith("/") and not url.startswith(("//", "/\\"))
    return RedirectResponse(url if is_ours else "/", 303)


def _json(value: Any, option: int = 0, status: int = 200) -> Response:
    return _json_bytes(orjson.dumps(value, option=option), status)


def _json_bytes(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _hosts(settings: ConsoleSettings) -> list[str]:
    """The names by which browsers may call us. Where nobody has to say who he is, another site's
    name that is pointed at this address must not do."""
    if settings.access != "open":
        return ["*"]
    named = urlsplit(settings.url).hostname
    return ["127.0.0.1", "localhost", "[::1]", settings.host, *([named] if named else [])]


def _with_headers(app: Any) -> Any:
    """Adds the headers that every answer carries; what is static may be kept for an hour."""
    fixed = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        async def send_with(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *fixed]
            await send(message)

        await app(scope, receive, send_with)

    return asgi


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


assert set(_STATUS) == set(get_args(Problem))
