"""Linked tippers and money that comes back are a ring; families, big nights and prizes are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.core.room_stream import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    START_MS,
    RoomStream,
    codes,
    scores,
    severities,
)


def in_turn(
    stream: RoomStream, tips: int, accounts: int, amount: float, every_ms: int,
    fields: Callable[[int], dict[str, Any]],
) -> None:  # fmt: skip
    """From an hour after the start some accounts tip one after the other; `fields` by number."""
    for number in range(tips):
        at_ms = START_MS + HOUR_MS + number * every_ms
        stream.tip(f"r{number % accounts}", amount, at_ms, **fields(number))


def launder(
    stream: RoomStream, accounts: int = 12, devices: int = 3, cards: int = 3, tips: int = 10,
    returned: float = 0.35, payees: int = 4, made_together: bool = True,
    start_ms: int = START_MS, **fields: Any,
) -> int:  # fmt: skip
    """Some tippers who are one hand tip 300 yuan each minute or so; part of it goes back."""
    total = 0
    for number in range(tips):
        for account in range(accounts):
            at_ms = start_ms + number * 10 * MINUTE_MS + account * 30 * SECOND_MS
            known = {"device_id": f"d{account % devices}"} if devices else {}
            if cards:
                known["instrument_id"] = f"c{account * 7 // 2 % cards}"
            if made_together:
                fields["account_created_at"] = start_ms - 3 * DAY_MS + account * HOUR_MS
            stream.tip(f"r{account}", 280 + account * 4, at_ms, **known, **fields)
            total += 300
    end_ms = start_ms + tips * 10 * MINUTE_MS
    for account in range(payees if returned else 0):
        stream.payout(f"r{account}", total * returned / payees, end_ms + (account + 1) * HOUR_MS)
    return end_ms + 6 * HOUR_MS


def test_shared_devices_shared_cards_and_money_back_are_high_amid_an_ordinary_evening() -> None:
    stream = RoomStream()
    stream.evening(200, viewers=80)
    later_ms = launder(stream)
    assert "high" in severities(stream.run(), "ring")
    stream.tip("r3", 300, later_ms, device_id="d0", instrument_id="c1")
    stream.tip("fan3", 300, later_ms + MINUTE_MS, device_id="fd3", instrument_id="fi3")
    stream.payout("r1", 300, later_ms + 2 * MINUTE_MS)
    member, ordinary, payout = scores(stream.run(), "ring")
    assert min(member, payout) >= 0.9
    assert ordinary < 0.2


def test_a_small_ring_of_five_is_found() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=40)
    launder(stream, accounts=5, devices=2, cards=2)
    assert severities(stream.run(), "ring") & {"medium", "high"}


@pytest.mark.parametrize(("devices", "cards", "returned"), [(3, 3, 0.0), (3, 0, 0.5), (0, 3, 0.5)])
def test_any_two_kinds_of_link_are_enough(devices: int, cards: int, returned: float) -> None:
    stream = RoomStream()
    stream.evening(200, viewers=80)
    launder(stream, devices=devices, cards=cards, returned=returned, made_together=False)
    assert severities(stream.run(), "ring") & {"medium", "high"}


def test_one_kind_of_link_alone_is_low_at_most() -> None:
    for devices, cards, returned in ((2, 0, 0.0), (0, 2, 0.0), (0, 0, 0.1)):
        stream = RoomStream()
        stream.evening(200, viewers=80)
        launder(stream, devices=devices, cards=cards, returned=returned, made_together=False)
        assert severities(stream.run(), "ring") <= {"low"}, (devices, cards, returned)


def test_a_payout_to_the_instrument_that_tips_came_from_is_money_back() -> None:
    stream = RoomStream()
    for day in range(5):
        stream.payout("bank", 900, START_MS + day * DAY_MS, instrument_id="c0")
        for account in range(6):
            stream.tip(f"r{account}", 200, START_MS + day * DAY_MS + account * MINUTE_MS,
                       instrument_id=f"c{account % 2}", device_id=f"d{account % 2}")  # fmt: skip
    found = stream.run()
    assert "high" in severities(found, "ring")
    assert {"money_back", "shared_instruments"} <= {
        reason["code"] for d in found for flag in d.flags for reason in flag.record["reasons"]
    }


def test_most_of_a_rooms_receipts_going_back_is_a_finding_without_any_device() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=45)
    launder(stream, devices=0, cards=0, returned=0.75, payees=12, made_together=False)
    assert severities(stream.run(), "ring") & {"medium", "high"}


def shills(at_once: bool) -> set[str]:
    """Twelve accounts on three phones, a card each, among fans; nothing comes back."""
    stream = RoomStream()
    stream.evening(100, viewers=40)
    for number in range(4):
        for account in range(12):
            at_ms = START_MS + number * 20 * MINUTE_MS + account * (300 if at_once else 90_000)
            stream.tip(f"r{account}", 66, at_ms, device_id=f"d{account % 3}",
                       instrument_id=f"c{account}", gift_id="car")  # fmt: skip
    return severities(stream.run(), "ring")


def test_accounts_on_a_few_phones_that_tip_at_the_same_moment_are_medium() -> None:
    assert "medium" in shills(at_once=True)
    assert shills(at_once=False) <= {"low"}


def test_money_withdrawn_to_those_who_gave_it_is_found_without_any_other_field() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=45)
    for day in range(3):
        for account in range(8):
            stream.tip(f"r{account}", 290, START_MS + day * DAY_MS + account * MINUTE_MS)
        for account in range(day, day + 3):
            at_ms = START_MS + day * DAY_MS + (2 + account) * HOUR_MS
            stream.payout(f"r{account}", 500, at_ms, reason="withdraw")
    assert severities(stream.run(), "ring") & {"medium", "high"}


def test_a_couple_with_one_phone_in_the_room_of_a_ring_is_not_of_it() -> None:
    stream = RoomStream()
    stream.evening(200, viewers=80)
    later_ms = launder(stream)
    for who in ("her", "him"):
        stream.tip(who, 5, START_MS, device_id="their-phone")
    stream.run()
    stream.tip("r3", 300, later_ms, device_id="d0", instrument_id="c1")
    stream.tip("her", 5, later_ms + MINUTE_MS, device_id="their-phone")
    member, couple = scores(stream.run(), "ring")
    assert member > 0.9
    assert couple < 0.2


def test_prizes_to_the_few_viewers_of_a_small_room_are_no_money_back() -> None:
    stream = RoomStream()
    for day in range(6):
        for fan in range(6):
            at_ms = START_MS + day * DAY_MS + fan * 10 * MINUTE_MS
            stream.tip(f"fan{fan}", 5 + fan, at_ms, device_id=f"fd{fan}")
        stream.payout(f"fan{day}", 88, START_MS + day * DAY_MS + 2 * HOUR_MS, reason="prize")
    found = stream.run()
    assert severities(found, "ring") | severities(found, "gambling") == set()


def test_winners_of_a_gamble_are_no_ring() -> None:
    stream = RoomStream()
    for number in range(8):
        for player in range(24):
            at_ms = START_MS + number * 5 * MINUTE_MS + player * SECOND_MS
            stream.tip(f"p{player}", 10, at_ms,
                       gift_id="box", device_id=f"d{player}")  # fmt: skip
        for winner in stream.random.sample(range(24), 4):
            at_ms = START_MS + number * 5 * MINUTE_MS + 2 * MINUTE_MS
            stream.payout(f"p{winner}", 45, at_ms, reason="prize")
    found = stream.run()
    assert severities(found, "ring") == set()
    assert "high" in severities(found, "gambling")


@pytest.mark.parametrize(("people", "most"), [(2, set()), (3, set()), (4, {"low"})])
def test_a_family_on_one_phone_with_one_card_is_no_ring(people: int, most: set[str]) -> None:
    stream = RoomStream()
    stream.evening(100, viewers=30)
    for day in range(20):
        for who in range(people):
            stream.tip(f"home{who}", 30, START_MS + day * DAY_MS + who * MINUTE_MS,
                       device_id="phone", instrument_id="card")  # fmt: skip
    assert severities(stream.run(), "ring") <= most


def test_a_net_cafe_and_a_dormitory_are_silent() -> None:
    stream = RoomStream()
    stream.evening(500, viewers=100)
    for day in range(15):
        for guest in range(10):
            stream.tip(f"guest{guest}", 5 + 3 * guest, START_MS + day * DAY_MS + guest * HOUR_MS,
                       device_id=f"pc{guest % 2}", instrument_id=f"own{guest}", ip="10.1.1.1",
                       gift_id="heart")  # fmt: skip
        for student in range(30):
            stream.tip(f"student{student}", 5, START_MS + day * DAY_MS + student * MINUTE_MS,
                       device_id=f"mine{student}", ip="10.2.2.2", gift_id="heart")  # fmt: skip
    assert severities(stream.run(), "ring") == set()


def test_a_big_broad_night_with_some_families_in_it_is_silent() -> None:
    stream = RoomStream()
    stream.evening(4_000, viewers=2_000)
    for family in range(120):
        for who in range(2):
            at_ms = START_MS + stream.random.random() * 3 * HOUR_MS
            stream.tip(f"home{family}-{who}", 216, at_ms, device_id=f"phone{family}",
                       instrument_id=f"card{family}")  # fmt: skip
    stream.payout("bank", 500_000, START_MS + 5 * HOUR_MS, reason="withdraw")
    found = stream.run()
    assert severities(found, "ring") == set()
    assert max(scores(found, "ring")) < 0.5


def test_a_whale_with_things_of_his_own_and_a_payout_to_a_spouse_are_silent() -> None:
    stream = RoomStream()
    stream.evening(300, viewers=60)
    for day in range(20):
        at_ms = START_MS + day * DAY_MS
        stream.tip("whale", 5_200, at_ms, device_id="w", instrument_id="w1")
        stream.payout("spouse", 4_000, at_ms + HOUR_MS, instrument_id="joint", reason="withdraw")
    found = stream.run()
    assert severities(found, "ring") == set()
    assert max(scores(found, "ring")) == 0.0


def test_a_device_that_everybody_has_is_no_device() -> None:
    stream = RoomStream()
    for number in range(600):
        who = stream.random.randrange(150)
        stream.tip(f"fan{who}", 5, START_MS + number * 10 * SECOND_MS, device_id="web",
                   instrument_id=f"i{who}")  # fmt: skip
    stream.run()
    stream.tip("fan1", 5, START_MS + 3 * HOUR_MS, device_id="web", instrument_id="i1")
    assert scores(stream.run(), "ring") == [0.0]


def test_many_cards_on_few_devices_are_found_before_any_dispute() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=40)
    in_turn(stream, 30, 6, 400, 2 * MINUTE_MS,
            lambda number: {"device_id": f"d{number % 2}",
                            "instrument_id": f"stolen{number}"})  # fmt: skip
    found = stream.run()
    assert severities(found, "ring") & {"medium", "high"}
    assert "many_cards" in codes(found)


def test_guests_of_one_machine_who_pay_with_their_own_card_each_are_silent() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=40)
    in_turn(stream, 30, 6, 40, 10 * MINUTE_MS,
            lambda number: {"device_id": "machine", "instrument_id": f"c{number % 6}"})  # fmt: skip
    assert severities(stream.run(), "ring") <= {"low"}


def test_a_room_that_lives_on_one_account_which_gets_it_back_is_found() -> None:
    stream = RoomStream()
    stream.evening(20, viewers=8)
    for day in range(5):
        for tip in range(3):
            at_ms = START_MS + day * DAY_MS + tip * MINUTE_MS
            stream.tip("own", 3_000, at_ms, instrument_id="bank")
        at_ms = START_MS + day * DAY_MS + 2 * HOUR_MS
        stream.payout("her", 8_000, at_ms, reason="withdraw", instrument_id="bank")
    assert severities(stream.run(), "ring") & {"medium", "high"}


def test_a_spouse_among_many_who_tip_is_silent_though_all_withdrawals_go_to_their_card() -> None:
    stream = RoomStream()
    for day in range(5):
        stream.evening(200, viewers=60, start_ms=START_MS + day * DAY_MS)
        stream.tip("spouse", 50, START_MS + day * DAY_MS + MINUTE_MS, instrument_id="bank")
        at_ms = START_MS + day * DAY_MS + 20 * HOUR_MS
        stream.payout("her", 1_000, at_ms, reason="withdraw", instrument_id="bank")
    assert severities(stream.run(), "ring") <= {"low"}


def test_guests_of_a_net_cafe_in_the_room_of_a_ring_are_not_of_it() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=40)
    for number in range(4):
        for account in range(12):
            at_ms = START_MS + number * 20 * MINUTE_MS + account * 300
            stream.tip(f"r{account}", 66, at_ms, device_id=f"d{account % 2}", gift_id="car")
    assert "medium" in severities(stream.run(), "ring")
    for guest in range(3):
        at_ms = START_MS + (20 + guest) * HOUR_MS
        stream.tip(f"guest{guest}", 66, at_ms, device_id="machine", gift_id="car")
    assert max(scores(stream.run(), "ring"), default=0.0) < 0.2


def at_once(stream: RoomStream, times: int, **fields: Any) -> None:
    """Eight accounts that were never seen before give the same within two seconds, so often."""
    for burst in range(times):
        for account in range(8):
            at_ms = START_MS + HOUR_MS + burst * 9 * MINUTE_MS + account * 200
            stream.tip(f"r{account}", 66, at_ms, gift_id="car", **fields)


def test_accounts_that_always_tip_in_the_same_seconds_are_one_hand_whatever_else_is_told() -> None:
    stream = RoomStream()
    stream.evening(200, viewers=40)
    at_once(stream, 9)
    found = stream.run()
    assert severities(found, "ring") == {"medium"}
    assert "same_seconds" in codes(found)


def test_bursts_of_a_pk_of_a_countdown_and_of_regulars_are_everybodys() -> None:
    def alarms(times: int, **fields: Any) -> set[str]:
        stream = RoomStream()
        stream.evening(200, viewers=40)
        at_once(stream, times, **fields)
        return severities(stream.run(), "ring")

    assert alarms(9, room_mode="pk") == set()
    assert alarms(3) <= {"low"}  # a countdown's

    stream = RoomStream()
    for day in range(9):  # the same ones call for each song, and came one by one
        for account in range(8):
            at_ms = START_MS + day * DAY_MS
            stream.tip(f"r{account}", 5, at_ms + account * 7 * MINUTE_MS, gift_id="heart")
            stream.tip(f"r{account}", 66, at_ms + 2 * HOUR_MS + account * 200, gift_id="car")
    assert severities(stream.run(), "ring") == set()


def test_families_of_one_room_are_not_added_up() -> None:
    """Each has a phone and a card that all of it use; eight families are no ring of twenty-four."""
    stream = RoomStream()
    for day in range(3):
        stream.evening(700, viewers=150, start_ms=START_MS + day * DAY_MS)
        for family in range(8):
            for person in range(3):
                at_ms = START_MS + day * DAY_MS + (family * 11 + person * 31) * MINUTE_MS
                stream.tip(f"f{family}{person}", 10, at_ms, device_id=f"phone{family}",
                           instrument_id=f"card{family}")  # fmt: skip
    assert severities(stream.run(), "ring") <= {"low"}


def test_new_accounts_on_several_phones_are_added_up() -> None:
    stream = RoomStream()
    stream.evening(200, viewers=60)
    in_turn(stream, 36, 12, 66, 2 * MINUTE_MS,
            lambda number: {"device_id": f"d{number % 4}",
                            "account_created_at": START_MS - DAY_MS})  # fmt: skip
    assert severities(stream.run(), "ring") & {"medium", "high"}


def test_one_card_after_another_from_one_account_after_another_is_found_without_devices() -> None:
    stream = RoomStream()
    stream.evening(100, viewers=40)
    in_turn(stream, 30, 4, 400, 2 * MINUTE_MS,
            lambda number: {"instrument_id": f"stolen{number}"})  # fmt: skip
    found = stream.run()
    assert severities(found, "ring") & {"medium", "high"}
    assert "many_cards" in codes(found)


def test_a_third_that_comes_back_again_and_again_is_medium() -> None:
    """The Pudong case's 33 and 40 %, to the accounts of those who gave it, evening by evening."""
    stream = RoomStream()
    for day in range(6):
        start_ms = START_MS + day * DAY_MS
        stream.evening(40, viewers=20, start_ms=start_ms)
        for account in range(5):
            stream.tip(f"r{account}", 1_000, start_ms + account * MINUTE_MS)
            at_ms = start_ms + (10 + account) * HOUR_MS
            stream.payout(f"r{account}", 360, at_ms, reason="withdraw")
    assert severities(stream.run(), "ring") & {"medium", "high"}


