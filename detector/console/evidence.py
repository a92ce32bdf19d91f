"""From a subject's events to what a reviewer sees of them: the timeline and the figures beside it.

Pure. Knows what stands in events and the school's times. Does not know where events are found
(`tips`), nor how they are drawn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson

from detector.console.model import (
    Concentration,
    EvidenceView,
    MoneyEdge,
    Round,
    Strip,
    TimelineEvent,
)
from detector.console.tips import Found
from detector.core.event import Event
from detector.core.money import Currencies
from detector.core.school import SchoolCalendar, SchoolTimes, parse_times

EVENTS_SHOWN = 400
EDGES_SHOWN = 40
ROUNDS_SHOWN = 50
AMOUNTS_SHOWN = 2_000
NAMES_SHOWN = 30

_AROUND_MS = 24 * 3_600_000
_STRIP_DAYS = 14
_LONGEST_STRIP_MS = 24 * 3_600_000
_EPOCH = date(1970, 1, 1).toordinal()


class Frame(NamedTuple):
    """What the events are held against.

    Attributes:
        currencies: for amounts in major units.
        zone: of hours and days.
        school: a pupil's times.
    """

    currencies: Currencies
    zone: ZoneInfo
    school: SchoolTimes


class CaseSpan(NamedTuple):
    """Of which case: its subject, the event time of its first and newest flag, the events they are
    about."""

    subject: tuple[str, str]
    opened_ms: int
    last_ms: int
    flagged: frozenset[str]


def make_evidence(found: Found, case: CaseSpan, frame: Frame) -> EvidenceView:
    """What the events say, at most so much of each as a page can hold."""
    events = sorted(found.events, key=lambda event: event.event_time_ms)
    own = [each for each in events if _is_own(each, case.subject)]
    around = _around(events, own, case.subject)
    since_ms, until_ms = case.opened_ms - _AROUND_MS, case.last_ms + _AROUND_MS
    in_span = [each for each in around if since_ms <= each.event_time_ms <= until_ms]
    shown, cut_by = in_span[-EVENTS_SHOWN:], found.cut_by
    if len(in_span) > len(shown):
        since_ms, cut_by = shown[0].event_time_ms, cut_by or "events"
    money = _Money(frame.currencies)
    strips = [*_school_strips(since_ms, until_ms, frame), *_room_strips(around, until_ms)]
    tips = [each for each in own if each.type == "tip"]
    is_streamer = case.subject[0] == "streamer"
    return EvidenceView(
        status="cut" if cut_by else "read",
        cut_by=cut_by,
        currency=frame.currencies.base,
        read_records=found.read,
        since_ms=since_ms,
        until_ms=until_ms,
        events=tuple(_timeline_event(each, case, money) for each in shown),
        strips=tuple(_clipped(strips, since_ms, until_ms)),
        amounts=tuple((each.event_time_ms, money.value(each)) for each in tips)[-AMOUNTS_SHOWN:],
        quantiles=_quantiles(
            [money.value(each) for each in tips if each.event_time_ms < case.opened_ms]
        ),
        hours=_hours(tips, case.opened_ms, frame.zone),
        devices=() if is_streamer else _first_seen(own, lambda event: event.device_id),
        instruments=() if is_streamer else _instruments(own),
        edges=_edges(around, money),
        rounds=_rounds(around, money) if is_streamer else (),
        concentration=_concentration(tips, money) if is_streamer else None,
        raw_event=_indented(found.raw),
    )


class _Money:
    """Amounts in major units."""

    def __init__(self, currencies: Currencies) -> None:
        self._currencies = currencies
        self._base = 10**currencies.base_decimals

    def value(self, event: Event) -> float:
        """In the base currency."""
        return float((event.value_minor or 0) / self._base)

    def amount(self, event: Event) -> float | None:
        """In the event's own."""
        if event.amount_minor is None or event.currency is None:
            return None
        return float(event.amount_minor / 10 ** self._currencies[event.currency].decimals)


def _is_own(event: Event, subject: tuple[str, str]) -> bool:
    own = event.tipper_id if subject[0] == "tipper" else event.streamer_id
    return own == subject[1]


