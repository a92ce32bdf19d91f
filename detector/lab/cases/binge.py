"""Binges: an account that loses its measure within a night, and pays in again and again."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from detector.lab.cases.story import Story
from detector.lab.gifts import recharge_for, worth
from detector.lab.scenario import MINUTE_MS, SECOND_MS, Event
from detector.lab.site import Site, recharge, tip


def spree(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Gaps shrink, gifts grow, recharges in between; sometimes after a lost PK or room to room."""
    yield from _spree(site, rng, start_ms, pk=rng.random() < 0.35, hops=2 * (rng.random() < 0.3))


def lost_pk(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """It begins seconds after the favourite has lost a PK."""
    yield from _spree(site, rng, start_ms, pk=True, hops=0)


def hopping(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """From room to room, a few tips in each."""
    yield from _spree(site, rng, start_ms, pk=False, hops=rng.randint(4, 9))


def _spree(site: Site, rng: Random, start_ms: int, pk: bool, hops: int) -> Iterator[Event]:
    tipper = site.history(rng, site.tippers.usual_session_minor, 1_500, 40_000)
    usual_minor = site.tippers.usual_session_minor(tipper)
    total_minor = max(100_000.0, usual_minor * rng.uniform(15, 80))
    streamer, at_ms = site.room_for(tipper, start_ms), start_ms
    rival = site.quiet_room(rng, start_ms + 10 * MINUTE_MS)
    is_free = site.streamers.busy_until_ms[streamer] < start_ms
    if pk and rival is not None and rival != streamer and is_free:
        at_ms += 5 * MINUTE_MS
        for side in (streamer, rival):
            yield site.streamers.room_event(side, "pk_start", start_ms)
            yield site.streamers.room_event(side, "pk_end", at_ms)
            site.streamers.busy_until_ms[side] = at_ms + MINUTE_MS
        at_ms += int(rng.uniform(3, 25) * SECOND_MS)
    form = site.form(tipper, streamer, start_ms, rng)
    tips, growth = rng.randint(14, 42), rng.uniform(1.04, 1.13)
    moves = {tips * hop // (hops + 1) for hop in range(1, hops + 1)}
    sizes = [growth**n * rng.lognormvariate(0.0, 0.25) for n in range(tips)]
    scale = total_minor / sum(sizes)
    gap_s, balance_minor, recharges = rng.uniform(40, 110), 0, 0
    for n, size in enumerate(sizes):
        if n in moves:
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


def payday(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A month's wage goes in at once and out within hours, then small change until none is left."""
    tipper = site.history(rng, site.tippers.usual_session_minor, 800, 20_000)
    wage_minor = int(max(300_000.0, site.tippers.usual_session_minor(tipper) * rng.uniform(20, 60)))
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    yield recharge(form, start_ms, wage_minor)
    at_ms, tips = start_ms, rng.randint(18, 45)
    shares = [rng.lognormvariate(0.0, 0.6) for _ in range(tips)]
    for n, share in enumerate(shares):
        at_ms += int(rng.expovariate(1 / rng.uniform(25, 90)) * SECOND_MS) + 2_000
        if n and rng.random() < 0.05:
            at_ms += int(rng.uniform(2, 12) * MINUTE_MS)
            form.update(site.streamers.rooms[site.any_room(rng)])
        gift, quantity = worth(max(100, int(wage_minor * share / sum(shares))), rng)
        yield tip(form, at_ms, gift, quantity)
    for _ in range(rng.randint(2, 6)):  # whatever is still on the card
        at_ms += int(rng.uniform(20, 200) * SECOND_MS)
        paid_minor = recharge_for(rng.randint(600, 10_000))
        yield recharge(form, at_ms, paid_minor)
        gift, quantity = worth(paid_minor, rng)
        yield tip(form, at_ms + int(rng.uniform(3, 15) * SECOND_MS), gift, quantity)


STORIES = (
    Story("late", spree, most=60, hours=(21, 22, 23, 0, 1, 2)),
    Story("early", spree, most=60, hours=(12, 13, 14, 15, 16, 17, 18, 19, 20)),
    Story("lost_pk", lost_pk, most=60, hours=(19, 20, 21, 22, 23)),
    Story("hopping", hopping, most=60, hours=(20, 21, 22, 23, 0, 1)),
    Story("payday", payday, most=60, hours=(18, 19, 20, 21, 22, 23)),
)
