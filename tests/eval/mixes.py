"""Six made-up platforms: other rates of cases and traps, fields, currencies, tempo and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.lab.platform import Platform
from detector.lab.scenario import DAY_MS, HOUR_MS, START_MS, Scenario

KINDS = ("minor", "outsized", "binge", "gambling", "ring", "refund_abuse")

_MANY = dict(zip(KINDS, (3.5, 3.0, 3.0, 1.5, 2.5, 2.5), strict=True))
_FEW = dict(zip(KINDS, (1.2, 1.2, 1.2, 0.5, 0.8, 0.8), strict=True))

_NOTHING_BEHIND_THE_ACCOUNT = {
    name: 1.0
    for name in (
        "device_id", "ip", "instrument_id", "instrument_holder", "real_name", "account_created_at",
        "viewers", "room_mode", "message", "guild_id", "room_category", "claimant_id", "tipper_age",
    )
}  # fmt: skip
_DOLLARS = {
    "TIP_DETECTOR__MONEY__BASE_CURRENCY": "USD",
    "TIP_DETECTOR__CURRENCIES__USD__RATE": "1",
    "TIP_DETECTOR__POLICY__PACK": "generic",
}


@dataclass(frozen=True, slots=True)
class Mix:
    """One made-up platform.

    Attributes:
        about: in a few words.
        settings: the scenario's, but for its seed.
        environment: settings of the detector that differ from the shipped ones.
    """

    about: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)

    def scenario(self, seed: int, size: float = 1.0) -> Scenario:
        """The mix with a seed, its number of events times `size`."""
        events = max(5_000, round(self.settings["events"] * size))
        return Scenario(**{**self.settings, "events": events, "seed": seed})


MIXES: Mapping[str, Mix] = {
    "everyday": Mix(
        "two weeks, every field, CNY",
        {"events": 36_000, "cases_per_10k": _MANY},
    ),
    "bare": Mix(
        "two weeks, tips and claims only, of all fields gifts and minor mode",
        {
            "events": 22_000,
            "cases_per_10k": _MANY,
            "platform": Platform(
                _NOTHING_BEHIND_THE_ACCOUNT, frozenset(("payout", "recharge", "room"))
            ),
        },
    ),
    "one night": Mix(
        "six hours, half of the accounts tell half of it, USD",
        {
            "events": 18_000,
            "days": 0.25,
            "start_ms": START_MS + 4 * DAY_MS + 18 * HOUR_MS,
            "cases_per_10k": _MANY,
            "platform": Platform(
                {"device_id": 0.5, "instrument_id": 0.5, "ip": 0.5, "viewers": 1.0}, currency="USD"
            ),
        },
        _DOLLARS,
    ),
    "quiet weeks": Mix(
        "eight weeks, few rooms, no messages, JPY",
        {
            "events": 20_000,
            "days": 56.0,
            "streamers": 15,
            "cases_per_10k": _MANY,
            "platform": Platform(
                {"message": 1.0, "instrument_holder": 1.0, "account_created_at": 0.3},
                currency="JPY",
            ),
        },
    ),
    "many traps": Mix(
        "ten days around the Spring Festival, few cases, five times the traps",
        {
            "events": 26_000,
            "days": 10.0,
            "start_ms": START_MS - 19 * DAY_MS,
            "cases_per_10k": _FEW,
            "traps_per_10k": 3.0,
        },
    ),
    "beginners": Mix(
        "a site of five days and few people",
        {
            "events": 7_000,
            "days": 5.0,
            "tippers": 350,
            "streamers": 12,
            "cases": dict.fromkeys(KINDS, 2),
            "platform": Platform({"instrument_id": 0.3, "device_id": 0.2}),
        },
    ),
}
