"""Refunds asked for what was had and meant: a child who never was, agents, perks kept.

Only the claims are labelled: the tips before them are an adult's ordinary tips.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from detector.lab.cases.story import Story
from detector.lab.gifts import GUARDS, recharge_for
from detector.lab.scenario import MINUTE_MS, SECOND_MS, Event, local_midnight
from detector.lab.site import Site, recharge, refund, step_near, tip

_ADULT_TALK = (
    "刚下夜班",
    "我42了",
    "给孩子开完家长会",
    "老婆睡了",
    "明天还要上班",
    "我儿子都上大学了",
)
_SCENERY = frozenset(("room", "tip", "recharge"))


def fake_minor(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """An adult's long habit, in office hours and at night, and then: it was my child."""
    tipper = site.history(rng, site.tippers.usual_minor, 200, 20_000)
    spent_minor = 0
    for event in _habit(site, rng, start_ms, tipper, rng.randint(3, 8)):
        if event["type"] == "recharge":
            spent_minor += int(event["amount"].replace(".", ""))
        yield event
    claim_ms = start_ms + site.stretch_ms(rng.uniform(4.2, 5))
    claimant = _claimant(rng) if rng.random() < 0.8 else ""
    claims = rng.randint(1, 4)  # one for each streamer, say
    for _ in range(claims):
        who = site.tippers.tip_form(tipper, claim_ms, rng)["tipper_id"]
        yield refund(who, claim_ms, spent_minor // claims, "minor", claimant)
        claim_ms += int(rng.uniform(1, 200) * MINUTE_MS)


def agent(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """One person claims for many accounts, which tipped for a few days and are strangers else."""
    claimant, at_ms = _claimant(rng), start_ms
    accounts = rng.randint(4, 9)
    phone = f"d{rng.getrandbits(32):08x}" if rng.random() < 0.4 else ""
    for _ in range(accounts):
        tipper = site.history(rng, site.tippers.usual_minor, 100, 20_000)
        form = site.form(tipper, site.room_for(tipper, at_ms), at_ms, rng)
        if phone:
            form["device_id"] = phone
        gifts = [step_near(rng.uniform(8, 16)) for _ in range(rng.randint(1, 4))]
        sum_minor = sum(gift.price_minor for gift in gifts)
        given_ms = at_ms
        for gift in gifts:
            yield tip(form, given_ms, gift, 1)
            given_ms += int(rng.uniform(5, 90) * SECOND_MS)
        claim = rng.choice(("minor", "minor", "fraud"))
        claim_ms = given_ms + int(rng.uniform(0.1, 0.9) * site.stretch_ms(1))
        yield refund(form["tipper_id"], claim_ms, sum_minor, claim, claimant)
        at_ms += int(rng.uniform(0.05, 0.5) * site.stretch_ms(1))


def perks(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A guard is bought, its perks arrive, the money is asked back; and once more."""
    tipper = site.history(rng, site.tippers.usual_minor, 300, 30_000)
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    guard, at_ms = GUARDS[rng.random() < 0.3], start_ms
    claimant = _claimant(rng) if rng.random() < 0.5 else ""
    for _ in range(rng.randint(2, 4)):
        yield recharge(form, at_ms, recharge_for(guard.price_minor))
        yield tip(form, at_ms + 30 * SECOND_MS, guard, 1)
        claim_ms = at_ms + int(rng.uniform(0.2, 0.9) * site.stretch_ms(1))
        claim = rng.choice(("minor", "other", "fraud"))
        yield refund(form["tipper_id"], claim_ms, guard.price_minor, claim, claimant)
        at_ms += site.stretch_ms(rng.uniform(1.2, 2.0))


def serial(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Night of tips, claim, night of tips, claim: nearly all of it, each time."""
    tipper = site.history(rng, site.tippers.usual_minor, 200, 20_000)
    at_ms = start_ms
    for _ in range(rng.randint(3, 5)):
        spent_minor = 0
        who = ""
        for event in _habit(site, rng, at_ms, tipper, 1):
            if event["type"] == "recharge":
                spent_minor += int(event["amount"].replace(".", ""))
            who = event["tipper_id"]
            yield event
        claim_ms = at_ms + int(rng.uniform(0.4, 0.9) * site.stretch_ms(1))
        share = rng.uniform(0.7, 1.0)
        yield refund(who, claim_ms, int(spent_minor * share), rng.choice(("minor", "other")))
        at_ms += site.stretch_ms(rng.uniform(1.0, 1.8))


def _habit(site: Site, rng: Random, start_ms: int, tipper: int, visits: int) -> Iterator[Event]:
    """An adult's visits within four days: at night, or between two meetings."""
    level = site.tippers.level[tipper]
    for visit in range(visits):
        at_ms = start_ms
        if visit:
            day = rng.randint(0, 3)
            at_ms = start_ms + site.stretch_ms(day + 0.05 * visit)
            if site.settings.days >= 14 and day:
                hour = rng.choice((0.5, 1.5, 2.5, 9.5, 10.5, 14.5, 15.5))
                at_ms = local_midnight(at_ms) + int(hour * 60 * MINUTE_MS)
        form = site.form(tipper, site.room_for(tipper, at_ms), at_ms, rng)
        gifts = [step_near(level + rng.gauss(1.0, 1.5)) for _ in range(rng.randint(2, 6))]
        yield recharge(form, at_ms, recharge_for(sum(gift.price_minor for gift in gifts)))
        for gift in gifts:
            at_ms += int(rng.uniform(3, 120) * SECOND_MS)
            event = tip(form, at_ms, gift, 1)
            if rng.random() < 0.1:
                event["message"] = rng.choice(_ADULT_TALK)
            yield event


def _claimant(rng: Random) -> str:
    return f"k{rng.getrandbits(32):08x}"


STORIES = (
    Story("fake_minor", fake_minor, most=70, window=(0.4, 0.6), scenery=_SCENERY),
    Story("agent", agent, most=50, window=(0.3, 0.6), scenery=_SCENERY),
    Story("perks", perks, most=12, window=(0.3, 0.55), scenery=_SCENERY),
    Story("serial", serial, most=50, window=(0.3, 0.5), scenery=_SCENERY),
)
