"""Rhythm on the Numenta Anomaly Benchmark: `python -m tests.bench.nab DIR`, DIR a clone of
github.com/numenta/NAB (of which `data/` and `labels/combined_windows.json` are read).

Written from the papers: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the
Numenta Anomaly Benchmark" (ICMLA 2015), and Ahmad, Lavin, Purdy, Agha, "Unsupervised real-time
anomaly detection for streaming data" (Neurocomputing 262, 2017). The standard profile: a window's
earliest detection counts up to 1, falling along a sigmoid to 0 at its end; a missed one -1; a false
one up to -0.11, less just after a window. The first 15 % of a file, 750 points at most, do not
count. One threshold for all files, the best one, as the benchmark's own runner finds it. 0 is a
detector that never speaks, 100 a perfect one.

The aim is the best figure in the scoreboard of NAB 1.1, standard profile: ARTime, 74.9 (Numenta HTM
70.5 to 69.7, CAD OSE 69.9). Whether `Rhythm` reaches it HAS NOT BEEN MEASURED: the benchmark's data
could not be had where this was written.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import exp, floor
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from detector.core.rhythm import Rhythm
from tests.bench.show import show

TRUE_WEIGHT, MISSED_WEIGHT, FALSE_WEIGHT = 1.0, 1.0, 0.11
PROBATION, PROBATION_MOST = 0.15, 750

Window = tuple[int, int]
"""First and last point of an anomaly."""


class Scorer(Protocol):
    """What is measured; `Rhythm` is one."""

    def observe(self, time_ms: int, value: float) -> float:
        """The score of the next point, in any unit: higher is stranger."""


class Series(NamedTuple):
    """One file of the benchmark."""

    name: str
    times_ms: list[int]
    values: list[float]
    windows: list[Window]


class Point(NamedTuple):
    """One point that counts: what it is worth if it is called an anomaly.

    Attributes:
        score: the detector's.
        worth: weighted; above 0 in a window, mostly below outside.
        window: number of its window over all files, -1 for none.
    """

    score: float
    worth: float
    window: int


def sigmoid(position: float) -> float:
    """Worth of a detection by its place: -1 a window's start, 0 its end, 1 as far behind that.

    >>> [round(sigmoid(position), 3) for position in (-1.0, -0.5, 0.0, 1.0, 3.0)]
    [0.987, 0.848, 0.0, -0.987, -1.0]
    """
    return -1.0 if position >= 3.0 else 2.0 / (1.0 + exp(5.0 * position)) - 1.0


def probation(points: int) -> int:
    """How many points at the start do not count.

    >>> probation(4032), probation(10_320)
    (604, 750)
    """
    return min(floor(PROBATION * points), PROBATION_MOST)


def worths(points: int, windows: list[Window]) -> list[tuple[float, int]]:
    """For each point its worth and the place of its window in the list, -1 for none.

    Args:
        points: how many there are.
        windows: in order of time and apart from each other.
    """
    found = []
    behind: Window | None = None
    ahead = list(enumerate(windows))
    for place in range(points):
        if ahead and place > ahead[0][1][1]:
            behind = ahead.pop(0)[1]
        number, (first, last) = ahead[0] if ahead else (-1, (points, points))
        if place >= first:
            position = -(last - place + 1) / (last - first + 1)
            found.append((TRUE_WEIGHT * sigmoid(position) / sigmoid(-1.0), number))
        else:
            far = 3.0 if behind is None else (place - behind[1]) / max(1, behind[1] - behind[0])
            found.append((FALSE_WEIGHT * sigmoid(far), -1))
    return found


def judged(many: Iterable[Series], make: Callable[[], Scorer]) -> list[Point]:
    """All points that count, each file scored by a detector of its own."""
    found = []
    windows_before = 0
    for series in many:
        scorer = make()
        pairs = zip(series.times_ms, series.values, strict=True)
        scores = [scorer.observe(time_ms, value) for time_ms, value in pairs]
        count = len(scores)
        for place, (worth, window) in enumerate(worths(count, series.windows)):
            if place >= probation(count):
                number = -1 if window < 0 else windows_before + window
                found.append(Point(scores[place], worth, number))
        windows_before += len(series.windows)
    return found


def nab_score(points: list[Point]) -> tuple[float, float]:
    """The normalised score at the best threshold, and that threshold."""
    worth = dict.fromkeys((point.window for point in points if point.window >= 0), -MISSED_WEIGHT)
    windows = len(worth)
    total = silent = -MISSED_WEIGHT * windows
    best, threshold = silent, float("inf")
    ordered = sorted(points, key=lambda point: -point.score)
    for place, point in enumerate(ordered):
        if point.window < 0:
            total += point.worth
        elif point.worth > worth[point.window]:
            total += point.worth - worth[point.window]
            worth[point.window] = point.worth
        is_last_of_score = place + 1 == len(ordered) or ordered[place + 1].score < point.score
        if is_last_of_score and total > best:
            best, threshold = total, point.score
    perfect = TRUE_WEIGHT * windows
    return 100.0 * (best - silent) / (perfect - silent), threshold


def average_precision(points: list[Point]) -> float:
    """Mean precision over recall, point by point; equal scores are called together."""
    positives = sum(point.window >= 0 for point in points)
    ordered = sorted(points, key=lambda point: -point.score)
    area, hits, hits_before = 0.0, 0, 0
    for place, point in enumerate(ordered):
        hits += point.window >= 0
        if place + 1 == len(ordered) or ordered[place + 1].score < point.score:
            area += (hits - hits_before) / positives * hits / (place + 1)
            hits_before = hits
    return area


def read(folder: Path) -> Iterable[Series]:
    """The files of a clone that have an entry in its labels, in the order of their names."""
    labels = orjson.loads((folder / "labels" / "combined_windows.json").read_bytes())
    for name, limits in sorted(labels.items()):
        with (folder / "data" / name).open(newline="") as file:
            rows = [
                (epoch_ms(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)
            ]
        times_ms = [time_ms for time_ms, _ in rows]
        windows = [
            (times_ms.index(epoch_ms(first)), times_ms.index(epoch_ms(last)))
            for first, last in limits
        ]
        yield Series(name, times_ms, [value for _, value in rows], windows)


def epoch_ms(stamp: str) -> int:
    """A time stamp of the benchmark, which names no zone.

    >>> epoch_ms("2014-07-01 00:30:00"), epoch_ms("2014-07-01 00:30:00.000000")
    (1404174600000, 1404174600000)
    """
    return round(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() * 1000)


def main() -> None:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "labels").is_dir():
        sys.exit("usage: python -m tests.bench.nab DIR; DIR: a clone of github.com/numenta/NAB")
    points = judged(read(Path(sys.argv[1])), Rhythm)
    score, threshold = nab_score(points)
    show("nab", "score", [score], f"standard profile, threshold {threshold:.4f}; aim: above 74.9")
    show("nab AP", "ratio", [average_precision(points)], "point by point, windows as the truth")


if __name__ == "__main__":
    main()
