"""The figures of a backtest, as one JSON-able object for the report and for scripts.

Rates are of 0 to 1, or per 10,000 tips, or per day; None where a figure does not exist, such as the
recall of a kind that has no case. Nobody's id stands in it unless asked for: a digest does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from statistics import median
from typing import Any

from detector.core.decision import SCORED_KINDS
from detector.core.reasons import KINDS, SEVERITIES
from detector.lab.backtest import ANY, TRUE, Difference, Judged, Trial, is_false
from detector.lab.labels import Labels
from detector.lab.measures import CaseKey, average_precision_of_steps, mean, per_10k
from detector.lab.survey import Survey

THRESHOLDS = tuple(step / 50 for step in range(1, 51))
"""Where the curves are read: 0.02 to 1."""

MOST_MISSED = 30


class Names:
    """What stands for an id: itself if asked for, else a digest.

    A digest keeps ids out of sight and lets two reports be compared. Whoever has the ids can make
    the digests too: it is no anonymity.

    >>> Names(show_ids=True).of("t1"), len(Names(show_ids=False).of("t1"))
    ('t1', 10)
    """

    def __init__(self, show_ids: bool) -> None:
        self.show_ids = show_ids

    def of(self, identity: str) -> str:
        """The id or its digest."""
        if self.show_ids:
            return identity
        return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def scorecard(
    stream: Survey, labels: Labels, trials: Sequence[Trial], difference: Difference, names: Names
) -> dict[str, Any]:
    """All figures.

    Args:
        stream: what is in it.
        labels: what is known about it.
        trials: one or two that have gone through it.
        difference: of the two; not looked at where there is one.
        names: how ids are shown.
    """
    return {
        "stream": {
            "lines": stream.lines, "events": stream.events, "tips": stream.tips,
            "days": round(stream.days, 3), "first_ms": stream.first_ms, "last_ms": stream.last_ms,
            "not_read": dict(sorted(stream.not_read.items())),
        },
        "labels": labels.counts() | {
            "cases": dict(sorted(Counter(case.kind for case in stream.answers.cases).items())),
            "unread": stream.unread_labels,
        },
        "ids_shown": names.show_ids,
        "trials": [_trial(stream, trial, names) for trial in trials],
        "difference": _difference(stream, trials, difference, names) if len(trials) == 2 else None,
    }  # fmt: skip


def _trial(stream: Survey, trial: Trial, names: Names) -> dict[str, Any]:
    kinds = [kind for kind in KINDS if _is_shown(stream, trial, kind)]
    by_kind = {kind: _kind(stream, trial, kind) for kind in kinds}
    labelled = [each for each in by_kind.values() if each["cases"]]
    overall = _kind(stream, trial, ANY)
    false = overall["false_flags"]
    return {
        "name": trial.name,
        "events": trial.events,
        "tips": trial.tips,
        "not_scored": dict(sorted(trial.not_scored.items())),
        "events_per_s": _rounded(trial.events / (trial.elapsed_ns / 1e9), 0)
        if trial.elapsed_ns
        else None,
        "thresholds": {
            kind: {"low": each.low, "medium": each.medium, "high": each.high}
            for kind, each in trial.thresholds.items()
        },
        "overall": overall
        | {
            "macro_recall": _rounded(mean(each["recall"] for each in labelled)),
            "macro_average_precision": _rounded(
                mean(each["average_precision"] for each in labelled)
            ),
            "false_per_10k_tips": {
                "medium_or_high": _rounded(per_10k(false["medium"] + false["high"], trial.tips)),
                "high": _rounded(per_10k(false["high"], trial.tips)),
            },
        },
        "kinds": by_kind,
        "traps": {
            name: {
                "events": trap.events,
                "instances": len(trap.instances) or None,
                "instances_hit": len(trial.trap_hits.get(name, ())),
                "flags": _by_severity(trial, partial(_is_on_trap, name)),
            }
            for name, trap in sorted(stream.traps.items())
        },
        "false_flags": [_flag(flag, names) for flag in trial.false.best()],
        "missed": _missed(stream, trial, names),
    }  # fmt: skip


def _is_on_trap(name: str, _: str, hit: str) -> bool:
    return hit == f"trap:{name}"


def _is_shown(stream: Survey, trial: Trial, kind: str) -> bool:
    """Whether anything is known of a kind: a case, a flag or a score."""
    return (
        any(case.kind == kind for case in stream.answers.cases)
        or any(flagged == kind for flagged, _, _ in trial.flags)
        or bool(trial.scored.get(kind))
    )


def _kind(stream: Survey, trial: Trial, kind: str) -> dict[str, Any]:
    """One kind's figures, or all kinds' together."""

    def is_of(other: str) -> bool:
        return kind in (ANY, other)

    keys = [case.key for case in stream.answers.cases if is_of(case.kind)]
    found = {least: [how for key, how in trial.found[least].items() if is_of(key[0])]
             for least in SEVERITIES}  # fmt: skip
    flags = _by_severity(trial, lambda its_kind, _: is_of(its_kind))
    true = _by_severity(trial, lambda its_kind, hit: is_of(its_kind) and hit == TRUE)
    false = _by_severity(trial, lambda its_kind, hit: is_of(its_kind) and is_false(hit))
    false_on: Counter[str] = Counter()
    for (its_kind, severity, hit), count in trial.flags.items():
        if is_of(its_kind) and is_false(hit) and severity != "low":
            false_on[hit] += count
    grave = true["medium"] + true["high"], false["medium"] + false["high"]
    positive = trial.positive[kind]
    has_score = kind in SCORED_KINDS or kind == ANY
    curve = _Curve(trial, kind, keys) if has_score else None
    return {
        "cases": len(keys),
        "found": {least: len(each) for least, each in found.items()},
        "recall": _share(len(found["medium"]), len(keys)),
        "recall_low": _share(len(found["low"]), len(keys)),
        "labelled_events": positive.total(),
        "recall_events": _share(trial.hits[kind], positive.total()),
        "precision": _share(grave[0], sum(grave)),
        "precision_low": _share(sum(true.values()), sum([*true.values(), *false.values()])),
        "average_precision": None if curve is None else _rounded(curve.average_precision()),
        "delay": {
            "tips": _spread([how.tips for how in found["medium"]]),
            "minutes": _spread([how.minutes for how in found["medium"]]),
        },
        "flags": flags,
        "true_flags": true,
        "false_flags": false,
        "flags_per_10k_tips": {
            severity: _rounded(per_10k(count, trial.tips)) for severity, count in flags.items()
        },
        "flags_per_day": {
            severity: _rounded(count / stream.days) for severity, count in flags.items()
        },
        "false_on": dict(sorted(false_on.items())),
        "curve": None if curve is None else curve.points(),
    }  # fmt: skip


class _Curve:
    """A kind's scores, from the highest down: what each threshold would find.

    By event, before flags on one subject are drawn together into a case.
    """

    def __init__(self, trial: Trial, kind: str, keys: Sequence[CaseKey]) -> None:
        scored, positive = trial.scored[kind], trial.positive[kind]
        scores = sorted(scored.keys() | positive.keys() | {0.0}, reverse=True)
        at_zero = trial.events - scored.total()
        self._scores = scores
        self._sizes = [scored[score] if score else at_zero for score in scores]
        self._gained = [positive[score] for score in scores]
        self._case_scores = None if kind == ANY else [trial.best.get(key, 0.0) for key in keys]
        self._tips = trial.tips

    def average_precision(self) -> float | None:
        """Of all events by their scores."""
        return average_precision_of_steps(
            (gained, size) for gained, size in zip(self._gained, self._sizes, strict=True) if size
        )

    def points(self) -> list[dict[str, float | None]]:
        """At each of `THRESHOLDS`: what is at or above it."""
        steps = list(zip(self._scores, accumulate(self._gained), accumulate(self._sizes),
                         strict=True))  # fmt: skip
        points, at = [], len(steps) - 1
        for threshold in THRESHOLDS:
            while at >= 0 and steps[at][0] < threshold:
                at -= 1
            hits, count = steps[at][1:] if at >= 0 else (0, 0)
            cases = self._case_scores
            points.append({
                "threshold": threshold,
                "precision": _share(hits, count),
                "recall_events": _share(hits, sum(self._gained)),
                "recall_cases": None if cases is None else _share(
                    sum(score >= threshold for score in cases), len(cases)
                ),
                "events_per_10k_tips": _rounded(per_10k(count, self._tips)),
            })  # fmt: skip
        return points


def _by_severity(trial: Trial, is_counted: Callable[[str, str], bool]) -> dict[str, int]:
    """Flags whose kind and hit are counted, by severity."""
    counts = dict.fromkeys(SEVERITIES, 0)
    for (kind, severity, hit), count in trial.flags.items():
        if is_counted(kind, hit):
            counts[severity] += count
    return counts


def _missed(stream: Survey, trial: Trial, names: Names) -> dict[str, Any]:
    missed = [case for case in stream.answers.cases if case.key not in trial.found["medium"]]
    missed.sort(key=lambda case: (KINDS.index(case.kind), -trial.best.get(case.key, 0.0)))
    return {
        "count": len(missed),
        "shown": [
            {
                "kind": case.kind,
                "case": names.of(case.name),
                "line": stream.case_lines[case.key],
                "events": len(case.event_ids),
                "tips": len(case.tips_ms),
                "best_score": trial.best.get(case.key),
                "found_low": case.key in trial.found["low"],
            }
            for case in missed[:MOST_MISSED]
        ],
    }


def _flag(flag: Judged, names: Names) -> dict[str, Any]:
    record = flag.record
    shown = {
        "line": flag.line, "kind": record["kind"], "severity": record["severity"],
        "action": record["action"], "score": record["score"], "event_time": record["event_time"],
        "hit": flag.hit,
        "subject": {
            "type": record["subject"]["type"], "id": names.of(record["subject"]["id"]),
        },
        "reasons": record["reasons"],
    }  # fmt: skip
    return shown | {"event_id": record["event_id"]} if names.show_ids else shown


def _difference(
    stream: Survey, trials: Sequence[Trial], difference: Difference, names: Names
) -> dict[str, Any]:
    found = [trial.found["medium"] for trial in trials]
    kinds = sorted({case.kind for case in stream.answers.cases}, key=KINDS.index)
    return {
        "same_flags": difference.same,
        "changed": [
            {"kind": kind, "before": before, "after": after, "flags": count}
            for (kind, before, after), count in sorted(difference.changed.items())
        ],
        "only": [
            [
                {"kind": kind, "severity": severity, "hit": hit, "flags": count}
                for (kind, severity, hit), count in sorted(only.items())
            ]
            for only in difference.only
        ],
        "cases": [
            {
                "kind": kind,
                "both": sum(key[0] == kind for key in found[0].keys() & found[1].keys()),
                "only_first": sum(key[0] == kind for key in found[0].keys() - found[1].keys()),
                "only_second": sum(key[0] == kind for key in found[1].keys() - found[0].keys()),
            }
            for kind in kinds
        ],
        "changed_examples": [
            [_flag(flag, names) for flag in pair] for pair in difference.changed_examples
        ],
        "only_examples": [
            [_flag(flag, names) for flag in top.best()] for top in difference.only_examples
        ],
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """The middle and the nine-tenths point; None of nothing."""
    if not values:
        return None
    ranked = sorted(values)
    return {
        "median": round(float(median(ranked)), 2),
        "p90": round(float(ranked[(9 * len(ranked) - 1) // 10]), 2),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
