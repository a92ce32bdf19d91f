"""Innocent stories that look like a case, beyond those that ordinary life brings by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from detector.lab.cases.story import EVENING, OFFICE, WAKING, Story
from detector.lab.gifts import LADDER, Gift, recharge_for
from detector.lab.scenario import HOUR_MS, MINUTE_MS, SECOND_MS, Event
from detector.lab.site import Site, payout, recharge, refund, step_near, tip
from detector.lab.streamers import payout_accounts
from detector.lab.tippers import tipper_id

_PARENT_TALK = (
    "孩子作业写完了我来听会",
    "刚给孩子开完家长会",
    "儿子明天考试",
    "陪女儿上网课",
    "娃放学了先走",
)
_HOLIDAY_TALK = ("新年快乐", "给孩子发完压岁钱了", "阖家幸福", "放假啦", "抢到大红包")


def online_class(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """School hours on a working day, talk of children: a parent who listens beside the class."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 3_000)
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    for day in range(rng.randint(1, 4)):
        at_ms = start_ms + site.stretch_ms(day)
        for _ in range(rng.randint(1, 4)):
            yield _talking(tip(form, at_ms, _usual(site, rng, tipper), 1), rng, _PARENT_TALK, 0.4)
            at_ms += int(rng.uniform(5, 200) * SECOND_MS)


