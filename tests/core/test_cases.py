"""Findings become few flags: cases end, subjects are snoozed, and a storm does not page."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.cases import Cases, Opened
from detector.core.decision import Decision
from detector.core.event import Event
from detector.core.fusion import Flag, Fusion, Thresholds
from detector.core.reasons import Reason
from detector.core.storm import Storm
from detector.core.tipper import CONFIRMED_MINOR, DECLARED_MINOR, Notes
from detector.core.verdict import Verdict
from tests.engines import RECEIVED_MS, engine, policy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_772_424_000_000


def add(
    cases: Cases, at_ms: int, severity: str = "medium", subject_id: str = "t1",
    kind: str = "outsized", figure: float = 5.0,
) -> Opened:  # fmt: skip
    return cases.add(
        kind, "tipper", subject_id, severity, "above_own_history", figure, f"e{at_ms}", at_ms,
        is_fact=False,
    )  # fmt: skip


def month_long() -> Cases:
    return Cases(cool_down_ms=DAY_MS, max_age_ms=30 * DAY_MS)


# -- cases -----------------------------------------------------------------------------------------


def test_a_case_that_never_cools_down_is_opened_anew_after_its_greatest_age() -> None:
    cases = month_long()
    steps = [add(cases, hour * HOUR_MS) for hour in range(0, 62 * 24, 12)]
    opened = [number / 2 for number, each in enumerate(steps) if each.step == "opened"]
    assert opened == [0, 30.5, 61]
    assert len({each.case_id for each in steps}) == 3
    assert {each.step for each in steps} == {"opened", "silent"}


def test_a_case_that_cools_down_is_opened_anew_long_before_that() -> None:
    cases = month_long()
    assert [add(cases, at_ms).step for at_ms in (0, DAY_MS, 2 * DAY_MS + 1)] == [
        "opened", "silent", "opened",
    ]  # fmt: skip


# -- snoozes ---------------------------------------------------------------------------------------


def test_while_a_subject_is_snoozed_its_findings_are_counted_and_not_written() -> None:
    cases = month_long()
    add(cases, 0)
    cases.snooze("outsized", "tipper", "t1", until_ms=10 * DAY_MS, now_ms=HOUR_MS)
    steps = [add(cases, day * DAY_MS, figure=5.0 * day).step for day in range(1, 12)]
    assert steps == ["snoozed"] * 9 + ["opened", "silent"]
    assert cases.snoozed == 9


def test_what_is_graver_than_what_was_snoozed_is_written() -> None:
    cases = month_long()
    first = add(cases, 0, "medium")
    cases.snooze("outsized", "tipper", "t1", until_ms=10 * DAY_MS, now_ms=1)
    assert [add(cases, 2, "low"), add(cases, 3, "medium")] == [Opened("", "snoozed")] * 2
    assert add(cases, 4, "high") == Opened(first.case_id, "worsened")
    assert add(cases, 5, "medium").step == "snoozed"


@pytest.mark.parametrize(
    ("severity", "written"),
    [(None, ["high"]), ("low", ["medium", "high"]), ("high", [])],
)
def test_without_a_case_a_snooze_covers_what_it_is_told_or_all_but_high(
    severity: str | None, written: list[str]
) -> None:
    cases = month_long()
    cases.snooze("outsized", "tipper", "t1", DAY_MS, 0, severity)
    found = [each for each in ("low", "medium", "high") if add(cases, 1, each).step != "snoozed"]
    assert found == written


def test_a_snooze_is_of_one_kind_and_one_subject() -> None:
    cases = month_long()
    cases.snooze("outsized", "tipper", "t1", until_ms=DAY_MS, now_ms=0)
    assert add(cases, 1, subject_id="t2").step == "opened"
    assert add(cases, 1, kind="binge").step == "opened"
    assert add(cases, 1).step == "snoozed"


def test_a_snooze_can_be_lifted_and_lasts_no_longer_than_flags_are_kept() -> None:
    cases = month_long()
    cases.snooze("outsized", "tipper", "t1", until_ms=1 << 60, now_ms=0)
    assert add(cases, 90 * DAY_MS - 1).step == "snoozed"
    assert add(cases, 90 * DAY_MS).step == "opened"
    cases.snooze("outsized", "tipper", "t1", until_ms=1 << 60, now_ms=90 * DAY_MS)
    assert add(cases, 90 * DAY_MS + 1).step == "snoozed"
    cases.snooze("outsized", "tipper", "t1", until_ms=0, now_ms=90 * DAY_MS)
    assert add(cases, 90 * DAY_MS + 2).step == "silent"


# -- storms ----------------------------------------------------------------------------------------


def test_a_storm_pages_once_more_than_its_limit_and_then_not_until_the_rate_has_fallen() -> None:
    storm = Storm(most=4, window_ms=1_000)
    met = [storm.meet("high", "opened", at_ms) for at_ms in range(0, 200, 10)]
    assert met == [{}] * 4 + [{"storm": True}] + [{"storm": True, "paged": False}] * 15
    assert storm.is_on(1_149)  # three of the newest are within the window, half of four are not
    assert not storm.is_on(1_190)
    assert storm.meet("high", "opened", 1_500) == {}
    assert storm.storms == 1


def test_a_storm_goes_on_while_more_than_half_its_limit_come() -> None:
    storm = Storm(most=4, window_ms=1_000)
    for at_ms in range(5):
        storm.meet("high", "opened", at_ms)
    slower = [storm.meet("high", "opened", at_ms) for at_ms in range(300, 3_000, 300)]
    assert slower == [{"storm": True, "paged": False}] * len(slower)
    still_slower = [storm.meet("high", "opened", at_ms) for at_ms in range(3_700, 9_000, 600)]
    assert still_slower == [{}] * len(still_slower)


def test_only_what_would_page_makes_a_storm() -> None:
    storm = Storm(most=2, window_ms=1_000)
    for at_ms in range(50):
        assert storm.meet("high", "updated", at_ms) == {}
        assert storm.meet("medium", "opened", at_ms) == {}
    assert storm.storms == 0


def test_what_is_no_high_flag_says_that_there_is_a_storm_and_pages_as_ever() -> None:
    storm = Storm(most=1, window_ms=1_000)
    assert [storm.meet("high", "worsened", at_ms) for at_ms in (0, 1)] == [{}, {"storm": True}]
    assert storm.meet("medium", "opened", 2) == {"storm": True}
    assert storm.meet("high", "updated", 2) == {"storm": True, "paged": False}


def test_an_event_that_comes_late_counts_as_now() -> None:
    storm = Storm(most=2, window_ms=1_000)
    met = [storm.meet("high", "opened", at_ms) for at_ms in (5_000, 10, 20, 30)]
    assert met[2:] == [{"storm": True}, {"storm": True, "paged": False}]


@given(
    st.lists(st.tuples(st.sampled_from(["high", "low"]), st.integers(0, 500)), max_size=60),
    st.integers(1, 5),
    st.integers(0, 60),
)
def test_a_storm_is_what_counting_every_flag_says_and_is_gone_on_from_anywhere(
    flags: list[tuple[str, int]], most: int, cut: int
) -> None:
    storm, is_on, now_ms, times = Storm(most, 1_000), False, 0, list[int]()
    for number, (severity, after_ms) in enumerate(flags):
        if number == cut:
            saved, storm = storm.save(), Storm(most, 1_000)
            storm.load(saved)
        now_ms += after_ms
        within = [each for each in times if each > now_ms - 1_000]
        was_on = is_on = is_on and len(within) > most // 2
        assert storm.is_on(now_ms) == is_on
        if severity == "high":
            times.append(now_ms)
            is_on = is_on or len(within) + 1 > most
        found = storm.meet(severity, "opened", now_ms)
        assert found == {
            **({"storm": True} if is_on else {}),
            **({"paged": False} if was_on and severity == "high" else {}),
        }


# -- from findings to flags ------------------------------------------------------------------------


def reason(family: str, weight: float, is_benign: bool = False) -> Reason:
    code = "benign_combo" if is_benign else "new_device"
    return Reason(code, family, 1.0, None, None, "times", 0, weight, is_benign=is_benign)


def fuse(score: float, *reasons: Reason) -> Flag | None:
    fusion = Fusion(policy(), {"binge": Thresholds(0.5, 0.7, 0.9)}, month_long(), Storm(10, 1_000))
    event = Event()
    event.event_id, event.event_time_ms = "e1", START_MS
    return fusion.flag("binge", score, list(reasons), event, ("tipper", "t1"), 1, {})


def severity(score: float, *reasons: Reason) -> str | None:
    flag = fuse(score, *reasons)
    return None if flag is None else flag.severity


def test_high_needs_two_families_each_of_real_weight() -> None:
    amount = reason("amount", 0.9)
    assert severity(0.95, amount, reason("tempo", 0.35)) == "high"
    assert severity(0.95, amount, reason("tempo", 0.34)) == "medium"
    assert severity(0.95, amount, reason("tempo", 0.3), reason("tempo", 0.3)) == "medium"
    assert severity(0.95, amount, reason("amount", 0.9)) == "medium"
    assert severity(0.95, amount, reason("tempo", 0.9, is_benign=True)) == "medium"
    assert severity(0.89, amount, reason("tempo", 0.9)) == "medium"
    assert severity(0.69, amount, reason("tempo", 0.9)) == "low"


def test_what_speaks_against_a_finding_is_no_finding() -> None:
    assert severity(0.95, reason("amount", 0.9, is_benign=True)) is None
    assert severity(0.95) is None


def test_reasons_are_told_strongest_first_and_what_speaks_against_it_last() -> None:
    flag = fuse(
        0.95, reason("content", 0.9, is_benign=True), reason("tempo", 0.4),
        reason("amount", 0.2, is_benign=True), reason("amount", 0.8), reason("device", 0.1),
    )  # fmt: skip
    assert flag is not None
    assert [each["family"] for each in flag.record["reasons"]] == [
        "amount", "tempo", "device", "content", "amount",
    ]  # fmt: skip


# -- in the engine ---------------------------------------------------------------------------------


class Children:
    """A site where each tipper says that he is twelve, so that every tip is a hard fact."""

    def __init__(self, **changes: Any) -> None:
        self.engine, self._reader = engine("cn", **changes)
        self._count = 0

    def tip(self, tipper_id: str, at_ms: int) -> Decision:
        self._count += 1
        record = {
            "event_id": f"e{self._count}", "event_time": at_ms, "tipper_id": tipper_id,
            "streamer_id": "s1", "amount": "1", "currency": "CNY", "tipper_age": 12,
        }  # fmt: skip
        decision = self.engine.process(self._reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        return decision


def test_a_verdict_that_is_taken_back_leaves_neither_quiet_nor_a_known_minor() -> None:
    site = Children()
    (flag,) = site.tip("t1", START_MS).flags

    def judge(judgement: str, decided_ms: int) -> None:
        site.engine.learn(
            Verdict(flag.record["flag_id"], None, judgement, "minor", "lin", decided_ms, None)
        )

    def facts() -> int:
        return Notes.of(site.engine._tipper_view._tipper("t1").notes).facts

    judge("false_positive", 1)
    assert site.tip("t1", START_MS + 1).flags == []
    judge("unclear", 2)
    assert len(site.tip("t1", START_MS + 2).flags) == 1
    judge("confirmed", 3)
    assert facts() & CONFIRMED_MINOR
    judge("unclear", 4)
    assert facts() & (CONFIRMED_MINOR | DECLARED_MINOR) == DECLARED_MINOR


def test_a_storm_of_declared_minors_is_written_in_full_and_pages_a_few_times() -> None:
    site = Children(storm_flags=3, storm_window_ms=60_000)
    flags = [site.tip(f"t{number}", START_MS + number * 1_000).flags[0] for number in range(10)]
    assert [flag.record.get("paged", True) for flag in flags] == [True] * 4 + [False] * 6
    assert [flag.record.get("storm", False) for flag in flags] == [False] * 3 + [True] * 7
    assert (site.engine.is_storm, site.engine.storms) == (True, 1)
    later = site.tip("t99", START_MS + 120_000).flags[0].record
    assert not {"paged", "storm"} & later.keys()
    assert (site.engine.is_storm, site.engine.storms) == (False, 1)


def test_a_child_that_tips_in_bursts_is_no_storm() -> None:
    site = Children(storm_flags=3, storm_window_ms=60_000)
    for number in range(30):
        (flag,) = site.tip("t1", START_MS + number * 100).flags
        assert not {"paged", "storm"} & flag.record.keys()


def test_a_snooze_told_to_the_engine_holds_until_event_time_has_passed_it() -> None:
    site = Children()
    assert len(site.tip("t1", START_MS).flags) == 1
    site.engine.snooze("minor", "tipper", "t1", START_MS + HOUR_MS)
    assert [len(site.tip("t1", START_MS + minute * 60_000).flags) for minute in (1, 59, 60)] == [
        0, 0, 1,
    ]  # fmt: skip
    assert len(site.tip("t2", START_MS + HOUR_MS).flags) == 1
    assert site.engine.snoozed == 2


def test_a_limit_larger_than_any_integer_of_json_can_be_written() -> None:
    reason = Reason("day_above_own", "amount", 5e9, 70.0, 3e20, "CNY", 21, 0.9)
    record = reason.to_record()
    assert (record["observed"], record["usual"]) == (5_000_000_000, 70)
    assert orjson.loads(orjson.dumps(record))["limit"] == 3e20
