"""Undeclared minors: cases of courts and press that must be found, lives that must stay silent."""

from __future__ import annotations

from typing import Any

import pytest

from detector.core.detectors.childlike import CLUES, ChildLike
from detector.core.lexicon import ADULT, CHILD
from detector.core.reasons import FAMILIES
from detector.core.wording import WORDS
from tests.core.lives import World, adult_life, at, days_from
from tests.engines import settings

MAY, MARCH, JUNE = "2026-05-11", "2026-03-02", "2026-06-01"  # all of them Mondays


def after_school(
    world: World, tipper: str, days: int, clock: str = "18:10", recharges: int = 4,
    amount: float = 100, first_day: str = MAY, every: int = 2, **more: Any,
) -> None:  # fmt: skip
    """A child's evenings: top-ups tipped away in minutes, to streamers of its own."""
    for index, day in enumerate(days_from(first_day, days)[::every]):
        fields = {"streamer_id": f"n{index % 3}", **more}
        world.topped_up_run(tipper, at(day, clock), recharges, amount, **fields)


@pytest.fixture(scope="module")
def spring() -> World:
    """Lives on one site from March to May; nobody says how old he is."""
    world = World(MARCH, 90)
    game: dict[str, Any] = {"instrument_holder": "self", "room_category": "game"}
    # cases
    adult_life(world, "hengqin", MARCH, 60)
    phone = {"device_id": "hengqin-phone", **game}
    for week in range(4):
        first_day = days_from(MAY, 28)[7 * week]
        after_school(world, "hengqin", 6, first_day=first_day, **phone)
        words = {**phone, "message": "用了压岁钱"}
        after_school(world, "hengqin", 1, "20:30", 2, first_day=first_day, **words)
    adult_life(world, "deleted_sms", MARCH, 60)
    after_school(world, "deleted_sms", 26, device_id="deleted_sms-phone", **game)
    adult_life(world, "no_optional_field", MARCH, 60)
    after_school(world, "no_optional_field", 26)
    adult_life(world, "beijing_4th", MARCH, 84)
    world.claim("beijing_4th", at("2026-05-05", "10:00"), 20_000)
    after_school(
        world, "beijing_4th", 14, "19:00", 5, 1400, every=1, device_id="beijing_4th-phone", **game
    )
    adult_life(world, "second_persona", MARCH, 60)
    adult_life(world, "card_of_mother", MARCH, 60)
    for index, day in enumerate(days_from(MAY, 8)):
        for gift in range(12):
            moment = at(day, "17:20", gift * 40)
            fields = {**game, "device_id": "childs-phone", "streamer_id": f"n{index % 2}"}
            world.tip("second_persona", 5 + gift, moment, **fields)
            fields |= {"instrument_holder": "other", "device_id": "childs-tablet"}
            world.tip("card_of_mother", 5 + gift, moment, **fields)
    adult_life(world, "online_class", MARCH, 60)
    after_school(
        world, "online_class", 12, "10:00", every=1, message="在上课", device_id="tablet",
        room_category="kids", instrument_holder="other",
    )  # fmt: skip
    # traps
    for account, hours_with_words in (("wifes_card_new_phone", 1), ("week_old", 3)):
        adult_life(world, account, "2026-05-20", 8, instrument_holder="other")
        shared: dict[str, Any] = {"device_id": "new", "streamer_id": "n1"}
        shared["instrument_holder"] = "other"
        for index, day in enumerate(days_from("2026-05-28", 3)):
            said: dict[str, Any] = {"message": "压岁钱没了"} if index < hours_with_words else {}
            after_school(world, account, 1, recharges=4, first_day=day, **shared, **said)
    adult_life(world, "new_phone", MARCH, 60)
    adult_life(world, "new_phone", MAY, 18, device_id="second-phone")
    adult_life(world, "new_phone_wifes_card", MARCH, 60)
    adult_life(world, "new_phone_wifes_card", MAY, 18, device_id="third", instrument_holder="other")
    adult_life(world, "night_shift", MARCH, 78, clocks=("03:15", "04:30", "10:05"))
    adult_life(world, "wifes_card", MARCH, 78, instrument_holder="other")
    adult_life(world, "father", MARCH, 78, room_category="kids", message="我儿子喜欢")
    adult_life(world, "earlier_evenings", MARCH, 60)
    adult_life(world, "earlier_evenings", MAY, 18, clocks=("18:10", "19:30"))
    adult_life(world, "infatuated", MARCH, 60)
    after_school(
        world, "infatuated", 10, "22:10", amount=200, every=1, device_id="infatuated-phone",
        room_category="talk", instrument_holder="self",
    )  # fmt: skip
    world.run()
    return world


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ("hengqin", {"high"}),
        ("deleted_sms", {"medium", "high"}),
        ("no_optional_field", {"low", "medium"}),
        ("beijing_4th", {"medium", "high"}),
        ("second_persona", {"medium"}),
        ("card_of_mother", {"high"}),
        ("online_class", {"medium", "high"}),
    ],
)
def test_a_childs_use_of_an_adults_account_is_found(
    spring: World, account: str, expected: set[str]
) -> None:
    assert spring.worst(account) in expected


