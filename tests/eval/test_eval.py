"""The evaluation counts what it says it counts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from detector.lab.baselines import BASELINES, Baseline, Script, ZScore
from detector.lab.measures import Alarm
from detector.lab.scenario import Scenario
from tests.eval.ablation import FAMILIES, blinded
from tests.eval.contenders import theirs
from tests.eval.mixes import KINDS, MIXES
from tests.eval.stream import ANY, Said, Stream, measured
from tests.eval.table import pooled


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(Scenario(seed=3, events=6_000, cases=dict.fromkeys(KINDS, 1)))


def all_knowing(stream: Stream) -> Said:
    """Raises one high alarm on the first event of each case, and scores by the labels."""
    said, known = Said(), set()
    for event, label in stream.made:
        if label is None or label["kind"] is None:
            continue
        said.scores[event["event_id"]] = {label["kind"]: 1.0, ANY: 1.0}
        if label["case"] not in known:
            known.add(label["case"])
            record = {**label, "severity": "high", "event_time": event["event_time"]}
            said.alarms.append(Alarm.of_flag(record))
    return said


def test_who_knows_the_labels_is_measured_as_perfect(stream: Stream) -> None:
    row = pooled([measured(stream, all_knowing(stream))] * 2)
    assert row["recall"] == dict.fromkeys(KINDS, (2, 2))
    assert row["macro_recall"] == row["macro_precision"] == row["precision"][ANY] == 1.0
    assert row["false_per_10k"] == row["median_delay_minutes"] == 0.0


def test_who_says_nothing_finds_nothing_and_is_never_wrong(stream: Stream) -> None:
    row = pooled([measured(stream, Said())])
    assert row["macro_recall"] == row["false_per_10k"] == 0.0
    assert row["median_delay_tips"] is None
    assert row["macro_precision"] < 0.1


def test_an_alarm_on_a_trap_is_false_and_the_trap_is_named(stream: Stream) -> None:
    trap = next(label for _, label in stream.made if label is not None and label["trap"])
    record = {**trap, "kind": "binge", "severity": "medium", "event_time": 0}
    figures = measured(stream, Said([Alarm.of_flag(record)]))
    assert figures["false"] == 1
    assert figures["false_on"] == {f"trap {trap['trap']}": 1}
    assert figures["false_by_kind"] == {"binge": 1}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_to_its_budget(stream: Stream, name: str) -> None:
    said = theirs(stream, BASELINES[name], 12, cool_down_ms=86_400_000)
    assert 0 < len(said.alarms) <= 12
    assert len(said.scores) == stream.tips


@pytest.mark.parametrize("baseline", [ZScore(), Script()])
def test_a_tip_far_above_the_rest_is_more_unusual_than_most(baseline: Baseline) -> None:
    tips = [
        {"tipper_id": f"t{n % 20}", "amount": f"{1 + n % 7}", "event_time": n * 60_000}
        for n in range(1_500)
    ]
    usual = [baseline.score(tip) for tip in tips][1_000:]
    odd = baseline.score({"tipper_id": "t1", "amount": "90000", "event_time": 1_500 * 60_000})
    assert odd > sorted(usual)[int(0.9 * len(usual))]


def test_a_family_left_out_leaves_no_field_of_it(stream: Stream) -> None:
    events: list[dict[str, Any]] = [event for event, _ in stream.made]
    before = orjson.dumps(events)
    for platform in FAMILIES.values():
        for event in blinded(events, platform):
            assert not platform.missing.keys() & event.keys()
            assert event["type"] not in platform.silent
    assert orjson.dumps(events) == before


@pytest.mark.parametrize("mix", MIXES)
def test_every_mix_can_be_made_short_and_has_cases(mix: str) -> None:
    assert Stream(MIXES[mix].scenario(seed=1, size=0.1)).answers.cases


def test_a_case_of_which_the_platform_tells_nothing_is_no_miss() -> None:
    bare = Stream(MIXES["bare"].scenario(seed=1, size=0.3))
    figures = measured(bare, Said())
    assert figures["untold"] > 0
    assert "ring" not in figures["recall"]
    assert figures["recall"]["binge"][1] > 0
    everyday = Stream(MIXES["everyday"].scenario(seed=1, size=0.2))
    assert len(everyday.told) == len(everyday.answers.cases)
