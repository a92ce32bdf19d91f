"""Rings: tippers and a streamer who are one, and money that comes back to those who gave it.

The room is the case's subject. Amounts and tempo look like a binge or a ceremony; what differs is
who stands behind the accounts and where the money goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from detector.lab.cases.story import Story
from detector.lab.gifts import LADDER, recharge_for, worth
from detector.lab.scenario import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Event
from detector.lab.site import Site, payout, recharge, refund, tip
from detector.lab.streamers import payout_accounts


def laundering(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Often and much in a short time to one room; a good part goes back to where it came from."""
    room = site.small_room(rng) if rng.random() < 0.7 else site.any_room(rng)
    givers = _newcomers(site, rng, start_ms, room, rng.randint(2, 8), rng.randint(1, 4))
    share, reason = rng.uniform(0.3, 0.8), rng.choice(("withdraw", "rebate"))
    total_minor = rng.uniform(3_000, 60_000) * 100
    at_ms = start_ms
    for _ in range(rng.randint(1, 5)):
        given = dict.fromkeys(range(len(givers)), 0)
        for _ in range(rng.randint(6, 22)):
            number = rng.randrange(len(givers))
            gift, count = worth(max(500, int(total_minor / 60 * rng.lognormvariate(0, 0.5))), rng)
            yield tip(givers[number], at_ms, gift, count)
            given[number] += gift.price_minor * count
            at_ms += int(rng.uniform(2, 120) * SECOND_MS)
        at_ms += int(rng.uniform(0.1, 5) * min(HOUR_MS, site.stretch_ms(0.1)))
        for number, minor in given.items():
            if minor:
                where = givers[number]["instrument_id"]
                account = givers[number]["tipper_id"] if rng.random() < 0.5 else f"b{where[1:]}"
                yield payout(givers[number], at_ms, int(minor * share), reason, account, where)
                at_ms += int(rng.uniform(1, 60) * SECOND_MS)
        at_ms += site.stretch_ms(rng.uniform(0.2, 1.2))


