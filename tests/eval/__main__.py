"""Measures the detector and simpler ones on six made-up platforms: `python -m tests.eval`.

It shows what changes between versions and against a script of an afternoon. It is no evidence of
accuracy: the cases were made up by the project itself.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from detector.settings import load_settings
from tests.engines import ROOT
from tests.eval import table
from tests.eval.ablation import FAMILIES, blinded
from tests.eval.contenders import OURS, budget_of, others, ours, theirs
from tests.eval.mixes import MIXES
from tests.eval.stream import Stream, measured

SEEDS = (9_001,)

Figures = dict[str, dict[str, Any]]
"""By detector, or by family left out."""


def main(arguments: list[str] | None = None) -> int:
    chosen = _chosen(arguments)
    work = compare if not chosen.ablate else ablate
    runs: dict[str, list[Figures]] = {mix: [] for mix in MIXES}
    with ProcessPoolExecutor(chosen.jobs) as pool:
        waiting = {
            pool.submit(work, mix, seed, chosen.size): mix for mix in MIXES for seed in chosen.seeds
        }
        watched = sys.stderr.isatty()
        for done in tqdm(as_completed(waiting), total=len(waiting), disable=not watched):
            runs[waiting[done]].append(done.result())
    report = {
        "seeds": chosen.seeds,
        "size": chosen.size,
        "mixes": {mix: _rows(figures) for mix, figures in runs.items()},
        "all": _rows([each for figures in runs.values() for each in figures]),
    }
    print(text_of(report, "left out" if chosen.ablate else "detector"))
    if chosen.out is not None:
        chosen.out.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
        print(f"\nAll figures: {chosen.out}")
    return 0


def compare(mix: str, seed: int, size: float) -> Figures:
    """The detector and the others on one stream."""
    stream, environment = Stream(MIXES[mix].scenario(seed, size)), MIXES[mix].environment
    said = ours((event for event, _ in stream.made), environment)
    settings = load_settings(None, ROOT / "config" / "detector.toml", environment)
    cool_down_ms = settings.make_engine_config().case_cool_down_ms
    figures = {OURS: measured(stream, said)}
    for name, make in others().items():
        figures[name] = measured(stream, theirs(stream, make, budget_of(said), cool_down_ms))
    return figures


def ablate(mix: str, seed: int, size: float) -> Figures:
    """The detector on one stream, each family of evidence left out in turn."""
    stream, environment = Stream(MIXES[mix].scenario(seed, size)), MIXES[mix].environment
    events = [event for event, _ in stream.made]
    figures = {"nothing": measured(stream, ours(events, environment))}
    for family, platform in FAMILIES.items():
        figures[family] = measured(stream, ours(blinded(events, platform), environment))
    return figures


def text_of(report: dict[str, Any], first: str) -> str:
    """The tables that are printed."""
    every = report["all"]
    parts = [table.overview(every, first), table.by_kind(every, f"found, AP by {first}")]
    for mix, rows in report["mixes"].items():
        parts.append(table.overview(rows, f"{mix}: {MIXES[mix].about}"))
    ours_or_all = next(iter(every.values()))
    parts += [table.by_story(ours_or_all), table.false_alarms(ours_or_all)]
    return "\n\n".join(parts)


def _rows(figures: list[Figures]) -> Figures:
    return {name: table.pooled([each[name] for each in figures]) for name in figures[0]}


def _chosen(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.eval", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(SEEDS), metavar="N",
        help=f"one stream of each mix for each of these; default: {' '.join(map(str, SEEDS))}",
    )  # fmt: skip
    parser.add_argument("--size", type=float, default=1.0, help="streams so many times as long")
    parser.add_argument("--ablate", action="store_true", help="leave out a family at a time")
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: 2")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
