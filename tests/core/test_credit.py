"""Credit: what cases cost, what verdicts give back, what clean time heals, and what is told."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.core.account import MAX_MARKS, NEVER_MS, WEEK_MS, Account, CreditRules, Mark
from detector.core.credit import MAX_REASONS, Credit
from detector.core.decision import Decision
from detector.core.event import Event
from detector.core.fusion import Flag
from detector.core.prominence import Prominences
from detector.core.reasons import KINDS, SEVERITIES
from detector.core.wording.credit import CREDIT, KIND_WORDS, SEVERITY_WORDS
from tests.engines import RECEIVED_MS, engine

DAY_MS = 86_400_000
START_MS = 1_772_424_000_000
RULES = CreditRules(2.0, 0.5, tier_a=100, tier_b=80, tier_c=60, top_share=0.01, max_entries=1_000)


class Desk:
    """Credit on its own, given flags and verdicts."""

    def __init__(self, rules: CreditRules = RULES) -> None:
        self.prominences = Prominences(rules.top_share, 1_000, 90 * DAY_MS)
        self.credit = Credit(rules, self.prominences)
        self._numbers = count()

    def flag(
        self, kind: str = "ring", severity: str = "high", at_ms: int = START_MS,
        subject: tuple[str, str] = ("streamer", "s1"), case_id: str = "", ratio: float = 1.0,
        days_known: float = 0.0, family: str = "money_flow", code: str = "above_site",
    ) -> dict[str, Any] | None:  # fmt: skip
        """One flag; the record that it led to."""
        record = {
            "kind": kind, "severity": severity, "event_time": at_ms,
            "case_id": case_id or f"c_{next(self._numbers)}",
            "subject": {"type": subject[0], "id": subject[1]},
            "reasons": [{"code": code, "family": family, "observed": 100 * ratio, "limit": 100},
                        {"code": code, "family": family, "observed": 9, "limit": None}],
            "features": {"days_known": days_known},
        }  # fmt: skip
        return self.credit.flagged(Flag(record, "opened"), at_ms)

    def score(self, **flag: Any) -> int:
        """The score right after a first flag."""
        record = self.flag(**flag)
        assert record is not None
        score: int = record["score"]
        return score

    def recovered_at(self, now_ms: int) -> list[int]:
        """The scores that clean time alone has raised."""
        return [record["score"] for record in self.credit.recovered(now_ms)]

    def judge(self, judgement: str, at_ms: int = START_MS, kind: str = "ring", **more: Any) -> Any:
        return self.credit.judged(kind, ("streamer", "s1"), judgement, at_ms, **more)


def full() -> CreditRules:
    """Rules by which an open case costs as much as a confirmed one."""
    return CreditRules(2.0, 1.0, 100, 80, 60, 0.01, 1_000)


# -- what a case costs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "ratio", "points"),
    [("low", 1, 1), ("low", 3, 2), ("medium", 2.9, 3), ("medium", 10, 5), ("high", 1, 6),
     ("high", 10_000, 8)],
)  # fmt: skip
def test_a_case_costs_one_to_eight_points_by_severity_and_size(
    severity: str, ratio: float, points: int
) -> None:
    assert Desk(full()).score(severity=severity, ratio=ratio) == 100 - points


def test_how_far_a_limit_was_passed_counts_only_of_amounts_that_speak_against_the_account() -> None:
    assert Desk(full()).score(ratio=50, family="tempo") == 94
    assert Desk(full()).score(ratio=50, code="benign_combo") == 94


@pytest.mark.parametrize("kind", KINDS)
def test_what_calls_for_care_costs_a_tipper_half(kind: str) -> None:
    score = Desk(full()).score(kind=kind, subject=("tipper", "t1"))
    assert score == (94 if kind in ("gambling", "ring", "refund_abuse") else 97)
    assert Desk(full()).score(kind=kind, subject=("streamer", "s1")) == 94


def test_an_open_case_costs_its_share_and_a_confirmed_one_all_of_it() -> None:
    desk = Desk()
    assert desk.score() == 97
    assert desk.judge("confirmed")["score"] == 94
    assert desk.judge("confirmed") is None


def test_one_case_costs_once_and_as_much_as_it_came_to() -> None:
    desk = Desk(full())
    assert desk.score(severity="low", case_id="c_1") == 99
    assert desk.flag(severity="low", case_id="c_1", at_ms=START_MS + 1) is None
    worse = desk.flag(severity="high", case_id="c_1", at_ms=START_MS + 2)
    assert worse is not None
    assert worse["score"] == 94
    assert desk.flag(severity="low", case_id="c_1", at_ms=START_MS + 3) is None


def test_a_score_is_never_below_nothing_and_heals_from_there() -> None:
    desk = Desk(full())
    scores = [desk.score(at_ms=START_MS + hour) for hour in range(30)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == 0
    assert desk.recovered_at(START_MS + WEEK_MS + 30) == [2]


# -- verdicts --------------------------------------------------------------------------------------


def test_a_false_case_is_given_back_in_full_with_the_time_it_had_spoiled() -> None:
    desk, clean = Desk(full()), Desk(full())
    for each in (desk, clean):
        each.flag(case_id="c_1")
    desk.flag(case_id="c_2", at_ms=START_MS + WEEK_MS)
    at_ms = START_MS + 2 * WEEK_MS
    assert clean.recovered_at(at_ms) == [98]
    given_back = desk.judge("false_positive", at_ms, case_id="c_2")
    assert given_back["score"] == 98
    assert [each["case_id"] for each in given_back["reasons"]] == ["c_1"]


def test_a_false_case_stays_so_until_it_becomes_graver() -> None:
    desk = Desk(full())
    desk.flag(severity="medium", case_id="c_1")
    assert desk.judge("false_positive")["score"] == 100
    assert desk.flag(severity="medium", case_id="c_1", at_ms=START_MS + 1) is None
    assert desk.score(severity="high", case_id="c_1", at_ms=START_MS + 2) == 94


def test_a_verdict_can_be_taken_back() -> None:
    desk = Desk()
    assert desk.score() == 97
    assert desk.judge("false_positive")["score"] == 100
    assert desk.judge("confirmed")["score"] == 94


def test_an_unclear_verdict_takes_back_the_one_before() -> None:
    for judgement in ("false_positive", "confirmed"):
        desk = Desk()
        assert desk.score() == 97
        assert desk.judge(judgement)["score"] != 97
        assert desk.judge("unclear")["score"] == 97


def test_an_unclear_verdict_or_one_on_nothing_changes_nothing() -> None:
    desk = Desk()
    assert desk.judge("false_positive") is None
    desk.flag()
    assert desk.judge("unclear") is None
    assert desk.judge("false_positive", kind="gambling") is None
    assert desk.judge("false_positive", case_id="c_of_another") is None


def test_a_verdict_without_a_case_is_on_the_newest_of_its_kind() -> None:
    desk = Desk()
    for kind, case_id in (("ring", "c_1"), ("ring", "c_2"), ("cap", "c_3")):
        desk.flag(kind=kind, case_id=case_id)
    reasons = desk.judge("confirmed")["reasons"]
    assert [(each["case_id"], each["code"]) for each in reasons] == [
        ("c_3", "case_open"), ("c_2", "case_confirmed"), ("c_1", "case_open"),
    ]  # fmt: skip


def test_what_was_confirmed_and_never_flagged_costs_a_medium_case() -> None:
    record = Desk().judge("confirmed")
    assert record["score"] == 97
    assert [(each["code"], each["case_id"]) for each in record["reasons"]] == [
        ("case_missed", None)
    ]


# -- clean time ------------------------------------------------------------------------------------


def test_clean_time_is_told_point_by_point_up_to_the_most() -> None:
    desk = Desk(full())
    assert desk.score() == 94
    told = {
        hour / 84: scores  # half weeks, of a point each
        for hour in range(24 * 7 * 15)
        if (scores := desk.recovered_at(START_MS + hour * 3_600_000))
    }
    assert told == {half: [94 + half] for half in range(1, 27)}
    assert desk.credit.due_ms == NEVER_MS


def test_each_finding_begins_clean_time_anew() -> None:
    desk = Desk(full())
    for day in range(0, 22, 3):
        desk.flag(case_id="c_1", at_ms=START_MS + day * DAY_MS)
    last_ms = START_MS + 21 * DAY_MS
    assert desk.recovered_at(last_ms + WEEK_MS // 2 - 1) == []
    assert desk.recovered_at(last_ms + WEEK_MS // 2) == [95]


def test_after_a_gap_all_that_are_due_are_told_a_few_at_a_time_and_once() -> None:
    desk = Desk(full())
    for number in range(50):
        desk.flag(subject=("streamer", f"s{number}"))
    told = [desk.recovered_at(START_MS + WEEK_MS) for _ in range(4)]
    assert [len(each) for each in told] == [20, 20, 10, 0]
    assert {score for each in told for score in each} == {96}


def test_an_account_that_is_flagged_all_the_time_does_not_fill_the_schedule() -> None:
    desk = Desk(full())
    for number in range(5_000):
        desk.flag(case_id="c_1", at_ms=START_MS + number)
    assert len(desk.credit._due) < 200
    assert desk.recovered_at(START_MS + 5_000 + WEEK_MS // 2) == [95]


def test_an_account_that_was_long_clean_begins_higher() -> None:
    new, old = Desk(full()), Desk(full())
    assert new.score(kind="refund_abuse", subject=("tipper", "t1")) == 94
    assert old.score(kind="refund_abuse", subject=("tipper", "t1"), days_known=35) == 104
    assert old.score(kind="refund_abuse", subject=("tipper", "t2"), days_known=9_999) == 114


MARKS = st.lists(
    st.builds(
        Mark,
        case_id=st.uuids().map(str),
        kind=st.just("ring"),
        rank=st.just(1),
        points=st.floats(0.5, 13),
        status=st.sampled_from(["open", "confirmed", "missed"]),
        opened_ms=st.integers(0, 90 * DAY_MS),
        last_ms=st.integers(0, 90 * DAY_MS),
    ),
    min_size=1,
    max_size=MAX_MARKS,
)


def account_of(marks: list[Mark]) -> Account:
    account = Account.known_since(0)
    for mark in marks:
        account = account.marked(mark._replace(last_ms=max(mark.opened_ms, mark.last_ms)), RULES)
    return account


@given(MARKS, st.data())
def test_a_mark_that_was_dismissed_might_never_have_been(
    marks: list[Mark], data: st.DataObject
) -> None:
    marks.sort(key=lambda mark: mark.opened_ms)
    at = data.draw(st.integers(0, len(marks) - 1))
    now_ms = data.draw(st.integers(90 * DAY_MS, 200 * DAY_MS))
    with_it = account_of(marks)
    dismissed = with_it.replaced(at, with_it.marks[at]._replace(status="dismissed"))
    without = account_of([*marks[:at], *marks[at + 1 :]])
    assert dismissed.score(now_ms, RULES) == without.score(now_ms, RULES)
    assert with_it.score(now_ms, RULES) <= dismissed.score(now_ms, RULES) <= 120


@given(MARKS, MARKS)
def test_marks_that_are_no_longer_kept_still_count(older: list[Mark], newer: list[Mark]) -> None:
    marks = sorted([*older, *newer], key=lambda mark: mark.opened_ms)
    for index, mark in enumerate(marks):  # no finding of a case after the next one has begun
        marks[index] = mark._replace(last_ms=mark.opened_ms)
    account, now_ms = account_of(marks), 200 * DAY_MS
    whole = Account.known_since(0)._replace(marks=tuple(marks))
    assert len(account.marks) <= MAX_MARKS
    assert account.score(now_ms, RULES) == pytest.approx(whole.score(now_ms, RULES))
    assert Account.load(account.save()) == account


# -- the record ------------------------------------------------------------------------------------


def test_the_record_says_what_costs_how_much_in_both_languages() -> None:
    desk = Desk()
    desk.flag(kind="gambling", severity="medium", at_ms=START_MS, case_id="c_1")
    record = desk.flag(kind="ring", severity="high", at_ms=START_MS + 5, case_id="c_2", ratio=4)
    assert record is not None
    assert record.pop("version")
    assert record == {
        "subject": {"type": "streamer", "id": "s1"},
        "score": 95, "tier": "B", "is_top": False, "attention": "normal",
        "since": START_MS, "updated_at": START_MS + 5,
        "reasons": [
            {"code": "case_open", "points": -3.5, "case_id": "c_2", "kind": "ring",
             "at": START_MS + 5,
             "text": {"en": "An open high case of a ring of accounts: 3.5 points for now, given "
                            "back if a reviewer finds nothing to it",
                      "zh": "团伙刷打赏（高）待核实，暂扣3.5分；核实为误报则返还"}},
            {"code": "case_open", "points": -1.5, "case_id": "c_1", "kind": "gambling",
             "at": START_MS,
             "text": {"en": "An open medium case of gambling by gifts: 1.5 points for now, given "
                            "back if a reviewer finds nothing to it",
                      "zh": "变相赌博（中）待核实，暂扣1.5分；核实为误报则返还"}},
        ],
    }  # fmt: skip


def test_only_the_newest_reasons_are_told() -> None:
    desk = Desk()
    for number in range(20):
        record = desk.flag(case_id=f"c_{number}", at_ms=START_MS + number)
    assert record is not None
    assert [each["case_id"] for each in record["reasons"]] == ["c_19", "c_18", "c_17", "c_16",
                                                               "c_15"]  # fmt: skip
    assert len(record["reasons"]) == MAX_REASONS


def test_tiers_are_counted_by_side() -> None:
    desk = Desk(full())
    for number in range(3):
        desk.flag(subject=("tipper", f"t{number}"))
    for number in range(8):
        desk.flag(subject=("streamer", "s|1"), case_id=f"d_{number}")
    assert desk.credit.tiers() == {("tipper", "B"): 3, ("streamer", "D"): 1}


def test_there_are_words_for_every_kind_severity_and_standing() -> None:
    assert set(KIND_WORDS) == set(KINDS)
    assert set(SEVERITY_WORDS) == set(SEVERITIES)
    assert set(CREDIT) == {"case_open", "case_confirmed", "case_missed"}


def test_accounts_are_bounded_and_forgotten_once_they_must_have_healed() -> None:
    desk = Desk(CreditRules(2.0, 1.0, 100, 80, 60, 0.01, max_entries=10))
    for number in range(50):
        desk.flag(subject=("streamer", f"s{number}"))
    assert len(desk.credit.accounts) <= 10
    idle = Desk(full())
    idle.flag(subject=("streamer", "s1"))
    for half_years in range(1, 5):
        at_ms = START_MS + half_years * 26 * WEEK_MS
        idle.flag(subject=("streamer", f"s{half_years + 1}"), at_ms=at_ms)
    assert idle.credit.accounts.get("streamer|s1") is None


# -- top streamers and their audience --------------------------------------------------------------


def show(prominences: Prominences, streamer: str, day: int, value: int, viewers: int) -> None:
    event = Event()
    event.streamer_id, event.event_time_ms = streamer, START_MS + day * DAY_MS
    event.value_minor, event.viewers = value, viewers
    prominences.add(event, day, event.event_time_ms)


def site(days: int = 12) -> Desk:
    """Forty streamers, each twice as popular as the one before him in a band of ten."""
    desk = Desk(CreditRules(2.0, 1.0, 100, 80, 60, top_share=0.05, max_entries=1_000))
    for day in range(days):
        for number in range(40):
            show(desk.prominences, f"s{number}", day, 100 * 2**number, 10 * 2**number)
    return desk


def test_the_largest_streamers_are_top_ones_and_their_cases_cost_more() -> None:
    desk = site()
    tops = [number for number in range(40) if desk.prominences.is_top(f"s{number}")]
    assert tops in ([38, 39], [39])
    audiences = [desk.prominences.audience(f"s{number}") for number in range(40)]
    assert audiences == sorted(audiences)
    assert audiences[:20] == [0] * 20
    assert audiences[39] >= 4
    largest = desk.flag(subject=("streamer", "s39"))
    smallest = desk.flag(subject=("streamer", "s0"))
    assert largest is not None
    assert smallest is not None
    assert largest["score"] == smallest["score"] - audiences[39]
    assert (largest["is_top"], smallest["is_top"]) == (True, False)


@pytest.mark.parametrize(
    ("is_top", "cases", "attention"),
    [(False, 1, "normal"), (False, 4, "raised"), (False, 9, "close"), (True, 1, "close")],
)
def test_how_closely_to_look_follows_from_tier_and_prominence(
    is_top: bool, cases: int, attention: str
) -> None:
    desk = site()
    for number in range(cases):
        record = desk.flag(subject=("streamer", "s39" if is_top else "s0"), case_id=f"c_{number}")
    assert record is not None
    assert record["attention"] == attention


def test_where_all_are_alike_or_few_were_seen_nobody_is_a_top_streamer() -> None:
    few = site(days=2)
    assert not any(few.prominences.is_top(f"s{number}") for number in range(40))
    alike = Desk()
    for day in range(12):
        for number in range(40):
            show(alike.prominences, f"s{number}", day, 5_000, 300)
    assert not any(alike.prominences.is_top(f"s{number}") for number in range(40))
    assert not any(alike.prominences.audience(f"s{number}") for number in range(40))


def test_a_site_that_does_not_tell_viewers_has_no_larger_audiences() -> None:
    desk = Desk()
    for day in range(12):
        for number in range(40):
            show(desk.prominences, f"s{number}", day, 100 * 2**number, 0)
    assert not any(desk.prominences.audience(f"s{number}") for number in range(40))


def test_takings_of_long_ago_count_less() -> None:
    desk = site()
    assert desk.prominences.is_top("s39")
    for day in range(12, 300):
        for number in range(38):
            show(desk.prominences, f"s{number}", day, 100 * 2**number, 10)
    show(desk.prominences, "s39", 300, 1, 10)
    assert not desk.prominences.is_top("s39")


# -- in the engine ---------------------------------------------------------------------------------


def test_a_decision_brings_the_records_that_changed_one_a_subject() -> None:
    scorer, reader = engine("cn")

    def tip(number: int, at_ms: int, **more: Any) -> Decision:
        record = {"event_id": f"e{number}", "event_time": at_ms, "tipper_id": "t1",
                  "streamer_id": "s1", "amount": "60000", "currency": "CNY", **more}  # fmt: skip
        decision = scorer.process(reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        return decision

    first = tip(1, START_MS, tipper_age=12)
    assert {flag.kind for flag in first.flags} >= {"minor", "cap"}
    (record,) = first.accounts
    assert record["subject"] == {"type": "tipper", "id": "t1"}
    assert {each["kind"] for each in record["reasons"]} == {flag.kind for flag in first.flags}
    assert "accounts" not in first.to_record()
    assert tip(2, START_MS + 1_000, tipper_age=12).accounts == []
    (healed,) = tip(3, START_MS + 4 * WEEK_MS, amount="1").accounts
    assert healed["score"] > record["score"]
    assert healed["updated_at"] == START_MS + 4 * WEEK_MS


def test_an_account_that_nothing_was_found_about_has_no_record() -> None:
    scorer, reader = engine("cn")
    for number in range(50):
        record = {"event_id": f"e{number}", "event_time": START_MS + number * DAY_MS,
                  "tipper_id": "t1", "streamer_id": "s1", "amount": "5",
                  "currency": "CNY"}  # fmt: skip
        decision = scorer.process(reader.read(record, RECEIVED_MS))
        assert isinstance(decision, Decision)
        assert decision.accounts == []
    assert scorer.sizes()["accounts"] == 0
    assert scorer.tiers() == {}
