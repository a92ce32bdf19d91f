"""Sessions that run away are found; combos, PKs, long evenings and old habits are not."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from detector.core.detectors.binge import Binge
from detector.core.detectors.session import tempo
from detector.core.features import Features, Moment, compute
from tests.core.crowds import DAY_MS, HOUR_MS, MINUTE_MS, NOON_MS, Site

EVENING_MS = NOON_MS + 8 * HOUR_MS


def accustomed(**more: Any) -> Site:
    """A site, and on it `t` who gives 20 and 50 on each of 20 evenings."""
    site = Site()
    site.habit("t", (20, 50), 20, **more)
    return site


def steady(seconds: float) -> Any:
    return lambda index: seconds


# Fire


def test_150_thousand_in_one_day_is_high() -> None:
    site = accustomed()
    assert site.run("t", [5000] * 30, steady(90)) > 0.9
    assert site.worst("binge") == "high"
    assert site.codes["binge"] >= {"session_above_own", "session_above_site", "session_tempo"}


def test_a_short_run_of_three_high_tips_is_told() -> None:
    site = accustomed()
    site.run("t", [3000] * 3, steady(100))
    assert site.worst("binge") in ("low", "medium", "high")


def test_gaps_that_shrink_and_gifts_that_grow_are_told_as_such() -> None:
    site = accustomed()
    site.run("t", [50 + 40 * index for index in range(20)], lambda i: max(8, 240 - 20 * i))
    assert site.worst("binge") in ("medium", "high")
    assert site.codes["binge"] >= {"quickening", "rising"}


def modest(evenings: int = 20, tips: int = 18, **more: Any) -> str | None:
    """The worst of an evening of 190 in all, which is little for the site, by who gives 7."""
    site = Site()
    site.habit("t", (2, 5), evenings)
    site.run("t", [3 + index // 2 * 2 for index in range(tips)], **more)
    return site.worst("binge")


def test_a_modest_accounts_run_is_judged_by_its_own_sessions_first() -> None:
    assert modest(gap_s=lambda index: max(5, 90 - 5 * index), recharge_every=4) in (
        "medium", "high",
    )  # fmt: skip


def test_after_five_evenings_a_modest_run_is_low_at_most() -> None:
    """So few say little of what is usual, whatever agrees."""
    found = modest(5, 9, gap_s=lambda index: max(5, 90 - 5 * index), recharge_every=4)
    assert found in (None, "low")


def test_after_five_evenings_a_modest_run_out_of_all_control_is_more() -> None:
    """Recharges and tips are each many times what is usual for the account."""
    assert modest(5, 60, gap_s=lambda index: max(5, 90 - 5 * index), recharge_every=4) in (
        "medium", "high",
    )  # fmt: skip


def test_minutes_that_cost_many_times_the_few_evenings_before_are_told_on_any_site() -> None:
    """What the site's great givers spend in an evening is no measure of who gives 7."""

    def minutes(tips: int, gap_s: float) -> str | None:
        return modest(5, tips, gap_s=steady(gap_s))

    assert minutes(24, 20) in ("medium", "high")
    assert minutes(8, 20) in (None, "low")  # 48 in all: small change here


def test_a_long_evening_of_modest_gifts_at_ones_own_pace_is_low_at_most() -> None:
    assert modest(gap_s=steady(240)) in (None, "low")


def test_recharging_again_and_again_within_the_session_is_a_family_of_its_own() -> None:
    plain, recharging = accustomed(), accustomed()
    tips = [400] * 6
    less = plain.run("t", tips, steady(280))
    more = recharging.run("t", tips, steady(280), recharge_every=1)
    assert more > less + 0.05
    assert "session_recharges" in recharging.codes["binge"]
    assert "session_recharges" not in plain.codes.get("binge", set())


def test_above_the_sites_extreme_with_recharges_again_and_again_a_stranger_is_told() -> None:
    def first_session(**more: Any) -> str | None:
        site = Site()
        site.run("n", [12 + 4 * index for index in range(30)], **more)
        return site.worst("binge")

    assert first_session(gap_s=lambda i: max(6, 150 - 6 * i), recharge_every=2) == "medium"
    assert first_session(gap_s=steady(150)) in (None, "low")


