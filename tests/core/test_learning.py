"""Verdicts move scores: late, in any order, once each, and never beyond their budget."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from math import exp
from typing import Any

import orjson
import pytest

from detector.core.decision import Decision
from detector.core.engine import Engine
from detector.core.event import Event
from detector.core.lesson import Lesson
from detector.core.verdict import Verdict
from detector.core.weights import Budget, Expert, Teacher, Weights
from tests.engines import RECEIVED_MS, engine, settings

DAY_MS = 86_400_000
START_MS = 1_740_000_000_000
LATE_MS = 7 * DAY_MS

Labelled = list[tuple[Event, bool]]


def read(records: list[tuple[dict[str, Any], bool]]) -> Labelled:
    reader = engine()[1]
    records.sort(key=lambda each: each[0]["event_time"])
    return [
        (reader.read({**record, "event_id": f"e{number}"}, RECEIVED_MS), is_bad)
        for number, (record, is_bad) in enumerate(records)
    ]


def tip(payer: int, receiver: int, amount: float, at_ms: int, **more: Any) -> dict[str, Any]:
    return {
        "event_time": at_ms, "tipper_id": f"p{payer}", "streamer_id": f"r{receiver}",
        "amount": f"{max(amount, 0.01):.2f}", "currency": "CNY", **more,
    }  # fmt: skip


@cache
def gifts_from_strange_devices() -> Labelled:
    """Small gifts of three sorts, quickly, from devices that go round: nothing is large."""
    chance, records = random.Random(1), []
    for payer in range(150):
        usual = chance.lognormvariate(3, 1)
        for _ in range(60):
            at_ms = START_MS + chance.randrange(50 * DAY_MS)
            records.append((tip(payer, chance.randrange(40), usual * chance.lognormvariate(0, 0.7),
                                at_ms, device_id=f"d{payer}", gift_id=f"g{chance.randrange(30)}"),
                            False))  # fmt: skip
    for burst in range(30):
        payer, at_ms = chance.randrange(150), START_MS + chance.randrange(50 * DAY_MS)
        for _ in range(4):
            at_ms += chance.randrange(20_000, 200_000)
            records.append((tip(payer, chance.randrange(40), chance.choice((4.99, 9.99)), at_ms,
                                device_id=f"x{burst % 8}", gift_id=f"g{chance.randrange(3)}"),
                            True))  # fmt: skip
    return read(records)


@cache
def cards_at_merchants() -> Labelled:
    """Many merchants of six categories; stolen cards pay what is dear there, mostly at night."""
    chance, records = random.Random(2), []
    usual = {"fuel": 60, "food": 40, "shop": 60, "web": 50, "home": 50, "fun": 70}
    dear = {"fuel": 15, "food": 300, "shop": 900, "web": 800, "home": 250, "fun": 500}
    categories = list(usual)
    for payer in range(150):
        for _ in range(60):
            category = chance.choice(categories)
            merchant = categories.index(category) + 6 * chance.randrange(40)
            hour = min(23, max(0, int(chance.gauss(14, 4))))
            at_ms = START_MS + chance.randrange(50) * DAY_MS + hour * 3_600_000
            amount = usual[category] * chance.lognormvariate(-0.4, 0.9)
            record = tip(payer, merchant, amount, at_ms + chance.randrange(3_600_000),
                         room_category=category)  # fmt: skip
            records.append((record, False))
        if payer % 3 == 0:
            day = chance.randrange(50)
            for _ in range(4):
                category = chance.choice(categories)
                merchant = categories.index(category) + 6 * chance.randrange(40)
                at_ms = START_MS + day * DAY_MS + chance.choice((0, 1, 2, 3, 22, 23)) * 3_600_000
                amount = dear[category] * chance.lognormvariate(0, 0.2)
                record = tip(payer, merchant, amount, at_ms + chance.randrange(3_600_000),
                             room_category=category)  # fmt: skip
                records.append((record, True))
    return read(records)


@cache
def receivers_gone_bad() -> Labelled:
    """Ordinary gifts; but whatever one of a few receivers gets for four weeks is stolen money."""
    chance, records = random.Random(3), []
    bad_from = {receiver: 3 + 5 * number for number, receiver in enumerate(range(0, 200, 20))}
    for payer in range(200):
        usual = chance.lognormvariate(3, 1)
        for _ in range(45):
            receiver, at_ms = chance.randrange(200), START_MS + chance.randrange(60 * DAY_MS)
            day = (at_ms - START_MS) // DAY_MS
            is_bad = 0 <= day - bad_from.get(receiver, day + 1) < 28
            amount = usual * chance.lognormvariate(0, 0.7)
            records.append((tip(payer, receiver, amount, at_ms), is_bad))
    return read(records)


def about(event: Event, judgement: str = "confirmed", **more: Any) -> Verdict:
    verdict = Verdict(
        None, event.event_id, judgement, "outsized", "r1", event.event_time_ms + LATE_MS, None
    )
    return verdict._replace(**more)


def fresh() -> Engine:
    return engine(zone="UTC")[0]


def outcomes(
    of: Engine, events: list[Event], verdicts: list[Verdict]
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event's `any`, and its record; verdicts are applied as their time comes."""
    waiting = sorted(verdicts, key=lambda each: (each.decided_ms, each.event_id))
    for event in events:
        while waiting and waiting[0].decided_ms <= of.watermark_ms:
            of.learn(waiting.pop(0))
        decision = of.process(event)
        assert isinstance(decision, Decision)
        yield decision.any_kind, decision.to_record()


