"""Planted cases and traps: what a detector should find, and what it should leave alone.

A story is a generator function that yields the events of one case; `STORIES` lists them by kind, a
file a kind. To plant a new shape, write its story and put it into its kind's table. Numbers here
are shapes taken from typologies, not thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from random import Random
from typing import NamedTuple

from detector.lab.cases import binge, gambling, minor, outsized, refund_abuse, ring, traps
from detector.lab.cases.story import Story
from detector.lab.scenario import HOUR_MS, USUAL_TRAPS, Event, Tag, local_hour, weekday
from detector.lab.site import Site

MOST_OF_THE_STREAM = 0.6  # planted cases may not need more than this

STORIES: Mapping[str, tuple[Story, ...]] = {
    "minor": minor.STORIES,
    "outsized": outsized.STORIES,
    "binge": binge.STORIES,
    "gambling": gambling.STORIES,
    "ring": ring.STORIES,
    "refund_abuse": refund_abuse.STORIES,
}
"""Every kind that can be planted, with its stories in the order they take turns."""

TRAPS: tuple[str, ...] = (*USUAL_TRAPS, *traps.STORIES)
"""Innocent things that look like a case: what a false alarm may have been about."""


class _Due(NamedTuple):
    """A story that begins at a moment; `kind` is None for a trap."""

    start_ms: int
    case: str
    kind: str | None
    story: Story


class Planter:
    """Plants the cases and traps that a scenario asks for, each when its moment has come."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rng = Random(f"{site.settings.seed}/cases")
        wanted = site.settings.case_counts()
        unknown = sorted(set(wanted) - set(STORIES))
        if unknown:
            known = ", ".join(STORIES)
            raise ValueError(f"scenario: cases of {', '.join(unknown)}: known kinds are {known}")
        self._due: list[_Due] = []
        for kind, count in wanted.items():
            for number in range(count):
                story = STORIES[kind][number % len(STORIES[kind])]
                case = f"{kind}-{story.name}-{number + 1}"
                self._due.append(_Due(self._moment(story), case, kind, story))
        for number in range(site.settings.trap_count()):
            for story in traps.STORIES.values():
                case = f"{story.name}-{number + 1}"
                self._due.append(_Due(self._moment(story), case, None, story))
        self._due.sort(key=lambda due: due[:2], reverse=True)
        reserved = sum(due.story.most for due in self._due)
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
        while self._due and self._due[-1].start_ms < self._site.end_ms:
            due = self._due.pop()
            agenda.limit += due.story.most  # what was kept free for it
            for event, tag in self._told(due):
                agenda.add(event, tag)
        return agenda.planned - before

    def _told(self, due: _Due) -> Iterator[tuple[Event, Tag | None]]:
        """The events of a story that come before the stream's end, each with what it is part of."""
        story, subject = due.story, ""
        over_ms = self._site.settings.end_ms + HOUR_MS
        for event in islice(story.tell(self._site, self._rng, due.start_ms), story.most):
            if event["event_time"] > over_ms:
                continue
            what = event["type"]
            if what in story.scenery:
                yield event, None
                continue
            subject = event.get(f"{story.subject}_id", subject)
            trap = story.innocent.get(what) if due.kind is not None else story.name
            yield event, self._tag(due, trap, event, subject)

    def _tag(self, due: _Due, trap: str | None, event: Event, subject: str) -> Tag:
        if trap is None:
            return Tag(due.kind, due.case, due.story.subject, subject)
        tipper = event.get("tipper_id")
        if tipper is None:
            return Tag(None, f"{trap}-{due.case}", "streamer", event["streamer_id"], trap)
        return Tag(None, f"{trap}-{due.case}", "tipper", tipper, trap)
