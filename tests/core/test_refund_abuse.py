"""Refund claims: what courts rejected must be found, an honest parent's claim must be silent."""

from __future__ import annotations

from typing import Any

import pytest

from detector.core.claimants import Claimants
from detector.core.detectors.refund_abuse import CLUES, Claim, RefundAbuse
from detector.core.reasons import FAMILIES
from detector.core.state import StateError
from detector.core.traits import SiteTraits
from detector.core.wording import WORDS
from tests.core.lives import World, adult_life, at, days_from
from tests.core.test_minor import MARCH, MAY, after_school
from tests.engines import engine

KIND = "refund_abuse"
CLAIMED = at("2026-06-05", "15:00")


@pytest.fixture(scope="module")
def spring() -> World:
    """Accounts that claim refunds at the end of spring."""
    world = World(MARCH, 90)
    phone = {"device_id": "phone", "instrument_holder": "self"}
    # claims that courts rejected, and patterns that platforms know
    for index, day in enumerate(days_from(MARCH, 85)):
        for clock in ("09:10", "15:05", "20:15", "22:40") if index % 2 else ("19:30", "23:10"):
            words = {"message": "给孩子开家长会"} if index % 20 == 3 else {}
            for tip in range(3):
                world.tip("zhang", 260, at(day, clock, tip * 120), **phone, **words)
    world.claim("zhang", CLAIMED, 180_000, claimant_id="zhang")
    for day in days_from(MAY, 28):
        for tip in range(4):
            world.tip("shanghai", 90, at(day, f"0{1 + tip % 3}:20", tip * 60), **phone)
    world.claim("shanghai", CLAIMED, 11_000, claimant_id="shanghai")
    adult_life(world, "captain", MARCH, 84)
    for day in days_from(MARCH, 84)[::14]:
        world.tip(
            "captain", 198, at(day, "21:00"), gift_name="舰长", device_id="captain-phone",
            instrument_holder="self",
        )  # fmt: skip
    world.claim("captain", CLAIMED, 1188, claimant_id="captain")
    adult_life(world, "guard", MARCH, 84)
    for day in days_from(MAY, 28)[::7]:
        world.tip("guard", 198, at(day, "21:00"), gift_name="舰长")
        world.claim("guard", at(day, "23:00"), 198, claim="other")
    for index in range(5):
        adult_life(world, f"agents{index}", MARCH, 84)
        world.claim(f"agents{index}", CLAIMED + index * 3_600_000, claimant_id="agent")
    for index in range(6):
        world.tip(f"victim{index}", 50, at(MARCH, "20:00"))
        world.claim(f"victim{index}", CLAIMED + index, claim="fraud", claimant_id="office")
    adult_life(world, "named_late", MARCH, 80, real_name=False)
    adult_life(world, "named_late", "2026-06-02", 3, real_name=True, tipper_age=41)
    world.claim("named_late", CLAIMED)
    for account, claimed, said in (
        ("chats", 1000, "下班了，老婆不在"), ("mute", 1000, ""), ("own_part", 400, "下班了"),
    ):  # fmt: skip
        for index, day in enumerate(days_from(MAY, 25)):
            words = {"message": said} if index % 3 == 0 else {}
            world.tip(account, 40, at(day, "21:30"), **phone, **words)
        world.claim(account, CLAIMED, claimed, claimant_id=account)
    # honest ones
    adult_life(world, "parent", MARCH, 60, tipper_age=40, real_name=True)
    after_school(world, "parent", 26, device_id="parent-phone", room_category="game")
    world.claim("parent", CLAIMED, claimant_id="parent")
    adult_life(world, "mother", MARCH, 60)
    after_school(world, "mother", 10, every=1, device_id="tablet", instrument_holder="other")
    world.claim("mother", CLAIMED, claimant_id="mother")
    adult_life(world, "declared", MARCH, 84)
    world.tip("declared", 5, at("2026-06-01", "18:00"), tipper_age=9)
    world.claim("declared", CLAIMED, claimant_id="family")
    adult_life(world, "sibling", MARCH, 60)
    after_school(world, "sibling", 20, device_id="sibling-phone", message="放学了")
    world.claim("sibling", CLAIMED, claimant_id="family")
    adult_life(world, "unseen_child", MARCH, 84)  # nothing of the child can be seen
    world.claim("unseen_child", CLAIMED, claimant_id="unseen_child")
    world.claim("stranger", CLAIMED)
    adult_life(world, "cheated", MARCH, 84)
    world.claim("cheated", CLAIMED, claim="fraud", claimant_id="cheated")
    world.run()
    return world


