"""Which cases somebody is told of: made of flags and verdicts, in whatever order they are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from detector.core.case_alerts import CaseAlerts
from detector.core.verdict import Verdict

NOW = 1_800_000_000_000
LASTS = 86_400_000
LIVES = 30 * LASTS


def flag(number: int, case: str = "c_1", severity: str = "high", **more: Any) -> dict[str, Any]:
    return {
        "flag_id": f"f_{number}", "case_id": case, "event_id": f"e_{number}", "kind": "minor",
        "severity": severity, "event_time": NOW + number, "detector": {"shadow": False}, **more,
    }  # fmt: skip


def verdict(number: int, judgement: str = "confirmed", is_of_event: bool = False) -> Verdict:
    flag_id, event_id = (None, f"e_{number}") if is_of_event else (f"f_{number}", None)
    return Verdict(flag_id, event_id, judgement, "minor", "r", NOW, None)


def cases_of(steps: Sequence[tuple[Any, int]], most: int = 100) -> CaseAlerts:
    """The cases after these flags and verdicts, each with when it was written."""
    cases = CaseAlerts(LASTS, LIVES, most)
    for record, at in steps:
        if isinstance(record, Verdict):
            cases.add_verdict(record, NOW + at)
        else:
            cases.add_flag(record, NOW + at, NOW + at)
    return cases


@pytest.mark.parametrize(
    ("steps", "active"),
    [
        ([(flag(1), 1)], True),
        ([(flag(1, severity="medium"), 1)], False),
        ([(flag(1, severity="medium"), 1), (flag(2), 2)], True),
        ([(flag(1, detector={"shadow": True}), 1)], False),
        ([(flag(1), 1), (verdict(1), 2)], False),
        ([(flag(1), 1), (verdict(1, "false_positive"), 2)], False),
        ([(flag(1), 1), (verdict(1, "unclear"), 2)], True),
        ([(flag(1), 1), (verdict(1, is_of_event=True), 2)], False),
        ([(flag(1), 1), (verdict(2), 2)], True),
        ([(flag(1), 1), (verdict(1), 2), (flag(3), 3)], False),
        ([(flag(1, severity="medium"), 1), (verdict(1), 2), (flag(3), 3)], True),
        ([(flag(1, severity="medium"), 1), (flag(2), 2), (verdict(1), 3)], False),
    ],
    ids=[
        "high", "medium", "worsened", "of a shadow", "confirmed", "false positive", "unclear",
        "judged by its event", "another was judged", "confirmed, then updated",
        "judged before it worsened", "judged by an earlier flag",
    ],
)  # fmt: skip
def test_a_case_is_told_of_or_not_in_whatever_order_flags_and_verdicts_are_read(
    steps: list[tuple[Any, int]], active: bool
) -> None:
    for order in permutations(steps):
        assert list(cases_of(order).active) == ["c_1"] * active, order


def test_what_a_storm_kept_from_paging_is_not_told_of_by_its_updates_either() -> None:
    assert not cases_of([(flag(1, paged=False), 1), (flag(2), 2)]).active
    assert cases_of([(flag(1), 1), (flag(2, paged=False), 2)]).active


def test_a_case_is_over_some_time_after_its_newest_high_flag() -> None:
    late = flag(3)
    cases = cases_of(
        [(flag(1), 1), (flag(5), 5), (late, 6), (flag(9, severity="medium"), 9)]
    )  # fmt: skip
    cases.expire(NOW + 4 + LASTS)
    assert cases.active["c_1"].since_ms == NOW + 1
    cases.expire(NOW + 5 + LASTS)
    assert not cases.active
    cases.add_flag(flag(1), NOW + 1, NOW + 5 + LASTS)
    assert not cases.active


def test_beyond_the_limit_the_case_with_the_oldest_news_is_dropped_and_more_brings_it_back() -> (
    None
):
    cases = cases_of([(flag(n, f"c_{n}"), n) for n in (1, 2)], most=2)
    cases.add_flag(flag(3, "c_1"), NOW + 3, NOW + 3)
    cases.add_flag(flag(4, "c_3"), NOW + 4, NOW + 4)
    assert (sorted(cases.active), cases.dropped, cases.is_over("c_2")) == (["c_1", "c_3"], 1, True)
    cases.add_flag(flag(5, "c_2"), NOW + 5, NOW + 5)
    assert (sorted(cases.active), cases.dropped) == (["c_2", "c_3"], 2)
    assert [cases.is_over(case) for case in ("c_1", "c_2")] == [True, False]


@pytest.mark.parametrize("first", ["high", "medium"])
def test_a_judged_case_stays_untold_of_as_long_as_it_goes_on_also_to_who_reads_all_again(
    first: str,
) -> None:
    day = LASTS - 1
    steps: list[tuple[Any, int]] = [(flag(0, severity=first), 0), (flag(1), 1), (verdict(0), 2)]
    steps += [(flag(n * day), n * day) for n in range(1, 30)]
    live = cases_of(steps)
    assert not live.active
    again = CaseAlerts(LASTS, LIVES, 100)
    for record, at in sorted(steps, key=lambda step: not isinstance(step[0], Verdict)):
        if isinstance(record, Verdict):
            again.add_verdict(record, NOW + at)
        else:
            again.add_flag(record, NOW + at, NOW + 30 * day)
    assert not again.active


def test_only_what_is_known_to_have_ended_is_over() -> None:
    cases = cases_of([(flag(1), 1), (verdict(1), 2), (flag(2, "c_2"), 3)])
    assert [cases.is_over(case) for case in ("c_1", "c_2", "c_of_others")] == [True, False, False]
