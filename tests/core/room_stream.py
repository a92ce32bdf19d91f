"""Rooms made by hand for tests: ordinary evenings, and what is no ordinary evening."""

from __future__ import annotations

from random import Random
from typing import Any

from detector.core.decision import Decision
from tests.engines import RECEIVED_MS, engine

START_MS = 1_772_449_200_000  # 2026-03-02 19:00 in Shanghai
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

PRICES = {"rose": 1, "heart": 5, "bear": 10, "car": 66, "ring": 520, "rocket": 1000}


class RoomStream:
    """The events of one site, in whatever order they are told, sent in order of time by `run`."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.engine, self.reader = engine("cn", frozenset(("streamer",)))
        self._waiting: list[tuple[int, int, dict[str, Any]]] = []
        self._count = 0

    def _add(self, at_ms: float, **fields: Any) -> None:
        self._count += 1
        record = {
            "event_id": f"e{self._count}", "event_time": int(at_ms), "streamer_id": "s1", **fields
        }  # fmt: skip
        self._waiting.append((int(at_ms), self._count, record))

    def tip(self, tipper: str, amount: float, at_ms: float, **fields: Any) -> None:
        self._add(at_ms, tipper_id=tipper, amount=str(amount), currency="CNY", **fields)

    def payout(self, account: str, amount: float, at_ms: float, **fields: Any) -> None:
        self._add(
            at_ms, type="payout", account_id=account, amount=str(amount), currency="CNY", **fields
        )

    def room(self, what: str, at_ms: float) -> None:
        self._add(at_ms, type="room", event=what)

    def evening(
        self, tips: int, viewers: int, start_ms: int = START_MS, hours: float = 3, **fields: Any
    ) -> None:
        """Ordinary tips: cheap gifts mostly, from viewers with devices and cards of their own."""
        for _ in range(tips):
            who = min(viewers - 1, int(self.random.expovariate(1) * viewers / 4))
            gift = self.random.choices(list(PRICES), (60, 20, 12, 5, 1, 0.5))[0]
            self.tip(
                f"fan{who}", PRICES[gift], start_ms + self.random.random() * hours * HOUR_MS,
                gift_id=gift, device_id=f"fd{who}", instrument_id=f"fi{who}",
                ip=f"10.0.{who % 9}.1",
                account_created_at=START_MS - (40 + 17 * who % 900) * DAY_MS, **fields,
            )  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        """What was told since the last call, in order of time."""
        told, self._waiting = sorted(self._waiting, key=lambda each: each[:2]), []
        return [record for *_, record in told]

    def run(self) -> list[Decision]:
        """Sends what was told since the last call; the decisions, in order of time."""
        decisions = []
        for record in self.records():
            decision = self.engine.process(self.reader.read(record, RECEIVED_MS))
            assert isinstance(decision, Decision)
            decisions.append(decision)
        return decisions


def severities(decisions: list[Decision], kind: str) -> set[str]:
    """The severities of the flags of one kind."""
    return {flag.severity for each in decisions for flag in each.flags if flag.kind == kind}


def codes(decisions: list[Decision]) -> set[str]:
    """The codes of all reasons of all flags."""
    flags = (flag for decision in decisions for flag in decision.flags)
    return {reason["code"] for flag in flags for reason in flag.record["reasons"]}


def scores(decisions: list[Decision], kind: str) -> list[float]:
    """The scores of one kind, 0.0 where there is none."""
    return [decision.scores.get(kind, 0.0) for decision in decisions]
