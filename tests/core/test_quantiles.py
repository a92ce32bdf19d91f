"""The sketch's quantiles are within half a bucket, 2.5 %, of the exact ones."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest

from detector.core.quantiles import BUCKETS_PER_E, LogQuantiles

Draw = Callable[[int], np.ndarray]

LEVELS = (0.5, 0.9, 0.99, 0.999)
HALF_BUCKET = 0.5 / BUCKETS_PER_E + 1e-9  # in log units: 2.5 %
LADDER = (10, 100, 600, 990, 5_200, 29_900, 66_600, 131_400, 520_000)  # gift prices, fen


def lognormal(size: int) -> np.ndarray:
    return np.maximum(1.0, np.random.default_rng(1).lognormal(6.0, 1.6, size).round())


def ladder(size: int) -> np.ndarray:
    popularity = np.array([0.35, 0.3, 0.15, 0.1, 0.06, 0.025, 0.01, 0.004, 0.001])
    return np.random.default_rng(2).choice(LADDER, size, p=popularity).astype(float)


def sketch_of(amounts: np.ndarray, horizon: int = 200_000) -> LogQuantiles:
    sketch = LogQuantiles(LEVELS, horizon)
    for amount in amounts:
        sketch.add(log(amount))
    return sketch


@pytest.mark.parametrize("size", [1, 2, 127, 1_000, 30_000])
@pytest.mark.parametrize("draw", [lognormal, ladder])
def test_quantiles_are_within_half_a_bucket_of_numpy(draw: Draw, size: int) -> None:
    amounts = draw(size)
    exact = np.quantile(amounts, LEVELS, method="inverted_cdf")
    assert sketch_of(amounts).refresh() == pytest.approx(np.log(exact), rel=0, abs=HALF_BUCKET)


def test_halving_old_counts_keeps_a_steady_stream_within_five_percent() -> None:
    amounts = lognormal(30_000)
    sketch = sketch_of(amounts, horizon=5_000)
    exact = np.quantile(amounts, (0.5, 0.9), method="inverted_cdf")
    assert sketch.seen == 30_000
    assert 5_000 <= sketch.n <= 10_000
    assert [exp(q) for q in sketch.refresh()[:2]] == pytest.approx(exact, rel=0.05)


def test_the_median_follows_a_drift_that_outlasts_the_horizon() -> None:
    sketch = sketch_of(np.array([10.0] * 5_000 + [1_000.0] * 5_000), horizon=1_000)
    assert exp(sketch.quantiles[0]) == pytest.approx(1_000.0, rel=0.026)


def test_quantiles_are_at_most_128_values_behind_and_never_while_few_were_seen() -> None:
    sketch = LogQuantiles((0.5,))
    for amount in (1.0, 100.0, 100.0):
        sketch.add(log(amount))
    assert exp(sketch.quantiles[0]) == pytest.approx(100.0, rel=0.026)
    for _ in range(256):
        sketch.add(log(7.0))
    assert exp(sketch.quantiles[0]) == pytest.approx(7.0, rel=0.026)


def test_amounts_beyond_either_end_are_counted_in_the_last_bucket() -> None:
    sketch = LogQuantiles((0.0, 1.0))
    sketch.add(-5.0)
    sketch.add(1_000.0)
    low, high = sketch.refresh()
    assert low == 0.5 / BUCKETS_PER_E
    assert high == 36 + 0.5 / BUCKETS_PER_E