@pytest.mark.parametrize(
    "account",
    [
        "new_phone", "new_phone_wifes_card", "night_shift", "wifes_card", "father",
        "earlier_evenings", "infatuated",
    ],
)  # fmt: skip
def test_an_adults_change_of_life_is_silent(spring: World, account: str) -> None:
    assert spring.worst(account) == ""


def test_a_card_used_since_the_first_tip_is_no_change_and_a_week_of_life_no_proof(
    spring: World,
) -> None:
    assert spring.worst("wifes_card_new_phone") in ("", "low")
    assert spring.worst("week_old") == "medium"


def test_a_childs_own_account_tells_by_its_words_evening_after_evening() -> None:
    """Not verified, a mother's card since the first tip: nothing of it has ever changed."""

    def found(evenings_with_words: int) -> str:
        world = World(MARCH, 60)
        for index, day in enumerate(days_from("2026-04-20", 5)):
            said: dict[str, Any] = {"message": "用了压岁钱"} if index < evenings_with_words else {}
            after_school(
                world, "t", 1, recharges=1, amount=12, first_day=day, device_id="phone",
                instrument_holder="other", room_category="game", **said,
            )  # fmt: skip
        world.run()
        return world.worst("t")

    assert found(5) == "medium"
    assert found(1) in ("", "low")


def test_the_crowd_is_silent(spring: World) -> None:
    assert {spring.worst(f"crowd{index}") for index in range(60)} == {""}


def test_the_adults_own_tips_on_a_shared_account_are_not_the_childs(spring: World) -> None:
    own = [
        decision.scores.get("minor", 0.0)
        for decision in spring.of("beijing_4th")
        if decision.event.streamer_id in ("s1", "s2")
    ]
    assert max(own) < 0.6 < spring.highest("beijing_4th")


def test_the_reasons_name_what_was_seen_what_is_usual_and_what_speaks_against(
    spring: World,
) -> None:
    flags = [f for each in spring.of("hengqin") for f in each.flags if f.kind == "minor"]
    reasons = {reason["code"]: reason for reason in flags[-1].record["reasons"]}
    hours = reasons["minor_child_time"]
    assert hours["observed"] > hours["usual"]
    assert hours["n"] > 30
    assert reasons["benign_same_device"]["observed"] >= 30
    assert spring.codes("hengqin") >= {"minor_child_words", "minor_recharges", "minor_spending"}


def test_two_august_evenings_of_an_eleven_year_old_are_found() -> None:
    world = World(JUNE, 80)
    adult_life(world, "xian", JUNE, 68)
    after_school(
        world, "xian", 2, "18:30", 12, 300, first_day="2026-08-11", every=1,
        device_id="xian-phone", instrument_holder="self", room_category="kids",
    )  # fmt: skip
    world.run()
    assert world.worst("xian") in ("low", "medium")


def test_small_change_that_adds_up_is_as_good_as_spent_and_a_seventh_of_it_all_is_not() -> None:
    def weight(kept: float) -> float:
        world = World(MAY, 30)
        adult_life(world, "mother", MAY, 20)
        after_school(
            world, "mother", 2, "18:30", 6, 100, first_day="2026-06-06", every=1, kept=kept,
            device_id="phone", instrument_holder="other", room_category="kids",
        )  # fmt: skip
        world.run()
        childs = [each for each in world.of("mother") if each.event.device_id == "phone"]
        return childs[-1].scores.get("minor", 0.0)

    assert weight(0.08) > weight(0.14) + 0.01


