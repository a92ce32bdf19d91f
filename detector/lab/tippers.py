"""The people who tip: taste, means, habits, devices, and what each has done so far.

Everything about a tipper sits in flat arrays, some 70 bytes each, so that a million fit easily.
Numbers run in order of arrival; the ids shown outside tell nothing about them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from math import exp
from random import Random

from detector.lab.gifts import TOP_STEP
from detector.lab.scenario import DAY_MS, Event, Scenario, scrambled

EVENING, DAY, OWL, NIGHT_SHIFT = range(4)
HABIT_SHARES = (0.62, 0.20, 0.14, 0.04)


def _shares(*weights: float) -> tuple[float, ...]:
    return tuple(weight / sum(weights) for weight in weights)


# What part of a habit's sessions begins in each hour, 0 to 23.
HOURS = (
    _shares(20, 8, 3, 2, 1, 1, 2, 5, 8, 8, 10, 15, 25, 20, 15, 15, 15, 20, 30, 45, 65, 70, 60, 40),
    _shares(5, 2, 1, 1, 1, 3, 9, 30, 60, 80, 90, 90, 99, 90, 80, 80, 70, 60, 40, 30, 30, 20, 15, 9),
    _shares(60, 50, 35, 20, 9, 3, 1, 1, 1, 2, 2, 2, 5, 5, 5, 5, 5, 5, 10, 15, 25, 40, 55, 65),
    _shares(40, 50, 55, 55, 45, 35, 20, 9, 5, 2, 1, 1, 1, 1, 1, 2, 2, 5, 5, 5, 5, 10, 15, 25),
)  # fmt: skip

HAS_DEVICE, HAS_IP, HAS_INSTRUMENT, IS_VERIFIED, HAS_AGE = 1, 2, 4, 8, 16
HAS_CREATED, IS_WHALE, SHARES_DEVICE, SHARES_NETWORK, WORKS_NIGHTS = 32, 64, 128, 256, 512
REGULAR_SESSIONS = 4  # from here on a tipper has a history
MOST_FANS = 60  # remembered for each streamer

PAST_SHARE = 0.65  # of all tippers were there before the stream began
_NETWORK_SIZE = 40  # people behind one dormitory's or net café's address
_ADDRESSES = 2**22  # 100.64.0.0/10, which belongs to nobody


class Tippers:
    """All tippers, by number.

    Attributes:
        level: usual step on the ladder of gifts, a fraction.
        favourites: three streamers each, the dearest first.
        spent_minor, tips, sessions: what each has done so far.
        regulars: those with a history, in the order they got one.
        fans: the same by favourite streamer, at most `MOST_FANS` each.
    """

    def __init__(
        self, settings: Scenario, rng: Random, streamer_count: int, favourite: Callable[[], int]
    ) -> None:
        count = settings.tipper_count()
        self.count = count
        self._start_ms = settings.start_ms
        self._span_ms = settings.span_ms
        self._past = max(1, int(count * PAST_SHARE))
        self.level = array("f", bytes(4 * count))
        self.favourites = array("I", bytes(12 * count))
        self.flags = array("H", bytes(2 * count))
        self._home = array("I", bytes(4 * count))
        self._phone = array("I", bytes(4 * count))
        self._created_s = array("q", bytes(8 * count))
        self.spent_minor = array("q", bytes(8 * count))
        self.tips = array("I", bytes(4 * count))
        self.sessions = array("I", bytes(4 * count))
        self.regulars: list[int] = []
        self.fans: list[list[int]] = [[] for _ in range(streamer_count)]
        self._members = [array("I") for _ in HABIT_SHARES]
        self._weights = [array("d") for _ in HABIT_SHARES]
        self._strangers = 0
        totals = [0.0] * len(HABIT_SHARES)
        for tipper in range(count):
            self._settle(tipper, rng)
            self._like(tipper, favourite)
            habit = self._habit(tipper, rng)
            totals[habit] += self._activity(tipper, rng)
            self._members[habit].append(tipper)
            self._weights[habit].append(totals[habit])

    def _settle(self, tipper: int, rng: Random) -> None:
        """Means, home, phone and what the platform knows about a tipper."""
        level = 3.2 + rng.gauss(0.0, 2.9)
        if rng.random() < 0.03:
            level = max(level, 4.0) + rng.expovariate(0.24)  # a Pareto tail in money
        self.level[tipper] = level = min(max(level, 0.0), TOP_STEP - 2.0)
        bits = rng.getrandbits(48)
        flags = IS_WHALE if level >= 18.0 else 0
        for flag, odds in (
            (HAS_DEVICE, 237), (HAS_IP, 150), (HAS_INSTRUMENT, 125), (IS_VERIFIED, 130),
            (HAS_AGE, 10), (HAS_CREATED, 210),
        ):  # fmt: skip
            if bits & 0xFF < odds:
                flags |= flag
            bits >>= 8
        self._home[tipper] = self._phone[tipper] = tipper
        if tipper and (lot := rng.random()) < 0.13:
            if lot < 0.10:  # a household behind one address, some of them with one tablet
                self._home[tipper] = self._home[tipper - 1]
                if lot < 0.012:
                    self._phone[tipper] = self._phone[tipper - 1]
                    self.flags[tipper - 1] |= SHARES_DEVICE | HAS_DEVICE
                    flags |= SHARES_DEVICE | HAS_DEVICE
            else:
                networks = max(1, self.count // 33 // _NETWORK_SIZE)
                self._home[tipper] = self.count + int(rng.random() * networks)
                flags |= SHARES_NETWORK | HAS_IP
        self.flags[tipper] |= flags
        if tipper < self._past:
            age_s = int(DAY_MS / 1_000 * min(2_500.0, 3.0 + rng.expovariate(1 / 420)))
            self._created_s[tipper] = self._start_ms // 1_000 - age_s
        else:
            since_ms = self._span_ms * (tipper - self._past) // (self.count - self._past)
            self._created_s[tipper] = (self._start_ms + since_ms) // 1_000 - int(rng.random() * 600)

    def _like(self, tipper: int, favourite: Callable[[], int]) -> None:
        for place in range(3 * tipper, 3 * tipper + 3):
            self.favourites[place] = favourite()

    def _habit(self, tipper: int, rng: Random) -> int:
        lot, habit = rng.random(), 0
        while habit < NIGHT_SHIFT and lot >= HABIT_SHARES[habit]:
            lot -= HABIT_SHARES[habit]
            habit += 1
        if habit == NIGHT_SHIFT:
            self.flags[tipper] |= WORKS_NIGHTS
        return habit

    def _activity(self, tipper: int, rng: Random) -> float:
        activity = exp(rng.gauss(0.0, 1.1))
        return activity * 2.5 if self.flags[tipper] & IS_WHALE else activity

    def arrived(self, time_ms: int) -> int:
        """How many exist by then: the numbers below it."""
        passed = min(1.0, max(0.0, (time_ms - self._start_ms) / self._span_ms))
        return self._past + int((self.count - self._past) * passed)

    def crowd(self, time_ms: int, hour: int) -> Crowd:
        """Those who may tip in that hour, each as likely as they are active."""
        arrived = self.arrived(time_ms)
        return Crowd(
            [
                (members, weights, bisect_left(members, arrived), share * HOURS[habit][hour])
                for habit, (members, weights, share) in enumerate(
                    zip(self._members, self._weights, HABIT_SHARES, strict=True)
                )
            ]
        )

    def tip_form(self, tipper: int, now_ms: int, rng: Random) -> Event:
        """A tip with everything the tipper brings, to be copied and filled for each tip."""
        flags = self.flags[tipper]
        bits = rng.getrandbits(16)
        form: Event = {
            "type": "tip",
            "event_id": "",
            "event_time": now_ms,
            "tipper_id": tipper_id(tipper),
            "streamer_id": "",
            "amount": "",
            "currency": "CNY",
            "room_id": "",
            "gift_id": "",
            "gift_name": "",
            "quantity": 1,
        }
        if flags & HAS_DEVICE:
            second = bits & 15 == 0 and not flags & SHARES_DEVICE
            form["device_id"] = f"d{scrambled(2 * self._phone[tipper] + second, 0x9E3779B1):08x}"
        if flags & HAS_IP:
            away = bits & 0x30 == 0 and not flags & SHARES_NETWORK
            form["ip"] = address(rng.getrandbits(22) if away else self._home[tipper])
        if flags & HAS_INSTRUMENT:
            form["instrument_id"] = card(tipper, bits & 0xF00 == 0)
            if bits & 0x3000 == 0:
                form["instrument_holder"] = "other" if bits & 0xC0C0 == 0 else "self"
        if flags & IS_VERIFIED:
            form["real_name"] = True
        if flags & HAS_CREATED:
            form["account_created_at"] = self._created_s[tipper] * 1_000
        if flags & HAS_AGE:
            form["tipper_age"] = 18 + scrambled(tipper) % 1_009 % 44
        return form

    def stranger_form(self, now_ms: int, age_ms: int, rng: Random) -> Event:
        """The same for a new account nobody has seen, which exists for one story only."""
        self._strangers += 1
        number = self.count + self._strangers
        form: Event = {
            "type": "tip",
            "event_id": "",
            "event_time": now_ms,
            "tipper_id": tipper_id(number),
            "streamer_id": "",
            "amount": "",
            "currency": "CNY",
            "room_id": "",
            "gift_id": "",
            "gift_name": "",
            "quantity": 1,
        }
        for name, odds, value in (
            ("device_id", 237, f"d{scrambled(2 * number, 0x9E3779B1):08x}"),
            ("ip", 150, address(rng.getrandbits(22))),
            ("instrument_id", 125, card(number, False)),
            ("account_created_at", 210, now_ms - age_ms),
        ):
            if rng.getrandbits(8) < odds:
                form[name] = value
        return form

    def usual_minor(self, tipper: int) -> float:
        """The mean tip so far, 0 before the first."""
        return self.spent_minor[tipper] / max(1, self.tips[tipper])

    def usual_session_minor(self, tipper: int) -> float:
        """The mean spent in a session so far."""
        return self.spent_minor[tipper] / max(1, self.sessions[tipper])

    def remember(self, tipper: int, spent_minor: int, tips: int) -> None:
        """Adds a session to the tipper's history."""
        self.spent_minor[tipper] += spent_minor
        self.tips[tipper] += tips
        self.sessions[tipper] += 1
        if self.sessions[tipper] == REGULAR_SESSIONS:
            self.regulars.append(tipper)
            fans = self.fans[self.favourites[3 * tipper]]
            if len(fans) < MOST_FANS:
                fans.append(tipper)


class Crowd:
    """Who may come in one hour, ready to be drawn from."""

    def __init__(self, groups: list[tuple[array[int], array[float], int, float]]) -> None:
        self._groups = [
            (members, weights, present, weights[present - 1], share)
            for members, weights, present, share in groups
            if present
        ]
        self._total = sum(share for *_, share in self._groups)

    def someone(self, rng: Random) -> int:
        """A tipper's number."""
        lot = rng.random() * self._total
        for members, weights, present, total, share in self._groups:
            if lot < share:
                return members[bisect_right(weights, rng.random() * total, 0, present - 1)]
            lot -= share
        return self._groups[-1][0][0]


def tipper_id(tipper: int) -> str:
    """The id shown outside for a tipper's number."""
    return f"u{scrambled(tipper):08x}"


def address(number: int) -> str:
    """An address of 100.64.0.0/10 for each number."""
    number = number * 2_654_435_761 % _ADDRESSES
    return f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def card(tipper: int, second: bool | int) -> str:
    """A tipper's first payment instrument, or a further one."""
    return f"i{scrambled(8 * tipper + second, 0x85EBCA6B):08x}"
