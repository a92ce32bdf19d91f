"""Sees what one tip is like: which traits it has, what kind of room, whether it buys a perk.

Everything is relative to the account's own life: a device or a streamer is new only if it appeared
well after the account's first tip, and not long ago. A second user comes with a device of his own;
of somebody whose devices change all the time a new one says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from zlib import crc32

from detector.core import traits
from detector.core.features import Features
from detector.core.lexicon import ADULT, CHILD, pattern
from detector.core.tipper import DAY_MS, HOUR_MS, TipperStats, appeared_ms, count_newer

_NEW_MS = 21 * DAY_MS
_LIFE_MS = DAY_MS // 2  # what an account had before it counts as before
_ROTATING = 2  # other new devices beside a new one: a net café's, or changed at every visit
_GENRE_LEAD = 3
_RECHARGED_MS = 120_000
_RECHARGE_COUNTS_MS = 14 * DAY_MS
_MAX_TEXTS = 4_096

V = TypeVar("V")


class TraitReader:
    """Fills in what the tipper's features say of the kind of tip.

    Args:
        child_rooms: words of room categories that children watch.
        perks: words of gifts that come with lasting rights or goods (舰长).
    """

    def __init__(self, child_rooms: Iterable[str], perks: Iterable[str]) -> None:
        rooms, bought = pattern(child_rooms), pattern(perks)
        self._genres = _PerText(lambda text: (_mark(text), rooms.search(text) is not None))
        self._perks = _PerText(lambda text: bought.search(text) is not None)

    def fill(self, f: Features) -> None:
        """Sets `traits`, `habits`, `genre`, `is_new_hour` and `is_perk`."""
        event, before = f.event, f.before
        at_ms = event.event_time_ms
        time = f.moment.time
        mask = traits.CHILD_TIME if time == "child" else traits.ADULT_TIME if time == "adult" else 0
        if event.marks:
            if event.marks & CHILD:
                mask |= traits.CHILD_WORDS
            if event.marks & ADULT:
                mask |= traits.ADULT_WORDS
        if event.room_category is not None:
            f.genre, is_childs = self._genres.of(event.room_category)
            if is_childs:
                mask |= traits.CHILD_ROOM
            if before.genre_lead >= _GENRE_LEAD and f.genre != before.genre:
                mask |= traits.OTHER_GENRE
        if event.gift_name is not None:
            f.is_perk = self._perks.of(event.gift_name)
        life_from_ms = before.first_ms + _LIFE_MS
        if before.n and at_ms >= life_from_ms:
            newest_ms = max(life_from_ms, at_ms - _NEW_MS)
            device_ms = appeared_ms(before.devices, event.device_id)
            if device_ms is not None and (device_ms >= newest_ms or not device_ms):
                others = count_newer(before.devices, newest_ms) - (device_ms > 0)
                if others < _ROTATING:
                    mask |= traits.NEW_DEVICE
            streamer_ms = appeared_ms(before.streamers, event.streamer_id)
            if streamer_ms is not None and (streamer_ms >= newest_ms or not streamer_ms):
                mask |= traits.NEW_STREAMER
        if event.instrument_holder == "other":
            mask |= traits.OTHER_HOLDER
        if before.recharge_ms:
            if 0 <= at_ms - before.recharge_ms <= _RECHARGED_MS:
                mask |= traits.RECHARGED
            if _recharged_by_other(before, at_ms):
                mask |= traits.OTHER_HOLDER
        hour = at_ms // HOUR_MS
        f.traits = mask
        f.is_new_hour = hour > before.last_ms // HOUR_MS
        f.habits = traits.add(before.traits, hour, mask)


def _recharged_by_other(before: TipperStats, at_ms: int) -> bool:
    """Whether most of the money recharged of late came from another holder's instrument."""
    others = before.other_recharges_week
    return (
        others > 0.0
        and 2 * others >= before.recharges_week
        and at_ms - before.recharge_ms <= _RECHARGE_COUNTS_MS
    )


def _mark(text: str) -> int:
    """16 bits that stand for a text, never 0."""
    return crc32(text.casefold().encode("utf-8", "surrogatepass")) % 65_535 + 1


class _PerText(Generic[V]):
    """What is found out about a text, found out once while there are few different ones."""

    def __init__(self, find: Callable[[str], V]) -> None:
        self._find = find
        self._found: dict[str, V] = {}

    def of(self, text: str) -> V:
        found = self._found.get(text)
        if found is None:
            if len(self._found) >= _MAX_TEXTS:
                self._found.clear()
            found = self._found[text] = self._find(text)
        return found
