"""One labelled stream and what a detector says of it, measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from detector.lab.measures import (
    Alarm,
    Answers,
    CaseKey,
    KnownCase,
    Seen,
    average_precision,
    is_at_least,
    known_cases,
)
from detector.lab.scenario import DAY_MS, Scenario
from detector.lab.simulate import Simulated, simulate
from tests.eval.mixes import KINDS
from tests.eval.told import is_told

ANY = "any"


class Stream:
    """A made-up stream, held whole.

    Attributes:
        made: its events with their labels, in order.
        answers: the cases in it.
        told: those of them that could be known by what the platform tells; see `told`.
        tips: how many tips there are.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.made: list[Simulated] = list(simulate(scenario))
        self.answers = Answers(
            known_cases(
                Seen(event["event_id"], event["event_time"], event["type"] == "tip", label)
                for event, label in self.made
            )
        )
        self.told: frozenset[CaseKey] = frozenset(
            case.key
            for case in self.answers.cases
            if is_told(case.kind, _story(case), self._events_about(case))
        )
        self.tips = sum(event["type"] == "tip" for event, _ in self.made)

    def _events_about(self, case: KnownCase) -> list[dict[str, Any]]:
        """The case's own; of a claim, the account's as well: the claim itself tells nothing."""
        accounts = {who for _, who in case.subjects} if case.kind == "refund_abuse" else frozenset()
        return [
            event
            for event, _ in self.made
            if event["event_id"] in case.event_ids or event.get("tipper_id") in accounts
        ]


@dataclass(slots=True)
class Said:
    """What a detector said of a stream.

    Attributes:
        alarms: in the order raised, of kinds that are labelled, or of none.
        scores: event id → kind → score; a kind that is 0 may be left out, `ANY` is one more.
    """

    alarms: list[Alarm] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def measured(stream: Stream, said: Said) -> dict[str, Any]:
    """The figures of one detector on one stream, ready to be pooled with others.

    Recall is of the cases that the platform tells enough of; an alarm on one of the others is right
    all the same. Recall, delay and false alarms are of medium and high alarms unless the name says
    otherwise; of the false ones, those of no case at all are counted apart: on a case of another
    kind whoever is called finds a case. Precision is over tips and refunds. An alarm on a case's
    subject is false from a day after the case's end on.
    """
    answers = stream.answers
    found = answers.found(said.alarms)
    false = answers.false(said.alarms, grace_ms=DAY_MS)
    labels = {event["event_id"]: label for event, label in stream.made if label is not None}
    return {
        "tips": stream.tips,
        "alarms": sum(is_at_least(alarm, "medium") for alarm in said.alarms),
        "untold": len(answers.cases) - len(stream.told),
        "recall": _recall(stream, found, lambda case: case.kind),
        "recall_low": _recall(stream, answers.found(said.alarms, "low"), lambda case: case.kind),
        "recall_by_story": _recall(stream, found, _story),
        "false": len(false),
        "of_no_case": len(answers.false(said.alarms, grace_ms=DAY_MS, is_any_kind_right=True)),
        "false_high": sum(is_at_least(alarm, "high") for alarm in false),
        "false_by_kind": Counter(alarm.kind for alarm in false),
        "false_on": Counter(_what(labels.get(alarm.event_id)) for alarm in false),
        "precision": _precision(stream, said),
        "delay_tips": [each.tips for each in found.values()],
        "delay_minutes": [round(each.minutes, 2) for each in found.values()],
    }


def _recall(
    stream: Stream, found: Mapping[CaseKey, Any], group: Callable[[KnownCase], str]
) -> dict[str, tuple[int, int]]:
    """Found and all of the cases that are told, by group."""
    recall: dict[str, tuple[int, int]] = {}
    for case in stream.answers.cases:
        if case.key in stream.told:
            hits, of = recall.get(group(case), (0, 0))
            recall[group(case)] = hits + (case.key in found), of + 1
    return recall


def _story(case: KnownCase) -> str:
    """The case's name without its number."""
    return case.name.rpartition("-")[0]


def _precision(stream: Stream, said: Said) -> dict[str, float | None]:
    by_kind: dict[str, float | None] = {}
    for kind in (*KINDS, ANY):
        scores, is_positive = [], []
        for event, label in stream.made:
            if event["type"] in ("tip", "refund"):
                scores.append(said.scores.get(event["event_id"], {}).get(kind, 0.0))
                labelled = None if label is None else label["kind"]
                is_positive.append(labelled is not None if kind == ANY else labelled == kind)
        by_kind[kind] = average_precision(scores, is_positive)
    return by_kind


def _what(label: dict[str, Any] | None) -> str:
    """What a false alarm was raised on."""
    if label is None:
        return "ordinary life"
    return f"trap {label['trap']}" if label["trap"] else f"case of {label['kind']}"