@pytest.mark.parametrize(
    ("account", "expected", "codes"),
    [
        ("zhang", {"high"}, {"refund_adult_hours", "refund_adult_words", "refund_adult_life"}),
        ("shanghai", {"medium", "high"}, {"refund_adult_hours"}),
        ("guard", {"medium", "high"}, {"refund_perks", "refund_claimed_before"}),
        ("captain", {"medium"}, {"refund_perks", "refund_adult_life"}),
        ("agents4", {"high"}, {"refund_claimant"}),
        ("victim5", {"medium"}, {"refund_claimant"}),
        ("named_late", {"low", "medium"}, {"refund_named_late"}),
        ("chats", {"medium"}, {"refund_adult_words", "refund_no_break"}),
    ],
)
def test_a_claim_against_all_that_the_account_was_is_found(
    spring: World, account: str, expected: set[str], codes: set[str]
) -> None:
    assert spring.worst(account, KIND) in expected
    assert spring.codes(account, KIND) >= codes


@pytest.mark.parametrize(
    "account",
    [
        "parent",
        "mother",
        "declared",
        "sibling",
        "unseen_child",
        "stranger",
        "cheated",
        "victim0",
        "mute",
        "own_part",
    ],
)
def test_an_honest_first_claim_is_silent(spring: World, account: str) -> None:
    assert spring.worst(account, KIND) == ""


def test_the_first_accounts_of_a_claimant_are_not_accused_for_the_later_ones(
    spring: World,
) -> None:
    scores = [spring.highest(f"agents{index}", KIND) for index in range(5)]
    assert scores == sorted(scores)
    assert spring.worst("agents0", KIND) == ""


def test_a_confirmed_minor_may_claim_whatever_the_account_was() -> None:
    def claimed(is_confirmed: bool) -> float:
        world = World(MARCH, 5, tippers=1)
        for day in days_from(MARCH, 60):
            world.tip("t", 90, at(day, "02:20"), device_id="phone")
        world.run()
        if is_confirmed:
            world.engine._tipper_view.confirm_minor("t", at("2026-05-01"))  # the learner's way in
        first = len(world.records)
        world.claim("t", at("2026-05-20"))
        world.go_on(first)
        return world.highest("t", KIND)

    assert claimed(True) < 0.3 < 0.75 < claimed(False)


def test_an_account_made_long_ago_has_lived_so_long() -> None:
    def claimed(**more: Any) -> float:
        world = World(MARCH, 5, tippers=1)
        adult_life(world, "t", MARCH, 30)
        world.claim("t", at("2026-04-02"), 100, **more)
        world.run()
        return world.highest("t", KIND)

    assert claimed(account_created_at=at("2024-01-01")) > claimed() * 1.2


