"""Rhythm beside other online detectors, on made-up series: `python -m tests.bench.series [SEEDS]`.

Ordinary lives (noise, daily and weekly seasons, counts, bursts, drifting sensors) and the classes
of anomaly the Numenta Anomaly Benchmark describes (spikes, level shifts, changed patterns,
flat-lining, events at the wrong time). Seeds 0 to 9 were looked at when `Rhythm` was written; the
default is others. Made-up series show that parts work and compare detectors on the same ground;
they say nothing of the figures on a benchmark of real ones.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from math import nan, sqrt
from statistics import median

import numpy as np
from river import anomaly, linear_model, optim, preprocessing, time_series

from detector.core.rhythm import Rhythm
from tests.bench.nab import Point, Scorer, Series, Window, average_precision, judged, nab_score

POINTS = 4032
INTERVAL_MS = 300_000
DAY = 288
START_MS = 1_400_000_000_000
SEEDS = range(100, 110)
WINDOW = 120  # points an anomaly may be found in
ONE_FALSE_IN = 1000

Values = np.ndarray
Random = np.random.Generator


def steady(random: Random) -> Values:
    return 50 + 3 * random.standard_normal(POINTS)


def daily(random: Random) -> Values:
    hours = np.arange(POINTS) / DAY * 2 * np.pi
    return (
        100 + 40 * np.sin(hours) + 15 * np.sin(2 * hours + 1) + 5 * random.standard_normal(POINTS)
    )


def weekly(random: Random) -> Values:
    weekend = (np.arange(POINTS) // DAY) % 7 >= 5
    return daily(random) * np.where(weekend, 0.6, 1.0)


def counts(random: Random) -> Values:
    rate = 2.0 + 1.5 * np.sin(np.arange(POINTS) / DAY * 2 * np.pi)
    return random.poisson(rate * random.gamma(3, 1 / 3, POINTS)).astype(float)


def bursts(random: Random) -> Values:
    return random.lognormal(1.0, 0.9, POINTS)


def sensor(random: Random) -> Values:
    drift = np.zeros(POINTS)
    for place in range(1, POINTS):
        drift[place] = 0.99 * drift[place - 1] + random.standard_normal()
    return 80 + drift


LIVES: tuple[Callable[[Random], Values], ...] = (steady, daily, weekly, counts, bursts, sensor)


def spike(values: Values, at: int, random: Random) -> None:
    values[at : at + random.integers(1, 4)] += random.choice((-1, 1, 1)) * 6 * spread(values)


def shift(values: Values, at: int, random: Random) -> None:
    values[at:] += random.choice((-1, 1)) * 3 * spread(values)


def pattern(values: Values, at: int, random: Random) -> None:
    part = values[at : at + WINDOW]
    part += 2.5 * spread(values) * random.standard_normal(len(part))


def flat(values: Values, at: int, random: Random) -> None:
    values[at : at + WINDOW] = values[at]


def temporal(values: Values, at: int, random: Random) -> None:
    values[at : at + WINDOW] = values[at - DAY // 2 : at - DAY // 2 + WINDOW].copy()


ANOMALIES: tuple[Callable[[Values, int, Random], None], ...] = (
    spike,
    shift,
    pattern,
    flat,
    temporal,
)


def spread(values: Values) -> float:
    """Of what is left when each point is compared with the same time a day before."""
    return float(np.std(values[DAY:] - values[:-DAY]) / sqrt(2))


def made(seed: int) -> list[Series]:
    """One series of each life, with two anomalies of different classes, or none at all."""
    random = np.random.default_rng(seed)
    many = []
    for number, life in enumerate(LIVES):
        values = life(random)
        windows: list[Window] = []
        kinds: list[str] = []
        if (number + seed) % 4:
            for day in (random.integers(4, 8), random.integers(9, 13)):
                at = int(day) * DAY + int(random.integers(DAY))
                change = ANOMALIES[random.integers(4 if life in (steady, bursts, sensor) else 5)]
                change(values, at, random)
                kinds.append(change.__name__)
                windows.append((at, min(POINTS - 1, at + WINDOW - 1)))
        times_ms = [START_MS + place * INTERVAL_MS for place in range(POINTS)]
        many.append(
            Series(f"{life.__name__}: {' '.join(kinds)}", times_ms, values.tolist(), windows)
        )
    return many


class Gaussian:
    """river's GaussianScorer over the last day."""

    def __init__(self) -> None:
        self._model = anomaly.GaussianScorer(window_size=DAY, grace_period=40)

    def observe(self, time_ms: int, value: float) -> float:
        score = float(self._model.score_one(None, value))
        self._model.learn_one(None, value)
        return score


class Trees:
    """river's HalfSpaceTrees on the last three values."""

    def __init__(self) -> None:
        trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=DAY, seed=1)
        self._model = preprocessing.MinMaxScaler() | trees
        self._last: deque[float] = deque((0.0, 0.0, 0.0), 3)

    def observe(self, time_ms: int, value: float) -> float:
        self._last.append(value)
        x = dict(enumerate(self._last))
        score = float(self._model.score_one(x))
        self._model.learn_one(x)
        return score


class Predictive:
    """river's PredictiveAnomalyDetection with the model of its documentation."""

    def __init__(self) -> None:
        self._model = anomaly.PredictiveAnomalyDetection(
            time_series.SNARIMAX(
                p=12, d=0, q=0, m=12, sd=0,
                regressor=preprocessing.StandardScaler()
                | linear_model.LinearRegression(optimizer=optim.SGD(0.005)),
            ),
            horizon=1, n_std=3.5, warmup_period=40,
        )  # fmt: skip

    def observe(self, time_ms: int, value: float) -> float:
        score = float(self._model.score_one(None, value))
        self._model.learn_one(None, value)
        return score


class RollingZ:
    """Distance from the mean of the last day in standard deviations."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=DAY)

    def observe(self, time_ms: int, value: float) -> float:
        score = 0.0
        if len(self._last) >= 40:
            score = abs(value - float(np.mean(self._last))) / (float(np.std(self._last)) + 1e-9)
        self._last.append(value)
        return score


DETECTORS: dict[str, Callable[[], Scorer]] = {
    "Rhythm": Rhythm,
    "rolling z-score": RollingZ,
    "GaussianScorer": Gaussian,
    "HalfSpaceTrees": Trees,
    "PredictiveAnomalyDetection": Predictive,
}


def found_and_delay(points: list[Point]) -> tuple[float, float]:
    """Share of windows found, and the median delay in points, at one false point in a thousand."""
    outside = sorted((point.score for point in points if point.window < 0), reverse=True)
    limit = outside[len(outside) // ONE_FALSE_IN]
    first: dict[int, int] = {}
    delays: dict[int, int] = {}
    for place, point in enumerate(points):
        if point.window >= 0:
            start = first.setdefault(point.window, place)
            if point.score > limit:
                delays.setdefault(point.window, place - start)
    return len(delays) / len(first), median(delays.values()) if delays else nan


def main() -> None:
    seeds = range(int(sys.argv[1])) if len(sys.argv) > 1 else SEEDS
    many = [series for seed in seeds for series in made(seed)]
    print("| detector | NAB score | AP | found | delay, points |\n|---|---|---|---|---|")
    for name, make in DETECTORS.items():
        points = judged(many, make)
        share, delay = found_and_delay(points)
        score, _ = nab_score(points)
        found = f"{score:.1f} | {average_precision(points):.3f} | {share:.2f} | {delay:.0f}"
        print(f"| {name} | {found} |", flush=True)


if __name__ == "__main__":
    main()