def test_a_few_sessions_of_little_are_no_habit_to_run_away_from() -> None:
    def third_evening(tips: int, recharge_every: int) -> str | None:
        site = Site()
        site.habit("t", (1,), 4)
        site.run("t", [10] * tips, steady(60), recharge_every=recharge_every)
        return site.worst("binge")

    assert third_evening(10, 2) in (None, "low")
    # Fifteen recharges, and thirty tips instead of one.
    assert third_evening(30, 2) in ("medium", "high")


def test_who_pays_for_each_evening_anew_recharges_more_for_a_longer_one() -> None:
    site = Site()
    for day in range(20):
        at_ms = EVENING_MS - (20 - day) * DAY_MS
        site.run("t", [20, 30], steady(90), at_ms, recharge_every=1)
    site.run("t", [60] * 8, steady(200), recharge_every=1)
    assert "session_recharges" not in site.codes.get("binge", set())


def test_a_ceremonys_night_is_medium_at_most() -> None:
    def night(mode: str) -> str | None:
        site = accustomed()
        site.run("t", [1000] * 40, steady(90), recharge_every=3, room_mode=mode)
        return site.worst("binge")

    assert night("ceremony") == "medium"
    assert night("normal") == "high"


def test_a_new_accounts_first_session_is_medium_at_most() -> None:
    site = Site()
    site.run("n", [1000] * 30, steady(40))
    assert site.worst("binge") == "medium"


def test_a_night_unlike_the_accounts_own_hours_adds_to_it() -> None:
    by_night, by_evening = accustomed(), accustomed()
    by_night.run("t", [600] * 4, steady(200), at_ms=NOON_MS + 15 * HOUR_MS)
    by_evening.run("t", [600] * 4, steady(200))
    assert "unusual_hours" in by_night.codes["binge"]
    assert "unusual_hours" not in by_evening.codes.get("binge", set())


def test_hopping_from_room_to_room_is_told() -> None:
    site = accustomed()
    at_ms = EVENING_MS
    for index in range(12):
        at_ms += 120_000
        site.tip("t", 500, at_ms, streamer_id=f"s{index % 4}")
    assert "room_hopping" in site.codes["binge"]


def test_speeding_up_after_a_pk_adds_to_it() -> None:
    def after(gap_s: float) -> Site:
        site = accustomed()
        for index in range(4):
            site.tip("t", 100, EVENING_MS + index * 3 * MINUTE_MS, room_mode="pk")
        lost_ms = EVENING_MS + 10 * MINUTE_MS
        for index in range(8):
            site.tip("t", 500, lost_ms + round(index * gap_s * 1000), room_mode="normal")
        return site

    assert "after_pk" in after(15).codes["binge"]
    assert "after_pk" not in after(15 * 60).codes.get("binge", set())


def test_several_sessions_of_one_day_are_taken_together() -> None:
    site = accustomed()
    for hour in range(5):
        site.run("t", [120] * 5, steady(60), at_ms=NOON_MS + hour * HOUR_MS)
    assert "day_above_own" in site.codes["binge"]


# Silent


def test_a_combo_of_one_gift_is_silent() -> None:
    site = accustomed()
    site.run("t", [10] * 200, steady(0.5))
    assert site.worst("binge") is None


def test_one_large_gift_among_small_ones_is_another_kinds_case() -> None:
    site = accustomed()
    site.run("t", [5, 3000, 5, 5, 5], steady(30))
    assert site.worst("binge") is None
    assert site.worst("outsized") is not None


@pytest.mark.parametrize("mode", ["pk", "ceremony"])
def test_a_pks_last_minutes_and_a_ceremonys_peak_are_silent(mode: str) -> None:
    site = accustomed()
    site.run("t", [300] * 15, steady(20), room_mode=mode)
    assert site.worst("binge") is None


def test_a_pk_does_not_excuse_an_hour_of_it() -> None:
    site = accustomed()
    site.run("t", [300] * 60, steady(60), room_mode="pk")
    assert site.worst("binge") in ("medium", "high")


def test_a_long_evening_of_small_gifts_is_silent() -> None:
    site = accustomed()
    site.run("t", [5] * 60, steady(180))
    assert site.worst("binge") is None


def test_somebody_who_always_does_so_is_silent() -> None:
    site = Site()
    site.habit("t", (300,) * 12, 20)
    site.found.clear()
    site.run("t", [300] * 14, steady(200))
    assert site.worst("binge") is None


