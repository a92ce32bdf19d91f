"""Lives of accounts for tests: records in any order, scored in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from detector.core.decision import Decision
from detector.core.engine import Engine
from tests.engines import RECEIVED_MS, engine

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000
SEVERITIES = ("", "low", "medium", "high")


def at(day: str, clock: str = "00:00", second: float = 0.0) -> int:
    """Epoch ms of a local day and time of day in Shanghai."""
    local = datetime.fromisoformat(f"{day}T{clock}:00").replace(tzinfo=SHANGHAI)
    return round((local.timestamp() + second) * 1000)


class World:
    """Records of many accounts on one site; `run` scores them and `worst` looks back.

    Args:
        first_day: when the crowd begins.
        days: how long it tips.
        tippers: its size; each tips about every other day, at hours of his own.
        common: fields of every tip of the crowd.
    """

    def __init__(
        self, first_day: str, days: int, tippers: int = 60, seed: int = 1, **common: Any
    ) -> None:
        self.random = Random(seed)
        self.records: list[dict[str, Any]] = []
        self.decisions: list[Decision] = []
        self.engine: Engine
        self._count = 0
        self.first_ms, self.days, self.common = at(first_day), days, common
        for tipper in range(tippers):
            self.crowd(f"crowd{tipper}")

    def crowd(self, tipper: str) -> None:
        """An adult like most: a few rooms, a usual gift, hours of his own, sometimes others."""
        random, hour = self.random, self.random.choice((12, 13, 19, 20, 21, 22, 23))
        usual, home = random.choice((5, 10, 20, 50)), random.sample(range(12), 3)
        holder = "other" if random.random() < 0.1 else "self"
        for day in range(self.days):
            if random.random() < 0.5:
                continue
            start_ms = self.first_ms + day * DAY_MS
            start_ms += round((hour + random.gauss(0, 2.5)) % 24 * 3_600_000)
            streamer = random.choice(home) if random.random() < 0.8 else random.randrange(40)
            if random.random() < 0.3:
                self.recharge(tipper, usual * 5, start_ms - 40_000, instrument_holder=holder)
            for index in range(random.choice((1, 1, 2, 4))):
                self.tip(
                    tipper, usual * random.choice((1, 1, 2, 4)), start_ms + index * 90_000,
                    **{
                        "streamer_id": f"s{streamer}", "device_id": f"{tipper}d",
                        "room_category": ("talk", "music", "game")[streamer % 3],
                        "instrument_holder": holder, **self.common,
                    },
                )  # fmt: skip

    def tip(self, tipper: str, amount: float, at_ms: int, **more: Any) -> None:
        self.add(
            {"tipper_id": tipper, "streamer_id": "s1", "amount": str(amount), "currency": "CNY"},
            at_ms, **more,
        )  # fmt: skip

    def recharge(self, tipper: str, amount: float, at_ms: int, **more: Any) -> None:
        self.add(
            {"type": "recharge", "tipper_id": tipper, "amount": str(amount), "currency": "CNY"},
            at_ms, **more,
        )  # fmt: skip

    def claim(self, tipper: str, at_ms: int, amount: float = 5000, **more: Any) -> None:
        self.add(
            {
                "type": "refund", "tipper_id": tipper, "amount": str(amount), "currency": "CNY",
                "claim": "minor",
            },
            at_ms, **more,
        )  # fmt: skip

    def add(self, record: dict[str, Any], at_ms: int, **more: Any) -> None:
        self._count += 1
        self.records.append({"event_id": f"e{self._count}", "event_time": at_ms, **record, **more})

    def topped_up_run(
        self, tipper: str, at_ms: int, recharges: int, amount: float, kept: float = 0.0, **more: Any
    ) -> None:
        """Recharges, each tipped away, but for a share, in some gifts within two minutes."""
        for index in range(recharges):
            start_ms = at_ms + index * 240_000
            shared = {
                key: more[key]
                for key in ("device_id", "instrument_id", "instrument_holder")
                if key in more
            }
            self.recharge(tipper, amount, start_ms, **shared)
            for gift in range(5):
                self.tip(tipper, (1 - kept) * amount / 5, start_ms + 15_000 + gift * 18_000, **more)

    def run(self) -> None:
        """Scores all records in a fresh engine."""
        self.engine, self._reader = engine("cn")
        self.decisions.clear()
        self.go_on(0)

    def go_on(self, start: int) -> None:
        """Scores the records from place `start` on."""
        for record in sorted(self.records[start:], key=lambda record: record["event_time"]):
            decision = self.engine.process(self._reader.read(record, RECEIVED_MS))
            assert isinstance(decision, Decision)
            self.decisions.append(decision)

    def of(self, tipper: str) -> Iterator[Decision]:
        return (each for each in self.decisions if each.event.tipper_id == tipper)

    def worst(self, tipper: str, kind: str = "minor") -> str:
        """The gravest severity of an account's flags of a kind; "" for none."""
        found = [
            flag.severity for each in self.of(tipper) for flag in each.flags if flag.kind == kind
        ]
        return max(found, key=SEVERITIES.index, default="")

    def highest(self, tipper: str, kind: str = "minor") -> float:
        """The highest score of an account."""
        return max((each.scores.get(kind, 0.0) for each in self.of(tipper)), default=0.0)

    def codes(self, tipper: str, kind: str = "minor") -> set[str]:
        """All reason codes of an account's flags of a kind."""
        return {
            reason["code"]
            for each in self.of(tipper)
            for flag in each.flags
            if flag.kind == kind
            for reason in flag.record["reasons"]
        }


def days_from(first_day: str, count: int) -> list[str]:
    """Local days, as `at` reads them."""
    first = date.fromisoformat(first_day)
    return [(first + timedelta(days=index)).isoformat() for index in range(count)]


def adult_life(
    world: World,
    tipper: str,
    first_day: str,
    days: int,
    clocks: tuple[str, ...] = ("12:15", "22:30", "23:05"),
    **more: Any,
) -> None:
    """Every other day two tips at usual hours, to two streamers of one kind, from one device."""
    fields = {"device_id": f"{tipper}-phone", "instrument_holder": "self", "room_category": "talk"}
    fields |= more
    for index, day in enumerate(days_from(first_day, days)[::2]):
        start_ms = at(day, clocks[index % len(clocks)])
        if index % 5 == 0:
            paid = {key: fields[key] for key in ("device_id", "instrument_holder")}
            world.recharge(tipper, 100, start_ms - 3_600_000, **paid)
        for tip in range(2):
            amount = (10, 20, 15)[(index + tip) % 3]
            streamer = {"streamer_id": f"s{1 + index % 2}"}
            world.tip(tipper, amount, start_ms + tip * 200_000, **{**streamer, **fields})