def _around(events: Sequence[Event], own: Sequence[Event], subject: tuple[str, str]) -> list[Event]:
    """The subject's events, and of a tipper what came back to it and what its streamers' rooms did.

    What its streamers paid to others is no part of a tipper's case.
    """
    if subject[0] == "streamer":
        return list(own)
    streamers = {each.streamer_id for each in own if each.streamer_id}
    return [
        each
        for each in events
        if _is_own(each, subject)
        or (each.type == "payout" and each.account_id == subject[1])
        or (each.type == "room" and each.streamer_id in streamers)
    ]


def _timeline_event(event: Event, case: CaseSpan, money: _Money) -> TimelineEvent:
    has_money = event.value_minor is not None
    return TimelineEvent(
        at_ms=event.event_time_ms,
        type=event.type,
        event_id=event.event_id,
        amount=money.amount(event),
        currency=event.currency or "",
        value=money.value(event) if has_money else None,
        who=_other_side(event, case.subject[0]),
        detail=_detail(event),
        message=event.message or "",
        room=event.room_id or "",
        is_flagged=event.event_id in case.flagged,
    )


def _other_side(event: Event, subject_type: str) -> str:
    if event.type == "payout":
        return event.account_id or ""
    if event.type == "refund":
        return event.claimant_id or ""
    return (event.streamer_id if subject_type == "tipper" else event.tipper_id) or ""


def _detail(event: Event) -> str:
    if event.type == "tip":
        gift = event.gift_name or event.gift_id or ""
        return f"{gift} × {event.quantity}" if gift and (event.quantity or 1) > 1 else gift
    return event.room_event or event.claim or event.reason or event.instrument_holder or ""


def _school_strips(since_ms: int, until_ms: int, frame: Frame) -> Iterator[Strip]:
    """A pupil's lessons, free time and sleep, of at most the last days of a stretch."""
    calendar, times = SchoolCalendar(frame.school), frame.school
    last = datetime.fromtimestamp(until_ms / 1000, frame.zone).date()
    first = datetime.fromtimestamp(since_ms / 1000, frame.zone).date()
    day = max(first, last - timedelta(days=_STRIP_DAYS - 1))
    while day <= last:
        is_school_day = calendar.is_school_day(day.toordinal() - _EPOCH)
        free = times.after_school if is_school_day else times.free_day
        kinds = [("night", times.night), ("child_time", free)]
        kinds += [("lessons", each) for each in times.hours if is_school_day]
        for kind, text in kinds:
            starts, ends = (_local_ms(day, minute, frame.zone) for minute in parse_times(text))
            yield Strip(kind, starts, ends)
        day += timedelta(days=1)


def _clipped(strips: Iterable[Strip], since_ms: int, until_ms: int) -> Iterator[Strip]:
    """The parts of strips that lie within a stretch, each once."""
    for kind, start_ms, end_ms in dict.fromkeys(strips):
        if end_ms > since_ms and start_ms < until_ms:
            yield Strip(kind, max(start_ms, since_ms), min(end_ms, until_ms))


def _local_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=minute)
    return int(local.timestamp() * 1000)


def _room_strips(events: Iterable[Event], until_ms: int) -> Iterator[Strip]:
    """PKs, ceremonies, lotteries, broadcasts: from start to end, or for a day at most."""
    begun: dict[tuple[str | None, str], int] = {}
    for event in events:
        if event.type != "room" or event.room_event is None:
            continue
        what, _, step = event.room_event.rpartition("_")
        key, at_ms = (event.streamer_id, what), event.event_time_ms
        if step in ("start", "open"):
            begun[key] = at_ms
        elif key in begun:
            yield Strip(what, begun.pop(key), at_ms)
    for (_, what), start_ms in begun.items():
        yield Strip(what, start_ms, min(start_ms + _LONGEST_STRIP_MS, max(until_ms, start_ms)))


