"""The drawings of a case: its timeline, amounts, hours, and where the money went.

Knows what is drawn where. Every drawing has a title and a description, and the page says the same
in a table beside it. Does not know axes and elements (`svg`), nor words (`voice`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from detector.console.model import (
    CaseView,
    EvidenceView,
    MoneyEdge,
    ReasonView,
    Strip,
    TimelineEvent,
)
from detector.console.svg import (
    Across,
    Logarithmic,
    chart,
    element,
    logarithmic,
    percent,
    time_ticks,
)
from detector.console.voice import Voice

POINTS_SHOWN = 600
EDGES_DRAWN = 18

_TICKS = 7
_NEAR_MS = 15 * 60_000
_STRIP_PX = 16
_PLOT_PX = 150
_NODE_PX = 26
_LEFT, _RIGHT = 20, 80
_SCHOOL = ("lessons", "child_time", "night")
_STRIPS = (*_SCHOOL, "live", "pk", "ceremony", "lottery")
"""A pupil's times stand in the first row, the room's in the second; later ones cover earlier."""
_LABELLED_FROM = 9.0
_HOURS_PX = 76
_SHARES = (0.1, 0.2, 0.5, 1.0)
_SHAPES = {
    "tip": "M0,-4.5A4.5,4.5 0 1 1 -0.01,-4.5Z",
    "recharge": "M0,-6L5.5,4L-5.5,4Z",
    "payout": "M0,-6L6,0L0,6L-6,0Z",
    "refund": "M-4.5,-4.5H4.5V4.5H-4.5Z",
}
_COLUMNS = ("instrument", "tipper", "streamer", "account")


def bullet(reason: ReasonView) -> Markup:
    """A reason's figures on one line: a bar for what was seen, marks for the usual and the limit.

    Only beside the figures themselves: readers of the screen do not hear it.
    """
    figures = [each for each in (reason.observed, reason.usual, reason.limit) if each is not None]
    if len(figures) < 2 or min(figures) < 0 or max(figures) <= 0:
        return Markup("")
    positive = [each for each in figures if each > 0]
    is_wide = max(positive) / min(positive) > 50
    floor = min(positive) / 3

    def place(value: float) -> float:
        if is_wide:
            share = math.log(max(value, floor) / floor) / math.log(max(positive) / floor)
        else:
            share = value / max(figures)
        return 100 * share

    marks = [
        element("line", class_=name, x1=percent(x), x2=percent(x), y1=1, y2=15)
        for name, value in (("usual", reason.usual), ("limit", reason.limit))
        if value is not None and (x := min(99.4, max(0.6, place(value)))) is not None
    ]
    return element(
        "svg",
        element("rect", class_="track", x=0, y=6, width="100%", height=4, rx=2),
        element(
            "rect", class_="seen", x=0, y=5, width=percent(max(1, place(reason.observed))),
            height=6, rx=2,
        ),
        *marks,
        class_="bullet", height=16, width="100%", aria_hidden="true",
    )  # fmt: skip


# -- the timeline ---------------------------------------------------------------------------------


def near(view: EvidenceView) -> tuple[int, int] | None:
    """The stretch around what was flagged, where the whole is too long to tell it apart."""
    flagged = [each.at_ms for each in view.events if each.is_flagged]
    if not flagged:
        return None
    pad_ms = max(_NEAR_MS, (flagged[-1] - flagged[0]) // 4)
    since_ms, until_ms = flagged[0] - pad_ms, flagged[-1] + pad_ms
    is_clear = 4 * (until_ms - since_ms) > view.until_ms - view.since_ms
    return None if is_clear else (since_ms, until_ms)


def timeline(view: EvidenceView, say: Voice, span_ms: tuple[int, int] | None = None) -> Markup:
    """The subject's events, the more money the higher, under strips of school and room times.

    Args:
        view: what to draw.
        say: how to tell it.
        span_ms: the stretch to draw, epoch ms; None: all of it.
    """
    key = "close" if span_ms else "timeline"
    if span_ms:
        since_ms, until_ms = span_ms
        events = tuple(each for each in view.events if since_ms <= each.at_ms <= until_ms)
        view = replace(view, since_ms=since_ms, until_ms=until_ms, events=events)
    axis = Across(view.since_ms, view.until_ms)
    strips = [each for each in view.strips if each.end_ms > view.since_ms
              and each.start_ms < view.until_ms]  # fmt: skip
    top = 2 * _STRIP_PX if strips else 0
    bottom = top + _PLOT_PX
    down = logarithmic([each.value or 0 for each in view.events], top + 14, bottom)
    counted = {
        kind: sum(each.type == kind for each in view.events)
        for kind in ("tip", "recharge", "payout", "refund")
    }
    description = say(
        "timeline_desc", tips=counted["tip"], recharges=counted["recharge"],
        payouts=counted["payout"], refunds=counted["refund"], since=say.time(view.since_ms),
        until=say.time(view.until_ms), flagged=sum(each.is_flagged for each in view.events),
    )  # fmt: skip
    parts = [
        element("defs", *(element("path", id=f"{key}-{kind}", d=d) for kind, d in _SHAPES.items())),
        *_strips(strips, axis, say, bottom),
        *_money_lines(down, view.currency, say),
        *_time_lines(axis, top, bottom, say),
        *(
            _marker(each, key, axis, down, say)
            for each in sorted(view.events, key=_loudness)
            if each.type in _SHAPES
        ),
    ]
    return chart(key, say("timeline"), description, bottom + 22, parts)


def shape(kind: str) -> Markup:
    """A marker by itself, for the legend."""
    path = element("path", d=_SHAPES[kind], class_=f"mark {kind}")
    return element("svg", path, class_="key", viewBox="-8 -8 16 16", aria_hidden="true")


def event_kinds(view: EvidenceView) -> list[str]:
    """The sorts of events that the timeline shows, for the legend."""
    found = {each.type for each in view.events}
    return [kind for kind in _SHAPES if kind in found]


def strip_kinds(view: EvidenceView) -> list[str]:
    """The strips that the timeline shows, for the legend."""
    found = {each.kind for each in view.strips}
    return [kind for kind in _STRIPS if kind in found]


def _loudness(event: TimelineEvent) -> tuple[bool, int]:
    """Flagged events are drawn last, so that nothing covers them."""
    return event.is_flagged, event.at_ms


def _strips(
    strips: Sequence[Strip], axis: Across, say: Voice, bottom: int
) -> Iterator[Markup]:  # fmt: skip
    known = [each for each in strips if each.kind in _STRIPS]
    names = []
    for strip in sorted(known, key=lambda each: _STRIPS.index(each.kind)):
        left, right = axis.at(strip.start_ms), axis.at(strip.end_ms)
        width = max(right - left, 0.3)
        row = 0 if strip.kind in _SCHOOL else 1
        name = say.name("strip", strip.kind)
        told = f"{name}: {say.time(strip.start_ms)} – {say.time(strip.end_ms)}"
        yield element(
            "rect", element("title", told), class_=f"strip {strip.kind}", x=percent(left),
            y=row * _STRIP_PX, width=percent(width), height=_STRIP_PX - 2,
        )  # fmt: skip
        if strip.kind == "night":
            yield element(
                "rect", class_="shade", x=percent(left), y=2 * _STRIP_PX, width=percent(width),
                height=bottom - 2 * _STRIP_PX,
            )  # fmt: skip
        if width > _LABELLED_FROM:
            names.append((row, left, name))
    last = [(0.0, ""), (0.0, "")]
    for row, left, name in sorted(names):
        if left >= last[row][0] and name != last[row][1]:  # rooms may be live at once
            last[row] = (left + _LABELLED_FROM, name)
            yield element("text", name, class_="on", x=percent(left + 0.5), y=row * _STRIP_PX + 11)


def _marker(event: TimelineEvent, key: str, axis: Across, down: Logarithmic, say: Voice) -> Markup:
    x = percent(axis.at(event.at_ms))
    told = (
        f"{say.name('event', event.type)} · {say.time(event.at_ms)} · "
        f"{say.money(event.amount, event.currency)} {event.who}"
    )
    y = down.at(event.value or 0)
    use = element(
        "use", element("title", told), href=f"#{key}-{event.type}", x=x, y=y,
        class_=f"mark {event.type}",
    )  # fmt: skip
    if not event.is_flagged:
        return use
    line = element("line", class_="flagged", x1=x, x2=x, y1=down.top - 14, y2=y - 9)
    return element("g", line, element("circle", class_="flagged", cx=x, cy=y, r=9), use)


# -- amounts and hours ----------------------------------------------------------------------------


def amounts(view: EvidenceView, opened_ms: int, say: Voice) -> Markup:
    """All tips that were found, over the quantiles of those before the case."""
    if not view.amounts:
        return Markup("")
    flagged = {each.at_ms for each in view.events if each.is_flagged and each.type == "tip"}
    times = [at_ms for at_ms, _ in view.amounts]
    axis = Across(times[0], max(times[-1], times[0] + 1))
    values = [value for _, value in view.amounts]
    down = logarithmic([*values, *(view.quantiles or ())], 12, 128)
    since = axis.at(opened_ms)
    parts = [
        element("rect", class_="case", x=percent(since), y=4, width=percent(100 - since),
                height=126),
        *_money_lines(down, view.currency, say),
        *_time_lines(axis, 4, 130, say),
        *_quantile_lines(view, down, say),
        *(
            element("circle", class_="flagged point" if at_ms in flagged else "point",
                    cx=percent(axis.at(at_ms)), cy=down.at(value),
                    r=4 if at_ms in flagged else 2.5)
            for at_ms, value in _thinned(view.amounts, flagged)
        ),
    ]  # fmt: skip
    description = say(
        "amounts_desc", n=len(times), since=say.time(times[0]), until=say.time(times[-1]),
        largest=say.money(max(values), view.currency),
    )  # fmt: skip
    return chart("amounts", say("amounts"), description, 152, parts)


def _quantile_lines(view: EvidenceView, down: Logarithmic, say: Voice) -> Iterator[Markup]:
    names = ("50%", "90%", "99%")
    free_from: float = math.inf
    for name, value in zip(names, view.quantiles or (), strict=False):
        y = down.at(value)
        told = element("title", f"{name} ≤ {say.money(value, view.currency)}")
        yield element("line", told, class_="quantile", x1=0, x2="100%", y1=y, y2=y)
        if free_from - y >= 11:
            yield element("text", name, class_="quantile", x="100%", y=y + 4, dx=5)
            free_from = y


def _thinned(points: Sequence[tuple[int, float]], flagged: set[int]) -> Iterator[tuple[int, float]]:
    """Of many points the smallest and largest of each stretch, and what was flagged."""
    if len(points) <= POINTS_SHOWN:
        yield from points
        return
    size = -(-2 * len(points) // POINTS_SHOWN)
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept = {min(stretch, key=lambda each: each[1]), max(stretch, key=lambda each: each[1])}
        kept |= {each for each in stretch if each[0] in flagged}
        yield from sorted(kept)


def hours(view: EvidenceView, say: Voice) -> Markup:
    """Tips by the hour of the day: before the case as bars, since then as narrow ones in front.

    As shares of the tips before and since: it is their shapes that are compared.
    """
    before, since = view.hours
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in view.hours]
    most = next(each for each in _SHARES if each >= max(map(max, shares)))
    slot = 100 / 24
    parts: list[Markup] = []
    for share in (most, most / 2):
        parts += _line(80 - _HOURS_PX * share / most, say.figure(share, "share"))
    for hour in range(24):
        left = hour * slot
        for name, counts, inset in (("before", shares[0], 0.08), ("since", shares[1], 0.3)):
            height = _HOURS_PX * counts[hour] / most
            if height:
                parts.append(
                    element(
                        "rect", class_=name, x=percent(left + slot * inset),
                        y=round(80 - height, 1), width=percent(slot * (1 - 2 * inset)),
                        height=round(height, 1), rx=1,
                    )
                )  # fmt: skip
        if hour % 3 == 0:
            parts.append(
                element(
                    "text", f"{hour:02}:00", class_="odd" if hour % 2 else None,
                    x=percent(left + slot / 2), y=94, text_anchor="middle",
                )
            )  # fmt: skip
    parts.append(element("line", class_="axis", x1=0, x2="100%", y1=80, y2=80))
    description = say("hours_desc", before=sum(before), since=sum(since))
    return chart("hours", say("hours_title"), description, 98, parts)


# -- the money graph ------------------------------------------------------------------------------


def drawn_edges(edges: Sequence[MoneyEdge]) -> Sequence[MoneyEdge]:
    """As many flows as can be told apart: what goes back to payers and what they paid, then the
    largest."""
    back = {edge.target: edge.source for edge in edges if edge.target[0] == "tipper"
            and edge.source[0] == "streamer"}  # fmt: skip

    def place(edge: MoneyEdge) -> tuple[bool, float]:
        is_round = back.get(edge.target) == edge.source or back.get(edge.source) == edge.target
        return not is_round, -edge.value

    return sorted(edges, key=place)[:EDGES_DRAWN]


def money_graph(case: CaseView, view: EvidenceView, say: Voice) -> Markup:
    """Instruments, tippers, streamers and accounts from left to right, and what flowed between."""
    edges = drawn_edges(view.edges)
    if not edges:
        return Markup("")
    places = _places(edges)
    height = 26 + _NODE_PX * max(sum(1 for x, _ in places.values() if x == column)
                           for column, _ in places.values())  # fmt: skip
    largest = max(each.value for each in edges)
    subject = (case.row.subject_type, case.row.subject_id)
    columns = {node[0]: x for node, (x, _) in places.items()}
    parts = [
        *(_column_name(kind, x, say) for kind, x in columns.items()),
        *(_flow(each, places, largest, view.currency, say) for each in edges),
        *(_node(node, place, node == subject, say) for node, place in places.items()),
    ]
    return chart("money", say("money"), money_told(view, say), height, parts)


def money_told(view: EvidenceView, say: Voice) -> str:
    """What the money graph shows, in words."""
    edges = drawn_edges(view.edges)
    nodes = {node for edge in edges for node in (edge.source, edge.target)}
    return say("money_desc", nodes=len(nodes), edges=len(edges))


def _places(edges: Sequence[MoneyEdge]) -> dict[tuple[str, str], tuple[float, float]]:
    """Where each account stands: percent across, pixels down."""
    columns: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for edge in edges:
        for node in (edge.source, edge.target):
            if node not in columns[node[0]]:
                columns[node[0]].append(node)
    present = [each for each in _COLUMNS if columns[each]]
    present += [each for each in columns if columns[each] and each not in _COLUMNS]
    tallest = max(len(each) for each in columns.values())
    places = {}
    for index, name in enumerate(present):
        x = _LEFT + (_RIGHT - _LEFT) * index / max(1, len(present) - 1)
        gap = _NODE_PX * tallest / len(columns[name])
        for row, node in enumerate(columns[name]):
            places[node] = (x, round(26 + gap * (row + 0.5) - 4, 1))
    return places


def _flow(
    edge: MoneyEdge, places: dict[tuple[str, str], tuple[float, float]], largest: float,
    currency: str, say: Voice,
) -> Markup:  # fmt: skip
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    is_back = x2 <= x1
    told = f"{edge.source[1]} → {edge.target[1]}: {say.money(edge.value, currency)} ({edge.count}×)"
    width = 1 + 5 * math.sqrt(max(edge.value, 0) / (largest or 1))
    # What flows back runs a little below, or it would hide what came.
    shift = 7 if is_back else 0
    return element(
        "line", element("title", told), class_="flow back" if is_back else "flow", x1=percent(x1),
        y1=y1 + shift, x2=percent(x2), y2=y2 + shift, stroke_width=round(width, 1),
    )  # fmt: skip


def _node(
    node: tuple[str, str], place: tuple[float, float], is_subject: bool, say: Voice
) -> Markup:
    x, y = percent(place[0]), place[1]
    label = node[1] if len(node[1]) <= 12 else f"{node[1][:11]}…"
    # Outside of the flows where there is room, or above.
    beside: dict[str, object] = {"y": y - 9, "text_anchor": "middle"}
    if place[0] in (_LEFT, _RIGHT):
        is_left = place[0] == _LEFT
        beside = {"y": y + 4, "text_anchor": "end" if is_left else "start",
                  "dx": -11 if is_left else 11}  # fmt: skip
    return element(
        "g",
        element("title", f"{say.name('subject', node[0])} {node[1]}"),
        element("circle", cx=x, cy=y, r=7 if is_subject else 5),
        element("text", label, x=x, **beside),
        class_=f"node {node[0]}{' self' if is_subject else ''}",
    )


def _column_name(kind: str, x: float, say: Voice) -> Markup:
    return element(
        "text", say.name("subject", kind), class_="head", x=percent(x), y=10, text_anchor="middle"
    )


# -- lines behind the marks -----------------------------------------------------------------------


def _money_lines(down: Logarithmic, currency: str, say: Voice) -> Iterator[Markup]:
    for value in down.ticks(4):
        yield from _line(down.at(value), say.figure(value, currency))


def _line(y: float, words: str) -> Iterator[Markup]:
    """A line across, named on its left, where the style sheet leaves room."""
    yield element("line", class_="grid", x1=0, x2="100%", y1=y, y2=y)
    yield element("text", words, class_="tick", x=0, y=y + 4, dx=-7, text_anchor="end")


def _time_lines(axis: Across, top: float, bottom: float, say: Voice) -> Iterator[Markup]:
    shift_ms = say.shift_ms(int(axis.start))
    ticks = list(time_ticks(axis.start, axis.end, shift_ms, _TICKS))
    for index, at_ms in enumerate(ticks):
        x = percent(axis.at(at_ms))
        yield element("line", class_="grid", x1=x, x2=x, y1=top, y2=bottom)
        words = say.clock(at_ms)
        if words == "00:00":
            words = say.date(at_ms)
        elif index == 0:
            words = say.brief(at_ms)
        yield element(
            "text", words, class_="tick odd" if index % 2 else "tick", x=x, y=bottom + 16,
            text_anchor="middle",
        )  # fmt: skip