def shills(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A guild's accounts on a few phones lead the tipping in its rooms, in the same seconds."""
    rooms = [site.small_room(rng), *(site.any_room(rng) for _ in range(rng.randint(0, 3)))]
    accounts = _newcomers(site, rng, start_ms, rooms[0], rng.randint(6, 18), rng.randint(2, 3))
    address = f"100.{rng.randint(64, 127)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}"
    gift, at_ms = LADDER[rng.randint(8, 18)], start_ms
    for _ in range(rng.randint(3, 8)):
        for account in rng.sample(accounts, rng.randint(len(accounts) // 2, len(accounts))):
            account.update(site.streamers.rooms[rng.choice(rooms)])
            account["ip"] = address
            yield tip(account, at_ms + int(rng.uniform(0, 4) * SECOND_MS), gift, 1)
        at_ms += site.stretch_ms(rng.choice((0.02, 0.1, 1.0)))


def self_tip(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A streamer's own second account: tip, payout, top-up from the payout, and round again."""
    room = site.small_room(rng)
    own = _newcomers(site, rng, start_ms, room, rng.randint(1, 2), 1)
    account, instrument = payout_accounts(room)
    budget_minor, at_ms = int(rng.uniform(500, 20_000) * 100), start_ms
    for _ in range(rng.randint(3, 9)):
        given_ms = at_ms
        for form in own:
            form["instrument_id"] = instrument
            for _ in range(rng.randint(1, 5)):
                gift, count = worth(int(budget_minor * rng.uniform(0.15, 0.3)), rng)
                yield tip(form, given_ms, gift, count)
                given_ms += int(rng.uniform(2, 300) * SECOND_MS)
        paid_ms = given_ms + int(rng.uniform(0.05, 0.5) * site.stretch_ms(0.5))
        yield payout(own[0], paid_ms, budget_minor // 2, "withdraw", account, instrument)
        yield recharge(own[0], paid_ms + 5 * MINUTE_MS, recharge_for(budget_minor // 2))
        at_ms = paid_ms + site.stretch_ms(rng.uniform(0.2, 1.0))


def stolen_cards(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Many cards, few devices, a room with forty viewers; paid out in hours, disputed in days."""
    room = site.small_room(rng)
    thieves = _newcomers(site, rng, start_ms, room, rng.randint(3, 10), rng.randint(1, 3))
    at_ms, viewers, total_minor = start_ms, rng.randint(25, 60), 0
    for _ in range(rng.randint(15, 45)):
        form = rng.choice(thieves)
        form["instrument_id"] = f"i{rng.getrandbits(32):08x}"
        form["viewers"] = viewers + rng.randint(-5, 5)
        gift, count = worth(int(rng.uniform(60, 1_500) * 100), rng)
        yield tip(form, at_ms, gift, count)
        total_minor += gift.price_minor * count
        at_ms += int(rng.uniform(4, 240) * SECOND_MS)
    account, instrument = payout_accounts(room)
    at_ms += int(rng.uniform(0.2, 4) * min(HOUR_MS, site.stretch_ms(0.1)))
    share = rng.uniform(0.4, 0.5)
    yield payout(thieves[0], at_ms, int(total_minor * share), "withdraw", account, instrument)
    for form in thieves[: rng.randint(0, 4)]:  # the cards' owners
        claimed_ms = at_ms + site.stretch_ms(rng.uniform(0.5, 4))
        yield refund(form["tipper_id"], claimed_ms, int(rng.uniform(60, 900) * 100), "fraud")


def rebates(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Two rooms meet in PK after PK; supporters of both are paid part of it back."""
    rooms = list(dict.fromkeys((site.small_room(rng), site.any_room(rng))))
    faithful = [
        site.form(tipper, rng.choice(rooms), start_ms, rng)
        for tipper in site.people(rng, rng.randint(3, 9))
    ]
    share, at_ms = rng.uniform(0.2, 0.6), start_ms
    for _ in range(rng.randint(2, 6)):
        bell_ms = at_ms + 5 * MINUTE_MS
        for room in rooms:
            yield site.streamers.room_event(room, "pk_start", at_ms)
        for form in faithful:
            spent_minor = 0
            for _ in range(rng.randint(1, 5)):
                gift, count = worth(int(rng.lognormvariate(9.5, 0.7)), rng)
                spent_minor += gift.price_minor * count
                yield tip(form, at_ms + int(rng.uniform(30, 299) * SECOND_MS), gift, count)
            if rng.random() < 0.85:
                paid_ms = bell_ms + int(rng.uniform(1, 60) * MINUTE_MS)
                where = form.get("instrument_id", "")
                back_minor = int(spent_minor * share)
                yield payout(form, paid_ms, back_minor, "rebate", form["tipper_id"], where)
        for room in rooms:
            yield site.streamers.room_event(room, "pk_end", bell_ms)
        at_ms = bell_ms + int(rng.uniform(0.1, 0.8) * site.stretch_ms(1))


def _newcomers(
    site: Site, rng: Random, start_ms: int, room: int, count: int, devices: int
) -> list[Event]:
    """Unfilled tips of some new accounts that share a few devices and have a card each."""
    phones = [f"d{rng.getrandbits(32):08x}" for _ in range(devices)]
    is_told = rng.random() < 0.9
    forms = []
    for number in range(count):
        age_ms = int(rng.uniform(0.02, 25) * DAY_MS)
        form = site.tippers.stranger_form(start_ms, age_ms, rng)
        form.update(site.streamers.rooms[room])
        form["instrument_id"] = f"i{rng.getrandbits(32):08x}"
        if is_told:
            form["device_id"] = phones[number % devices]
        forms.append(form)
    return forms


_WINDOW = (0.1, 0.88)
STORIES = (
    Story("laundering", laundering, most=150, window=_WINDOW, subject="streamer"),
    Story("shills", shills, most=144, window=_WINDOW, subject="streamer"),
    Story("self_tip", self_tip, most=108, window=_WINDOW, subject="streamer"),
    Story(
        "stolen_cards", stolen_cards, most=50, window=_WINDOW, subject="streamer",
        innocent={"refund": "honest_refund"},
    ),
    Story("rebates", rebates, most=320, window=_WINDOW, subject="streamer"),
)  # fmt: skip
