"""The figures of a backtest, against streams small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import orjson
import pytest

from detector.assembly import Assembly
from detector.core.decision import SCORED_KINDS, Decision
from detector.core.event import Event
from detector.core.fusion import Flag, Thresholds
from detector.core.verdict import Verdict
from detector.lab.backtest import Difference, Feed, Judged, Trial, run
from detector.lab.labels import Labels, read_labels
from detector.lab.measures import average_precision
from detector.lab.scorecard import MOST_MISSED, Names, scorecard
from detector.lab.simulate import Scenario, simulate
from detector.lab.survey import Survey, survey
from tests.lab.test_labels import DECODER, START_MS, decode, labels_of, tip

THRESHOLDS = dict.fromkeys(SCORED_KINDS, Thresholds(0.6, 0.75, 0.9))
TEXT = {"en": "Much", "zh": "多"}


class ScriptedEngine:
    """Raises the flags it is told to: event id → (kind, severity, score, tipper)."""

    watermark_ms = 0

    def __init__(self, script: dict[str, list[tuple[str, str, float, str]]]) -> None:
        self.script = script
        self.learned: list[Verdict] = []

    def process(self, event: Event) -> Decision:
        self.watermark_ms = max(self.watermark_ms, event.event_time_ms)
        flags = self.script.get(event.event_id, [])
        scores = {kind: score for kind, _, score, _ in flags if kind != "cap"}
        decision = Decision(event, scores, False)
        decision.flags = [flag(event, *each) for each in flags]
        return decision


def flag(event: Event, kind: str, severity: str, score: float, tipper: str) -> Flag:
    record = {
        "flag_id": f"f_{event.event_id}{kind}{tipper}", "kind": kind, "severity": severity,
        "action": "refer", "subject": {"type": "tipper", "id": tipper},
        "event_id": event.event_id, "event_time": event.event_time_ms, "score": score,
        "reasons": [{"text": TEXT}],
    }  # fmt: skip
    return Flag(record, "opened")


LINES = [
    tip("e1", "t9", 0), tip("e2", "t1", 1), tip("e3", "t1", 2), tip("e4", "t1", 3),
    tip("e5", "t1", 4), tip("e6", "t2", 5), tip("e7", "t3", 6), tip("e8", "t4", 7),
    tip("e9", "t5", 8), tip("e10", "t6", 9),
]  # fmt: skip
T1 = {"type": "tipper", "id": "t1"}
LABELS: list[dict[str, Any]] = [
    {"event_id": "e2", "kind": "ring", "case": "r1", "subject": T1, "trap": None},
    {"event_id": "e4", "kind": "ring", "case": "r1", "subject": T1, "trap": None},
    {"event_id": "e6", "kind": "minor"},
    {"event_id": "e7", "kind": None, "case": "b1", "subject": T1, "trap": "birthday"},
    {"event_id": "e9", "kind": "genuine"},
]
SCRIPT = {
    "e2": [("ring", "low", 0.6, "t1")],
    "e3": [("ring", "medium", 0.8, "t1")],  # no event of the case, but its subject, in time
    "e4": [("ring", "medium", 0.8, "t1")],
    "e6": [("outsized", "high", 0.95, "t2")],  # a case of another kind
    "e7": [("binge", "medium", 0.76, "t3")],  # a trap
    "e8": [("cap", "high", 1.0, "t4")],  # no label speaks of caps
    "e9": [("ring", "high", 0.9, "t5")],  # known to be good
    "e10": [("gambling", "low", 0.6, "t6")],  # ordinary
}


def card_of(
    lines: Sequence[bytes] = LINES, records: Sequence[dict[str, Any]] = LABELS,
    scripts: Sequence[dict[str, list[tuple[str, str, float, str]]]] = (SCRIPT,),
    show_ids: bool = False,
) -> dict[str, Any]:  # fmt: skip
    labels = labels_of(*records)
    stream = survey(map(decode, lines), labels)
    trials = [trial_of(labels, stream, script, f"{n}.toml") for n, script in enumerate(scripts)]
    difference = Difference()
    run(lines, trials, difference)
    card = scorecard(stream, labels, trials, difference, Names(show_ids))
    for trial in card["trials"]:
        trial["build"] = {"policy": "cn 1", "mapping": "canonical"}
    card["files"] = {"events": "events.jsonl", "labels": "labels.jsonl"}
    return card


def trial_of(
    labels: Labels, stream: Survey, script: dict[str, list[tuple[str, str, float, str]]], name: str
) -> Trial:
    engine: Any = ScriptedEngine(script)
    return Trial(name, decode, engine, THRESHOLDS, labels, stream)


def test_a_kinds_figures_are_those_counted_by_hand() -> None:
    ring = card_of()["trials"][0]["kinds"]["ring"]
    assert (ring["cases"], ring["found"]) == (1, {"low": 1, "medium": 1, "high": 0})
    assert (ring["recall"], ring["recall_low"]) == (1.0, 1.0)
    assert ring["flags"] == {"low": 1, "medium": 2, "high": 1}
    assert ring["true_flags"] == {"low": 1, "medium": 2, "high": 0}
    assert (ring["precision"], ring["precision_low"]) == (0.6667, 0.75)
    assert (ring["labelled_events"], ring["recall_events"]) == (2, 0.5)
    # 0.9: none of one; 0.8: one of two, in all one of three; 0.6: in all two of four
    assert ring["average_precision"] == round((1 / 3 + 2 / 4) / 2, 4)
    assert ring["flags_per_10k_tips"] == {"low": 1000.0, "medium": 2000.0, "high": 1000.0}
    assert ring["flags_per_day"] == {"low": 1.0, "medium": 2.0, "high": 1.0}
    assert ring["false_on"] == {"known_good": 1}
    # first flagged at medium on e3: one tip of the case had come, a minute after it
    assert ring["delay"] == {
        "tips": {"median": 1.0, "p90": 1.0}, "minutes": {"median": 1.0, "p90": 1.0},
    }  # fmt: skip


def test_what_a_false_flag_is_on_is_told_and_a_fact_without_labels_is_not_judged() -> None:
    overall = card_of()["trials"][0]["overall"]
    assert overall["false_on"] == {"known_good": 1, "other_case": 1, "trap:birthday": 1}
    assert overall["false_per_10k_tips"] == {"medium_or_high": 3000.0, "high": 2000.0}
    assert overall["precision"] == 0.4
    assert (overall["cases"], overall["recall"], overall["macro_recall"]) == (2, 0.5, 0.5)


def test_a_cap_flag_is_judged_where_labels_speak_of_caps() -> None:
    known = card_of(records=[*LABELS, {"event_id": "e8", "kind": "cap"}])
    assert known["trials"][0]["kinds"]["cap"]["precision"] == 1.0
    elsewhere = card_of(records=[*LABELS, {"event_id": "e1", "kind": "cap"}])
    assert elsewhere["trials"][0]["kinds"]["cap"]["precision"] == 0.0


def test_traps_are_counted_by_instance_and_by_flag() -> None:
    assert card_of()["trials"][0]["traps"] == {
        "birthday": {
            "events": 1, "instances": 1, "instances_hit": 1,
            "flags": {"low": 0, "medium": 1, "high": 0},
        }
    }  # fmt: skip


def test_the_gravest_false_flags_come_first_and_missed_cases_are_listed() -> None:
    trial = card_of()["trials"][0]
    assert [(each["line"], each["kind"], each["hit"]) for each in trial["false_flags"]] == [
        (6, "outsized", "other_case"), (9, "ring", "known_good"), (7, "binge", "trap:birthday"),
        (10, "gambling", "ordinary"),
    ]  # fmt: skip
    missed = trial["missed"]
    assert missed["count"] == 1
    assert (missed["shown"][0]["kind"], missed["shown"][0]["line"]) == ("minor", 6)
    assert missed["shown"][0]["found_low"] is False


def test_no_more_missed_cases_are_shown_than_fit() -> None:
    lines = [tip(f"e{n}", f"t{n}") for n in range(MOST_MISSED + 5)]
    records = [{"event_id": f"e{n}", "kind": "ring"} for n in range(MOST_MISSED + 5)]
    missed = card_of(lines, records, ({},))["trials"][0]["missed"]
    assert (missed["count"], len(missed["shown"])) == (MOST_MISSED + 5, MOST_MISSED)


def test_a_curve_tells_what_each_threshold_would_find() -> None:
    curve = {p["threshold"]: p for p in card_of()["trials"][0]["kinds"]["ring"]["curve"]}
    assert curve[0.7] == {
        "threshold": 0.7, "precision": 0.3333, "recall_events": 0.5, "recall_cases": 1.0,
        "events_per_10k_tips": 3000.0,
    }  # fmt: skip
    assert curve[0.6]["recall_events"] == 1.0
    assert curve[0.82]["recall_cases"] == 0.0
    assert curve[1.0]["precision"] is None


def test_two_configurations_are_held_against_each_other_flag_by_flag() -> None:
    other = SCRIPT | {
        "e3": [],  # only in A
        "e4": [("ring", "high", 0.95, "t1")],  # graver in B
        "e6": [("outsized", "high", 0.95, "t2"), ("minor", "medium", 0.8, "t2")],  # only in B
    }
    difference = card_of(scripts=(SCRIPT, other))["difference"]
    assert difference["same_flags"] == 6
    assert difference["changed"] == [
        {"kind": "ring", "before": "medium", "after": "high", "flags": 1}
    ]
    assert difference["only"] == [
        [{"kind": "ring", "severity": "medium", "hit": "true", "flags": 1}],
        [{"kind": "minor", "severity": "medium", "hit": "true", "flags": 1}],
    ]
    assert difference["cases"] == [
        {"kind": "minor", "both": 0, "only_first": 0, "only_second": 1},
        {"kind": "ring", "both": 1, "only_first": 0, "only_second": 0},
    ]
    assert [flag["line"] for flag in difference["only_examples"][0]] == [3]
    assert difference["changed_examples"][0][1]["severity"] == "high"


def test_examples_of_a_difference_are_limited_and_the_gravest_are_kept() -> None:
    difference = Difference(examples=2)
    for line, severity in enumerate(("low", "high", "low", "medium"), 1):
        record = {"flag_id": f"f{line}", "kind": "ring", "severity": severity, "score": 0.5}
        difference.add([Judged(line, record, "ordinary")], [])
    assert [flag.line for flag in difference.only_examples[0].best()] == [2, 4]
    assert difference.only[0].total() == 4


def test_ids_stand_in_the_figures_only_when_asked_for() -> None:
    hidden, shown = orjson.dumps(card_of()), orjson.dumps(card_of(show_ids=True))
    for each in (b'"t2"', b'"e6"'):
        assert each not in hidden
        assert each in shown


def test_verdicts_reach_the_engine_as_its_clock_passes_them() -> None:
    verdicts = [
        Verdict(None, f"e{minute}", "confirmed", "ring", "r", START_MS + minute * 60_000, None)
        for minute in (1, 3, 99)
    ]
    labels = labels_of(*LABELS)
    stream = survey(map(decode, LINES), labels)
    engine: Any = ScriptedEngine({})
    learned: list[tuple[int, str | None]] = []
    feed = Feed(verdicts, lambda each: learned.append((engine.watermark_ms, each.event_id)))
    run(LINES, [Trial("a", decode, engine, THRESHOLDS, labels, stream, verdicts=feed)],
        Difference())  # fmt: skip
    assert learned == [(START_MS + 60_000, "e1"), (START_MS + 180_000, "e3")]


def test_lines_that_are_not_scored_are_counted_by_reason() -> None:
    lines = [*LINES, b"nonsense", tip("e1", "t9", 0)]
    labels = labels_of(*LABELS)
    stream = survey(map(decode, lines), labels)
    trial = Trial("a", decode, Assembly.load(None).make_engine(), THRESHOLDS, labels, stream)
    run(lines, [trial], Difference())
    assert dict(trial.not_scored) == {"not_json": 1, "duplicate": 1}
    assert trial.events == len(LINES)


@pytest.fixture(scope="module")
def simulated() -> tuple[list[bytes], list[bytes]]:
    pairs = list(simulate(Scenario(seed=11, events=6_000)))
    return (
        [orjson.dumps(each.event) for each in pairs],
        [orjson.dumps(each.label) for each in pairs if each.label is not None],
    )


def read_late(line: bytes) -> Any:
    return DECODER.decode(line, 2 * START_MS)


def test_average_precision_is_that_of_the_scores_the_engine_writes(
    simulated: tuple[list[bytes], list[bytes]],
) -> None:
    lines, label_lines = simulated
    assembly = Assembly.load(None)
    labels = read_labels(label_lines)
    stream = survey(map(read_late, lines), labels)
    trial = Trial("a", read_late, assembly.make_engine(),
                  assembly.settings.make_engine_config().thresholds, labels, stream)  # fmt: skip
    run(lines, [trial], Difference())
    kinds = scorecard(stream, labels, [trial], Difference(), Names(False))["trials"][0]["kinds"]

    engine, scored = assembly.make_engine(), []
    for line in lines:
        event = read_late(line)
        assert isinstance(event, Event)
        decision = engine.process(event)
        assert isinstance(decision, Decision)
        scored.append(decision.to_record())
    known = {(each["event_id"], each["kind"]) for each in map(orjson.loads, label_lines)}
    for kind in ("minor", "outsized", "binge"):
        expected = average_precision(
            [each["scores"][kind] for each in scored],
            [(each["event_id"], kind) in known for each in scored],
        )
        assert kinds[kind]["average_precision"] == pytest.approx(expected, abs=1e-4)


def test_what_is_held_does_not_grow_with_the_events() -> None:
    labels = labels_of({"event_id": "e0", "kind": "ring"})
    stream = survey([decode(tip("e0"))], labels)
    trial = trial_of(labels, stream, {}, "a")

    def size() -> int:
        return sum(
            len(value) for value in vars(trial).values() if isinstance(value, dict | list | set)
        )

    sizes = []
    for thousand, number in product(range(3), range(1_000)):
        trial.take(tip(f"e{thousand}-{number}", f"t{number}"))
        if number == 999:
            sizes.append(size())
    assert trial.events == 3_000
    assert sizes[0] == sizes[1] == sizes[2]
