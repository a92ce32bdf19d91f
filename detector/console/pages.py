"""Pages as HTML: what the model says, put into the templates.

Knows which page shows what, and the links between them. Does not know HTTP, nor where anything
comes from. Everything is escaped, whoever wrote it; nothing in a page is a script or a style.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from detector.console import charts
from detector.console.model import (
    CHANNELS,
    MAX_NOTE_CHARS,
    STATE_FILTERS,
    CaseView,
    EvidenceView,
    ExportView,
    Problem,
    QueueFilter,
    QueuePage,
    ReasonView,
    User,
    View,
)
from detector.console.voice import Voice
from detector.core.reasons import FAMILIES, KINDS, SEVERITIES

SNOOZES = ((1, "hours", 1), (4, "hours", 4), (8, "hours", 8), (24, "day", 1), (72, "days", 3),
           (168, "days", 7))  # fmt: skip
"""Hours of a snooze that are offered, with the words and the figure that tell them."""


class Pages:
    """All pages of the console."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("detector.console"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            auto_reload=False,
        )
        self._templates.globals |= {
            "charts": charts,
            "kinds": KINDS,
            "severities": SEVERITIES[::-1],
            "state_filters": STATE_FILTERS,
            "channels": CHANNELS,
            "snoozes": SNOOZES,
            "max_note": MAX_NOTE_CHARS,
            "case_url": case_url,
            "zip": zip,
        }

    def queue(self, page: QueuePage, view: View) -> str:
        """The queue, or its changing part alone."""
        by_kind = {
            kind: {each: page.counts.get((kind, each), 0) for each in SEVERITIES} for kind in KINDS
        }
        return self._render(
            "_list.html" if view.is_fragment else "queue.html", view, page=page, rows=page.rows,
            by_kind=by_kind, all_open=sum(page.counts.values()), asked=page.filter,
            link=_Links(page.filter, voice(view)), is_narrowed=_is_narrowed(page.filter),
        )  # fmt: skip

    def case(
        self, case: CaseView, evidence: EvidenceView | None, view: View, conflict: bool = False
    ) -> str:
        """A case; without evidence it is fetched by the page, or by a link where no script runs."""
        speaks_for = [each for each in case.reasons if not each.is_benign]
        return self._render(
            "case.html", view, case=case, row=case.row, evidence=evidence, conflict=conflict,
            families=_by_family(speaks_for), lead=speaks_for[0] if speaks_for else None,
            against=[each for each in case.reasons if each.is_benign],
            url=case_url(case.row.case_id),
        )  # fmt: skip

    def evidence(self, case: CaseView, evidence: EvidenceView, view: View) -> str:
        """The evidence of a case alone."""
        return self._render("_evidence.html", view, case=case, row=case.row, evidence=evidence)

    def export(self, export: ExportView, view: View) -> str:
        """A case file, to be printed."""
        query = urlencode({
            "channel": export.channel,
            "ids": "pseudonym" if export.is_pseudonymised else "full",
            "lang": export.language,
        })  # fmt: skip
        return self._render(
            "export.html", view, export=export, file=export.document,
            url=case_url(export.case_id), query=query,
        )  # fmt: skip

    def problem(self, problem: Problem, detail: str, view: View | None) -> str:
        """What went wrong, and what to do about it."""
        seen_by = view or View(User("", "reader"), "en", "UTC", "", "/", 0)
        return self._render("problem.html", seen_by, problem=problem, detail=detail)

    def _render(self, template: str, view: View, **context: Any) -> str:
        say = voice(view)
        # A page that answers a form has an address that cannot be asked for again.
        url = case_url(context["case"].row.case_id) if "case" in context else view.url
        switch = language_url("/" if template == "problem.html" else url, say.other)
        return self._templates.get_template(template).render(
            say=say, view=view, switch=switch, **context
        )


def voice(view: View) -> Voice:
    """The voice for who looks."""
    return Voice(view.language, view.zone, view.now_ms)


def case_url(case_id: str) -> str:
    """The path of a case.

    >>> case_url("c_1/../x")
    '/cases/c_1%2F..%2Fx'
    """
    return f"/cases/{quote(case_id, safe='')}"


def language_url(url: str, language: str) -> str:
    """The same page in another language.

    >>> language_url("/?kind=ring&lang=en&page=2", "zh")
    '/?kind=ring&page=2&lang=zh'
    """
    path, _, query = url.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name != "lang"]
    return f"{path}?{urlencode([*kept, ('lang', language)])}"


class _Links:
    """Addresses of the queue under other filters."""

    def __init__(self, asked: QueueFilter, say: Voice) -> None:
        self._asked = {name: value for name, value in asdict(asked).items() if value}
        for name in ("since", "until"):
            self._asked[name] = say.field(self._asked.pop(f"{name}_ms", None))
        if self._asked.pop("is_shadow", False):
            self._asked["shadow"] = 1

    def __call__(self, **changes: object) -> str:
        """With these changes; another filter starts at its first page."""
        merged = {**self._asked, "page": 1, **changes}
        defaults = {"state": "open", "page": 1}
        stated = {
            name: value
            for name, value in merged.items()
            if value and value != defaults.get(name)
        }  # fmt: skip
        return f"/?{urlencode(stated)}" if stated else "/"


def _is_narrowed(asked: QueueFilter) -> bool:
    """Whether a filter is set that only the form shows."""
    fields = (asked.streamer, asked.tipper, asked.since_ms, asked.until_ms, asked.is_shadow,
              asked.severity)  # fmt: skip
    return any(fields)


def _by_family(reasons: Iterable[ReasonView]) -> list[tuple[str, list[ReasonView]]]:
    """Reasons under their families, each where its strongest stood."""
    listed = list(reasons)
    order = {family: len(FAMILIES) for family in FAMILIES}
    for place, reason in reversed(list(enumerate(listed))):
        order[reason.family] = place
    ordered = sorted(listed, key=lambda each: order[each.family])
    return [(family, list(each)) for family, each in groupby(ordered, lambda each: each.family)]
