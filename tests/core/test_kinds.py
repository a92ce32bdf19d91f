"""Ordinary life stays silent, and the cases of DOMAIN's first kinds are found: small sequences."""

from __future__ import annotations

from typing import Any

from detector.core.decision import Decision
from tests.engines import RECEIVED_MS, engine

DAY_MS = 86_400_000
START_MS = 1_772_424_000_000  # 2026-03-02 12:00 in Shanghai


class Stream:
    """A site where many tip small amounts; `tip` adds one tip and returns its decision."""

    def __init__(self) -> None:
        self.engine, self.reader = engine("cn")
        self.count = 0
        for index in range(1500):
            amount = (1, 1, 2, 5, 5, 10, 20, 66, 100)[index % 9]
            self.tip(f"crowd{index % 300}", amount, START_MS - 40 * DAY_MS + index * 1_000_000)

    def tip(self, tipper: str, amount: object, at_ms: int, **more: Any) -> Decision:
        self.count += 1
        record = {
            "event_id": f"e{self.count}", "event_time": at_ms, "tipper_id": tipper,
            "streamer_id": "s1", "amount": str(amount), "currency": "CNY", **more,
        }  # fmt: skip
        decision = self.engine.process(self.reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        return decision

    def habit(self, tipper: str, amounts: list[object], days: int, **more: Any) -> None:
        """One tip a day, the last on the day before START_MS."""
        for day in range(days):
            at_ms = START_MS - (days - day) * DAY_MS
            self.tip(tipper, amounts[day % len(amounts)], at_ms, **more)


def severities(decision: Decision, kind: str) -> list[str]:
    return [flag.severity for flag in decision.flags if flag.kind == kind]


def test_a_declared_minor_is_high_at_once_and_each_tip_is_told() -> None:
    stream = Stream()
    first = stream.tip("child", 1, START_MS, tipper_age=12)
    second = stream.tip("child", 1, START_MS + 1000, tipper_age=12)
    assert severities(first, "minor") == ["high"]
    assert severities(second, "minor") == ["high"]
    assert first.flags[0].record["case_id"] == second.flags[0].record["case_id"]
    assert (first.flags[0].step, second.flags[0].step) == ("opened", "updated")
    assert severities(stream.tip("adult", 1, START_MS, tipper_age=18), "minor") == []


def test_a_sudden_gift_far_above_own_habit_and_site_is_medium_and_from_a_new_card_high() -> None:
    plain, new_card = Stream(), Stream()
    for stream in (plain, new_card):
        stream.habit("t", [5, 10, 20], 20, instrument_id="card1")
    assert severities(plain.tip("t", 8000, START_MS, instrument_id="card1"), "outsized") == [
        "medium"
    ]
    assert severities(new_card.tip("t", 8000, START_MS, instrument_id="card2"), "outsized") == [
        "high"
    ]


def test_a_small_change_of_a_constant_gift_is_nothing() -> None:
    stream = Stream()
    stream.habit("t", [10], 30)
    decision = stream.tip("t", 12, START_MS)
    assert decision.flags == []
    assert decision.scores["outsized"] < 0.1


def test_a_whales_usual_gift_is_nothing() -> None:
    stream = Stream()
    stream.habit("whale", [3000, 5000, 4000], 40)
    assert severities(stream.tip("whale", 5000, START_MS), "outsized") == []


def test_a_birthday_520_of_a_steady_supporter_is_low_at_most() -> None:
    stream = Stream()
    stream.habit("t", [1, 2, 5], 30)
    decision = stream.tip("t", 520, START_MS)
    assert severities(decision, "outsized") in ([], ["low"])
    for flag in decision.flags:
        codes = [reason["code"] for reason in flag.record["reasons"]]
        assert codes[-1] == "benign_love_number"


def test_a_session_that_runs_away_is_a_binge_of_two_families() -> None:
    stream = Stream()
    for day in range(12):
        for index in range(2):
            at_ms = START_MS - (12 - day) * DAY_MS + index * 300_000
            stream.tip("t", (5, 8)[index], at_ms)
    found: list[str] = []
    families: set[str] = set()
    at_ms = START_MS
    for index in range(30):
        at_ms += max(20_000, 120_000 - index * 5_000)
        decision = stream.tip("t", 20 + index * 10, at_ms)
        found += severities(decision, "binge")
        families |= {
            reason["family"]
            for flag in decision.flags
            if flag.kind == "binge"
            for reason in flag.record["reasons"]
        }
    assert found
    assert max(found, key=["low", "medium", "high"].index) in ("medium", "high")
    assert families >= {"amount", "tempo"}


def test_a_combo_is_one_decision_and_no_binge() -> None:
    stream = Stream()
    stream.habit("t", [5, 10], 20)
    for index in range(66):
        decision = stream.tip("t", 1, START_MS + index * 500)
        assert severities(decision, "binge") == []


def test_a_limit_is_flagged_again_on_the_next_day() -> None:
    stream = Stream()
    stream.habit("t", [40_000], 20)
    first = stream.tip("t", 51_000, START_MS)
    second = stream.tip("t", 51_000, START_MS + DAY_MS - 1000)
    assert severities(first, "cap") == ["medium"]
    assert severities(second, "cap") == ["medium"]


def test_a_late_tip_of_a_declared_minor_is_still_flagged() -> None:
    stream = Stream()
    stream.tip("other", 1, START_MS)
    decision = stream.tip("child", 1, START_MS - 3 * DAY_MS, tipper_age=10)
    assert decision.is_late
    assert severities(decision, "minor") == ["high"]


def test_the_same_events_give_the_same_flags_bit_for_bit() -> None:
    def run() -> list[object]:
        stream = Stream()
        stream.habit("t", [5, 10, 20], 20)
        return [stream.tip("t", 8000, START_MS).to_record(), stream.tip("u", 9, START_MS).scores]

    assert run() == run()
