"""What has been planned and not yet happened, and its way out in order.

Knows how many events were planned, how many may be, and what each room is doing as its events go
by (PK, ceremony, lottery). It does not know why anything was planned. Holds the near future only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from math import inf
from random import Random
from typing import NamedTuple

from detector.lab.platform import Platform
from detector.lab.scenario import Event, Scenario, Simulated, Tag

LATE_SHARE = 0.01  # of events come some seconds late, behind newer ones

_MODES = {"pk_start": "pk", "ceremony_start": "ceremony", "lottery_open": "lottery"}
_ENDS = {"pk_end", "ceremony_end", "lottery_draw", "live_end"}
_TRAP_MODES = {"ceremony", "lottery"}


class _Doing(NamedTuple):
    """What a room does, in which case's name, and from when until when."""

    mode: str
    case: str
    start_ms: int
    end_ms: float


class Agenda:
    """Planned events in slices of time; a slice is sorted only when it is due.

    Events of types that the platform does not tell take no room and never come out.

    Attributes:
        planned: how many events were accepted so far.
        limit: how many may be; further ones are refused.
        slice_ms: length of a slice.
    """

    def __init__(self, settings: Scenario, slice_ms: int, rng: Random) -> None:
        self.planned = 0
        self.limit = settings.events
        self.slice_ms = slice_ms
        self._start_ms = settings.start_ms
        self._silent = settings.platform.silent
        self._tell = None if settings.platform == Platform() else settings.platform.tell
        self._jitter_ms = round(settings.jitter_s * 1_000)
        self._random = rng.random
        self._slices: defaultdict[int, list[tuple[int, int, Event, Tag | None]]] = defaultdict(list)
        self._order = count()
        self._emitted = 0
        self._id_head = f"{settings.prefix}-{settings.seed}-"
        self._modes: dict[str, _Doing] = {}  # by streamer, the latest

    @property
    def room_left(self) -> int:
        return self.limit - self.planned

    def add(self, event: Event, tag: Tag | None = None) -> bool:
        """Plans an event at its `event_time`, not before the slice at hand. False: no room left."""
        if self.planned >= self.limit:
            return False
        self.planned += event["type"] not in self._silent
        arrival_ms: int = event["event_time"]
        if self._jitter_ms and self._random() < LATE_SHARE and event["type"] != "room":
            arrival_ms += int(self._random() * self._jitter_ms)
        self._slices[(arrival_ms - self._start_ms) // self.slice_ms].append(
            (arrival_ms, next(self._order), event, tag)
        )
        return True

    def release(self, slice_number: int) -> Iterator[Simulated]:
        """The events of one slice in order of arrival; each slice is asked for once, in turn."""
        due = self._slices.pop(slice_number, None)
        if due is None:
            return
        due.sort()  # the order of planning breaks ties, so that events are never compared
        modes = self._modes
        for _, _, event, tag in due:
            if event["type"] == "room":
                self._switch(event)
            if event["type"] in self._silent:
                continue
            self._emitted += 1
            event["event_id"] = event_id = f"{self._id_head}{self._emitted:08d}"
            if modes and event["type"] == "tip":
                doing = modes.get(event["streamer_id"])
                if doing is not None and doing.start_ms <= event["event_time"] < doing.end_ms:
                    event["room_mode"] = doing.mode
                    if tag is None and doing.mode in _TRAP_MODES:
                        tag = Tag(None, doing.case, "tipper", event["tipper_id"], doing.mode)
            if self._tell is not None:
                self._tell(event)
            yield Simulated(event, None if tag is None else tag.label(event_id))

    def rest(self) -> Iterator[Simulated]:
        """Everything still planned."""
        while self._slices:
            yield from self.release(min(self._slices))

    def _switch(self, event: Event) -> None:
        what, streamer, now_ms = event["event"], event["streamer_id"], event["event_time"]
        if what in _MODES:
            mode = _MODES[what]
            self._modes[streamer] = _Doing(mode, f"{mode}-{self._emitted}", now_ms, inf)
        elif what in _ENDS and streamer in self._modes:  # kept: some of its tips come late
            doing = self._modes[streamer]
            self._modes[streamer] = doing._replace(end_ms=min(doing.end_ms, now_ms))