def test_one_recharge_before_an_ordinary_evening_is_silent() -> None:
    site = accustomed()
    site.run("t", [20, 50, 20], steady(240), recharge_every=3)
    assert site.worst("binge") is None


def test_a_late_tip_is_no_part_of_a_session() -> None:
    site = accustomed()
    site.tip("other", 1, NOON_MS + DAY_MS)
    assert site.run("t", [5000] * 6, steady(5)) == 0.0


def test_what_is_scored_is_what_is_explained() -> None:
    site = accustomed()
    site.run("t", [500] * 6, steady(60))
    view = site.engine._tipper_view
    event = site.reader.read(
        {"event_id": "x", "event_time": EVENING_MS + 7 * MINUTE_MS, "tipper_id": "t",
         "streamer_id": "s1", "amount": "500", "currency": "CNY"}, EVENING_MS + DAY_MS,
    )  # fmt: skip
    features: Features = compute(
        event, Moment(20_514, 20 * 60, 24_314, False), view._tipper("t"), view.populations["CNY"]
    )
    binge = Binge("CNY", 100)
    assert binge.score(features) > 0.6
    families = {reason.family for reason in binge.explain(features) if reason.weight >= 0.35}
    assert families == {"amount", "tempo"}


# What agrees, and what is only the sum again


def night(site: Site, tipper: str, hours: int, **more: Any) -> int:
    """Small tips all evening long without a pause of half an hour; when they end."""
    for minute in range(0, 60 * hours, 12):
        site.tip(tipper, 2 + minute % 5, NOON_MS + minute * MINUTE_MS, **more)
    return NOON_MS + hours * HOUR_MS


def test_a_night_without_a_pause_is_compared_with_its_own_hours() -> None:
    site = Site()
    end_ms = night(site, "t", 5)
    site.run("t", [40 + 12 * n for n in range(24)], lambda n: max(4, 60 - 3 * n), end_ms,
             recharge_every=4)  # fmt: skip
    assert site.worst("binge") in ("medium", "high")
    assert "hour_above_own" in site.codes["binge"]


def test_a_whole_night_of_small_gifts_with_recharges_is_silent() -> None:
    site = Site()
    site.habit("t", (2, 5), 2)
    end_ms = NOON_MS
    for _ in range(6):
        site.recharge("t", 30, end_ms)
        for minute in range(1, 60, 4):
            site.tip("t", 2 + minute % 3, end_ms + minute * MINUTE_MS)
        end_ms += HOUR_MS
    assert site.worst("binge") in (None, "low")


def test_recharges_and_tempo_that_agree_make_a_modest_runaway_medium_and_tempo_alone_low() -> None:
    worst = []
    for recharge_every in (4, 0):
        site = accustomed()
        site.run("t", [45] * 24, steady(25), recharge_every=recharge_every)
        worst.append(site.worst("binge"))
    assert worst[0] in ("medium", "high")
    assert worst[1] in (None, "low", "medium")


def test_three_large_gifts_on_a_new_account_are_a_sum_and_no_session_that_runs_away() -> None:
    site = accustomed(account_created_at=NOON_MS - 21 * DAY_MS)
    site.run("t", [800] * 3, steady(900), account_created_at=NOON_MS - 2 * DAY_MS)
    assert site.worst("binge") in (None, "low")


def test_one_own_evening_is_something_to_compare_with() -> None:
    """Four times what one in a hundred such evenings, and such sites, come to."""

    def second(price: int) -> str | None:
        site = Site()
        site.habit("t", (2, 5), 1)
        site.run("t", [price] * 30, lambda index: max(5, 90 - 5 * index))
        return site.worst("binge")

    assert second(40) in ("medium", "high")
    assert second(6) in (None, "low")


def test_chance_hardly_quickens_long_evenings() -> None:
    """Of two hundred gaps some few in a row are always short."""
    quick = 0
    for seed in range(5):
        random, site, at_ms = Random(seed), Site(), EVENING_MS
        for _ in range(200):
            at_ms += int(1000 * random.expovariate(1 / 60))
            site.tip("t", 1, at_ms)
            features = site.engine._tipper_view.features
            assert features is not None
            quick += any(sign.code in ("quickening", "accelerating") for sign in tempo(features))
    assert quick <= 3
