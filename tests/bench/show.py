"""One figure a line."""

from __future__ import annotations

from statistics import median

import orjson

ROUNDS = 3


def show(bench: str, unit: str, runs: list[float], note: str) -> None:
    """Prints the median of some runs as JSON."""
    figure = {"bench": bench, "value": median(runs), "unit": unit, "runs": runs, "note": note}
    print(orjson.dumps(figure).decode(), flush=True)
