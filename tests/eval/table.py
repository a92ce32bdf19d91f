"""Pools the figures of several streams and prints them as tables; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from detector.lab.measures import mean, per_10k
from tests.eval.mixes import KINDS
from tests.eval.stream import ANY

_SHORT = {"outsized": "outsz", "gambling": "gambl", "refund_abuse": "refund"}


def pooled(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of one detector on several streams as one: cases and alarms are summed up.

    `macro_*` are means over kinds, where each kind counts alike. Precision is first the mean over
    the streams that have the kind.
    """
    tips = sum(each["tips"] for each in figures)
    recall, recall_low, stories = (
        _shares(each[name] for each in figures)
        for name in ("recall", "recall_low", "recall_by_story")
    )
    precision = {kind: mean(each["precision"][kind] for each in figures) for kind in (*KINDS, ANY)}
    delays = {
        name: [value for each in figures for value in each[name]]
        for name in ("delay_tips", "delay_minutes")
    }
    return {
        "tips": tips,
        "untold": sum(each["untold"] for each in figures),
        "alarms_per_10k": per_10k(sum(each["alarms"] for each in figures), tips),
        "false_per_10k": per_10k(sum(each["false"] for each in figures), tips),
        "of_no_case_per_10k": per_10k(sum(each["of_no_case"] for each in figures), tips),
        "false_high_per_10k": per_10k(sum(each["false_high"] for each in figures), tips),
        "macro_recall": mean(_share(*each) for each in recall.values()),
        "macro_recall_low": mean(_share(*each) for each in recall_low.values()),
        "macro_precision": mean(precision[kind] for kind in KINDS),
        "median_delay_tips": median(delays["delay_tips"]) if delays["delay_tips"] else None,
        "median_delay_minutes": median(delays["delay_minutes"]) if delays["delay_tips"] else None,
        "recall": recall,
        "recall_low": recall_low,
        "recall_by_story": stories,
        "precision": precision,
        "false_by_kind": _sum(each["false_by_kind"] for each in figures),
        "false_on": _sum(each["false_on"] for each in figures),
    }


def overview(rows: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """One line a detector: what it finds, what it costs, how soon.

    `no case`: of the false alarms, those that hit no case of any kind, in 10,000 tips.
    `untold`: cases that do not count, since the platform tells nothing they could be known by.
    """
    head = (
        "macro recall",
        "and low",
        "false/10k",
        "no case",
        "high/10k",
        "macro AP",
        "AP any",
        "tips",
        "min",
        "untold",
    )
    lines = [
        (
            name,
            _number(row["macro_recall"]), _number(row["macro_recall_low"]),
            _number(row["false_per_10k"]), _number(row["of_no_case_per_10k"]),
            _number(row["false_high_per_10k"]),
            _number(row["macro_precision"]), _number(row["precision"][ANY]),
            _number(row["median_delay_tips"], 0), _number(row["median_delay_minutes"], 1),
            str(row["untold"]),
        )
        for name, row in rows.items()
    ]  # fmt: skip
    return _table((title, *head), lines)


def by_kind(rows: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """One line a detector: cases found of those there are, and average precision, by kind."""
    head = [f"{_SHORT.get(kind, kind)}{what}" for kind in KINDS for what in ("", " AP")]
    lines = []
    for name, row in rows.items():
        cells = [name]
        for kind in KINDS:
            hits, of = row["recall"].get(kind, (0, 0))
            cells += [f"{hits}/{of}", _number(row["precision"][kind])]
        lines.append(tuple(cells))
    return _table((title, *head), lines)


def false_alarms(row: Mapping[str, Any], most: int = 12) -> str:
    """What false alarms of one detector were about, and on what they were raised."""
    lines = [
        (what, str(count))
        for name in ("false_by_kind", "false_on")
        for what, count in sorted(row[name].items(), key=lambda item: (-item[1], item[0]))[:most]
    ]
    return _table(("false medium and high alarms", "count"), lines)


def by_story(row: Mapping[str, Any]) -> str:
    """Cases found of those there are, by story."""
    lines = [
        (story, f"{hits}/{of}") for story, (hits, of) in sorted(row["recall_by_story"].items())
    ]
    return _table(("cases found, by story", "found"), lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown, aligned.

    >>> print(_table(("who", "n"), [("a", "1"), ("bcd", "22")]))
    | who |  n |
    |-----|---:|
    | a   |  1 |
    | bcd | 22 |
    """
    widths = [max(len(line[at]) for line in (head, *lines)) for at in range(len(head))]
    rows = [
        " | ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *lines)
    ]
    rule = "|".join(("-" * (w + 1) + ":") if at else "-" * (w + 2) for at, w in enumerate(widths))
    first, *rest = (f"| {row} |" for row in rows)
    return "\n".join((first, f"|{rule}|", *rest))


def _shares(many: Iterable[Mapping[str, Sequence[int]]]) -> dict[str, tuple[int, int]]:
    total: dict[str, tuple[int, int]] = {}
    for each in many:
        for name, (hits, of) in each.items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + hits, before[1] + of
    return total


def _sum(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in many:
        total.update(each)
    return dict(total)


def _share(hits: int, of: int) -> float | None:
    return hits / of if of else None


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:.{places}f}"