def holiday(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A family at home all day: lucky sums, more than usual, wishes with it."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 8_000)
    form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
    at_ms = start_ms
    for _ in range(rng.randint(3, 9)):
        gift = Gift("h88", "红包", rng.choice((666, 888, 1_800, 1_880, 6_600, 8_800)))
        yield _talking(tip(form, at_ms, gift, 1), rng, _HOLIDAY_TALK, 0.4)
        at_ms += int(rng.expovariate(1 / 400) * SECOND_MS)


def spouse_payout(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A streamer's spouse tips now and then, and her withdrawals go to the card they share."""
    room = site.any_room(rng)
    tipper = site.history(rng, site.tippers.usual_minor, 50, 5_000)
    form = site.form(tipper, room, start_ms, rng)
    account, form["instrument_id"] = payout_accounts(room)
    at_ms = start_ms
    for _ in range(rng.randint(3, 8)):
        yield tip(form, at_ms, _usual(site, rng, tipper), 1)
        at_ms += site.stretch_ms(rng.uniform(0.05, 1.0))
    received_minor = int(rng.uniform(500, 3_000) * 100)  # many others tipped as well
    yield payout(form, at_ms, received_minor, "withdraw", account, form["instrument_id"])


def net_cafe(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Different people at one machine, hours apart, each in the room they like."""
    machine, address = f"d{rng.getrandbits(32):08x}", f"100.64.7.{rng.randint(1, 250)}"
    at_ms = start_ms
    for tipper in site.people(rng, rng.randint(4, 12)):
        form = site.form(tipper, site.room_for(tipper, at_ms), at_ms, rng)
        form["device_id"], form["ip"] = machine, address
        for _ in range(rng.randint(1, 4)):
            yield tip(form, at_ms, _usual(site, rng, tipper), 1)
            at_ms += int(rng.uniform(5, 300) * SECOND_MS)
        at_ms += site.stretch_ms(rng.uniform(0.05, 0.3))


def family_card(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Two or three of a family pay with one card, for different hosts."""
    holder, *others = (
        site.history(rng, site.tippers.usual_minor, 50, 5_000) for _ in range(rng.randint(2, 3))
    )
    shared = f"i{rng.getrandbits(32):08x}"
    at_ms = start_ms
    for _ in range(rng.randint(3, 8)):
        tipper = rng.choice((holder, *others))
        form = site.form(tipper, site.room_for(tipper, at_ms), at_ms, rng)
        form["instrument_id"] = shared
        form["instrument_holder"] = "self" if tipper == holder else "other"
        yield recharge(form, at_ms, recharge_for(rng.randint(600, 6_800)))
        yield tip(form, at_ms + 20 * SECOND_MS, _usual(site, rng, tipper), 1)
        at_ms += site.stretch_ms(rng.uniform(0.05, 0.8))


def free_prize(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """The platform's own wheel: free to enter, prizes in its coins to a few who happened to tip."""
    room = site.any_room(rng)
    yield site.streamers.room_event(room, "lottery_open", start_ms)
    people = site.people(rng, rng.randint(12, 40))
    length_ms = int(rng.uniform(1, 4) * MINUTE_MS)
    for tipper in people:
        form = site.form(tipper, room, start_ms, rng)
        at_ms = start_ms + int(rng.random() * length_ms)
        yield tip(form, at_ms, _usual(site, rng, tipper), 1)
    end_ms = start_ms + length_ms
    yield site.streamers.room_event(room, "lottery_draw", end_ms)
    for tipper in rng.sample(people, min(len(people), rng.randint(1, 4))):
        form = site.form(tipper, room, end_ms, rng)
        minor = rng.choice((500, 1_000, 2_000))
        yield payout(form, end_ms + SECOND_MS, minor, "prize", tipper_id(tipper), "")


def check_in(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A fan club signs in with the same small gift in the same minutes; nothing comes back."""
    room = site.any_room(rng)
    gift = LADDER[rng.choice((0, 1, 2, 3))]
    for tipper in site.people(rng, rng.randint(20, 60)):
        form = site.form(tipper, room, start_ms, rng)
        yield tip(form, start_ms + int(rng.random() ** 2 * 3 * MINUTE_MS), gift, 1)


def vote(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Dance or sing: two small gifts decide which, twice an evening."""
    room, step = site.any_room(rng), rng.choice((3, 4, 6, 7))
    at_ms = start_ms
    for _ in range(2):
        for tipper in site.people(rng, rng.randint(8, 30)):
            gift = LADDER[step + (rng.random() < 0.4)]
            form = site.form(tipper, room, at_ms, rng)
            yield tip(form, at_ms + int(rng.random() * 2 * MINUTE_MS), gift, rng.choice((1, 1, 2)))
        at_ms += int(rng.uniform(15, 50) * MINUTE_MS)


def big_night(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A top host's night: ten times the usual sum, from very many, each a little."""
    for tipper in site.people(rng, rng.randint(80, 180)):
        at_ms = start_ms + int(rng.random() * 2.5 * min(HOUR_MS, site.stretch_ms(1) / 24))
        form = site.form(tipper, 0, at_ms, rng)
        yield tip(form, at_ms, step_near(site.tippers.level[tipper] + rng.gauss(2.0, 1.5)), 1)


def honest_refund(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A slip of the finger, a stolen phone, the children of one mother: claimed once, and true."""
    lot = rng.random()
    claim, people = ("other", 1) if lot < 0.4 else ("fraud", 1) if lot < 0.7 else ("minor", 2)
    mother = f"k{rng.getrandbits(32):08x}" if claim == "minor" or rng.random() < 0.5 else ""
    for _ in range(people):
        tipper = site.history(rng, site.tippers.usual_minor, 50, 8_000)
        form = site.form(tipper, site.room_for(tipper, start_ms), start_ms, rng)
        gift = _usual(site, rng, tipper)
        yield tip(form, start_ms, gift, 1)
        asked_ms = start_ms + int(rng.uniform(0.01, 0.8) * site.stretch_ms(1))
        yield refund(form["tipper_id"], asked_ms, gift.price_minor, claim, mother)


def _usual(site: Site, rng: Random, tipper: int) -> Gift:
    return step_near(site.tippers.level[tipper] + rng.gauss(0.0, 1.5))


def _talking(event: Event, rng: Random, words: tuple[str, ...], odds: float) -> Event:
    if rng.random() < odds:
        event["message"] = rng.choice(words)
    return event


_ANY = (0.1, 0.93)
STORIES: Mapping[str, Story] = {
    story.name: story
    for story in (
        Story("online_class", online_class, 16, hours=OFFICE, on_workdays=True),
        Story("holiday", holiday, 9, hours=WAKING),
        Story("spouse_payout", spouse_payout, 9, (0.2, 0.8)),
        Story("net_cafe", net_cafe, 48, (0.1, 0.8)),
        Story("family_card", family_card, 16, (0.2, 0.8)),
        Story("free_prize", free_prize, 46, _ANY, EVENING),
        Story("check_in", check_in, 60, _ANY, EVENING),
        Story("vote", vote, 60, _ANY, EVENING),
        Story("big_night", big_night, 180, _ANY, EVENING),
        Story("honest_refund", honest_refund, 4, (0.3, 0.85)),
    )
}
"""By the name of the trap."""
