"""Sky-high tips are found by own history, peers and site; customs and steady whales are not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.core.crowds import DAY_MS, HOUR_MS, MINUTE_MS, NOON_MS, Site

QUIET = (None, "low")


def live(site: Site, days: int, spend: Any, crowd_a_day: int = 300) -> None:
    """Days after NOON_MS with the crowd; `spend(day, at_ms)` is asked at 20 o'clock of each."""
    for day in range(days):
        at_ms = NOON_MS + day * DAY_MS
        for index in range(crowd_a_day):
            site.crowd_tip(day * 7 + index * 2, at_ms + index * MINUTE_MS // 2)
        spend(day, at_ms + 8 * HOUR_MS)


# Fire


def test_a_tip_far_above_own_history_and_site_is_medium_in_a_few_hundred_tips_in_all() -> None:
    site = Site(tips=250)
    site.habit("t", (10,), 8)
    site.tip("t", 6000, NOON_MS)
    assert site.worst("outsized") == "medium"
    assert site.codes["outsized"] >= {"above_own_history", "above_site"}


@pytest.mark.parametrize(
    "more", [{"device_id": "d2"}, {"instrument_id": "card2"}, {"instrument_holder": "other"}]
)
def test_from_a_new_device_a_new_card_or_somebody_elses_it_is_high(more: dict[str, Any]) -> None:
    site = Site()
    site.habit("t", (10, 20), 10, device_id="d1", instrument_id="card1")
    site.tip("t", 20_000, NOON_MS, **{"device_id": "d1", "instrument_id": "card1", **more})
    assert site.worst("outsized") == "high"


def test_two_tips_before_are_enough_to_compare_a_fortune_with() -> None:
    site = Site()
    site.habit("t", (5,), 2)
    site.tip("t", 9000, NOON_MS)
    assert site.worst("outsized") == "medium"
    assert "above_own_history" in site.codes["outsized"]


@pytest.mark.parametrize("evenings", [8, 2])
def test_a_number_of_affection_to_a_streamer_never_tipped_before_is_low_at_most(
    evenings: int,
) -> None:
    for amount, most in ((1314, QUIET), (1290, ("medium",))):
        site = Site()
        site.habit("t", (2,), evenings)
        site.tip("t", amount, NOON_MS, streamer_id="another")
        assert site.worst("outsized") in most, amount


def embezzler(amount: int, at_work: bool) -> Site:
    """The cashier's case: small tips for three weeks, then large ones on every day of three."""
    site = Site()

    def spend(day: int, at_ms: int) -> None:
        if day < 21:
            site.tip("cashier", 20, at_ms)
            return
        if day % 7 < 5:
            site.recharge("cashier", 10 * amount, at_ms - (9 if at_work else 1) * HOUR_MS)
        for index in range(10):
            site.tip("cashier", amount, at_ms + index * 5 * MINUTE_MS)

    live(site, 42, spend)
    return site


def test_weeks_of_an_embezzler_far_above_the_site_are_medium_though_no_tip_is_outsized() -> None:
    site = embezzler(400, at_work=False)
    assert site.worst("outsized") == "medium"
    assert "sustained_week" in site.codes["outsized"]
    assert "heavy_days" in site.codes["outsized"]
    assert "office_recharges" not in site.codes["outsized"]


def test_recharged_in_office_hours_on_working_days_they_are_high() -> None:
    site = embezzler(2000, at_work=True)
    assert site.worst("outsized") == "high"
    assert "office_recharges" in site.codes["outsized"]


def beside_a_whale(sums: dict[int, int]) -> set[str]:
    """Severities of somebody who gives 20 every evening where a whale gives 18,000.

    On some days he gives another sum, in ten tips.
    """
    site = Site()
    found: set[str] = set()

    def spend(day: int, at_ms: int) -> None:
        for index in range(3):
            site.tip("whale", 6000, at_ms + index * 5 * MINUTE_MS)
        for index in range(10):
            decision = site.tip("cashier", sums.get(day, 20) / 10, at_ms + index * 5 * MINUTE_MS)
            found.update(flag.severity for flag in decision.flags if flag.kind == "outsized")

    live(site, 40, spend, crowd_a_day=200)
    return found


def test_weeks_a_hundred_times_the_own_are_medium_though_a_whale_gives_more_every_week() -> None:
    assert "medium" in beside_a_whale({day: 2000 for day in range(25, 40)})


def test_weeks_hundreds_of_times_four_modest_days_are_medium_as_well() -> None:
    """The days out of all proportion do not become what is usual meanwhile."""
    assert "medium" in beside_a_whale({day: 8000 for day in range(4, 20)})


def test_a_huge_first_tip_is_low_and_of_an_account_two_days_old_it_is_more() -> None:
    unknown, new = Site(), Site()
    unknown.tip("n", 10_000, NOON_MS)
    new.tip("n", 10_000, NOON_MS, account_created_at=NOON_MS - 2 * DAY_MS)
    assert unknown.worst("outsized") == "low"
    assert new.worst("outsized") in ("medium", "high")


def test_a_few_frauds_do_not_set_the_limit_that_is_to_find_them() -> None:
    site = Site(tips=3000)
    for index in range(6):
        site.tip(f"thief{index}", 50_000, NOON_MS + index * HOUR_MS)
    for index in range(300):
        site.crowd_tip(index, NOON_MS + 30 * HOUR_MS + index * MINUTE_MS)
    decision = site.tip("thief", 50_000, NOON_MS + 60 * HOUR_MS)
    (flag,) = [each for each in decision.flags if each.kind == "outsized"]
    (reason,) = [each for each in flag.record["reasons"] if each["code"] == "above_site"]
    assert reason["limit"] < 10_000


# Silent


@pytest.mark.parametrize("seed", range(4))
def test_heavy_tailed_amounts_of_ordinary_people_are_hardly_ever_medium(seed: int) -> None:
    chance = random.Random(seed)
    site = Site(tips=0)
    level = [5 * chance.lognormvariate(0, 1) for _ in range(200)]
    for index in range(2500):
        who = chance.randrange(200)
        amount = round(level[who] * chance.lognormvariate(0, 1.3), 2) + 0.01
        site.tip(f"t{who}", amount, NOON_MS + index * 10 * MINUTE_MS)
    assert site.found.get("outsized", []).count("medium") <= 1
    assert "high" not in site.found.get("outsized", [])


def test_a_whale_of_months_with_one_card_is_silent_for_months() -> None:
    site = Site()
    said: list[int] = []

    def spend(day: int, at_ms: int) -> None:
        for index, amount in enumerate((1500, 3000, 1000, 2000)):
            now_ms = at_ms + index * 5 * MINUTE_MS
            decision = site.tip("whale", amount, now_ms, instrument_id="card1")
            said.extend(day for flag in decision.flags if flag.kind == "outsized")

    live(site, 100, spend, crowd_a_day=100)
    assert site.worst("outsized") in QUIET
    assert not [day for day in said if day >= 40]


def test_paydays_and_a_binge_of_one_evening_are_no_weeks_above_the_own() -> None:
    paydays = {day: 160 for day in (14, 15, 28, 29)}
    assert beside_a_whale({**paydays, 34: 2000}) <= {"low"}


def test_a_whale_who_was_always_one_is_low_at_most_when_the_detector_is_new() -> None:
    site = Site(tips=1500)

    def spend(day: int, at_ms: int) -> None:
        for index in range(4):
            site.tip("whale", 1500, at_ms + index * 5 * MINUTE_MS)

    live(site, 28, spend)
    assert site.worst("outsized") in QUIET


def test_a_guild_whales_larger_gift_is_excused_by_those_who_give_as_much() -> None:
    alone, among_peers = Site(), Site()
    for day in range(20):
        for index in range(40):
            at_ms = NOON_MS - 40 * DAY_MS + day * DAY_MS + index * MINUTE_MS
            among_peers.tip(f"whale{index}", (500, 1000, 3000, 8000)[(index + day) % 4], at_ms)
    for site in (alone, among_peers):
        site.habit("t", (200, 300, 500), 20)
        site.found.clear()
        site.tip("t", 12_000, NOON_MS)
    assert alone.worst("outsized") == "medium"
    assert among_peers.worst("outsized") in QUIET


@pytest.mark.parametrize(
    ("amount", "more"),
    [(1314, {}), (5200, {}), (520, {"quantity": 520}), (999, {"quantity": 99})],
)
def test_a_birthdays_520_or_1314_and_a_combo_are_low_at_most(
    amount: int, more: dict[str, Any]
) -> None:
    site = Site()
    site.habit("t", (5, 10), 20)
    decision = site.tip("t", amount, NOON_MS, **more)
    assert site.worst("outsized") in QUIET
    for flag in decision.flags:
        assert flag.record["reasons"][-1]["code"].startswith("benign_")


def test_a_ceremony_explains_a_supporters_gift_but_is_no_proof_of_innocence() -> None:
    def gift(amount: int, **more: Any) -> Site:
        site = Site()
        site.habit("t", (5, 10), 20, instrument_id="card1", device_id="d1")
        site.tip("t", amount, NOON_MS, room_mode="ceremony", **more)
        return site

    assert gift(3000, instrument_id="card1", device_id="d1").worst("outsized") in QUIET
    stolen = gift(200_000, instrument_id="card2", device_id="d2", instrument_holder="other")
    assert stolen.worst("outsized") in ("medium", "high")


def test_without_knowing_the_site_a_tip_above_own_history_is_silent() -> None:
    site = Site(tips=0)
    site.habit("t", (10,), 20)
    assert 0.3 < site.tip("t", 5000, NOON_MS).scores["outsized"] < 0.6
    assert site.worst("outsized") is None


def test_an_unknown_accounts_first_tips_are_told_when_they_come_again_and_again() -> None:
    once, again = Site(), Site()
    once.tip("new", 20_000, NOON_MS)
    for number in range(3):
        again.tip("new", 20_000, NOON_MS + number * MINUTE_MS)
    assert once.worst("outsized") == "low"
    assert again.worst("outsized") in ("medium", "high")


def test_an_unknown_accounts_first_tips_that_many_others_give_are_silent() -> None:
    site = Site()
    for number in range(6):
        site.tip("new", 100, NOON_MS + number * MINUTE_MS)
    assert site.worst("outsized") is None


def test_a_few_frauds_on_a_young_site_do_not_hide_the_next() -> None:
    site = Site(tips=900)
    for number in range(5):
        site.tip(f"fraud{number}", 50_000, NOON_MS - DAY_MS + number * HOUR_MS)
    site.habit("t", (10,), 8)
    site.tip("t", 9_000, NOON_MS)
    assert site.worst("outsized") in ("medium", "high")


def test_a_site_whose_gifts_have_become_dearer_is_followed() -> None:
    site = Site()
    for number in range(900):
        site.tip(f"crowd{number % 300}", 5_000 if number % 20 == 0 else 10, NOON_MS + number * 60)
    site.found.clear()
    for number in range(20):
        site.tip(f"late{number}", 5_000, NOON_MS + DAY_MS + number * MINUTE_MS)
    assert site.worst("outsized") is None


def test_above_the_sites_extreme_great_peers_excuse_nobody_who_gives_little() -> None:
    """Who gave one 1314 is among those who give thousands; his own tips are of one yuan."""
    site = Site()
    for giver in range(40):
        for day in range(12):
            site.tip(f"g{giver}", 3000 + 500 * (day % 7), NOON_MS - (40 - day) * DAY_MS + giver)
    for index in range(30_000 // 8):
        site.crowd_tip(index, NOON_MS - 20 * DAY_MS + index * MINUTE_MS)
    site.habit("t", (1, 2), 10)
    site.tip("t", 1314, NOON_MS - HOUR_MS)
    site.tip("t", 60_000, NOON_MS)
    assert site.worst("outsized") == "medium"


def test_a_month_of_membership_bought_by_somebody_who_gives_little_is_low_at_most() -> None:
    def bought(**more: Any) -> str | None:
        site = Site()
        site.habit("t", (1,), 20)
        site.tip("t", 1998, NOON_MS, **more)
        return site.worst("outsized")

    assert bought() == "medium"
    assert bought(gift_name="提督", gift_id="10002") in QUIET


def test_an_account_days_old_is_not_high_for_its_youth() -> None:
    site = Site()
    created_ms = NOON_MS - 3 * DAY_MS
    site.habit("t", (1, 2), 2, account_created_at=created_ms)
    site.tip("t", 30_000, NOON_MS, account_created_at=created_ms)
    assert site.worst("outsized") == "medium"