def test_claims_again_and_again_weigh_more_and_what_speaks_for_them_is_told() -> None:
    world = World(MARCH, 70)
    adult_life(world, "t", MARCH, 60, clocks=("03:15", "10:05"))
    for day in days_from("2026-05-06", 4):
        world.tip("t", 5, at(day, "17:30"), message="作业", device_id="tablet")
    for index in range(8):
        world.claim("t", at("2026-05-11", "10:00", index), claimant_id="t")
    world.run()
    scores = [each.scores[KIND] for each in world.of("t") if each.event.type == "refund"]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]
    claim = Claim(
        next(each.event for each in world.of("t") if each.event.type == "refund"),
        world.engine._tipper_view._tipper("t"), SiteTraits(), 1,
    )  # fmt: skip
    benign = [reason.code for reason in RefundAbuse().explain(claim) if reason.is_benign]
    assert benign == ["refund_childlike"]


def test_claimants_are_saved_with_the_state_and_gone_on_from() -> None:
    world = World(MARCH, 5, tippers=1)
    for index in range(3):
        world.claim(f"t{index}", at(MARCH, "12:00", index), claimant_id="agent")
    world.run()
    loaded, _ = engine("cn")
    for chunk in world.engine.save_all():
        loaded.load(chunk)
    claimants = loaded._tipper_view.claimants
    assert loaded.sizes()["claimants"] == 1
    assert claimants.add("agent", "another", at(MARCH, "13:00")) == 4


def test_marks_of_a_claimant_that_are_cut_short_are_refused() -> None:
    saved, _ = engine("cn")
    saved._tipper_view.claimants.accounts.put("agent", b"12345", 0)
    loaded, _ = engine("cn")
    with pytest.raises(StateError, match="a claimant: found 5 bytes"):
        for chunk in saved.save_all():
            loaded.load(chunk)


def test_a_claimant_has_at_most_64_accounts_and_each_counts_once() -> None:
    claimants = Claimants(max_entries=100, idle_ms=1000)
    counted = [claimants.add("agent", f"t{index // 2}", 0) for index in range(200)]
    assert counted[:4] == [1, 1, 2, 2]
    assert max(counted) == counted[-1] == 64


def test_every_clue_of_a_claim_has_words_and_a_family() -> None:
    assert {clue.family for clue in CLUES} <= set(FAMILIES)
    assert {f"refund_{clue.name}" for clue in CLUES} <= set(WORDS)
    assert all(clue.why for clue in CLUES)


def test_an_account_that_claims_and_tips_on_and_claims_again_is_found() -> None:
    world = World(MARCH, 30)
    for day in days_from(MARCH, 10)[::2]:
        for tip in range(3):
            world.tip("serial", 60, at(day, "20:15", tip * 90))
        world.claim("serial", at(day, "23:30"), 180, claim="other")
    world.run()
    assert world.worst("serial", KIND) in ("medium", "high")


def test_a_family_that_claims_from_each_streamer_within_the_hour_has_claimed_once() -> None:
    world = World(MARCH, 30)
    for day in days_from(MARCH, 8):
        world.tip("child", 10, at(day, "18:30"), message="作业", device_id="tablet")
    for streamer in range(6):
        world.claim("child", at("2026-03-10", "20:00", streamer * 500), 20, claimant_id="mother")
    for streamer in range(6):
        world.claim("slip", at("2026-03-10", "20:00", streamer * 500), 20, claim="other")
    world.run()
    assert world.worst("child", KIND) == world.worst("slip", KIND) == ""


def test_a_mother_of_two_may_claim_for_both() -> None:
    world = World(MARCH, 60)
    for child in ("first", "second"):
        adult_life(world, child, MARCH, 40)
        world.claim(child, at("2026-04-20", "20:00"), 300, claimant_id="mother")
    world.run()
    assert world.worst("second", KIND) == ""


def test_one_claimant_for_four_accounts_of_which_little_is_known_is_medium() -> None:
    world = World(MARCH, 40)
    for index in range(4):
        world.tip(f"few{index}", 50, at("2026-04-05", "19:30"))
        world.claim(f"few{index}", at("2026-04-06", "12:00", index * 600), 50, claimant_id="office")
    world.run()
    assert world.worst("few1", KIND) == ""
    assert world.worst("few3", KIND) == "medium"
