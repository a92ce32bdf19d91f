"""Planted cases: what a detector should find, and where it lies in the stream.

A story is a generator function that yields the events of one case; `STORIES` lists them by kind.
To plant a new kind, write its story and put it into the table. Numbers here are shapes taken from
typologies, not thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random

from detector.lab.gifts import CHILD_WORDS, LADDER, recharge_for, worth
from detector.lab.scenario import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Event,
    Tag,
    local_hour,
    local_midnight,
    weekday,
)
from detector.lab.site import Site, recharge, step_near, tip
from detector.lab.tippers import card

MOST_OF_THE_STREAM = 0.6  # planted cases may not need more than this


@dataclass(frozen=True, slots=True)
class Story:
    """One shape of a case.

    Attributes:
        name: of the shape; it becomes part of the case's name.
        tell: yields the events of one case beginning at a moment. Room events are scenery and get
            no label; all others do.
        most: the most events it yields; more are cut off.
        window: between which parts of the stream it may begin, 0 to 1. A story that needs a
            history begins late.
        hours: of the day at which it begins, in Shanghai; empty for any.
        on_workdays: whether it begins on Monday to Friday.
        subject: whose case it is, read from the first event that gets a label.
    """

    name: str
    tell: Callable[[Site, Random, int], Iterator[Event]]
    most: int
    window: tuple[float, float] = (0.4, 0.93)
    hours: tuple[int, ...] = ()
    on_workdays: bool = False
    subject: str = "tipper"


def declared_age(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A child's own account, its age declared; a parent's card, after school, up to three days."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(0.5, 200) * DAY_MS), rng)
    lot = rng.random()
    low, high = (6, 7) if lot < 0.08 else (8, 15) if lot < 0.65 else (16, 17)
    form["tipper_age"] = rng.randint(low, high)
    yield from _childs_visits(site, rng, start_ms, form)


def minor_mode(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A family's account with a history, now used in minor mode."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 5_000)
    form = site.tippers.tip_form(tipper, start_ms, rng)
    form.pop("tipper_age", None)
    form["minor_mode"] = True
    yield from _childs_visits(site, rng, start_ms, form)


def _childs_visits(site: Site, rng: Random, start_ms: int, form: Event) -> Iterator[Event]:
    streamer = site.any_room(rng)
    form.update(site.streamers.rooms[streamer])
    form["instrument_holder"] = "other"
    level = rng.uniform(4.0, 16.0)
    for day in range(rng.randint(1, 3)):
        at_ms = start_ms + day * DAY_MS + (int(rng.uniform(-20, 40) * MINUTE_MS) if day else 0)
        if day and at_ms >= site.settings.end_ms:
            return
        gifts = [step_near(level + day + rng.gauss(0.0, 1.5)) for _ in range(rng.randint(3, 7))]
        yield recharge(form, at_ms, recharge_for(sum(gift.price_minor for gift in gifts)))
        for gift in gifts:
            at_ms += int(rng.uniform(3, 90) * SECOND_MS)
            event = tip(form, at_ms, gift, 1)
            if rng.random() < 0.25:
                event["message"] = rng.choice(CHILD_WORDS)
            yield event


def sudden(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """An ordinary account's one gift, 30 to 300 times its usual, far above what the site sees."""
    tipper = site.history(rng, site.tippers.usual_minor, 3_500, 25_000)
    usual_minor = max(100.0, site.tippers.usual_minor(tipper))
    highest = min(8_000_000.0, 300 * usual_minor)
    lowest = 900_000 * rng.uniform(1.0, 1.8)
    amount_minor = min(highest, max(lowest, usual_minor * rng.uniform(30, 300)))
    gift, quantity = worth(int(amount_minor), rng)
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    if rng.random() < 0.7:
        yield recharge(form, start_ms, recharge_for(gift.price_minor * quantity))
    yield tip(form, start_ms + int(rng.uniform(15, 240) * SECOND_MS), gift, quantity)