def average_precision(stream: Labelled, verdicts: list[Verdict]) -> float:
    """Over the second half of the stream."""
    found = outcomes(fresh(), [event for event, _ in stream], verdicts)
    scored = [(score, is_bad) for (score, _), (_, is_bad) in zip(found, stream, strict=True)]
    scored = sorted(scored[len(scored) // 2 :], key=lambda each: -each[0])
    precisions, hits = [], 0
    for rank, (_, is_bad) in enumerate(scored, 1):
        if is_bad:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions)


def honest(stream: Labelled) -> list[Verdict]:
    """What one chargeback feed tells: every bad event a week late, and one good one in twenty."""
    return [
        about(event, "confirmed" if is_bad else "false_positive")
        for number, (event, is_bad) in enumerate(stream)
        if is_bad or number % 20 == 0
    ]


@cache
def learned(pattern: Callable[[], Labelled]) -> float:
    return average_precision(pattern(), honest(pattern()))


@pytest.mark.parametrize(
    ("pattern", "at_least"),
    [(gifts_from_strange_devices, 0.95), (cards_at_merchants, 0.9), (receivers_gone_bad, 0.4)],
)
def test_a_pattern_nobody_told_it_is_found_from_verdicts_a_week_late(
    pattern: Any, at_least: float
) -> None:
    before = average_precision(pattern(), [])
    assert before < 0.35
    assert learned(pattern) > at_least
    assert learned(pattern) > before + 0.3


def test_confirmed_events_alone_teach_as_well() -> None:
    stream = cards_at_merchants()
    after = average_precision(stream, [about(event) for event, is_bad in stream if is_bad])
    assert after > 0.9


@pytest.mark.parametrize("pattern", [gifts_from_strange_devices, cards_at_merchants])
def test_one_who_clears_all_that_is_bad_and_accuses_as_many_does_little_harm(pattern: Any) -> None:
    stream = pattern()
    accused = [event for event, is_bad in stream if not is_bad]
    lies = []
    for event in (event for event, is_bad in stream if is_bad):
        lies.append(about(event, "false_positive", reviewer="liar"))
        lies.append(about(accused[7 * len(lies)], reviewer="liar"))
    harmed = average_precision(stream, honest(stream) + lies)
    assert harmed > 0.8 * learned(pattern)


@pytest.mark.parametrize("pattern", [gifts_from_strange_devices, cards_at_merchants])
def test_a_flood_of_lies_in_one_day_does_little_harm(pattern: Any) -> None:
    stream, at_ms = pattern(), START_MS + 24 * DAY_MS
    flood = [
        about(event, "false_positive" if is_bad else "confirmed", reviewer="liar", decided_ms=at_ms)
        for event, is_bad in stream
        if event.event_time_ms < at_ms
    ]
    assert len(flood) > 4000
    assert average_precision(stream, honest(stream) + flood) > 0.7 * learned(pattern)


def test_a_verdict_dated_ahead_gets_no_day_of_its_own() -> None:
    running, day = taught(), 30_000
    before = list(running._learning._weights.values)
    for number, (event, _) in enumerate(cards_at_merchants()[:300]):
        running.learn(about(event, decided_ms=(day + number) * DAY_MS))
    weights = zip(running._learning._weights.values, before, strict=True)
    assert 0.5 < max(abs(now - was) for now, was in weights) <= 1.0 + 1e-9


def test_without_a_verdict_any_is_what_the_detectors_say_together() -> None:
    running = fresh()
    for event, _ in cards_at_merchants()[:2000]:
        decision = running.process(event)
        assert isinstance(decision, Decision)
        none = 1.0
        for kind, score in decision.scores.items():
            none *= 1 - {"minor": 0.95, "outsized": 0.6, "binge": 0.6}.get(kind, 0.0) * score
        assert decision.any_kind == 1.0 - none


def taught(events: int = 3000) -> Engine:
    running = fresh()
    for event, _ in cards_at_merchants()[:events]:
        running.process(event)
    return running


def test_a_verdict_given_again_changes_nothing() -> None:
    running, (event, _) = taught(), cards_at_merchants()[100]
    assert running.learn(about(event)) == "learned"
    before = list(running.save_all())
    assert running.learn(about(event)) == "duplicate"
    assert list(running.save_all()) == before
    assert running.learn(about(event, reviewer="r2")) == "counted"


def test_what_is_unknown_unclear_or_a_rule_s_does_not_teach() -> None:
    running, (event, _) = taught(), cards_at_merchants()[100]
    weights = running.learning_figures()["lessons"]
    assert running.learn(about(event, event_id="nobody's")) == "unknown"
    assert running.learn(about(event, "unclear")) == "unclear"
    assert running.learn(about(event, kind="cap")) == "counted"
    assert running.learning_figures()["lessons"] == weights == 0


def test_a_declared_minor_teaches_nothing_by_flag_or_by_event() -> None:
    running, reader = engine()
    record = {**tip(1, 1, 5, START_MS), "event_id": "child", "tipper_age": 12}
    decision = running.process(reader.read(record, RECEIVED_MS))
    assert isinstance(decision, Decision)
    (flag,) = decision.flags
    verdict = Verdict(flag.record["flag_id"], None, "confirmed", "minor", "r1", START_MS, None)
    assert running.learn(verdict) == "counted"
    by_event = verdict._replace(flag_id=None, event_id="child")
    assert running.learn(by_event) == "counted"
    figures = running.learning_figures()
    assert figures["lessons"] == 0
    assert figures["by_rule"] == {("declared_age", "confirmed"): 1}


def test_a_verdict_with_the_flag_s_features_teaches_an_engine_that_never_saw_the_event() -> None:
    seen = taught()
    stranger = seen._learning.events.get(cards_at_merchants()[100][0].event_id)
    assert stranger is not None
    features = Lesson.unpack(stranger).to_features()
    elsewhere, (event, _) = fresh(), cards_at_merchants()[100]
    assert elsewhere.learn(about(event)) == "unknown"
    assert elsewhere.learn(about(event, features=features)) == "learned"
    assert elsewhere.learning_figures()["confirmed"] == 1


def test_what_touches_a_confirmed_device_is_more_likely_and_less_so_as_time_goes() -> None:
    running, reader = engine(zone="UTC")
    for event, _ in gifts_from_strange_devices()[:3000]:
        running.process(event)

    def any_of(number: int, days: int, device: str) -> float:
        at_ms = running.watermark_ms + days * DAY_MS
        record = {**tip(900 + number, 3, 5, at_ms, device_id=device), "event_id": f"n{number}"}
        decision = running.process(reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        return decision.any_kind

    any_of(0, 0, "thief's")
    verdict = Verdict(None, "n0", "confirmed", "ring", "r1", running.watermark_ms, None)
    assert running.learn(verdict) == "learned"
    soon, other = any_of(1, 0, "thief's"), any_of(2, 0, "somebody's")
    assert soon > 1.5 * other
    any_of(3, 60, "anybody's")  # what all of them share has faded too
    later, other_later = any_of(4, 0, "thief's"), any_of(5, 0, "nobody's")
    assert later / other_later < 0.8 * soon / other


def test_one_reviewer_s_nonsense_of_a_day_moves_each_weight_so_far_and_no_further() -> None:
    running, day = taught(), 30_000
    before = list(running._learning._weights.values)
    for event, _ in cards_at_merchants()[:3000]:
        running.learn(about(event, decided_ms=day * DAY_MS))
    moved = [
        abs(now - was)
        for now, was in zip(running._learning._weights.values, before, strict=True)
    ]  # fmt: skip
    assert 0.5 < max(moved) <= 1.0 + 1e-9
    assert running.learning_figures()["lessons"] == 1000


def test_a_feed_of_a_busy_site_may_teach_more_in_a_day_than_the_settings_say() -> None:
    weights, teacher = Weights([[Expert(0.0, 1.0)]], Budget(1.0, 2.0, lessons=10)), Teacher("r", 1)
    assert sum(weights.admits(teacher, True) for _ in range(50)) == 10
    assert sum(weights.admits(teacher, False, at_least=30) for _ in range(50)) == 30


def test_what_is_known_of_each_weight_is_saved() -> None:
    model = [Expert(0.0, 4.0), Expert(1.0, 0.25)]
    saved, loaded = (Weights([model], Budget(1.0, 2.0, lessons=10)) for _ in range(2))
    saved.step(0, [1.0, -2.0], is_true=True, teacher=Teacher("r", 1))
    loaded.load(saved.save())
    assert loaded.save() == saved.save()
    other = {**orjson.loads(saved.save()), "covariances": [[[1.0]]]}
    with pytest.raises(ValueError, match=r"^covariances: found 1 rows, expected 2$"):
        loaded.load(orjson.dumps(other))


def test_a_step_ends_where_prior_and_verdict_balance() -> None:
    weights = Weights([[Expert(-8.0, 9.0), Expert(0.5, 1.0)]], Budget(99.0, 99.0, lessons=10))
    weights.step(0, [1.0, 2.0], is_true=True, teacher=Teacher("r", 1))
    first, second = weights.values
    surprise = 1 - 1 / (1 + exp(-(first + 2 * second)))
    assert first + 8.0 == pytest.approx(9.0 * surprise)
    assert second - 0.5 == pytest.approx(2.0 * surprise)


def test_all_reviewers_of_a_day_together_have_a_budget_too() -> None:
    weights = Weights([[Expert(-5.0, 4.0)]], Budget(1.0, 2.0, lessons=10))
    for reviewer in range(500):
        weights.step(0, [1.0], is_true=True, teacher=Teacher(f"r{reviewer}", 1))
    assert weights.values == [-3.0]
    weights.step(0, [1.0], is_true=True, teacher=Teacher("r0", 2))
    assert -3.0 < weights.values[0] <= -2.0


@pytest.mark.parametrize("cut", [700, 2500, 4000])
def test_cut_and_loaded_among_verdicts_is_one_run(cut: int) -> None:
    stream = cards_at_merchants()[:5000]
    events, verdicts = [event for event, _ in stream], [about(e) for e, bad in stream if bad]
    whole = fresh()
    expected = [record for _, record in outcomes(whole, events, verdicts)]
    first, second = fresh(), fresh()
    found = [record for _, record in outcomes(first, events[:cut], verdicts)]
    for chunk in first.save_all():
        second.load(chunk)
    found += [record for _, record in outcomes(second, events[cut:], verdicts)]
    assert found == expected
    assert whole.learning_figures()["lessons"] > 3
    assert list(second.save_all()) == list(whole.save_all())


def test_a_correction_is_the_score_itself_until_verdicts_move_it_down_or_up() -> None:
    def correction(judgement: str) -> tuple[list[float], list[float]]:
        running, reader = engine()
        for event, _ in cards_at_merchants()[:3000]:
            running.process(event)
        scores, odds = [], []
        for number in range(12):
            at_ms = running.watermark_ms + 1000
            record = {**tip(700 + number, 3, 3000, at_ms), "event_id": f"n{number}"}
            event = reader.read(record, RECEIVED_MS)
            decision = running.process(event)
            assert isinstance(decision, Decision)
            scores.append(decision.scores["outsized"])
            odds.append(Lesson.unpack(running._learning.events.get(f"n{number}") or b"").inputs[1])
            day = (20_000 + number) * DAY_MS
            running.learn(about(event, judgement, decided_ms=day))
        return scores, odds

    (up, odds_up), (down, odds_down) = correction("confirmed"), correction("false_positive")
    assert up[0] == down[0]
    assert odds_up == odds_down  # what the model of `any` looks at does not move with it
    assert down[-1] < down[0] < up[-1]


def test_the_settings_are_what_the_engine_gets() -> None:
    learning = settings().make_engine_config().learning
    assert learning.report_horizon_ms == 7 * DAY_MS
    assert replace(learning, budget=Budget(1.0, 2.0, 1000)) == learning