def test_what_a_member_gives_as_small_change_afterwards_is_no_news() -> None:
    stream = RoomStream()
    for number in range(24):
        at_ms = START_MS + number * 10 * MINUTE_MS
        stream.tip(f"r{number % 6}", 1_000, at_ms, device_id=f"d{number % 2}")
        stream.payout(f"r{number % 6}", 600, at_ms + 5 * MINUTE_MS, reason="withdraw")
    assert "high" in severities(stream.run(), "ring")
    for day in range(1, 9):
        stream.tip("r1", 5, START_MS + day * DAY_MS, device_id="d1")
    assert max(scores(stream.run(), "ring")) < 0.2


def test_two_cards_in_turn_and_a_token_for_each_payment_are_no_stolen_cards() -> None:
    turns = RoomStream()
    turns.evening(100, viewers=40)
    for number in range(40):
        turns.tip("two", 100, START_MS + number * 4 * MINUTE_MS, instrument_id=f"i{number % 2}")
    assert severities(turns.run(), "ring") == set()

    tokens = RoomStream()
    for number in range(600):
        at_ms = START_MS + number * 20 * SECOND_MS
        tokens.tip(f"t{number % 25}", 20, at_ms, instrument_id=f"token{number}")
    assert severities(tokens.run(), "ring") == set()


def test_a_third_of_what_a_room_lives_on_that_comes_back_to_one_account_is_medium() -> None:
    stream = RoomStream()
    for day in range(5):
        start_ms = START_MS + day * DAY_MS
        stream.evening(20, viewers=8, start_ms=start_ms)
        stream.tip("own", 600, start_ms + MINUTE_MS, instrument_id="bank")
        at_ms = start_ms + 4 * HOUR_MS
        stream.payout("her", 340, at_ms, reason="withdraw", instrument_id="bank")
    assert severities(stream.run(), "ring") & {"medium", "high"}
