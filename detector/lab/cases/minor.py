"""Children who tip: on an account that says so, or undeclared, with a parent's phone and money.

Shapes come from court cases: dozens of small top-ups a month, hours after school, a second device,
a card of somebody else, and a balance spent to nothing. No single one of them is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from detector.lab.cases.story import AFTER_SCHOOL, Story
from detector.lab.gifts import CHILD_WORDS, LADDER, Gift, recharge_for
from detector.lab.scenario import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Event, local_midnight
from detector.lab.site import Site, recharge, refund, step_near, tip
from detector.lab.streamers import CHILDRENS_CATEGORIES
from detector.lab.tippers import card

_TALK = (
    *CHILD_WORDS, "用了压岁钱", "千万别告诉我妈", "我还在上小学", "老师布置的作业好多",
    "明天考试不想去学校", "我爸的手机没电了", "妈妈快回来了", "我们班同学也看你",
    "偷偷看的", "我十一岁", "放假啦",
)  # fmt: skip


def declared_age(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A child's own account, its age declared; a parent's card, after school, up to three days."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(0.5, 200) * DAY_MS), rng)
    lot = rng.random()
    low, high = (6, 7) if lot < 0.08 else (8, 15) if lot < 0.65 else (16, 17)
    form["tipper_age"] = rng.randint(low, high)
    yield from _declared_visits(site, rng, start_ms, form)


def minor_mode(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A family's account with a history, now used in minor mode."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 5_000)
    form = site.tippers.tip_form(tipper, start_ms, rng)
    form.pop("tipper_age", None)
    form["minor_mode"] = True
    yield from _declared_visits(site, rng, start_ms, form)


def _declared_visits(site: Site, rng: Random, start_ms: int, form: Event) -> Iterator[Event]:
    form.update(site.streamers.rooms[site.any_room(rng)])
    form["instrument_holder"] = "other"
    level = rng.uniform(4.0, 16.0)
    for day in range(rng.randint(1, 3)):
        at_ms = start_ms + day * DAY_MS + (int(rng.uniform(-20, 40) * MINUTE_MS) if day else 0)
        gifts = [step_near(level + day + rng.gauss(0.0, 1.5)) for _ in range(rng.randint(3, 7))]
        yield recharge(form, at_ms, recharge_for(sum(gift.price_minor for gift in gifts)))
        for gift in gifts:
            at_ms += int(rng.uniform(3, 90) * SECOND_MS)
            yield _said(tip(form, at_ms, gift, 1), rng, CHILD_WORDS, 0.25)


def parents_phone(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A parent's account with a history; for some days a child has it in the afternoons."""
    tipper = site.history(rng, site.tippers.usual_minor, 100, 8_000)
    form = _childs_room(site, rng, site.tippers.tip_form(tipper, start_ms, rng))
    if "device_id" in form and rng.random() < 0.5:
        form["device_id"] = f"d{rng.getrandbits(32):08x}"  # the tablet at home
    if rng.random() < 0.5:
        form["instrument_holder"] = "other"
    yield from _afternoons(site, rng, start_ms, form, rng.randint(2, 9), rng.uniform(3.0, 9.0), 0.2)


