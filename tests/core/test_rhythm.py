"""Rhythm against series whose anomalies are known; Tail against numpy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import inf, log, nan

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.rhythm import WARM_UP, Rhythm
from detector.core.tail import MOST_NATS, Tail

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
START_MS = 1_700_000_000_000

Draw = Callable[[np.random.Generator, int], np.ndarray]

ORDINARY: dict[str, Draw] = {
    "steady": lambda random, size: random.normal(50, 3, size),
    "around zero": lambda random, size: random.normal(0, 1, size),
    "heavy-tailed": lambda random, size: random.lognormal(1, 0.9, size),
    "counts": lambda random, size: random.poisson(2, size).astype(float),
    "mostly zeros": lambda random, size: random.poisson(0.1, size).astype(float),
}


def ordinary(name: str, size: int, seed: int = 1) -> list[float]:
    return ORDINARY[name](np.random.default_rng(seed), size).tolist()


def scores(values: Iterable[float], rhythm: Rhythm | None = None, step_ms: int = 300_000) -> list:
    rhythm = rhythm or Rhythm()
    first = START_MS + rhythm.n * step_ms
    return [rhythm.observe(first + place * step_ms, each) for place, each in enumerate(values)]


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_series_seldom_scores_a_half(name: str) -> None:
    found = np.array([scores(ordinary(name, 5_000, seed)) for seed in range(4)])
    assert np.mean(found >= 0.5) < 0.003
    assert np.mean(found >= 0.8) < 0.0005


def test_nothing_is_scored_while_the_rhythm_is_not_known() -> None:
    wild = [10.0, -1e9, 1e9, 0.0] * (WARM_UP // 4)
    assert scores(wild) == [0.0] * WARM_UP


@pytest.mark.parametrize("jump", [-40.0, 40.0])
def test_an_outlier_scores_high_and_does_not_hide_the_next_one(jump: float) -> None:
    values = ordinary("steady", 400)
    values[300] += jump
    values[330] += jump
    found = scores(values)
    assert found[300] > 0.8
    assert found[330] > 0.8
    assert max(found[303:330]) < 0.5


def test_an_outlier_beyond_all_measure_does_not_change_what_is_usual() -> None:
    values = ordinary("steady", 1_000)
    spoilt = values.copy()
    spoilt[300] = 1e12
    usual, after = scores(values)[400:], scores(spoilt)[400:]
    assert max(abs(a - b) for a, b in zip(usual, after, strict=True)) < 0.3


@pytest.mark.parametrize("height", [5.0, 20.0, -20.0, 1_000.0])
def test_a_level_that_stays_becomes_the_usual_one_within_a_few_dozen_points(height: float) -> None:
    values = ordinary("steady", 600)
    shifted = [*values[:300], *(value + 3 * height for value in values[300:])]
    rhythm = Rhythm()
    found = scores(shifted, rhythm)
    assert max(found[300:310]) > 0.4
    assert max(found[336:]) < 0.4
    assert abs(rhythm.expected - 50 - 3 * height) < 6


def test_many_small_surprises_add_up() -> None:
    found = np.array(
        [
            max(scores([*(values := ordinary("steady", 400, seed))[:300], *(
                value + 6.0 for value in values[300:340])])[300:])
            for seed in range(20)
        ]
    )  # fmt: skip
    alone = np.array(
        [
            max(scores([*(values := ordinary("steady", 400, seed))[:300], values[300] + 6.0])[300:])
            for seed in range(20)
        ]
    )
    assert np.median(found) > 3 * np.median(alone)


@pytest.mark.parametrize("level", [100.0, -100.0, 1e9])
def test_a_tiny_change_of_a_constant_series_is_no_anomaly_and_a_large_one_is(level: float) -> None:
    rhythm = Rhythm()
    assert max(scores([level] * 300, rhythm)) == 0.0
    assert scores([level * 1.0005], rhythm.copy())[0] < 0.3
    assert scores([level * 1.1], rhythm)[0] > 0.9


def test_a_series_of_zeros_is_silent_until_something_happens() -> None:
    rhythm = Rhythm()
    assert max(scores([0.0] * 300, rhythm)) == 0.0
    assert scores([5.0], rhythm)[0] > 0.9


def test_a_series_that_falls_silent_is_found() -> None:
    values = ordinary("steady", 400)
    found = scores([*values[:300], *[values[300]] * 60])
    assert max(found[300:]) > 0.35
    assert max(found[300:]) > 2 * max(found[100:300])


@pytest.mark.parametrize("name", ["steady", "heavy-tailed", "counts"])
@pytest.mark.parametrize("factor", [-1.0, 1_000.0, 0.01])
def test_scores_do_not_depend_on_the_unit(name: str, factor: float) -> None:
    values = ordinary(name, 800)
    values[600] *= 6
    in_another = scores([factor * value for value in values])
    assert in_another == pytest.approx(scores(values), abs=1e-3)


def day_and_night(days: int, seed: int = 1) -> list[float]:
    """A value each five minutes: 100 from 18 h to 24 h (UTC), else 10; noise of 2."""
    random = np.random.default_rng(seed)
    hours = (START_MS + np.arange(288 * days) * 300_000) // HOUR_MS % 24
    return (np.where(hours >= 18, 100.0, 10.0) + random.normal(0, 2, len(hours))).tolist()


def test_a_season_that_was_learned_is_expected_and_its_value_at_another_time_is_not() -> None:
    values = day_and_night(10)
    hours = [(START_MS + place * 300_000) // HOUR_MS % 24 for place in range(len(values))]
    turns = [place for place in range(288 * 6, len(values)) if hours[place] != hours[place - 1]]
    found = scores(values)
    assert max(found[place] for place in turns) < 0.5
    morning = max(place for place in range(len(values)) if hours[place] == 9)
    assert scores([*values[:morning], 100.0])[-1] > 0.9


def test_a_season_is_not_believed_where_there_is_none() -> None:
    rhythm = Rhythm()
    expected = []
    for place, value in enumerate(ordinary("steady", 4_000)):
        rhythm.observe(START_MS + place * 300_000, value)
        expected.append(rhythm.expected)
    assert np.std(expected[1_000:]) < 1.0  # a slow level's is 0.4; a slot of few points has 1.5


def test_a_point_after_a_gap_is_judged_more_leniently() -> None:
    rhythm = Rhythm()
    scores(ordinary("steady", 300), rhythm, MINUTE_MS)
    other = rhythm.copy()
    last = START_MS + 299 * MINUTE_MS
    soon = rhythm.observe(last + MINUTE_MS, 70.0)
    later = other.observe(last + 60 * MINUTE_MS, 70.0)
    assert soon > 0.5 > later


@pytest.mark.parametrize("steps_ms", [[1], [86_400_000], [1, 3_600_000, 7], [0], [60_000, -30_000]])
def test_any_interval_gap_or_disorder_is_taken(steps_ms: list[int]) -> None:
    rhythm, time_ms = Rhythm(), START_MS
    found = []
    for place, value in enumerate(ordinary("steady", 500)):
        time_ms += steps_ms[place % len(steps_ms)]
        found.append(rhythm.observe(time_ms, value))
    assert np.mean(np.array(found) >= 0.5) <= 0.01
    assert rhythm.observe(time_ms + steps_ms[0], 500.0) > 0.5


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_value_that_is_not_finite_scores_0_and_is_not_learned(value: float) -> None:
    rhythm = Rhythm()
    scores(ordinary("steady", 100), rhythm)
    before = rhythm.save()
    assert rhythm.observe(START_MS + 10**9, value) == 0.0
    assert rhythm.save() == before


@given(
    st.lists(
        st.tuples(st.integers(-(10**6), 10**9), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=60,
        max_size=120,
    ),
    st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_cut_anywhere_saved_and_loaded_it_goes_on_as_if_nothing_had_been(
    points: list[tuple[int, float]], cut: int
) -> None:
    whole, time_ms = Rhythm(), 0
    halves = Rhythm()
    for place, (step_ms, value) in enumerate(points):
        time_ms += step_ms
        if place == cut:
            halves = Rhythm.load(orjson.loads(orjson.dumps(halves.save())))
        score = whole.observe(time_ms, value)
        assert 0.0 <= score <= 1.0
        assert halves.observe(time_ms, value) == score
    assert halves.save() == whole.save()


def test_a_copy_and_its_origin_go_on_apart() -> None:
    rhythm = Rhythm()
    scores(ordinary("steady", 600), rhythm)
    before = orjson.dumps(rhythm.save())
    other = rhythm.copy()
    scores([1e6] * 100, other)
    assert orjson.dumps(rhythm.save()) == before
    assert orjson.dumps(other.save()) != before


def test_state_of_other_slots_is_refused_with_both_numbers() -> None:
    saved = Rhythm().save()
    saved["courses"][2][3].pop()
    with pytest.raises(ValueError, match="slots: found 47, expected 48"):
        Rhythm.load(saved)


def test_its_state_does_not_grow_with_the_series() -> None:
    rhythm = Rhythm()
    scores(ordinary("steady", 6_000), rhythm)
    parts = [rhythm, *rhythm._courses, *rhythm._tails]
    held = sum(sys.getsizeof(part) for part in parts)
    for part in parts:
        for name in type(part).__slots__:
            value = getattr(part, name)
            if not isinstance(value, tuple):
                held += sys.getsizeof(value)
    assert held < 5_000


@pytest.mark.parametrize(
    ("draw", "chance"),
    [
        (lambda random, size: random.exponential(3.0, size), lambda nats: 3.0 * nats),
        (lambda random, size: random.weibull(0.7, size), lambda nats: nats ** (1 / 0.7)),
        (lambda random, size: np.abs(random.normal(0, 1, size)), None),
    ],
    ids=["exponential", "weibull", "half-normal"],
)
def test_a_tail_knows_how_rare_a_figure_is(draw: Draw, chance: Callable | None) -> None:
    tail = Tail(usual=1.0, ratio=5.0, step=0.03)
    figures = draw(np.random.default_rng(3), 60_000)
    for figure in figures:
        tail.learn(figure)
    for level in (0.9, 0.999):
        nats = -log(1 - level)
        figure = chance(nats) if chance else np.quantile(figures, level)
        assert tail.nats(figure) == pytest.approx(nats, rel=0.3)


def test_a_tail_is_never_surer_than_its_most() -> None:
    assert Tail(usual=1.0, ratio=2.0, step=0.01).nats(1e300) == MOST_NATS
