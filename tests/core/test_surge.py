"""A streamer's takings per minute."""

from __future__ import annotations

import numpy as np
import pytest

from detector.core.detectors.surge import MINUTE_MS, SURGING, Surge
from tests import engines

START_MS = 1_700_000_040_000  # the start of a minute


def live(surge: Surge, minutes: int, seed: int = 1) -> int:
    """Ordinary minutes of three tips or so, from the start on; the time after them."""
    random = np.random.default_rng(seed)
    for minute in range(minutes):
        for _ in range(1 + random.poisson(2)):
            tip_ms = START_MS + minute * MINUTE_MS + int(random.integers(MINUTE_MS))
            surge.observe(tip_ms, 1 + int(random.lognormal(6, 1)))
    return START_MS + minutes * MINUTE_MS


def test_a_minute_far_above_the_rhythm_is_a_surge() -> None:
    surge = Surge()
    now_ms = live(surge, 240)
    for second in range(50):
        assert (surge.observe(now_ms + 1_000 * second, 20_000) or 0.0) < SURGING
    score = surge.observe(now_ms + MINUTE_MS, 500)
    assert score is not None and score > SURGING


def test_ordinary_minutes_seldom_surge() -> None:
    random = np.random.default_rng(5)
    found = []
    for _ in range(10):
        surge = Surge()
        for minute in range(600):
            for _ in range(random.poisson(2)):
                value = 1 + int(random.lognormal(6, 1.3))
                score = surge.observe(START_MS + minute * MINUTE_MS, value)
                if score is not None:
                    found.append(score)
    assert len(found) > 4_000
    assert np.mean(np.array(found) >= SURGING) < 0.003


def test_takings_below_the_rhythm_are_no_surge() -> None:
    surge = Surge()
    now_ms = live(surge, 200)
    scores = [surge.observe(now_ms + second * 10_000, 1) for second in range(60)]
    ended = [score for score in scores if score is not None]
    assert ended[1:] == [0.0] * 9


def test_a_room_where_tips_come_one_by_one_has_no_rhythm() -> None:
    surge = Surge()
    scores = [surge.observe(START_MS + minute * MINUTE_MS, 100) for minute in range(200)]
    assert scores == [None] * 200
    assert len(surge.save()) < 100


def test_a_minute_is_scored_once_by_the_tip_that_ends_it() -> None:
    surge = Surge()
    assert surge.observe(START_MS, 100) is None
    assert surge.observe(START_MS + MINUTE_MS - 1, 100) is None
    for _ in range(50):
        surge.observe(START_MS + MINUTE_MS - 1, 100)
    assert surge.observe(START_MS + MINUTE_MS, 100) == 0.0
    assert surge.observe(START_MS + MINUTE_MS, 100) is None


def test_a_tip_of_a_minute_that_has_ended_is_not_counted() -> None:
    surge = Surge()
    live(surge, 100)
    before = surge.save()
    assert surge.observe(START_MS, 10**9) is None
    assert surge.save() == before


@pytest.mark.parametrize("cut", [0, 1, 57, 330])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_been(cut: int) -> None:
    random = np.random.default_rng(7)
    tips = [(int(ms), int(value)) for ms, value in zip(
        START_MS + np.cumsum(random.exponential(20_000, 500)),
        random.lognormal(7, 1, 500), strict=True)]  # fmt: skip
    whole, halves = Surge(), Surge()
    for place, tip in enumerate(tips):
        if place == cut:
            halves = Surge.load(halves.save())
        assert halves.observe(*tip) == whole.observe(*tip)
    assert halves.save() == whole.save()


def test_what_was_copied_stays_as_it_was() -> None:
    surge = Surge()
    now_ms = live(surge, 100)
    kept = surge.copy(1)
    another = kept.copy(2)
    before = kept.save()
    for minute in range(20):
        surge.observe(now_ms + minute * MINUTE_MS, 1_000_000)
        another.observe(now_ms + minute * MINUTE_MS, 7)
    assert kept.save() == before
    assert surge.save() != another.save()


def test_an_engine_counts_the_minutes_of_its_streamers_that_surge() -> None:
    running, reader = engines.engine()
    tips = [(START_MS + tip * MINUTE_MS // 4, 500 + tip % 7) for tip in range(480)]
    last_ms = START_MS + 120 * MINUTE_MS
    for number, (at_ms, amount) in enumerate([*tips, (last_ms, 900_000), (last_ms + MINUTE_MS, 5)]):
        record = {
            "event_id": f"e{number}", "event_time": at_ms, "tipper_id": f"t{number % 5}",
            "streamer_id": "s", "amount": amount, "currency": "CNY",
        }  # fmt: skip
        assert running.surging_minutes == 0
        running.process(reader.read(record, engines.RECEIVED_MS))
    assert running.surging_minutes == 1