def own_account(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """A child's own account, not verified and no age told; an elder's card."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(0.1, 60) * DAY_MS), rng)
    form = _childs_room(site, rng, form)
    form["instrument_holder"] = "other"
    yield from _afternoons(site, rng, start_ms, form, rng.randint(2, 8), rng.uniform(2.0, 7.0), 0.3)


def two_evenings(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Two evenings, a hundred small gifts, thousands of yuan, the balance spent to nothing."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 4_000)
    form = _childs_room(site, rng, site.tippers.tip_form(tipper, start_ms, rng))
    price_level = rng.uniform(9.0, 14.0)
    for evening in range(2):
        at_ms = start_ms + evening * site.stretch_ms(1)
        for _ in range(rng.randint(4, 8)):
            gifts = _gifts(rng, price_level, rng.randint(4, 9))
            yield recharge(form, at_ms, sum(gift.price_minor for gift in gifts))
            for gift in gifts:
                at_ms += int(rng.uniform(2, 40) * SECOND_MS)
                yield _said(tip(form, at_ms, gift, 1), rng, _TALK, 0.06)
            at_ms += int(rng.uniform(0.2, 6) * MINUTE_MS)


def fathers_card(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """Seventeen, a father's card: larger gifts, night after night, to two or three hosts."""
    form = site.tippers.stranger_form(start_ms, int(rng.uniform(30, 400) * DAY_MS), rng)
    form["instrument_id"] = card(site.tippers.count + rng.getrandbits(20), 1)
    form["instrument_holder"] = "other"
    hosts = [site.any_room(rng) for _ in range(rng.randint(2, 3))]
    at_ms = start_ms
    for _ in range(rng.randint(3, 8)):
        form.update(site.streamers.rooms[rng.choice(hosts)])
        gifts = _gifts(rng, rng.uniform(12.0, 18.0), rng.randint(3, 9))
        given_ms = at_ms
        yield recharge(form, given_ms, recharge_for(sum(gift.price_minor for gift in gifts)))
        for gift in gifts:
            given_ms += int(rng.uniform(5, 200) * SECOND_MS)
            yield _said(tip(form, given_ms, gift, 1), rng, _TALK, 0.15)
        at_ms += site.stretch_ms(rng.uniform(0.96, 1.04))


def again(site: Site, rng: Random, start_ms: int) -> Iterator[Event]:
    """The parents claim, truly; days later the child is at it again, and more."""
    tipper = site.history(rng, site.tippers.usual_minor, 50, 6_000)
    form = _childs_room(site, rng, site.tippers.tip_form(tipper, start_ms, rng))
    spent_minor = 0
    for event in _afternoons(site, rng, start_ms, form, 2, rng.uniform(4.0, 8.0), 0.1):
        if event["type"] == "recharge":
            spent_minor += int(event["amount"].replace(".", ""))
        yield event
    claim_ms = start_ms + site.stretch_ms(rng.uniform(2.2, 3))
    claimant = f"k{rng.getrandbits(32):08x}" if rng.random() < 0.7 else ""
    yield refund(form["tipper_id"], claim_ms, spent_minor, "minor", claimant)
    again_ms = start_ms + site.stretch_ms(4)
    yield from _afternoons(
        site, rng, again_ms, form, rng.randint(2, 4), rng.uniform(7.0, 11.0), 0.1
    )


def _afternoons(
    site: Site, rng: Random, start_ms: int, form: Event, days: int, level: float, talk: float
) -> Iterator[Event]:
    """Visits after school and at weekends: a small top-up, a handful of gifts, again and again."""
    rise = rng.uniform(0.0, 0.6)
    for day in range(days):
        at_ms = start_ms
        if day:
            at_ms = start_ms + day * site.stretch_ms(1)
            if site.stretch_ms(1) == DAY_MS:
                at_ms = local_midnight(at_ms) + int(rng.uniform(16.5, 21.5) * HOUR_MS)
        for _ in range(rng.randint(1, 3)):
            gifts = _gifts(rng, level + rise * day, rng.randint(2, 6))
            yield recharge(form, at_ms, recharge_for(sum(gift.price_minor for gift in gifts)))
            for gift in gifts:
                at_ms += int(rng.uniform(2, 60) * SECOND_MS)
                yield _said(tip(form, at_ms, gift, 1), rng, _TALK, talk)
            at_ms += int(rng.uniform(0.5, 15) * MINUTE_MS)


def _gifts(rng: Random, level: float, count: int) -> list[Gift]:
    return [LADDER[min(20, max(0, int(level + rng.gauss(0.0, 1.5))))] for _ in range(count)]


def _said(event: Event, rng: Random, words: tuple[str, ...], odds: float) -> Event:
    if rng.random() < odds:
        event["message"] = rng.choice(words)
    return event


def _childs_room(site: Site, rng: Random, form: Event) -> Event:
    """The form in a room that children like, where one of a few tries is."""
    form.pop("tipper_age", None)
    for _ in range(6):
        room = site.streamers.rooms[site.any_room(rng)]
        if room["room_category"] in CHILDRENS_CATEGORIES:
            break
    form.update(room)
    return form


STORIES = (
    Story("age", declared_age, most=24, window=(0.05, 0.93), hours=AFTER_SCHOOL),
    Story("mode", minor_mode, most=24, hours=AFTER_SCHOOL),
    Story("parents_phone", parents_phone, most=160, window=(0.4, 0.8), hours=AFTER_SCHOOL),
    Story("own_account", own_account, most=150, window=(0.05, 0.85), hours=AFTER_SCHOOL),
    Story("two_evenings", two_evenings, most=160, window=(0.4, 0.85), hours=(17, 18, 19, 20)),
    Story("fathers_card", fathers_card, most=80, window=(0.1, 0.8), hours=(21, 22, 23, 0)),
    Story(
        "again", again, most=130, window=(0.4, 0.7), hours=AFTER_SCHOOL,
        innocent={"refund": "honest_refund"},
    ),
)  # fmt: skip
