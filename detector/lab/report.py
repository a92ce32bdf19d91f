"""A backtest's figures as one HTML page: no script, nothing fetched, everything that came from the
stream or its labels escaped.

Knows the scorecard. Does not compute: what it shows stands in the JSON beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from detector.core.reasons import SEVERITIES
from detector.lab.html import figure, moment, percent, section, spread, table
from detector.lab.plots import Mark, Series, legend, line_plot

_HITS = {
    "true": "a case of its kind",
    "known_good": "an event known to be good",
    "other_case": "a case of another kind",
    "ordinary": "an event without a label",
    "unjudged": "not judged",
}
_LETTERS = "AB"


def render(card: dict[str, Any]) -> str:
    """The page.

    Args:
        card: a `scorecard`, with `files` (names of the events and labels files), and for each trial
            `build` (the policy and the mapping).
    """
    sections = [
        _head(card), _by_kind(card), _rates(card), _false_on(card), _traps(card), _plots(card),
        _changes(card), _false_flags(card), _missed(card), _meaning(card),
    ]  # fmt: skip
    style = (Path(__file__).parent / "report.css").read_text("utf-8")
    title = f"Backtest of {escape(card['files']['events'])}"
    return "\n".join([
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{style}</style></head>",
        f"<body><main><h1>{title}</h1>",
        *(section for section in sections if section),
        "</main></body></html>",
        "",
    ])  # fmt: skip


# --- Sections -------------------------------------------------------------------------------------


def _head(card: dict[str, Any]) -> str:
    stream, labels = card["stream"], card["labels"]
    cases = ", ".join(f"{count:,} {kind}" for kind, count in labels["cases"].items())
    lines = [
        f"{stream['events']:,} events, {stream['tips']:,} of them tips, from "
        f"{moment(stream['first_ms'])} to {moment(stream['last_ms'])} (UTC). Labels "
        f"({escape(card['files']['labels'])}): {sum(labels['cases'].values()):,} cases"
        f"{cases and ' ('}{cases}{cases and ')'}, {labels['traps']:,} events that are traps, "
        f"{labels['known_good']:,} known to be good. An event without a label is taken for good."
    ]
    if card["files"].get("verdicts") is not None:
        lines.append(f"Learning from the verdicts in {escape(card['files']['verdicts'])}.")
    if stream["not_read"]:
        why = ", ".join(f"{escape(key)} {count:,}" for key, count in stream["not_read"].items())
        lines.append(
            f"{sum(stream['not_read'].values()):,} lines are no events: {why}. "
            f"{labels['unread']:,} labels must be about them and count nowhere."
        )
    return "".join(f"<p>{line}</p>" for line in lines) + "".join(
        _tiles(card, number) for number in range(len(card["trials"]))
    )


def _tiles(card: dict[str, Any], number: int) -> str:
    trial = card["trials"][number]
    overall = trial["overall"]
    false = overall["false_per_10k_tips"]
    figures = [
        ("recall, mean of kinds", percent(overall["macro_recall"])),
        ("average precision, mean of kinds", figure(overall["macro_average_precision"], 3)),
        ("false medium or high, per 10,000 tips", figure(false["medium_or_high"])),
        ("false high, per 10,000 tips", figure(false["high"])),
        ("events a second, one core", figure(trial["events_per_s"], 0)),
    ]
    items = "".join(f"<li><b>{value}</b>{label}</li>" for label, value in figures)
    skipped = ", ".join(f"{escape(why)} {count:,}" for why, count in trial["not_scored"].items())
    build = trial["build"]
    return (
        f"<h3>{_name(card, number)}</h3>"
        f'<p class="soft">policy {escape(build["policy"])}, mapping {escape(build["mapping"])}'
        f"{skipped and '; not scored: '}{skipped}</p>"
        f'<ul class="tiles">{items}</ul>'
    )


def _by_kind(card: dict[str, Any]) -> str:
    rows = [
        [
            label, figure(kind["cases"], 0), figure(kind["found"]["medium"], 0),
            percent(kind["recall"]), percent(kind["recall_low"]),
            percent(kind["recall_events"]), percent(kind["precision"]),
            percent(kind["precision_low"]), figure(kind["average_precision"], 3),
            spread(kind["delay"]["tips"]), spread(kind["delay"]["minutes"]),
        ]
        for label, kind in _kinds(card)
    ]  # fmt: skip
    heads = [
        "kind", "cases", "found", "recall", "recall, low too", "recall by event", "precision",
        "precision, low too", "average precision", "delay, tips", "delay, minutes",
    ]  # fmt: skip
    return section("What is found, by kind", table(
        "Found: by a flag of medium or higher severity. Delay: median and nine-tenths point, from "
        "the case's first event to its first such flag.", heads, rows,
    ))  # fmt: skip


def _rates(card: dict[str, Any]) -> str:
    rows = []
    for label, kind in _kinds(card):
        row = [label]
        for severity in SEVERITIES:
            count, true = kind["flags"][severity], kind["true_flags"][severity]
            row += [
                f"{count:,} ({true:,})", figure(kind["flags_per_10k_tips"][severity]),
                figure(kind["flags_per_day"][severity]),
            ]  # fmt: skip
        rows.append(row)
    heads = ["kind"] + [
        f"{severity}{what}" for severity in SEVERITIES
        for what in (", flags (true)", ", per 10,000 tips", ", per day")
    ]  # fmt: skip
    return section("How many flags", table(
        "All flags, updates of a case included; in brackets those on a case of their kind.",
        heads, rows,
    ))  # fmt: skip


def _false_on(card: dict[str, Any]) -> str:
    hits = sorted({hit for _, kind in _kinds(card) for hit in kind["false_on"]}, key=_hit_rank)
    if not hits:
        return section("Where false flags fall", "<p>There is no false medium or high flag.</p>")
    rows = [
        [label, *(figure(kind["false_on"].get(hit, 0), 0) for hit in hits)]
        for label, kind in _kinds(card)
        if kind["false_on"]
    ]
    return section("Where false flags fall", table(
        "Flags of medium or high severity that are on no case of their kind, by what they are on.",
        ["kind", *map(_hit, hits)], rows,
    ))  # fmt: skip


def _traps(card: dict[str, Any]) -> str:
    rows = [
        [
            _label(card, number, name), figure(trap["instances"], 0), figure(trap["events"], 0),
            figure(trap["instances_hit"], 0), *(f"{trap['flags'][s]:,}" for s in SEVERITIES),
        ]
        for name in (card["trials"][0]["traps"] if card["trials"] else ())
        for number, trial in enumerate(card["trials"])
        for trap in [trial["traps"][name]]
    ]  # fmt: skip
    if not rows:
        return ""
    return section("Traps", table(
        "Innocent life that looks like a case. Hit: by a false flag of medium or higher severity.",
        ["trap", "instances", "events", "hit", *(f"{s} flags" for s in SEVERITIES)], rows,
    ))  # fmt: skip


def _plots(card: dict[str, Any]) -> str:
    names = ["any", *(kind for kind in card["trials"][0]["kinds"])]
    figures = []
    for name in names:
        kinds = [_kind_of(trial, name) for trial in card["trials"]]
        curves = [(kind or {}).get("curve") for kind in kinds]
        if not any(curves) or not any(kind and kind["cases"] for kind in kinds):
            continue
        recall = "recall_events" if name == "any" else "recall_cases"
        shares, counts = [], []
        for number, curve in enumerate(curves):
            line = partial(_line, card, number, curve or [])
            shares += [line("precision", "s1", "precision"), line(
                "recall by event" if name == "any" else "recall by case", "s2", recall
            )]  # fmt: skip
            counts.append(line("events per 10,000 tips", "s1", "events_per_10k_tips"))
        thresholds = card["trials"][0]["thresholds"].get(name, {})
        marks = [Mark(each, thresholds[each]) for each in SEVERITIES[1:] if each in thresholds]
        left = line_plot(
            f"{name}-shares", "Precision and recall",
            f"Precision and recall of {name} against the threshold; figures in the table below.",
            shares, marks,
        )  # fmt: skip
        right = line_plot(
            f"{name}-counts", "Events at or above it, per 10,000 tips",
            f"Events whose score of {name} reaches the threshold, per 10,000 tips, on a "
            "logarithmic scale; figures in the table below.", counts, marks, is_log=True,
        )  # fmt: skip
        figures.append(
            f'<h3>{escape(name)}</h3><div class="plots"><div>{left}{legend(shares)}</div>'
            f"<div>{right}{legend(counts)}</div></div>{_curve_table(card, name, curves)}"
        )
    if not figures:
        return ""
    note = (
        "<p>By the score of each event, before flags on one subject are drawn together into a "
        "case: so there are more events than flags. A vertical line is a configured threshold"
        f"{' of A' if len(card['trials']) == 2 else ''}.</p>"
    )
    return section("Against the threshold", note + "".join(figures))


def _curve_table(
    card: dict[str, Any], name: str, curves: Sequence[list[dict[str, Any]] | None]
) -> str:
    rows = [
        [
            f"{point['threshold']:g}{f' {_LETTERS[number]}' if len(curves) == 2 else ''}",
            percent(point["precision"]), percent(point["recall_cases"]),
            percent(point["recall_events"]), figure(point["events_per_10k_tips"]),
        ]
        for points in zip(*(curve[4::5] for curve in curves if curve), strict=True)
        for number, point in enumerate(points)
    ]  # fmt: skip
    heads = ["threshold", "precision", "recall by case", "recall by event", "per 10,000 tips"]
    shown = table(f"Score of {escape(name)} against the threshold", heads, rows)
    return f"<details><summary>The figures of {escape(name)}</summary>{shown}</details>"


def _changes(card: dict[str, Any]) -> str:
    difference = card["difference"]
    if difference is None:
        return ""
    cases = table(
        "Cases found by a flag of medium or higher severity",
        ["kind", "both", "only A", "only B"],
        [[escape(e["kind"]), *(f"{e[k]:,}" for k in ("both", "only_first", "only_second"))]
         for e in difference["cases"]],
    )  # fmt: skip
    only = table(
        f"Flags that one raises and the other does not; {difference['same_flags']:,} are the same",
        ["flags", "kind", "severity", "on", "how many"],
        [[f"only {letter}", escape(e["kind"]), e["severity"], _hit(e["hit"]),
          f"{e['flags']:,}"]
         for letter, entries in zip(_LETTERS, difference["only"], strict=True) for e in entries],
        texts=4,
    )  # fmt: skip
    changed = table(
        "Flags that both raise, with another severity", ["kind", "A", "B", "how many"],
        [[escape(e["kind"]), e["before"], e["after"], f"{e['flags']:,}"]
         for e in difference["changed"]], texts=3,
    )  # fmt: skip
    body = [cases, only, changed] if difference["changed"] else [cases, only]
    for letter, flags in zip(_LETTERS, difference["only_examples"], strict=True):
        if flags:
            body.append(
                f"<details><summary>The gravest flags only {letter} raises</summary>"
                f"{''.join(map(_flag, flags))}</details>"
            )
    if difference["changed_examples"]:
        pairs = "".join(
            _flag(before, f"A {before['severity']}, B {after['severity']}: ")
            for before, after in difference["changed_examples"]
        )
        body.append(
            f"<details><summary>Flags of another severity, as A raises them</summary>{pairs}"
            "</details>"
        )
    return section("What changed", "".join(body))


def _false_flags(card: dict[str, Any]) -> str:
    body = []
    for number, trial in enumerate(card["trials"]):
        if len(card["trials"]) == 2:
            body.append(f"<h3>{_name(card, number)}</h3>")
        body += map(_flag, trial["false_flags"])
        if not trial["false_flags"]:
            body.append("<p>There is none.</p>")
    return section("The gravest false flags", "".join(body))


def _missed(card: dict[str, Any]) -> str:
    rows = [
        [
            _label(card, number, each["kind"]), f"<code>{escape(each['case'])}</code>",
            f"{each['line']:,}", f"{each['events']:,}", f"{each['tips']:,}",
            figure(each["best_score"], 3), "yes" if each["found_low"] else "no",
        ]
        for number, trial in enumerate(card["trials"])
        for each in trial["missed"]["shown"]
    ]  # fmt: skip
    if not rows:
        return section("Missed cases", "<p>There is none.</p>")
    counts = " and ".join(f"{trial['missed']['count']:,}" for trial in card["trials"])
    return section(f"Missed cases: {counts}", table(
        "Those with the highest score first; the line is that of the case's first event.",
        ["kind", "case", "line", "events", "tips", "highest score", "a low flag"], rows, texts=2,
    ))  # fmt: skip


def _meaning(card: dict[str, Any]) -> str:
    ids = (
        "Ids are shown: this page holds personal data." if card["ids_shown"] else
        "Instead of ids of users and names of cases stand digests; whoever has the ids can make "
        "the digests too. A line's number leads to the event in the file. <code>--show-ids</code> "
        "shows ids."
    )  # fmt: skip
    lines = [
        "A case is found by a flag of its kind on one of its events, or on its subject between its "
        "first event and its last. Any other flag is false, also one on a case of another kind.",
        "Flags of a kind that only rules find (cap) are facts: they are judged only where labels "
        "speak of that kind.",
        "Where labels do not group events, those of one kind on one tipper are one case.",
        "An event of a case is found where its own score reaches the medium threshold, or it is "
        "flagged so.",
        "Average precision is the mean of the precision at each labelled event, from the highest "
        "score down; equal scores are one step. Kinds that only rules find have no score.",
        "A delay of 1 tip means that the case's first tip was flagged. Rates per day are over the "
        "stream's whole length, and over one day where it is shorter.",
        ids,
    ]
    return section(
        "How this is counted", "<ul>" + "".join(f"<li>{e}</li>" for e in lines) + "</ul>"
    )


# --- Parts ----------------------------------------------------------------------------------------


def _flag(flag: dict[str, Any], before: str = "") -> str:
    reasons = "".join(
        f'<li>{escape(each["text"]["en"])}<span lang="zh">{escape(each["text"]["zh"])}</span></li>'
        for each in flag["reasons"]
    )
    event = f", event <code>{escape(flag['event_id'])}</code>" if "event_id" in flag else ""
    subject = flag["subject"]
    return (
        f'<article class="flag"><h3>{before}{escape(flag["kind"])}, {escape(flag["severity"])}, '
        f"score {flag['score']:.3f}</h3>"
        f'<p class="soft">line {flag["line"]:,}, {moment(flag["event_time"])} UTC, '
        f"{escape(subject['type'])} <code>{escape(subject['id'])}</code>{event}; action "
        f"{escape(flag['action'])}; on {_hit(flag['hit'])}</p><ul>{reasons}</ul></article>"
    )


def _kinds(card: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Kind by kind, and for each both trials; `any` last."""
    names = list(dict.fromkeys(kind for trial in card["trials"] for kind in trial["kinds"]))
    return [
        (_label(card, number, name), kind)
        for name in [*names, "any"]
        for number, trial in enumerate(card["trials"])
        if (kind := _kind_of(trial, name)) is not None
    ]


def _kind_of(trial: dict[str, Any], name: str) -> dict[str, Any] | None:
    kind: dict[str, Any] | None = trial["overall"] if name == "any" else trial["kinds"].get(name)
    return kind


def _label(card: dict[str, Any], number: int, text: str) -> str:
    return escape(text) + (f" {_LETTERS[number]}" if len(card["trials"]) == 2 else "")


def _name(card: dict[str, Any], number: int) -> str:
    name = escape(card["trials"][number]["name"])
    return f"{_LETTERS[number]}: {name}" if len(card["trials"]) == 2 else name


def _line(
    card: dict[str, Any], number: int, curve: list[dict[str, Any]], label: str, style: str, key: str
) -> Series:
    return Series(
        _label(card, number, label), f"{style} second" if number else style,
        [(point["threshold"], point[key]) for point in curve],
    )  # fmt: skip


def _hit_rank(hit: str) -> tuple[bool, str]:
    return hit.startswith("trap:"), hit


def _hit(hit: str) -> str:
    return _HITS.get(hit) or f"the trap {escape(hit.removeprefix('trap:'))}"
