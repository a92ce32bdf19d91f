"""The people who stream: how popular, when live, what their rooms look like.

Numbers run from the most popular down. Knows schedules and who is live; does not know who tips.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Any

from detector.lab.agenda import Agenda
from detector.lab.scenario import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Event,
    Scenario,
    local_midnight,
    scrambled,
    weekday,
)

CATEGORIES = ("聊天", "音乐", "游戏", "舞蹈", "户外", "手工", "读书", "美食")
CHILDRENS_CATEGORIES = ("游戏", "手工", "舞蹈")
ZIPF = 0.85


class Streamers:
    """All streamers, by number.

    Attributes:
        rooms: what every tip to a streamer carries.
        live: who is live in the slice at hand.
        live_until_ms: when each is off again, 0 when not live.
        busy_until_ms: until when a room has something on (PK, ceremony, lottery).
        received_minor: tips not yet paid out.
    """

    def __init__(self, settings: Scenario, rng: Random) -> None:
        self.count = settings.streamer_count()
        self._rng = rng
        self._popular = list(accumulate((rank + 1.5) ** -ZIPF for rank in range(self.count)))
        self.rooms: list[dict[str, Any]] = []
        self._start_h: list[float] = []
        self._length_h: list[float] = []
        self._days: list[int] = []  # bit 0 is Monday
        guilds = max(1, self.count // 12)
        for streamer in range(self.count):
            self.rooms.append(self._room(streamer, guilds))
            self._schedule(streamer)
        self.live: list[int] = []
        self._live_weights: list[float] = []
        self.live_until_ms = [0] * self.count
        self.busy_until_ms = [0] * self.count
        self.received_minor = [0] * self.count
        self._today: list[tuple[int, int, int]] = []  # start, end, streamer; the next one last
        self._opened_ms = -1

    def _room(self, streamer: int, guilds: int) -> dict[str, Any]:
        rng = self._rng
        room = {
            "streamer_id": f"s{scrambled(streamer, 0xC2B2AE35):08x}",
            "room_id": f"r{scrambled(streamer, 0x27D4EB2F):08x}",
            "room_category": CATEGORIES[int(rng.random() ** 1.5 * len(CATEGORIES))],
            "room_mode": "normal",
            "viewers": 0,
        }
        if rng.random() < 0.6:
            room["guild_id"] = f"c{scrambled(int(rng.random() * guilds), 0x165667B1):08x}"
        return room

    def _schedule(self, streamer: int) -> None:
        """When a streamer is usually live; the second room of fifty never closes."""
        rng = self._rng
        lot = rng.random()
        if streamer % 50 == 1 % self.count:
            start, length, days = 0.0, 23.9, 7
        elif lot < 0.60:
            start, length, days = rng.uniform(18.0, 20.5), rng.uniform(2.5, 4.5), rng.randint(4, 7)
        elif lot < 0.83:
            start, length, days = rng.uniform(9.0, 14.5), rng.uniform(3.0, 6.0), rng.randint(4, 7)
        else:
            start, length, days = rng.uniform(21.5, 24.0), rng.uniform(3.0, 5.0), rng.randint(4, 7)
        self._start_h.append(start)
        self._length_h.append(length)
        off = set(rng.sample(range(7), 7 - days))
        self._days.append(sum(1 << day for day in range(7) if day not in off))

    def popular(self) -> int:
        """Some streamer, live or not, as likely as popular."""
        return bisect(self._popular, self._rng.random() * self._popular[-1], 0, self.count - 1)

    def someone_live(self, rng: Random) -> int | None:
        """Someone live, as likely as popular; None when nobody is."""
        if not self.live:
            return None
        place = bisect(
            self._live_weights, rng.random() * self._live_weights[-1], 0, len(self.live) - 1
        )
        return self.live[place]

    def usual_hours(self, streamer: int, midnight_ms: int) -> tuple[int, int] | None:
        """When the streamer will usually be live on a local day, or None on a day off."""
        if not self._days[streamer] >> weekday(midnight_ms) & 1:
            return None
        start_ms = midnight_ms + int(self._start_h[streamer] * HOUR_MS)
        return start_ms, start_ms + int(self._length_h[streamer] * HOUR_MS)

    def advance(self, slice_start_ms: int, slice_end_ms: int, agenda: Agenda) -> None:
        """Opens the rooms that go live in this slice and drops those that have closed."""
        midnight_ms = local_midnight(slice_end_ms - 1)
        changed = False
        if midnight_ms != self._opened_ms:
            self._open_day(midnight_ms, slice_start_ms)
        while self._today and self._today[-1][0] < slice_end_ms:
            start_ms, end_ms, streamer = self._today.pop()
            start_ms = max(start_ms, slice_start_ms)
            if self.live_until_ms[streamer] >= start_ms:  # the last one ran over
                start_ms = self.live_until_ms[streamer] + MINUTE_MS
                if start_ms < end_ms:
                    self._today.append((start_ms, end_ms, streamer))
                    self._today.sort(reverse=True)
                continue
            self._go_live(streamer, start_ms, end_ms, agenda)
            changed = True
        if changed or any(self.live_until_ms[s] <= slice_start_ms for s in self.live):
            self.live = [s for s in range(self.count) if self.live_until_ms[s] > slice_start_ms]
            self._live_weights = list(accumulate((s + 1.5) ** -ZIPF for s in self.live))

    def _open_day(self, midnight_ms: int, now_ms: int) -> None:
        rng = self._rng
        first = self._opened_ms < 0
        self._opened_ms = midnight_ms
        days = (midnight_ms - DAY_MS, midnight_ms) if first else (midnight_ms,)
        for day_ms in days:
            for streamer in range(self.count):
                hours = self.usual_hours(streamer, day_ms)
                if hours is None:
                    continue
                start_ms = hours[0] + int(rng.uniform(-12, 12) * MINUTE_MS)
                end_ms = hours[1] + int(rng.uniform(-15, 30) * MINUTE_MS)
                if end_ms > now_ms + MINUTE_MS:
                    self._today.append((max(start_ms, now_ms), end_ms, streamer))
        self._today.sort(reverse=True)

    def _go_live(self, streamer: int, start_ms: int, end_ms: int, agenda: Agenda) -> None:
        viewers = int(40_000 / (streamer + 1.5) ** ZIPF * self._rng.lognormvariate(0.0, 0.4)) + 8
        self.rooms[streamer]["viewers"] = viewers
        self.live_until_ms[streamer] = end_ms
        agenda.add(self.room_event(streamer, "live_start", start_ms))
        agenda.add(self.room_event(streamer, "live_end", end_ms))

    def room_event(self, streamer: int, what: str, time_ms: int) -> Event:
        room = self.rooms[streamer]
        return {
            "type": "room",
            "event_id": "",
            "event_time": time_ms,
            "streamer_id": room["streamer_id"],
            "room_id": room["room_id"],
            "event": what,
            "viewers": room["viewers"],
        }


def payout_accounts(streamer: int) -> tuple[str, str]:
    """The account and the instrument that a streamer's money goes to."""
    number = scrambled(streamer, 0x9E3779B1)
    return f"b{number:08x}", f"p{number:08x}"