def test_a_holiday_shifts_everybody_and_is_silent() -> None:
    world = World("2026-08-20", 20)
    for index in range(60):
        adult_life(world, f"adult{index}", "2026-08-31", 28)
        adult_life(world, f"adult{index}", "2026-10-01", 7, clocks=("10:00", "15:30", "17:00"))
    world.run()
    assert {world.worst(f"adult{index}") for index in range(60)} == {""}


def test_devices_that_change_at_every_visit_are_no_second_persona() -> None:
    world = World(MARCH, 60, tippers=0)
    for tipper in range(40):
        for index, day in enumerate(days_from(MARCH, 60)[::2]):
            fields = {"device_id": f"d{tipper}-{index}", "streamer_id": f"n{index % 9}"}
            for gift in range(3):
                world.tip(f"t{tipper}", 5, at(day, "18:30", gift * 60 + tipper), **fields)
    world.run()
    assert max(world.highest(f"t{tipper}") for tipper in range(40)) < 0.5


def test_a_teachers_words_are_no_pupils_and_whose_mixed_ones_are_is_open() -> None:
    lexicon = settings().make_lexicon()
    assert lexicon.marks("作业写完了") == lexicon.marks("放学啦") == CHILD
    assert not lexicon.marks("刚改完作业") & CHILD
    assert not lexicon.marks("我们班学生期末考得不错") & CHILD
    assert lexicon.marks("备课到现在") == ADULT
    assert lexicon.marks("妈妈下班了，我去写作业") == 0


def test_a_net_cafes_devices_and_a_whales_large_top_ups_are_no_childs() -> None:
    world = World(MARCH, 90)
    for index, day in enumerate(days_from(MARCH, 84)[::2]):
        fields: dict[str, Any] = {"instrument_holder": "self", "room_category": "game"}
        cafe = {"device_id": f"cafe{index % 5}", "streamer_id": f"n{index // 14}", **fields}
        after_school(world, "net_cafe", 1, "18:10", 2, 30, first_day=day, **cafe)
        own = {"device_id": f"phone{index // 30}", "streamer_id": f"s{index // 20}", **fields}
        after_school(world, "whale", 1, "18:10", 7, 2000, first_day=day, **own)
    world.run()
    assert world.highest("net_cafe") < 0.2
    assert world.worst("whale") == ""


def test_hours_alone_never_give_even_low() -> None:
    world = World(MARCH, 70)
    adult_life(world, "t", MARCH, 50, clocks=("10:00", "14:30", "02:00"), device_id=None)
    for day in days_from("2026-04-22", 20):
        for gift in range(10):
            fields = {"room_category": "talk", "streamer_id": "s1"}
            world.tip("t", 10, at(day, "17:00", gift * 40), **fields)
    world.run()
    assert world.worst("t") == ""


def test_what_a_reviewer_confirmed_makes_the_next_evening_graver() -> None:
    def highest(is_confirmed: bool) -> float:
        world = World(MARCH, 70)
        adult_life(world, "t", MARCH, 60)
        world.run()
        if is_confirmed:
            view = world.engine._tipper_view  # the learner's way in
            view.confirm_minor("t", at("2026-05-01", "12:00"))
        first_half = len(world.decisions)
        after_school(world, "t", 2, every=1, first_day="2026-05-12", device_id="t-phone")
        world.go_on(first_half)
        return world.highest("t")

    assert highest(False) + 0.1 < highest(True)


def test_a_declared_minor_is_remembered_when_nothing_is_declared_later() -> None:
    world = World(MARCH, 20, tippers=5)
    world.tip("t", 5, at(MARCH, "18:00"), tipper_age=12)
    world.tip("t", 5, at("2026-03-03", "18:00"), message="homework", instrument_holder="other")
    world.tip("u", 5, at("2026-03-03", "18:00"), message="homework", instrument_holder="other")
    world.run()
    declared, later = list(world.of("t"))
    assert declared.scores["minor"] == 1.0
    assert later.scores["minor"] > world.highest("u") + 0.2


def test_every_clue_has_words_a_family_and_a_reason_of_its_own() -> None:
    assert {clue.family for clue in CLUES} <= set(FAMILIES)
    assert len({clue.name for clue in CLUES}) == len(CLUES) == len(ChildLike("CNY", 100).weights)
    assert all(clue.why for clue in CLUES)
    codes = {f"minor_{clue.name}" if clue.weight > 0 else f"benign_{clue.name}" for clue in CLUES}
    assert codes <= set(WORDS)