def _quantiles(values: list[float]) -> tuple[float, float, float] | None:
    """Nearest-rank quantiles 0.5, 0.9 and 0.99.

    >>> _quantiles([float(each) for each in range(1, 101)])
    (50.0, 90.0, 99.0)
    """
    if len(values) < 5:
        return None
    values = sorted(values)
    middle, high, top = (
        values[max(0, -(-len(values) * level // 100) - 1)] for level in (50, 90, 99)
    )
    return middle, high, top


def _hours(
    tips: Sequence[Event], opened_ms: int, zone: ZoneInfo
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, since = [0] * 24, [0] * 24
    for each in tips:
        hour = datetime.fromtimestamp(each.event_time_ms / 1000, zone).hour
        (before if each.event_time_ms < opened_ms else since)[hour] += 1
    return tuple(before), tuple(since)


def _first_seen(events: Iterable[Event], name_of: object) -> tuple[tuple[str, int, int], ...]:
    first: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for event in events:
        name = name_of(event)  # type: ignore[operator]
        if name:
            first.setdefault(name, event.event_time_ms)
            counts[name] += 1
    return tuple((name, at_ms, counts[name]) for name, at_ms in first.items())[-NAMES_SHOWN:]


def _instruments(events: Sequence[Event]) -> tuple[tuple[str, str, int, int], ...]:
    holders = {each.instrument_id: each.instrument_holder for each in events}
    seen = _first_seen(events, lambda event: event.instrument_id)
    return tuple((name, holders[name] or "", at_ms, count) for name, at_ms, count in seen)


def _edges(events: Sequence[Event], money: _Money) -> tuple[MoneyEdge, ...]:
    """Who paid whom. A payout to an account that has tipped goes to that tipper."""
    tippers = {each.tipper_id for each in events if each.type == "tip"}
    sums: defaultdict[tuple[tuple[str, str], tuple[str, str]], float] = defaultdict(float)
    counts: Counter[tuple[tuple[str, str], tuple[str, str]]] = Counter()
    for event in events:
        ends = _ends(event, tippers)
        if ends is not None:
            sums[ends] += money.value(event)
            counts[ends] += 1
    largest = sorted(sums, key=lambda ends: -sums[ends])[:EDGES_SHOWN]
    return tuple(MoneyEdge(*ends, round(sums[ends], 2), counts[ends]) for ends in largest)


def _ends(event: Event, tippers: set[str | None]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    if event.type == "tip" and event.tipper_id and event.streamer_id:
        return ("tipper", event.tipper_id), ("streamer", event.streamer_id)
    if event.type == "recharge" and event.tipper_id and event.instrument_id:
        return ("instrument", event.instrument_id), ("tipper", event.tipper_id)
    if event.type == "payout" and event.streamer_id and event.account_id:
        kind = "tipper" if event.account_id in tippers else "account"
        return ("streamer", event.streamer_id), (kind, event.account_id)
    return None


def _rounds(events: Iterable[Event], money: _Money) -> tuple[Round, ...]:
    """Stakes until a payout, and what was paid before the next tip."""
    rounds: list[Round] = []
    tips: list[Event] = []
    paid: list[Event] = []

    def close() -> None:
        if tips and paid:
            rounds.append(
                Round(
                    tips[0].event_time_ms, paid[-1].event_time_ms,
                    round(sum(map(money.value, tips)), 2), len({each.tipper_id for each in tips}),
                    round(sum(map(money.value, paid)), 2), len({each.account_id for each in paid}),
                )
            )  # fmt: skip
        tips.clear()
        paid.clear()

    for event in events:
        if event.type == "tip":
            if paid:
                close()
            tips.append(event)
        elif event.type == "payout" and event.reason != "withdraw":
            paid.append(event)
        elif event.room_event == "lottery_open":
            close()
    close()
    return tuple(rounds[-ROUNDS_SHOWN:])


def _concentration(tips: Sequence[Event], money: _Money) -> Concentration | None:
    by_tipper: Counter[str | None] = Counter()
    for each in tips:
        by_tipper[each.tipper_id] += money.value(each)  # type: ignore[assignment]
    total = sum(by_tipper.values())
    if not total:
        return None
    largest = [value for _, value in by_tipper.most_common(10)]
    one, three, ten = (round(sum(largest[:count]) / total, 4) for count in (1, 3, 10))
    return Concentration(len(by_tipper), round(total, 2), (one, three, ten))


def _indented(raw: bytes | None) -> str:
    if raw is None:
        return ""
    return orjson.dumps(orjson.loads(raw), option=orjson.OPT_INDENT_2).decode()
