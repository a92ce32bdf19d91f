"""Sky-high tips: one far above what the account and the site know, or weeks of them.

The weeks are those of money that was never the tipper's: round sums in office hours or at the
month's end, several cards, one host.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from detector.lab.cases.story import OFFICE, WAKING, Story
from detector.lab.gifts import LADDER, recharge_for, worth
from detector.lab.scenario import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Event,
    local_midnight,
    weekday,
)
from detector.lab.site import Site, recharge, tip
from detector.lab.tippers import card


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


def month_end(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A cashier's two or three nights: very large round recharges by day, all given by midnight."""
    tipper = site.history(rng, site.tippers.usual_minor, 100, 6_000)
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    at_ms = start_ms
    for night in range(rng.randint(2, 3)):
        form["instrument_id"] = card(tipper, 2 + night)
        budget_minor = rng.choice((2, 3, 5, 8)) * 1_000_000
        yield recharge(form, at_ms, budget_minor)
        given_ms = at_ms + int(rng.uniform(5, 40) * MINUTE_MS)
        for _ in range(rng.randint(3, 8)):
            gift, quantity = worth(int(budget_minor * rng.uniform(0.1, 0.16)), rng)
            yield tip(form, given_ms, gift, quantity)
            given_ms += int(rng.uniform(0.1, 12) * MINUTE_MS)
        at_ms += site.stretch_ms(rng.uniform(0.8, 1.3))


def heir(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A young account that plays the rich heir: every evening a fortune to one host, no ramp."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(0.5, 20) * DAY_MS), rng)
    form.update(site.streamers.rooms[site.any_room(rng)])
    nightly_minor = rng.uniform(8_000, 60_000) * 100
    at_ms = start_ms
    for _ in range(rng.randint(3, 10)):
        given_ms = at_ms
        yield recharge(form, given_ms, recharge_for(int(nightly_minor)))
        for _ in range(rng.randint(2, 6)):
            given_ms += int(rng.uniform(0.1, 15) * MINUTE_MS)
            gift, quantity = worth(int(nightly_minor * rng.uniform(0.15, 0.4)), rng)
            yield tip(form, given_ms, gift, quantity)
        at_ms += site.stretch_ms(rng.uniform(0.97, 1.03))


STORIES = (
    Story("sudden", sudden, most=2, hours=WAKING),
    Story("newcomer", newcomer, most=5, window=(0.1, 0.93), hours=WAKING),
    Story("sustained", sustained, 84, (0.2, 0.5), OFFICE, on_workdays=True),
    Story("month_end", month_end, 27, (0.35, 0.85), OFFICE, on_workdays=True),
    Story("heir", heir, most=70, window=(0.1, 0.6), hours=WAKING),
)
