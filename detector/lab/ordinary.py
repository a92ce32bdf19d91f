"""Ordinary life: sessions of tips, recharges, guards, refunds and payouts, and nothing wrong.

Some of it looks like a case to a detector: whales, love-number combos, a first guard, a tablet that
a family shares, a dormitory's address, people who work nights. Those tips are tagged as traps.
"""

from __future__ import annotations

from detector.lab.gifts import (
    GUARDS,
    LADDER,
    MESSAGES,
    TOP_STEP,
    WORDS,
    Gift,
    combo,
    money,
    recharge_for,
)
from detector.lab.scenario import DAY_MS, HOUR_MS, Event, Tag
from detector.lab.site import Site, payout, recharge, refund, tip
from detector.lab.streamers import payout_accounts
from detector.lab.tippers import IS_WHALE, SHARES_DEVICE, SHARES_NETWORK, WORKS_NIGHTS

NEWCOMER_VISITS = 0.25  # of new accounts tip in the hour they arrive
MOST_TIPS = 60  # in one session
_WHALE_MINOR = 50_000  # a whale's tip from here on is worth a tag


class Ordinary:
    """Fills the stream with sessions.

    Attributes:
        ceremony_rooms: where a good part of the site goes tonight; empty on other nights.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._arrived = site.tippers.arrived(site.settings.start_ms)
        self.ceremony_rooms: list[int] = []

    def fill(self, quota: float) -> float:
        """Plans sessions until about `quota` events are planned; how many were."""
        site = self._site
        agenda, rng = site.agenda, site.rng
        before = agenda.planned
        goal = min(before + quota, agenda.limit)
        self._newcomers(before + 0.15 * quota)
        while agenda.planned < goal:
            tipper = site.crowd.someone(rng)
            at_ms = site.some_time()
            if self.ceremony_rooms and rng.random() < 0.45:
                room = self.ceremony_rooms[int(rng.random() * len(self.ceremony_rooms))]
                self.session(tipper, at_ms, room, boost=2.0)
            else:
                self.session(tipper, at_ms, site.room_for(tipper, at_ms))
        return agenda.planned - before

    def _newcomers(self, goal: float) -> None:
        site = self._site
        arrived = site.tippers.arrived(site.end_ms)
        for tipper in range(self._arrived, arrived):
            if site.agenda.planned >= goal:
                break
            if site.rng.random() < NEWCOMER_VISITS:
                at_ms = site.some_time()
                self.session(tipper, at_ms, site.room_for(tipper, at_ms))
        self._arrived = arrived

    def session(self, tipper: int, start_ms: int, streamer: int, boost: float = 0.0) -> None:
        """One tipper's visit to one room: several tips, often the same gift again and again."""
        site = self._site
        rng, agenda, tippers = site.rng, site.agenda, site.tippers
        chance, gauss = rng.random, rng.gauss
        form = site.form(tipper, streamer, start_ms, rng)
        is_whale = tippers.flags[tipper] & IS_WHALE
        usual_tag = self._usual_tag(tipper, form)
        level = tippers.level[tipper] + boost
        tips = min(MOST_TIPS, 1 + int(rng.expovariate(0.42)))
        has_recharge = chance() < 0.11
        at_ms = start_ms + (int(4_000 + rng.expovariate(1 / 25_000)) if has_recharge else 0)
        spent_minor = given = 0
        gift: Gift | None = None
        for _ in range(tips):
            if gift is None or chance() > 0.62:
                step = int(level + gauss(0.0, 1.7))
                gift = LADDER[0 if step < 0 else min(step, TOP_STEP)]
            quantity, tag = 1, usual_tag
            if chance() < 0.02 and gift.price_minor <= 2_000:
                quantity = combo(rng, gift)
                if quantity >= 66 and tag is None:
                    tag = self._trap("combo", form)
            amount_minor = gift.price_minor * quantity
            if is_whale and amount_minor >= _WHALE_MINOR:
                tag = self._trap("whale", form)
            event = form.copy()  # `tip` written out: this is the hot path
            event["event_time"] = at_ms
            event["amount"] = money(amount_minor)
            event["gift_id"], event["gift_name"], _ = gift
            event["quantity"] = quantity
            if not agenda.add(event, tag):
                break
            given += 1
            spent_minor += amount_minor
            at_ms += int(120 + chance() * 4_500 if chance() < 0.72 else rng.expovariate(1 / 50_000))
        tippers.remember(tipper, spent_minor, given)
        site.streamers.received_minor[streamer] += spent_minor
        if has_recharge:
            agenda.add(recharge(form, start_ms, recharge_for(spent_minor)), usual_tag)
        if chance() < 0.05:
            self._extras(tipper, streamer, form, at_ms, usual_tag)

    def _extras(
        self, tipper: int, streamer: int, form: Event, at_ms: int, usual_tag: Tag | None
    ) -> None:
        """What follows a few sessions: a paid message, a month's guard, seldom a refund."""
        site = self._site
        rng, level = site.rng, site.tippers.level[tipper]
        lot = rng.random()
        gift: Gift | None = None
        tag = usual_tag
        if lot < 0.70:
            gift = MESSAGES[min(4, max(0, int((level + rng.gauss(-6.0, 2.0)) / 3.5)))]
            form["message"] = WORDS[int(rng.random() * len(WORDS))]
        elif lot < 0.97:
            if site.tippers.sessions[tipper] > 2:
                rank = (level > 15.0) + (level > 21.0) if rng.random() < 0.3 else 0
                gift = GUARDS[rank]
                tag = self._trap("guard", form)
        else:
            self._refund(form, at_ms)
        if gift is not None and site.agenda.add(tip(form, at_ms, gift, 1), tag):
            site.streamers.received_minor[streamer] += gift.price_minor
            site.tippers.spent_minor[tipper] += gift.price_minor
            site.tippers.tips[tipper] += 1

    def _refund(self, form: Event, at_ms: int) -> None:
        rng = self._site.rng
        amount_minor = LADDER[5 + int(rng.random() * 11)].price_minor
        asked_ms = at_ms + int(HOUR_MS / 2 + rng.random() * DAY_MS / 2)
        self._site.agenda.add(refund(form["tipper_id"], asked_ms, amount_minor, "other"))

    def payouts(self) -> None:
        """Streamers take out what they have received; to be called once a day, in the morning."""
        site = self._site
        received = site.streamers.received_minor
        for streamer, minor in enumerate(received):
            if minor < 20_000 or site.rng.random() > 0.3:
                continue
            received[streamer] = 0
            at_ms = site.some_time() + int(site.rng.random() * 6 * HOUR_MS)
            room = site.streamers.rooms[streamer]
            accounts = payout_accounts(streamer)
            site.agenda.add(payout(room, at_ms, minor // 2, "withdraw", *accounts))

    def _usual_tag(self, tipper: int, form: Event) -> Tag | None:
        """The trap that a tipper always is, if any."""
        flags = self._site.tippers.flags[tipper]
        if not flags & (SHARES_DEVICE | SHARES_NETWORK | WORKS_NIGHTS):
            return None
        if flags & SHARES_DEVICE:
            return self._trap("family_device", form)
        if flags & SHARES_NETWORK:
            return self._trap("shared_network", form)
        return self._trap("night_shift", form) if self._site.hour < 6 else None

    @staticmethod
    def _trap(trap: str, form: Event) -> Tag:
        who = form["tipper_id"]
        return Tag(None, f"{trap}-{who}", "tipper", who, trap)
