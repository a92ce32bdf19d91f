"""The shipped packs keep what they promise, and a pack that is wrong says where and why."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.event_reader import EventReader
from detector.core.examples import check_examples
from detector.core.policy import (
    AmountLimit,
    MinorBand,
    Policy,
    PolicyError,
    Rule,
    UserLimit,
    parse_policy,
)
from tests.engines import PACKS, POLICIES, RECEIVED_MS, ROOT, currencies, engine, policy, settings

BROKEN = sorted((ROOT / "tests" / "invalid-config" / "policies").glob("*.toml"))
RULES = [(pack, rule) for pack in PACKS for rule in policy(pack).rules]
NOON = "2026-03-02T12:00:00+08:00"


def read_pack(pack: str) -> str:
    return (POLICIES / f"{pack}.toml").read_text("utf-8")


def engine_of(rules: Policy) -> tuple[Engine, EventReader]:
    """An engine with another pack and the shipped settings, which flags each finding."""
    shipped = settings()
    rates = shipped.make_currencies()
    config = replace(shipped.make_engine_config(), case_cool_down_ms=0)
    return Engine(config, rules, rates), EventReader(rates, shipped.make_event_limits())


def tip(**fields: Any) -> dict[str, Any]:
    sent = {"event_id": "e1", "event_time": NOON, "tipper_id": "t1", "streamer_id": "s1"}
    return sent | {"amount": "1", "currency": "CNY"} | fields


def flags_of(*records: dict[str, Any], pack: str = "cn") -> list[dict[str, Any]]:
    """The flags that the last of some events leads to."""
    scorer, reader = engine(pack, case_cool_down_ms=0)
    flags: list[dict[str, Any]] = []
    for record in records:
        decision = scorer.process(reader.read(record, RECEIVED_MS))
        assert not isinstance(decision, Skipped)
        flags = [flag.record for flag in decision.flags]
    return flags


def codes_of(*records: dict[str, Any], pack: str = "cn") -> set[str]:
    flags = flags_of(*records, pack=pack)
    return {reason["code"] for flag in flags for reason in flag["reasons"]}


# --- the shipped packs ----------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKS)
def test_a_shipped_pack_parses_and_is_titled_in_english_and_chinese(pack: str) -> None:
    rules = policy(pack)
    assert rules.name == pack
    assert rules.rules
    title = next(line for line in read_pack(pack).splitlines() if line.startswith("title"))
    assert re.search(r"[A-Za-z]{4,}.* / .*[\u4e00-\u9fff]{2,}", title)


@pytest.mark.parametrize(("pack", "rule"), RULES, ids=lambda each: getattr(each, "id", each))
def test_a_rule_fires_on_its_example_and_is_silent_on_the_others(pack: str, rule: Rule) -> None:
    where = f"config/policies/{pack}.toml"
    assert check_examples(where, [rule], lambda: engine(pack, case_cool_down_ms=0)) == []


@pytest.mark.parametrize("pack", PACKS)
def test_the_examples_hold_with_the_shipped_settings_too(pack: str) -> None:
    rules = parse_policy(read_pack(pack), pack, settings().make_currencies())
    assert check_examples(pack, rules.rules, lambda: engine_of(rules)) == []


def test_the_default_pack_is_the_one_the_settings_name() -> None:
    assert settings().policy.pack == "cn"


@pytest.mark.parametrize(("pack", "rule"), RULES, ids=lambda each: getattr(each, "id", each))
def test_no_number_is_called_law_whose_basis_is_the_operator(pack: str, rule: Rule) -> None:
    says_operator = rule.source.startswith("Operator-configured: ")
    assert says_operator == (rule.basis == "operator") == (rule.confidence == "operator")
    assert rule.source.startswith("Analogue") == (rule.basis == "analogue")


@pytest.mark.parametrize("pack", PACKS)
def test_no_amount_is_called_law(pack: str) -> None:
    amounts = [rule for rule in policy(pack).rules if isinstance(rule, AmountLimit | MinorBand)]
    assert amounts
    assert {rule.basis for rule in amounts} <= {"operator", "analogue", "guideline"}
    if pack != "kr":
        assert all(rule.basis == "operator" for rule in amounts if isinstance(rule, AmountLimit))


@pytest.mark.parametrize("pack", PACKS)
def test_what_rests_on_a_text_names_its_date(pack: str) -> None:
    undated = [
        rule.id
        for rule in policy(pack).rules
        if rule.basis != "operator" and not re.search(r"20[0-2]\d", rule.source)
    ]
    assert undated == []


@pytest.mark.parametrize(
    "unverified", ["广电发", "国信办发文", "文旅市场发", "国新出发", "〔2021〕14号", "法释"]
)
def test_no_pack_ships_a_document_number_that_nobody_checked(unverified: str) -> None:
    assert [pack for pack in PACKS if unverified in read_pack(pack)] == []


def test_the_age_graded_reading_is_not_active_and_works_when_it_is() -> None:
    text = read_pack("cn")
    assert not any(rule.id == "minor-8-16-consent" for rule in policy("cn").rules)
    lines = [line.removeprefix("#:").removeprefix(" ") for line in text.splitlines()]
    graded = re.sub(r'\[\[rules]]\nid = "minor-ban".*?(?=\n\[\[rules]])', "", "\n".join(lines),
                    flags=re.DOTALL)  # fmt: skip
    rules = parse_policy(graded, "graded", currencies("cn"))
    ids = [rule.id for rule in rules.rules]
    assert "minor-ban" not in ids
    assert ids[-3:] == ["minor-under-8", "minor-8-16-consent", "minor-16-18-ban"]
    assert check_examples("graded", rules.rules, lambda: engine_of(rules)) == []


# --- what the Chinese pack asks for ---------------------------------------------------------------


@pytest.mark.parametrize("sign", [{"tipper_age": 0}, {"tipper_age": 17}, {"minor_mode": True}])
def test_each_tip_of_a_declared_minor_is_grave_whatever_its_amount(sign: dict[str, Any]) -> None:
    (flag,) = flags_of(tip(amount="0.01", **sign))
    assert (flag["kind"], flag["severity"], flag["action"]) == ("minor", "high", "suspend_tipping")
    assert "minor-ban" in {reason["rule"] for reason in flag["reasons"]}


@pytest.mark.parametrize(
    ("clock", "codes"),
    [
        ("2026-03-02T21:59:59+08:00", set()),
        ("2026-03-02T22:00:00+08:00", {"minor_mode_hours"}),
        ("2026-03-02T23:59:59+08:00", {"minor_mode_hours"}),
        ("2026-03-03T00:00:00+08:00", {"minor_mode_hours"}),
        ("2026-03-03T05:59:59+08:00", {"minor_mode_hours"}),
        ("2026-03-03T06:00:00+08:00", set()),
        ("2026-03-02T14:30:00Z", {"minor_mode_hours"}),
    ],
)
def test_minor_mode_has_no_gap_between_evening_and_morning(clock: str, codes: set[str]) -> None:
    found = codes_of(tip(event_time=clock, minor_mode=True))
    assert found - {"declared_minor_mode"} == codes


@pytest.mark.parametrize(
    ("amount", "codes"),
    [
        ("24999.99", set()),
        ("25000", {"cap_day_reminder"}),
        ("50000", {"cap_day_reminder"}),
        ("50000.01", {"cap_tip", "cap_day"}),
        ("100000", {"cap_tip", "cap_day", "cap_month_reminder"}),
        ("200000.01", {"cap_tip", "cap_day", "cap_month"}),
    ],
)
def test_a_limit_reminds_at_half_and_is_passed_only_beyond(amount: str, codes: set[str]) -> None:
    assert codes_of(tip(amount=amount)) == codes


def test_a_reminder_is_mild_and_a_limit_suspends() -> None:
    (reminder,) = flags_of(tip(amount="25000"))
    (limit,) = flags_of(tip(amount="50001"))
    assert (reminder["severity"], reminder["action"]) == ("low", "remind")
    assert (limit["severity"], limit["action"]) == ("medium", "suspend_tipping")


@pytest.mark.parametrize("per", ["tip", "day", "month"])
def test_a_users_own_limit_is_passed_by_more_than_it(per: str) -> None:
    limit = {f"user_limit_{per}": "100"}
    assert codes_of(tip(amount="100", **limit)) == set()
    assert codes_of(tip(amount="100.01", **limit)) == {f"user_limit_{per}"}


def test_the_third_pk_of_an_evening_is_about_the_streamer() -> None:
    clocks = ("20:00", "20:40", "21:20")
    pks = [
        {"type": "room", "event_id": clock, "event_time": f"2026-03-02T{clock}:00+08:00",
         "streamer_id": "s1", "event": "pk_start"}
        for clock in clocks
    ]  # fmt: skip
    assert flags_of(*pks[:2]) == []
    (flag,) = flags_of(*pks)
    assert flag["subject"] == {"type": "streamer", "id": "s1"}
    assert (flag["reasons"][0]["observed"], flag["reasons"][0]["limit"]) == (3, 2)


def test_a_limit_is_held_in_the_base_currency() -> None:
    rules = parse_policy(read_pack("kr"), "kr", settings().make_currencies())
    assert rules.limit_minor == {"cap-day": 520_000}  # 1,000,000 KRW at 0.0052 CNY, in fen
    assert policy("kr").limit_minor == {"cap-day": 1_000_000}


def test_rules_are_told_apart_by_type_in_the_files_order() -> None:
    rules = policy("cn")
    assert [rule.id for rule in rules.of_type(AmountLimit)] == ["cap-tip", "cap-day", "cap-month"]
    assert [rule.id for rule in rules.of_type(UserLimit)] == ["user-limits"]


def test_the_digest_changes_with_the_text_and_with_nothing_else() -> None:
    text, rates = read_pack("cn"), currencies("cn")
    digest = parse_policy(text, "here", rates).digest
    assert parse_policy(text, "there", rates).digest == digest
    assert parse_policy(text + "\n", "here", rates).digest != digest
    assert re.fullmatch("[0-9a-f]{16}", digest)


# --- packs that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_pack_says_all_that_is_wrong(path: Path) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(path.read_text("utf-8"), path.name, currencies("cn"))
    assert str(refused.value) + "\n" == path.with_suffix(".message").read_text("utf-8")


def test_there_is_a_broken_pack_of_each_kind() -> None:
    assert len(BROKEN) >= 20
    assert all(path.with_suffix(".message").exists() for path in BROKEN)


# --- examples that are wrong ----------------------------------------------------------------------


def lines_of(old: str, new: str) -> list[str]:
    """What the examples of a Chinese pack say in which one text stands for another."""
    text = read_pack("cn")
    assert old in text
    rules = parse_policy(text.replace(old, new, 1), "cn.toml", currencies("cn"))
    return check_examples("cn.toml", rules.rules, lambda: engine_of(rules))


def test_an_example_that_does_not_fire_is_reported() -> None:
    assert lines_of('amount = "50100"', 'amount = "50000"') == [
        "cn.toml: rules[cap-tip]: fires: expected a reason of rule cap-tip, found cap-day"
    ]
    assert lines_of("tipper_age = 17 }", "tipper_age = 18 }") == [
        "cn.toml: rules[minor-ban]: fires: expected a reason of rule minor-ban, found none"
    ]


def test_an_example_that_is_not_silent_is_reported() -> None:
    assert lines_of("tipper_age = 18 }", "tipper_age = 16 }") == [
        "cn.toml: rules[minor-ban]: silent[0]: expected no reason of rule minor-ban, "
        "found declared_age"
    ]


def test_an_example_that_is_no_event_is_reported_where_it_stands() -> None:
    assert lines_of('tipper_id = "t3", streamer_id = "s1", amount = "1"', 'tipper_id = "t3"') == [
        "cn.toml: rules[minor-ban]: silent[2]: expected an event, "
        "found missing_field: tip: streamer_id: required, found nothing"
    ]
    assert lines_of('amount = "50100", currency = "CNY"', 'amount = "1", currency = "XAU"') == [
        "cn.toml: rules[cap-tip]: fires[0]: expected an event, "
        "found currency_unknown: currency: no rate is configured for it"
    ]


def test_an_example_that_repeats_an_event_id_is_reported() -> None:
    assert lines_of('{ event_id = "2"', '{ event_id = "1"') == [
        "cn.toml: rules[minor-ban]: silent[1]: expected an event, "
        "found duplicate: event_id '1' stands twice"
    ]
