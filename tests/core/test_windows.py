"""Running means, decayed sums and the sums of local days and months are what a direct sum gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import exp
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.calendar import LocalCalendar
from detector.core.event import Event
from detector.core.features import Features, Moment, compute, learn_mean
from detector.core.memory import advance
from detector.core.population import Population
from detector.core.tipper import DAY_MS, HOUR_MS, NEW_TIPPER

SHANGHAI = "Asia/Shanghai"
WINDOWS_MS = {
    "sum_hour": HOUR_MS,
    "sum_day": DAY_MS,
    "sum_week": 7 * DAY_MS,
    "sum_60d": 60 * DAY_MS,
}

values = st.integers(1, 1_000_000_000)
gaps_ms = st.one_of(st.integers(0, 5_000), st.integers(0, 2 * HOUR_MS), st.integers(0, 3 * DAY_MS))
tips = st.lists(st.tuples(gaps_ms, values), min_size=1, max_size=40)


def features_of(history: list[tuple[int, int]]) -> list[Features]:
    """The features of each tip (epoch ms, fen) of one tipper, after the ones before it."""
    calendar, population, before = LocalCalendar(SHANGHAI), Population(), NEW_TIPPER
    all_features: list[Features] = []
    for at_ms, value in history:
        event = Event()
        event.event_time_ms, event.amount_minor, event.value_minor = at_ms, value, value
        day, minute = calendar.day_and_minute(at_ms)
        moment = Moment(day, minute, calendar.month_of(day), is_late=False)
        features = compute(event, moment, before, population)
        before = advance(features)
        all_features.append(features)
    return all_features


def in_turn(start_ms: int, steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(epoch ms, fen) from (pause, fen)."""
    history, at_ms = [], start_ms
    for gap_ms, value in steps:
        at_ms += gap_ms
        history.append((at_ms, value))
    return history


def local(at_ms: int) -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.astimezone(ZoneInfo(SHANGHAI))


@pytest.mark.parametrize("offset", [0.0, 1e7, 1.7e9])
def test_mean_and_variance_are_those_of_numpy_after_every_update(offset: float) -> None:
    small = np.random.default_rng(7).normal(0.0, 3.0, 400)
    step, weights = (0, 0.0, 0.0), np.zeros(0)
    for n, value in enumerate(small + offset, start=1):
        step = learn_mean(*step, float(value))
        newest = max(1 / n, 1 / 64)
        weights = np.append(weights * (1 - newest), newest)
        # the oracle never sees the offset, so it has no cancellation of its own
        seen = (small + offset)[:n] - offset
        mean = float(np.average(seen, weights=weights))
        variance = float(np.average((seen - mean) ** 2, weights=weights))
        assert step[0] == n
        assert step[1] - offset == pytest.approx(mean, rel=1e-9, abs=max(1e-12, offset * 1e-14))
        assert step[2] == pytest.approx(variance, rel=2e-6, abs=1e-9)


def test_the_first_64_values_give_the_plain_mean_and_population_variance() -> None:
    sample = np.random.default_rng(8).lognormal(4.0, 1.0, 64)
    step = (0, 0.0, 0.0)
    for value in sample:
        step = learn_mean(*step, float(value))
    assert step[1:] == pytest.approx((sample.mean(), sample.var()), rel=1e-12)


def test_a_lasting_change_becomes_the_mean_within_a_few_hundred_values() -> None:
    step = (0, 0.0, 0.0)
    for value in [1.0] * 10_000 + [5.0] * 300:
        step = learn_mean(*step, value)
    assert step[1] == pytest.approx(5.0, abs=0.05)


@settings(deadline=None)
@given(tips)
def test_decayed_sums_are_the_weighted_sum_of_the_whole_history(
    steps: list[tuple[int, int]],
) -> None:
    history = in_turn(1_772_380_800_000, steps)
    for n, features in enumerate(features_of(history), start=1):
        now_ms = history[n - 1][0]
        for name, window_ms in WINDOWS_MS.items():
            direct = sum(value * exp((at_ms - now_ms) / window_ms) for at_ms, value in history[:n])
            assert getattr(features, name) == pytest.approx(direct, rel=1e-9), name


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6 * HOUR_MS), values), min_size=1, max_size=20))
def test_tips_out_of_order_give_the_hour_and_the_day_the_sum_that_order_would(
    unordered: list[tuple[int, int]],
) -> None:
    history = [(1_772_380_800_000 + after_ms, value) for after_ms, value in unordered]
    newest_ms = max(at_ms for at_ms, _ in history)
    last = features_of(history)[-1]
    for name in ("sum_hour", "sum_day"):
        direct = sum(v * exp((at_ms - newest_ms) / WINDOWS_MS[name]) for at_ms, v in history)
        assert getattr(last, name) == pytest.approx(direct, rel=1e-9), name


@settings(deadline=None)
@given(st.sampled_from(["2026-02-27", "2026-03-30", "2026-12-30", "2028-02-28"]), tips)
def test_day_and_month_sums_are_exact_over_the_end_of_a_month_in_shanghai(
    start: str, steps: list[tuple[int, int]]
) -> None:
    midnight = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(SHANGHAI))
    history = in_turn(round(midnight.timestamp()) * 1000, steps)
    for n, features in enumerate(features_of(history), start=1):
        now = local(history[n - 1][0])
        seen = [(local(at_ms), value) for at_ms, value in history[:n]]
        assert features.day_sum == sum(v for at, v in seen if at.date() == now.date())
        assert features.month_sum == sum(
            v for at, v in seen if (at.year, at.month) == (now.year, now.month)
        )


def test_the_day_and_the_month_begin_at_shanghai_midnight_to_the_millisecond() -> None:
    midnight_ms = round(datetime.fromisoformat("2026-03-01T00:00:00+08:00").timestamp()) * 1000
    before, after = features_of([(midnight_ms - 1, 100), (midnight_ms, 7)])
    assert (before.day_sum, before.month_sum) == (100, 100)
    assert (after.day_sum, after.month_sum) == (7, 7)
    assert after.days == 1  # the day that ended was learned


def test_a_tip_of_an_earlier_day_says_nothing_of_a_sum_no_longer_held() -> None:
    noon_ms = round(datetime.fromisoformat("2026-03-01T12:00:00+08:00").timestamp()) * 1000
    _, earlier, again = features_of([(noon_ms, 100), (noon_ms - DAY_MS, 7), (noon_ms, 5)])
    assert (earlier.day_sum, earlier.month_sum) == (None, None)
    assert (again.day_sum, again.month_sum) == (105, 105)
