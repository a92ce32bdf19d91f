"""What a made-up platform tells of what happens there: fields, types of event, currency.

Platforms differ more in what they tell than in what people do on them. Knows names and shares; does
not know what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from zlib import crc32

from detector.core.event import FIELDS, REQUIRED

CURRENCIES: Mapping[str, tuple[int, int]] = {"CNY": (1, 2), "USD": (7, 2), "JPY": (5, 0)}
"""By code: how many fen make its smallest unit, and its decimals. Round rates, made up."""

_NEEDED = {name for names in REQUIRED.values() for name in names} | {"type"}
OPTIONAL = frozenset(each.name for each in FIELDS) - _NEEDED
_QUIET_TYPES = frozenset(("recharge", "payout", "refund", "room"))


@dataclass(frozen=True, slots=True)
class Platform:
    """What is told.

    Attributes:
        missing: optional field → share of accounts, 0 to 1, for which it is never told; 1.0: the
            platform has no such field.
        silent: types of event that are not told at all; tips always are.
        currency: one of `CURRENCIES`; all amounts are in it.

    >>> event = {"type": "tip", "tipper_id": "t1", "device_id": "d1", "amount": "14.00",
    ...          "currency": "CNY"}
    >>> Platform({"device_id": 1.0}, currency="USD").tell(event)
    >>> event
    {'type': 'tip', 'tipper_id': 't1', 'amount': '2.00', 'currency': 'USD'}

    Raises:
        ValueError: with every problem found.
    """

    missing: Mapping[str, float] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    currency: str = "CNY"

    def __post_init__(self) -> None:
        problems = [
            f"{name}: is no optional field" for name in sorted(self.missing.keys() - OPTIONAL)
        ]
        problems += [
            f"{name} missing for {share}: must be 0 to 1"
            for name, share in self.missing.items()
            if not 0.0 <= share <= 1.0
        ]
        problems += [f"{name}: cannot be silent" for name in sorted(self.silent - _QUIET_TYPES)]
        if self.currency not in CURRENCIES:
            problems.append(f"currency {self.currency}: known are {', '.join(CURRENCIES)}")
        if problems:
            raise ValueError("platform: " + "; ".join(problems))

    def tell(self, event: dict[str, Any]) -> None:
        """Leaves out of an event in yuan what the platform does not tell, in its own currency."""
        account = event.get("tipper_id") or event["streamer_id"]
        for name, share in self.missing.items():
            if name in event and _lot(name, account) < share:
                del event[name]
        if self.currency != "CNY" and "amount" in event:
            fen, decimals = CURRENCIES[self.currency]
            smallest = max(1, round(int(event["amount"].replace(".", "")) / fen))
            event["amount"] = f"{smallest / 10**decimals:.{decimals}f}"
            event["currency"] = self.currency


@lru_cache(maxsize=100_000)
def _lot(name: str, account: str) -> float:
    """A number from 0 to 1, always the same for a field and an account."""
    return crc32(f"{name}/{account}".encode()) / 2**32
