"""Nights when many spend at once, and rightly so: PK finishes, a ceremony, birthdays, lotteries.

Each is a burst that a careless detector calls a binge, a ring or gambling. Nothing here is a case.
"""

from __future__ import annotations

from detector.lab.gifts import BIRTHDAY_GIFTS, LADDER, Gift
from detector.lab.ordinary import Ordinary
from detector.lab.scenario import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Scenario,
    Tag,
    local_midnight,
    weekday,
)
from detector.lab.site import Site, step_near
from detector.lab.tippers import tipper_id

PK_SHARE, LOTTERY_SHARE, BIRTHDAY_SHARE = 0.05, 0.012, 0.008  # of all events
CEREMONY_HOURS = (20, 23)
CEREMONY_WEIGHT = 2.2  # how much more the site does while it lasts
PK_LENGTH_MS = 5 * MINUTE_MS
PK_RUSH_MS = 25 * SECOND_MS


class Occasions:
    """Starts occasions when it is time, each kind up to its share of the stream."""

    def __init__(self, site: Site, life: Ordinary) -> None:
        self._site = site
        self._life = life
        self._ceremony = ceremony_night(site.settings)
        self._is_ceremony_open = False
        self._owed = {"pk": -20.0, "lottery": -10.0, "birthday": -15.0}
        self._held = 0

    def plan(self, quota: float) -> None:
        """Plans what begins in the slice at hand, of which about `quota` events are expected."""
        self._hold_ceremony()
        for name, share, hold in (
            ("pk", PK_SHARE, self._pk),
            ("lottery", LOTTERY_SHARE, self._lottery),
            ("birthday", BIRTHDAY_SHARE, self._birthday),
        ):
            self._owed[name] += share * quota
            for _ in range(20):
                if self._owed[name] < 0.0:
                    break
                before = self._site.agenda.planned
                if not hold(max(10, int(4.0 * quota))):
                    break
                self._owed[name] -= self._site.agenda.planned - before + 1

    def _tag(self, trap: str, tipper: int) -> Tag:
        who = tipper_id(tipper)
        return Tag(None, f"{trap}-{self._held}", "tipper", who, trap)

    def _pk(self, most: int) -> bool:
        """Two rooms, five minutes, and a rush of many payers on both sides before the bell."""
        site, rng = self._site, self._site.rng
        start_ms = site.some_time()
        bell_ms = start_ms + PK_LENGTH_MS
        rivals = {site.quiet_room(rng, bell_ms), site.quiet_room(rng, bell_ms)} - {None}
        if len(rivals) < 2:
            return False
        self._held += 1
        for streamer in sorted(room for room in rivals if room is not None):
            site.streamers.busy_until_ms[streamer] = bell_ms + MINUTE_MS
            site.agenda.add(site.streamers.room_event(streamer, "pk_start", start_ms))
            site.agenda.add(site.streamers.room_event(streamer, "pk_end", bell_ms))
            payers = min(most, 120, int(8 + rng.paretovariate(1.3) * 8))
            for tipper in self._supporters(streamer, payers):
                left_ms = int(PK_RUSH_MS * rng.random() ** 1.4)
                gift = step_near(site.tippers.level[tipper] + rng.gauss(2.0, 1.5))
                tag = self._tag("pk_finish", tipper)
                for again in range(1 + (rng.random() < 0.3)):
                    at_ms = min(bell_ms - 1, bell_ms - left_ms + 700 * again)
                    site.give(tipper, streamer, at_ms, gift, tag)
        return True

    def _lottery(self, most: int) -> bool:
        """A free draw of the platform's own; many send a small gift while they wait."""
        site, rng = self._site, self._site.rng
        open_ms = site.some_time()
        length_ms = int(rng.uniform(60, 180)) * SECOND_MS
        streamer = site.quiet_room(rng, open_ms + length_ms)
        if streamer is None:
            return False
        self._held += 1
        site.streamers.busy_until_ms[streamer] = open_ms + length_ms + MINUTE_MS
        site.agenda.add(site.streamers.room_event(streamer, "lottery_open", open_ms))
        site.agenda.add(site.streamers.room_event(streamer, "lottery_draw", open_ms + length_ms))
        for tipper in self._supporters(streamer, min(most, rng.randint(15, 60))):
            at_ms = open_ms + 500 + int(rng.random() * (length_ms - 1_000))
            gift = LADDER[int(rng.random() * 5)]
            site.give(tipper, streamer, at_ms, gift, self._tag("lottery", tipper))
        return True

    def _birthday(self, most: int) -> bool:
        """Steady supporters come within the hour with 520s and 1314s."""
        site, rng = self._site, self._site.rng
        streamer = site.quiet_room(rng, site.start_ms + HOUR_MS)
        if streamer is None or site.hour < 18:
            return False
        fans = site.tippers.fans[streamer]
        if not fans:
            return False
        self._held += 1
        for tipper in rng.sample(fans, min(len(fans), most, 30)):
            at_ms = site.some_time() + int(rng.random() * HOUR_MS * 0.8)
            gift: Gift
            if site.tippers.level[tipper] >= 6.0:
                gift = BIRTHDAY_GIFTS[rng.random() < 0.3]
            else:
                gift = Gift("b052", "五二零小花", 5_200)
            site.give(tipper, streamer, at_ms, gift, self._tag("birthday", tipper))
        return True

    def _supporters(self, streamer: int, wanted: int) -> list[int]:
        """Different people: up to half of them known fans, the rest the site's."""
        site = self._site
        fans = site.tippers.fans[streamer]
        chosen = dict.fromkeys(site.rng.sample(fans, min(len(fans), wanted // 2)))
        for _ in range(wanted - len(chosen)):
            chosen[site.crowd.someone(site.rng)] = None
        return list(chosen)

    def _hold_ceremony(self) -> None:
        """Opens the ceremony in the popular rooms that are live, and closes it."""
        if self._ceremony is None:
            return
        site = self._site
        start_ms, end_ms = self._ceremony
        if self._is_ceremony_open:
            if site.start_ms >= end_ms:
                self._life.ceremony_rooms, self._ceremony = [], None
        elif site.end_ms > start_ms:
            self._is_ceremony_open = True
            at_ms = max(start_ms, site.start_ms)
            rooms = site.streamers.live[: max(1, min(20, site.streamers.count // 8))]
            for streamer in rooms:
                close_ms = min(end_ms, site.streamers.live_until_ms[streamer])
                site.streamers.busy_until_ms[streamer] = end_ms
                site.agenda.add(site.streamers.room_event(streamer, "ceremony_start", at_ms))
                site.agenda.add(site.streamers.room_event(streamer, "ceremony_end", close_ms))
            self._life.ceremony_rooms = rooms


def ceremony_night(settings: Scenario) -> tuple[int, int] | None:
    """When the ceremony begins and ends: a late Saturday evening of the scenario, else any."""
    first_ms = local_midnight(settings.start_ms)
    evenings = [
        (day_ms + CEREMONY_HOURS[0] * HOUR_MS, day_ms + CEREMONY_HOURS[1] * HOUR_MS)
        for day_ms in range(first_ms, settings.end_ms, DAY_MS)
    ]
    evenings = [
        evening
        for evening in evenings[:400]
        if evening[0] >= settings.start_ms and evening[1] <= settings.end_ms
    ]
    saturdays = [evening for evening in evenings if weekday(evening[0]) == 5]
    return (saturdays or evenings or [None])[-1]  # type: ignore[list-item]