def newcomer(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A new account whose first tips are very large."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(0.1, 40) * HOUR_MS), rng)
    form.update(site.streamers.rooms[site.any_room(rng)])
    gift = LADDER[-1]
    counts = [rng.randint(3, 8) for _ in range(rng.randint(1, 4))]
    yield recharge(form, start_ms, recharge_for(gift.price_minor * sum(counts)))
    at_ms = start_ms
    for quantity in counts:
        at_ms += int(rng.uniform(10, 300) * SECOND_MS)
        yield tip(form, at_ms, gift, quantity)


def sustained(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Weeks far above own history and peers: round recharges in office hours, several cards."""
    tipper = site.history(rng, site.tippers.usual_minor, 300, 10_000)
    streamer = site.room_for(tipper, start_ms)
    form = site.form(tipper, streamer, start_ms, rng)
    cards = [card(tipper, number) for number in range(2, 2 + rng.randint(2, 4))]
    at_ms, midnight_ms = start_ms, local_midnight(start_ms)
    for day in range(21):
        day_ms = midnight_ms + day * DAY_MS
        hours = site.streamers.usual_hours(streamer, day_ms)
        if day:
            at_ms = day_ms + int(rng.uniform(9.2, 17.5) * HOUR_MS)
            if hours is None or weekday(day_ms) >= 5 or rng.random() < 0.15:
                continue
        budget_minor = rng.choice((5, 10, 10, 20, 30)) * 100_000
        form["instrument_id"] = rng.choice(cards)
        evening_ms = at_ms + 10 * MINUTE_MS
        if hours is not None and hours[0] > at_ms:
            evening_ms = hours[0] + int(rng.uniform(0.3, 0.6) * (hours[1] - hours[0]))
        if day and evening_ms + HOUR_MS > site.settings.end_ms:
            return
        yield recharge(form, at_ms, budget_minor)
        for _ in range(rng.randint(1, 3)):
            gift, quantity = worth(int(budget_minor * rng.uniform(0.25, 0.33)), rng)
            yield tip(form, evening_ms, gift, quantity)
            evening_ms += int(rng.uniform(0.2, 20) * MINUTE_MS)


def binge(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Gaps shrink, gifts grow, recharges in between; often late, sometimes after a lost PK."""
    tipper = site.history(rng, site.tippers.usual_session_minor, 1_500, 40_000)
    usual_minor = site.tippers.usual_session_minor(tipper)
    total_minor = max(100_000.0, usual_minor * rng.uniform(15, 80))
    streamer, at_ms = site.room_for(tipper, start_ms), start_ms
    rival = site.quiet_room(rng, start_ms + 10 * MINUTE_MS)
    is_free = site.streamers.busy_until_ms[streamer] < start_ms
    if rival is not None and rival != streamer and is_free and rng.random() < 0.35:
        at_ms += 5 * MINUTE_MS
        for side in (streamer, rival):
            yield site.streamers.room_event(side, "pk_start", start_ms)
            yield site.streamers.room_event(side, "pk_end", at_ms)
            site.streamers.busy_until_ms[side] = at_ms + MINUTE_MS
        at_ms += int(rng.uniform(3, 25) * SECOND_MS)
    form = site.form(tipper, streamer, start_ms, rng)
    tips, growth = rng.randint(14, 42), rng.uniform(1.04, 1.13)
    is_wandering = rng.random() < 0.3
    sizes = [growth**n * rng.lognormvariate(0.0, 0.25) for n in range(tips)]
    scale = total_minor / sum(sizes)
    gap_s, balance_minor, recharges = rng.uniform(40, 110), 0, 0
    for n, size in enumerate(sizes):
        if is_wandering and n in (tips // 3, 2 * tips // 3):
            form.update(site.streamers.rooms[site.any_room(rng)])
        gift, quantity = worth(max(10, int(size * scale)), rng)
        amount_minor = gift.price_minor * quantity
        if balance_minor < amount_minor and recharges < 14:
            paid_minor = recharge_for(max(amount_minor, int(total_minor * rng.uniform(0.1, 0.2))))
            yield recharge(form, at_ms, paid_minor)
            balance_minor, recharges = balance_minor + paid_minor, recharges + 1
            at_ms += int(rng.uniform(2, 9) * SECOND_MS)
        balance_minor -= amount_minor
        yield tip(form, at_ms, gift, quantity)
        at_ms += int(max(1.2, gap_s * rng.uniform(0.7, 1.3)) * SECOND_MS)
        gap_s *= 0.88


_AFTER_SCHOOL = (12, 16, 17, 18, 19, 20, 21, 22, 22, 23)
_WAKING = (*range(9, 24), 0)
STORIES: Mapping[str, tuple[Story, ...]] = {
    "minor": (
        Story("age", declared_age, most=24, window=(0.05, 0.93), hours=_AFTER_SCHOOL),
        Story("mode", minor_mode, most=24, hours=_AFTER_SCHOOL),
    ),
    "outsized": (
        Story("sudden", sudden, most=2, hours=_WAKING),
        Story("newcomer", newcomer, most=5, window=(0.1, 0.93), hours=_WAKING),
        Story("sustained", sustained, 84, (0.2, 0.5), (9, 10, 11, 14, 15, 16), on_workdays=True),
    ),
    "binge": (
        Story("late", binge, most=60, hours=(21, 22, 23, 0, 1, 2)),
        Story("early", binge, most=60, hours=(12, 13, 14, 15, 16, 17, 18, 19, 20)),
    ),
}
"""Every kind that can be planted, with its stories in the order they take turns."""


class Planter:
    """Plants the cases that a scenario asks for, each when its moment has come."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rng = Random(f"{site.settings.seed}/cases")
        wanted = site.settings.case_counts()
        unknown = sorted(set(wanted) - set(STORIES))
        if unknown:
            known = ", ".join(STORIES)
            raise ValueError(f"scenario: cases of {', '.join(unknown)}: known kinds are {known}")
        self._due: list[tuple[int, str, str, Story]] = []
        for kind, count in wanted.items():
            for number in range(count):
                story = STORIES[kind][number % len(STORIES[kind])]
                case = f"{kind}-{story.name}-{number + 1}"
                self._due.append((self._moment(story), case, kind, story))
        self._due.sort(key=lambda due: due[:2], reverse=True)
        reserved = sum(story.most for *_, story in self._due)
        if reserved > MOST_OF_THE_STREAM * site.settings.events:
            raise ValueError(
                f"scenario: {len(self._due)} cases may need {reserved} events of "
                f"{site.settings.events}: ask for fewer cases or at least "
                f"{int(reserved / MOST_OF_THE_STREAM) + 1} events"
            )
        site.agenda.limit -= reserved

    def _moment(self, story: Story) -> int:
        """When a story begins: in its window, at one of its hours where there is one."""
        settings, rng = self._site.settings, self._rng
        moment_ms = settings.start_ms
        for _ in range(200):
            part = rng.uniform(*story.window)
            moment_ms = settings.start_ms + int(part * settings.span_ms)
            is_hour = not story.hours or local_hour(moment_ms) in story.hours
            if is_hour and not (story.on_workdays and weekday(moment_ms) >= 5):
                break
        return moment_ms

    def plant(self) -> int:
        """Plans the cases that begin in the slice at hand; how many events they are."""
        agenda = self._site.agenda
        before = agenda.planned
        while self._due and self._due[-1][0] < self._site.end_ms:
            start_ms, case, kind, story = self._due.pop()
            agenda.limit += story.most  # what was kept free for it
            tag: Tag | None = None
            for event in islice(story.tell(self._site, self._rng, start_ms), story.most):
                if tag is None and event["type"] != "room":
                    tag = Tag(kind, case, story.subject, event[f"{story.subject}_id"])
                agenda.add(event, None if event["type"] == "room" else tag)
        return agenda.planned - before
