"""A candidate on trial says what it would have done, and changes nothing that is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.decision import Decision
from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.event import Event
from detector.core.fusion import Thresholds
from detector.core.policy import parse_policy
from detector.core.shadow import SHADOW_SECTIONS, Candidate
from detector.core.state import SECTIONS
from detector.core.verdict import Verdict
from tests import engines
from tests.core.test_state import SMALL, events
from tests.core.write_state import START_MS, pk, tip

LIVE = engines.policy("cn")
THRESHOLDS = {
    kind: Thresholds(0.3, 0.4, 0.9) for kind in engines.settings().make_engine_config().thresholds
}
"""In force: so low that statistical findings are many."""

SAME = Candidate(LIVE, THRESHOLDS)
EAGER = Candidate(LIVE, {kind: Thresholds(0.1, 0.15, 0.9) for kind in THRESHOLDS})
DULL = Candidate(LIVE, {kind: Thresholds(0.97, 0.98, 0.99) for kind in THRESHOLDS})


def fresh(candidate: Candidate | None, **changes: Any) -> Engine:
    config = replace(
        engines.settings().make_engine_config(), **{**SMALL, "thresholds": THRESHOLDS, **changes}
    )
    return Engine(config, LIVE, engines.currencies(), candidate=candidate)


def decided(of: Engine, event: Event) -> Decision | None:
    decision = of.process(event)
    return None if isinstance(decision, Skipped) else decision


@cache
def run(name: str) -> list[Decision]:
    """Decisions on a stream with cases of every kind of tipper, and with PKs at night."""
    tested = fresh({"same": SAME, "eager": EAGER, "dull": DULL, "none": None}[name])
    return [each for event in events(0) if (each := decided(tested, event)) is not None]


def live_of(decision: Decision) -> Any:
    """All that the policy in force says of an event."""
    flags = [flag.record for flag in decision.flags]
    return decision.scores, decision.any_kind, flags, decision.accounts


def findings(name: str) -> Counter[str]:
    return Counter(
        who
        for decision in run(name)
        if decision.shadow is not None
        for _, who in decision.shadow.findings
    )


def unmarked(record: dict[str, Any]) -> dict[str, Any]:
    """A flag without its ids, its mark, what learning adds, and what a storm does to its page."""
    kept = {name: value for name, value in record.items() if name not in ("flag_id", "case_id",
            "paged")}  # fmt: skip
    kept["features"] = {name: value for name, value in record["features"].items()
                        if not name.startswith(("learn_", "cell_"))}  # fmt: skip
    kept["detector"] = {"version": record["detector"]["version"]}
    return kept


@pytest.mark.parametrize("name", ["same", "eager", "dull"])
def test_nothing_that_is_done_depends_on_a_trial(name: str) -> None:
    assert [live_of(each) for each in run(name)] == [live_of(each) for each in run("none")]


def test_an_equal_candidate_agrees_and_raises_equal_flags_but_for_mark_and_ids() -> None:
    assert set(findings("same")) == {"agreed"}
    pairs = [(each.flags, each.shadow.flags) for each in run("same") if each.shadow is not None]
    assert sum(len(live) for live, _ in pairs) > 20
    for live, own in pairs:
        assert [unmarked(flag.record) for flag in own] == [unmarked(flag.record) for flag in live]
        for flag in own:
            assert flag.record["detector"]["shadow"] is True
            assert flag.record["paged"] is False
            assert flag.record["flag_id"].startswith("fs_")
            assert flag.record["case_id"].startswith("cs_")


def test_a_stricter_candidate_only_adds_findings() -> None:
    found = findings("eager")
    assert set(found) == {"agreed", "only_shadow"}
    assert found["agreed"] == findings("same")["agreed"]


def test_a_laxer_candidate_only_misses_findings() -> None:
    found = findings("dull")
    assert set(found) == {"agreed", "only_live"}
    assert found.total() == findings("same").total()


def test_its_flags_stand_among_those_of_the_record_after_the_others() -> None:
    decision = next(each for each in run("same") if each.shadow is not None and each.shadow.flags)
    assert decision.shadow is not None
    marks = [flag["detector"]["shadow"] for flag in decision.to_record()["flags"]]
    assert marks == [False] * len(decision.flags) + [True] * len(decision.shadow.flags)


def changed_pack(rule_type: str, line: str, instead: str) -> Candidate:
    """The shipped pack with one line of the first rule of a type changed."""
    text = (engines.POLICIES / "cn.toml").read_text("utf-8")
    before, rule, after = text.partition(f'type = "{rule_type}"')
    assert line in after
    text = before + rule + after.replace(line, instead, 1)
    return Candidate(parse_policy(text, "trial.toml", engines.currencies()), THRESHOLDS)


def test_only_what_the_packs_say_differs_where_the_thresholds_are_the_same() -> None:
    lenient = changed_pack("declared_minor", "age_below = 18", "age_below = 14")
    tested, reader = fresh(lenient), engines.engine("cn")[1]
    records = [{**tip(n, START_MS + n * 1000, f"t{n}"), "tipper_age": age}
               for n, age in enumerate((12, 16, 30))]  # fmt: skip
    decisions = [decided(tested, reader.read(each, engines.RECEIVED_MS)) for each in records]
    found = [each.shadow.findings for each in decisions if each is not None and each.shadow]
    assert found == [[("minor", "agreed")], [("minor", "only_live")], []]


def nights(limit: int) -> Candidate:
    return changed_pack("room_count", "limit = 2", f"limit = {limit}")


def test_pks_are_counted_by_each_pack_for_itself() -> None:
    limit = 2
    reader = engines.engine("cn")[1]
    read = [reader.read(pk(n, START_MS + n * 1000), engines.RECEIVED_MS) for n in range(limit + 3)]
    tested = fresh(nights(limit + 2))
    found = [each.shadow.findings for event in read
             if (each := decided(tested, event)) is not None and each.shadow]  # fmt: skip
    assert found == [[]] * limit + [[("cap", "only_live")]] * 2 + [[("cap", "agreed")]]
    assert tested.sizes()["shadow_pks"] == 1


def test_what_a_reviewer_snoozed_is_snoozed_for_both() -> None:
    tested = fresh(SAME, snooze_ms=30 * 86_400_000, case_cool_down_ms=0)
    reader = engines.engine("cn")[1]
    records = [{**tip(n, START_MS + n * 1000, "t1"), "tipper_age": 12} for n in range(2)]
    first = decided(tested, reader.read(records[0], engines.RECEIVED_MS))
    assert first is not None and first.shadow is not None and len(first.shadow.flags) == 1
    tested.learn(verdict(first.flags[0].record["flag_id"]))
    second = decided(tested, reader.read(records[1], engines.RECEIVED_MS))
    assert second is not None and second.shadow is not None
    assert (second.flags, second.shadow.flags) == ([], [])
    assert second.shadow.findings == [("minor", "agreed")]
    assert tested.snoozed == 1


def verdict(flag_id: str) -> Verdict:
    return Verdict(
        flag_id=flag_id, event_id=None, judgement="false_positive", kind="minor", reviewer="r1",
        decided_ms=START_MS, features=None,
    )  # fmt: skip


def test_a_verdict_on_a_flag_of_a_trial_teaches_nothing() -> None:
    tested, reader = fresh(SAME), engines.engine("cn")[1]
    record = {**tip(0, START_MS, "t1"), "tipper_age": 12}
    decision = decided(tested, reader.read(record, engines.RECEIVED_MS))
    assert decision is not None and decision.shadow is not None
    said = decision.shadow.flags[0].record
    on_it = verdict(said["flag_id"])._replace(features=said["features"])
    assert tested.learn(on_it) == "unknown"


def said(of: Engine, event: Event) -> Any:
    decision = decided(of, event)
    if decision is None or decision.shadow is None:
        return decision
    return decision.to_record(), decision.shadow.findings


@pytest.mark.parametrize("candidate", [EAGER, nights(1)], ids=["thresholds", "pack"])
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 900), max_size=3))
def test_cut_anywhere_it_says_what_it_says_in_one_run(
    candidate: Candidate, cuts: list[int]
) -> None:
    running, expected = fresh(candidate), fresh(candidate)
    chunks = list(running.save_all())
    for number, event in enumerate(events(1)):
        if number in cuts:
            chunks += running.save_changes()
            running = fresh(candidate)
            for chunk in chunks:
                running.load(chunk)
        assert said(running, event) == said(expected, event)


def test_a_state_without_a_trial_has_nothing_of_one() -> None:
    plain = fresh(None)
    for event in events(0):
        plain.process(event)
    chunks = list(plain.save_all())
    assert not {SECTIONS[chunk[1]] for chunk in chunks} & SHADOW_SECTIONS
    assert b"shadow" not in b"".join(chunks)


def saved(*candidates: Candidate | None) -> list[bytes]:
    """A series of saves, each by an engine with the next candidate that loaded those before."""
    chunks: list[bytes] = []
    for number, candidate in enumerate(candidates):
        running = fresh(candidate, case_cool_down_ms=10**12)
        for chunk in chunks:
            running.load(chunk)
        for event in events(0)[number * 350 : number * 350 + 350]:
            running.process(event)
        chunks += running.save_changes()
    return chunks


def loaded(chunks: list[bytes], candidate: Candidate | None) -> Engine:
    made = fresh(candidate, case_cool_down_ms=10**12)
    for chunk in chunks:
        made.load(chunk)
    return made


def test_a_trial_that_ended_is_dropped_from_the_state() -> None:
    plain, after = loaded(saved(None), None), loaded(saved(SAME), None)
    assert after.sizes() == plain.sizes()
    assert b"".join(after.save_all()) == b"".join(plain.save_all())


def test_a_trial_that_begins_begins_with_nothing() -> None:
    begun = loaded(saved(None), SAME)
    assert begun.sizes()["cases"] > 0
    assert begun.sizes()["shadow_cases"] == 0


def test_a_trial_that_was_interrupted_begins_anew() -> None:
    interrupted = loaded(saved(SAME, None), SAME)
    assert loaded(saved(SAME), SAME).sizes()["shadow_cases"] > 0
    assert (interrupted.sizes()["shadow_cases"], interrupted.sizes()["cases"] > 0) == (0, True)
    resumed = saved(SAME, None, EAGER)
    again = loaded(resumed, EAGER)
    assert again.sizes()["shadow_cases"] > 0
    assert list(again.save_all()) == list(loaded(resumed, EAGER).save_all())


def test_another_candidate_takes_over_what_is_saved_of_the_one_before() -> None:
    before = loaded(saved(EAGER), EAGER)
    assert loaded(saved(EAGER), nights(1)).sizes() == before.sizes()
