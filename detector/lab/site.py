"""The made-up site as it stands at one moment: its people, what is planned, who may come now.

Offers what every story needs: a room to go to, a tip, a recharge. It decides nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from detector.lab.agenda import Agenda
from detector.lab.gifts import LADDER, TOP_STEP, Gift, money
from detector.lab.scenario import DAY_MS, Event, Scenario, Tag, local_hour
from detector.lab.streamers import Streamers
from detector.lab.tippers import Crowd, Tippers


class Site:
    """Everything the stories share.

    Attributes:
        rng: chance of ordinary life; planted cases bring their own.
        start_ms, end_ms: the slice of time at hand, epoch milliseconds.
        hour: its hour in Shanghai.
        crowd: who may come in it.
    """

    def __init__(self, settings: Scenario, slice_ms: int) -> None:
        self.settings = settings
        self.rng = Random(f"{settings.seed}/ordinary")
        self.agenda = Agenda(settings, slice_ms, Random(f"{settings.seed}/delays"))
        self.streamers = Streamers(settings, Random(f"{settings.seed}/streamers"))
        self.tippers = Tippers(
            settings,
            Random(f"{settings.seed}/tippers"),
            self.streamers.count,
            self.streamers.popular,
        )
        self._taken: set[int] = set()  # tippers of planted cases
        self.start_ms = self.end_ms = settings.start_ms
        self.hour = 0
        self.crowd: Crowd

    def advance(self, start_ms: int, end_ms: int) -> None:
        """Moves on to the next slice of time."""
        self.start_ms, self.end_ms = start_ms, end_ms
        self.hour = local_hour(start_ms)
        self.crowd = self.tippers.crowd(start_ms, self.hour)
        self.streamers.advance(start_ms, end_ms, self.agenda)

    def some_time(self) -> int:
        """A moment of the slice at hand."""
        return self.start_ms + int(self.rng.random() * (self.end_ms - self.start_ms))

    def room_for(self, tipper: int, time_ms: int) -> int:
        """Where a tipper goes: the dearest favourite who is live, or whoever is popular."""
        until_ms = self.streamers.live_until_ms
        favourites = self.tippers.favourites[3 * tipper : 3 * tipper + 3]
        for streamer in favourites:
            if until_ms[streamer] > time_ms:
                return streamer
        found = self.streamers.someone_live(self.rng)
        return favourites[0] if found is None else found

    def any_room(self, rng: Random) -> int:
        """Somebody live, or the most popular when nobody is."""
        return self.streamers.someone_live(rng) or 0

    def quiet_room(self, rng: Random, until_ms: int) -> int | None:
        """A live room with nothing on that stays live until then; None when none is found."""
        for _ in range(8):
            streamer = self.streamers.someone_live(rng)
            if (
                streamer is not None
                and self.streamers.busy_until_ms[streamer] < self.start_ms
                and self.streamers.live_until_ms[streamer] > until_ms
            ):
                return streamer
        return None

    def form(self, tipper: int, streamer: int, now_ms: int, rng: Random) -> Event:
        """An unfilled tip from a tipper in a room."""
        form = self.tippers.tip_form(tipper, now_ms, rng)
        form.update(self.streamers.rooms[streamer])
        return form

    def stretch_ms(self, days: float) -> int:
        """A time of some days, less where the stream covers less than two weeks."""
        return int(days * min(DAY_MS, self.settings.span_ms / 14))

    def small_room(self, rng: Random) -> int:
        """A room few people know, live or not."""
        count = self.streamers.count
        return min(count - 1, rng.randrange(count // 2, count + 1))

    def people(self, rng: Random, wanted: int) -> list[int]:
        """Different tippers out of those who may come now, at most as many as wanted."""
        return list(dict.fromkeys(self.crowd.someone(rng) for _ in range(wanted)))

    def give(self, tipper: int, streamer: int, at_ms: int, gift: Gift, tag: Tag) -> None:
        """Plans one tip of one gift as a visit of its own."""
        form = self.form(tipper, streamer, at_ms, self.rng)
        if self.agenda.add(tip(form, at_ms, gift, 1), tag):
            self.tippers.remember(tipper, gift.price_minor, 1)
            self.streamers.received_minor[streamer] += gift.price_minor

    def history(self, rng: Random, measure: Callable[[int], float], low: int, high: int) -> int:
        """A tipper with a history whose measure lies in a range, or near it; never one twice.

        Args:
            rng: the chance to draw from.
            measure: a figure in fen for a tipper's number, such as the usual tip.
            low, high: the range, fen.
        """
        pool = self.tippers.regulars
        best, best_miss = -1, float("inf")
        for _ in range(300):
            if pool:
                tipper = pool[int(rng.random() * len(pool))]
            else:
                tipper = int(rng.random() * self.tippers.arrived(self.start_ms))
            if tipper in self._taken:
                continue
            found = max(1.0, measure(tipper))
            miss = max(low / found, found / high)
            if miss < best_miss:
                best, best_miss = tipper, miss
            if miss <= 1.0:
                break
        best = max(best, 0)
        self._taken.add(best)
        return best


def step_near(level: float) -> Gift:
    """The gift at a level of the ladder."""
    return LADDER[min(TOP_STEP, max(0, int(level)))]


def tip(form: Event, at_ms: int, gift: Gift, quantity: int) -> Event:
    """A form filled in: one tip."""
    event = form.copy()
    event["event_time"] = at_ms
    event["amount"] = money(gift.price_minor * quantity)
    event["gift_id"] = gift.gift_id
    event["gift_name"] = gift.name
    event["quantity"] = quantity
    return event


def recharge(form: Event, at_ms: int, amount_minor: int) -> Event:
    """A recharge by the tipper of a form, with the form's device and instrument."""
    event: Event = {
        "type": "recharge",
        "event_id": "",
        "event_time": at_ms,
        "tipper_id": form["tipper_id"],
        "amount": money(amount_minor),
        "currency": "CNY",
    }
    for name in ("instrument_id", "instrument_holder", "device_id"):
        if name in form:
            event[name] = form[name]
    return event


def payout(
    room: Event, at_ms: int, amount_minor: int, reason: str, account_id: str, instrument_id: str
) -> Event:
    """Money out of a room.

    Args:
        room: whatever names its streamer.
        at_ms, amount_minor: when, epoch milliseconds, and how much, fen.
        reason: `withdraw`, `prize` or `rebate`.
        account_id, instrument_id: where it goes; an empty instrument is not told.
    """
    event: Event = {
        "type": "payout",
        "event_id": "",
        "event_time": at_ms,
        "streamer_id": room["streamer_id"],
        "account_id": account_id,
        "amount": money(max(1, amount_minor)),
        "currency": "CNY",
        "reason": reason,
    }
    if instrument_id:
        event["instrument_id"] = instrument_id
    return event


def refund(
    tipper_id: str, at_ms: int, amount_minor: int, claim: str, claimant_id: str = ""
) -> Event:
    """Money asked back: `minor`, `fraud` or `other`; an empty claimant is not told."""
    event: Event = {
        "type": "refund",
        "event_id": "",
        "event_time": at_ms,
        "tipper_id": tipper_id,
        "amount": money(max(1, amount_minor)),
        "currency": "CNY",
        "claim": claim,
    }
    if claimant_id:
        event["claimant_id"] = claimant_id
    return event
