"""A site on which many tip small amounts, and what one of them does there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detector.core.decision import Decision
from tests.engines import RECEIVED_MS, engine

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOON_MS = 1_772_424_000_000  # Monday 2026-03-02 12:00 in Shanghai

PRICES = (
    *(1,) * 40, *(2,) * 15, *(5,) * 15, *(10,) * 12, *(20,) * 8, *(50,) * 5, *(100,) * 3, 200, 520,
)  # fmt: skip
"""What a hundred tips of the crowd are, CNY."""


class Site:
    """Events go in by method; flags by kind are kept.

    Args:
        tips: that the crowd of 900 gives in 40 days, up to 40 days before `NOON_MS`.
        prices: a gift of the crowd costs one of them, each as often.

    Attributes:
        found: kind → severities of all flags so far.
        codes: kind → reason codes of all its flags so far.
    """

    def __init__(self, tips: int = 1500, prices: tuple[int, ...] = PRICES) -> None:
        self.engine, self.reader = engine("cn")
        self._prices = prices
        self._count = 0
        self.found: dict[str, list[str]] = {}
        self.codes: dict[str, set[str]] = {}
        step_ms = 40 * DAY_MS // max(1, tips)
        for index in range(tips):
            self.crowd_tip(index, NOON_MS - 80 * DAY_MS + index * step_ms)

    def crowd_tip(self, index: int, at_ms: int) -> None:
        self.tip(f"crowd{index % 900}", self._prices[index * 7 % len(self._prices)], at_ms)

    def tip(self, tipper: str, amount: float, at_ms: int, **more: Any) -> Decision:
        decision = self._process(
            event_time=at_ms, tipper_id=tipper, amount=str(amount),
            **({"streamer_id": "s1"} | more),
        )  # fmt: skip
        for flag in decision.flags:
            self.found.setdefault(flag.kind, []).append(flag.severity)
            codes = {reason["code"] for reason in flag.record["reasons"]}
            self.codes.setdefault(flag.kind, set()).update(codes)
        return decision

    def recharge(self, tipper: str, amount: float, at_ms: int, **more: Any) -> None:
        self._process(
            type="recharge", event_time=at_ms, tipper_id=tipper, amount=str(amount), **more
        )

    def habit(self, tipper: str, amounts: tuple[int, ...], days: int, **more: Any) -> None:
        """The same small session at 20 o'clock on each of the days before `NOON_MS`."""
        for day in range(days):
            at_ms = NOON_MS - (days - day) * DAY_MS + 8 * HOUR_MS
            for index, amount in enumerate(amounts):
                self.tip(tipper, amount, at_ms + index * 4 * MINUTE_MS, **more)

    def run(
        self,
        tipper: str,
        amounts: list[int],
        gap_s: Callable[[int], float],
        at_ms: int = NOON_MS + 8 * HOUR_MS,
        recharge_every: int = 0,
        **more: Any,
    ) -> float:
        """A session: tips with gaps, after every so many a recharge; its highest binge score."""
        highest = 0.0
        for index, amount in enumerate(amounts):
            at_ms += round(1000 * gap_s(index))
            if recharge_every and index % recharge_every == 0:
                self.recharge(tipper, amount * recharge_every, at_ms - 5_000)
            decision = self.tip(tipper, amount, at_ms, **more)
            highest = max(highest, decision.scores.get("binge", 0.0))
        return highest

    def worst(self, kind: str) -> str | None:
        """The gravest severity found of a kind."""
        found = self.found.get(kind)
        return max(found, key=("low", "medium", "high").index) if found else None

    def _process(self, **record: Any) -> Decision:
        self._count += 1
        record |= {"event_id": f"e{self._count}", "currency": "CNY"}
        decision = self.engine.process(self.reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        return decision
