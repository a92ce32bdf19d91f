"""Rounds of like stakes with money to a few are gambling; popular gifts, PKs and prizes are not."""

from __future__ import annotations

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


def play(
    stream: RoomStream, rounds: int, stakers: int = 24, start_ms: int = START_MS,
    winners: int = 5, share: float = 0.8, sides: tuple[str, ...] = ("left", "right"),
    every_ms: int = 5 * MINUTE_MS, said: tuple[str, ...] = (), **fields: Any,
) -> int:  # fmt: skip
    """Rounds of a minute of 10-yuan stakes, prizes two minutes later; when they ended.

    `said` are the first stakers' messages; the others say nothing.
    """
    for number in range(rounds):
        open_ms = start_ms + number * every_ms
        players = stream.random.sample(range(200), stakers)
        for place, player in enumerate(players):
            words = {"message": said[place]} if place < len(said) else {}
            stream.tip(
                f"p{player}", 10, open_ms + stream.random.random() * MINUTE_MS,
                gift_id=stream.random.choice(sides), device_id=f"pd{player}", **words, **fields,
            )  # fmt: skip
        for place, player in enumerate(players[:winners]):
            prize = round(stakers * 10 * share / winners, 2)
            stream.payout(
                f"p{player}", prize, open_ms + 2 * MINUTE_MS + place * SECOND_MS, reason="prize"
            )
    return start_ms + rounds * every_ms


def test_rounds_with_prizes_to_a_few_become_high_and_then_each_stake_scores_high() -> None:
    stream = RoomStream()
    end_ms = play(stream, 6)
    assert "high" in severities(stream.run(), "gambling")
    play(stream, 1, start_ms=end_ms, winners=0)
    stakes = scores(stream.run(), "gambling")
    assert len(stakes) == 24
    assert min(stakes) >= 0.85
    stream.tip("whale", 5_000, end_ms + 3 * MINUTE_MS, gift_id="rocket")
    (ordinary,) = scores(stream.run(), "gambling")
    assert ordinary < 0.2


@pytest.mark.parametrize("sides", [("box",), ("left", "right")])
def test_three_rounds_with_prizes_are_a_finding_amid_an_ordinary_evening(
    sides: tuple[str, ...],
) -> None:
    stream = RoomStream()
    stream.evening(400, viewers=120)
    play(stream, 4, stakers=15, sides=sides, start_ms=START_MS + HOUR_MS)
    assert severities(stream.run(), "gambling") >= {"medium"}


def test_prizes_sent_while_stakes_never_pause_are_found_too() -> None:
    stream = RoomStream()
    for second in range(0, 3600, 4):
        player = stream.random.randrange(300)
        at_ms = START_MS + second * SECOND_MS
        stream.tip(f"p{player}", 9.9, at_ms, gift_id="box")
        if second % 240 == 236:
            prize = stream.random.choice((100, 250, 400, 888))
            stream.payout(f"p{player}", prize, at_ms + 100, reason="prize")
    found = stream.run()
    assert severities(found, "gambling") & {"medium", "high"}


def test_counts_of_one_gift_and_plain_amounts_are_two_outcomes_as_well() -> None:
    for fields in ({"gift_id": "coin"}, {}):
        stream = RoomStream()
        for number in range(7):
            for player in range(20):
                at_ms = START_MS + number * 5 * MINUTE_MS + player * 2 * SECOND_MS
                stream.tip(f"p{player}", 6 + 2 * (player % 2), at_ms, **fields)
            stream.payout(f"p{number}", 90, at_ms + MINUTE_MS, reason="rebate")
        found = stream.run()
        assert "high" in severities(found, "gambling")
        assert "two_outcomes" in codes(found)


def test_without_payouts_rounds_are_low_at_most_unless_coding_and_words_agree() -> None:
    silent = RoomStream()
    play(silent, 20, winners=0, sides=("box",))
    assert severities(silent.run(), "gambling") <= {"low"}
    agreeing = RoomStream()
    play(agreeing, 20, winners=0, message="押大")
    found = severities(agreeing.run(), "gambling")
    assert "medium" in found
    assert "high" not in found


def test_some_words_of_a_wager_in_each_round_are_enough_where_most_stakes_say_nothing() -> None:
    stream = RoomStream()
    play(stream, 14, winners=0, said=("押大", "押小"))
    found = severities(stream.run(), "gambling")
    assert "medium" in found
    assert "high" not in found


def test_the_votes_of_a_group_stream_stay_low_though_somebody_spoke_of_a_wager_once() -> None:
    stream = RoomStream()
    end_ms = play(stream, 10, winners=0, said=("加油",))
    end_ms = play(stream, 1, winners=0, start_ms=end_ms, said=("押大",))
    play(stream, 10, winners=0, start_ms=end_ms, said=("加油",))
    assert severities(stream.run(), "gambling") <= {"low"}


def test_a_paid_lottery_with_cash_to_winners_is_found() -> None:
    stream = RoomStream()
    for number in range(5):
        open_ms = START_MS + number * 20 * MINUTE_MS
        stream.room("lottery_open", open_ms)
        for player in range(60):
            at_ms = open_ms + stream.random.random() * 3 * MINUTE_MS
            stream.tip(f"p{player}", 27, at_ms, gift_id="ticket")
        stream.room("lottery_draw", open_ms + 3 * MINUTE_MS)
        for player in stream.random.sample(range(60), 2):
            stream.payout(f"p{player}", 150, open_ms + 5 * MINUTE_MS)
    assert severities(stream.run(), "gambling") & {"medium", "high"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("tips", "viewers"), [(300, 40), (3_000, 800)])
def test_an_ordinary_week_with_a_popular_gift_is_silent(seed: int, tips: int, viewers: int) -> None:
    stream = RoomStream(seed)
    for day in range(7):
        stream.evening(tips, viewers, start_ms=START_MS + day * DAY_MS)
        stream.payout("streamer-bank", 2_000, START_MS + (day + 0.4) * DAY_MS, reason="withdraw")
    found = stream.run()
    assert severities(found, "gambling") == set()
    assert max(scores(found, "gambling")) < 0.5


@pytest.mark.parametrize("says_mode", [True, False])
def test_the_ends_of_pks_are_silent(says_mode: bool) -> None:
    stream = RoomStream()
    stream.evening(300, viewers=100)
    for number in range(6):
        start_ms = START_MS + number * 20 * MINUTE_MS
        fields = {"room_mode": "pk"} if says_mode else {}
        if not says_mode:
            stream.room("pk_start", start_ms)
            stream.room("pk_end", start_ms + 10 * MINUTE_MS)
        for fan in range(60):
            late_ms = stream.random.random() * 40 * SECOND_MS
            stream.tip(f"fan{fan}", 10, start_ms + 10 * MINUTE_MS - late_ms, gift_id="bear",
                       **fields)  # fmt: skip
    assert severities(stream.run(), "gambling") == set()


def test_combos_and_love_numbers_are_silent() -> None:
    stream = RoomStream()
    for number in range(12):
        at_ms = START_MS + number * 5 * MINUTE_MS
        for count in range(66):
            stream.tip(f"fan{number % 3}", 1, at_ms + count * 300, gift_id="rose")
        for fan in range(4):
            stream.tip(f"love{fan}", 520, at_ms + fan * SECOND_MS, gift_id="ring")
    found = stream.run()
    assert severities(found, "gambling") == set()


def test_a_giveaway_and_free_lotteries_are_silent() -> None:
    stream = RoomStream()
    stream.evening(1_500, viewers=300)
    for number in range(8):
        open_ms = START_MS + number * 20 * MINUTE_MS
        stream.room("lottery_open", open_ms)
        stream.room("lottery_draw", open_ms + 3 * MINUTE_MS)
        for winner in stream.random.sample(range(300), 3):
            stream.payout(f"fan{winner}", 88, open_ms + 4 * MINUTE_MS, reason="prize")
    found = stream.run()
    assert severities(found, "gambling") == set()


def test_one_round_with_prizes_alone_is_silent() -> None:
    stream = RoomStream()
    play(stream, 1)
    assert severities(stream.run(), "gambling") == set()


def test_rounds_of_one_persons_accounts_are_not_called_gambling() -> None:
    stream = RoomStream()
    for number in range(8):
        for player in range(12):
            at_ms = START_MS + number * 5 * MINUTE_MS + player * SECOND_MS
            stream.tip(f"p{player}", 10, at_ms, gift_id="box", device_id=f"d{player % 2}")
        stream.payout(f"p{number}", 60, at_ms + MINUTE_MS)
    assert severities(stream.run(), "gambling") == set()


def test_prizes_that_come_after_the_next_round_has_begun_are_of_the_round_before() -> None:
    stream = RoomStream()
    for number in range(6):
        open_ms = START_MS + number * 4 * MINUTE_MS
        for player in range(20):
            stream.tip(f"p{player}", 10, open_ms + player * 2 * SECOND_MS, gift_id="box")
        for winner in range(4):
            paid_ms = open_ms + 4 * MINUTE_MS + 10 * SECOND_MS
            stream.payout(f"p{winner * 3}", 40, paid_ms, reason="prize")
    found = stream.run()
    assert "high" in severities(found, "gambling")
    room = stream.engine._streamer_view.streamers.get("s1")
    assert room is not None
    assert [each.tippers for each in room.rounds.past] == [20] * len(room.rounds.past)


def test_draws_of_a_thousand_entries_are_found_though_most_are_unknown() -> None:
    stream = RoomStream()
    for number in range(6):
        open_ms = START_MS + number * 10 * MINUTE_MS
        for player in range(1_000):
            stream.tip(f"p{number}-{player}", 27, open_ms + player * 200, gift_id="ticket")
        for winner in stream.random.sample(range(1_000), 6):
            stream.payout(f"p{number}-{winner}", 2_000, open_ms + 6 * MINUTE_MS, reason="prize")
    assert severities(stream.run(), "gambling") & {"medium", "high"}


def boxes(stream: RoomStream, prizes: bool = True) -> None:
    """Six people buy boxes as they like for twenty minutes; what is worth something is bought
    back within minutes. There are no rounds, and others tip meanwhile."""
    for player in range(6):
        at_ms = START_MS + HOUR_MS + stream.random.random() * 10 * MINUTE_MS
        for _ in range(10):
            stream.tip(f"p{player}", 20, at_ms, gift_id="box", device_id=f"pd{player}")
            if prizes and stream.random.random() < 0.4:
                stream.payout(f"p{player}", 48, at_ms + 90 * SECOND_MS, reason="prize")
            at_ms += (10 + stream.random.random() * 50) * SECOND_MS


def test_boxes_bought_back_are_found_without_any_round() -> None:
    stream = RoomStream()
    stream.evening(400, viewers=120)
    boxes(stream)
    found = stream.run()
    assert severities(found, "gambling") & {"medium", "high"}
    assert "prizes_to_players" in codes(found)


def test_boxes_that_nobody_buys_back_are_silent() -> None:
    stream = RoomStream()
    stream.evening(400, viewers=120)
    boxes(stream, prizes=False)
    assert severities(stream.run(), "gambling") == set()


def test_prizes_again_and_again_to_viewers_who_sent_all_kinds_of_gifts_are_silent() -> None:
    stream = RoomStream()
    for number in range(10):
        open_ms = START_MS + number * 15 * MINUTE_MS
        for player in stream.random.sample(range(200), 12):
            at_ms = open_ms + stream.random.random() * 3 * MINUTE_MS
            gift = stream.random.randrange(9)
            stream.tip(f"p{player}", 1 + gift, at_ms, gift_id=f"g{gift}", device_id=f"d{player}")
            if stream.random.random() < 0.2:
                stream.payout(f"p{player}", 10, open_ms + 4 * MINUTE_MS, reason="prize")
    assert severities(stream.run(), "gambling") == set()


@pytest.mark.parametrize("has_rounds", [True, False])
def test_the_same_gift_a_day_after_the_game_is_an_ordinary_one(has_rounds: bool) -> None:
    stream = RoomStream()
    end_ms = START_MS + 2 * HOUR_MS
    if has_rounds:
        play(stream, 6, sides=("box",))
    else:
        boxes(stream)
    assert severities(stream.run(), "gambling") & {"medium", "high"}
    for number in range(40):
        at_ms = end_ms + DAY_MS + number // 8 * HOUR_MS + number % 8 * SECOND_MS
        stream.tip(f"fan{number}", 10, at_ms, gift_id="box")
    assert max(scores(stream.run(), "gambling")) < 0.2


def test_a_game_that_pays_elsewhere_from_now_on_is_still_on() -> None:
    stream = RoomStream()
    ended_ms = play(stream, 8)
    stream.run()
    play(stream, 8, start_ms=ended_ms + 20 * HOUR_MS, winners=0)
    assert max(scores(stream.run(), "gambling")) >= 0.75


def test_money_that_a_player_gets_days_after_the_game_is_nobodys_prize() -> None:
    stream = RoomStream()
    ended_ms = play(stream, 8)
    assert severities(stream.run(), "gambling")
    for player in range(200):
        stream.payout(f"p{player}", 15, ended_ms + 2 * DAY_MS, reason="withdraw")
    assert set(scores(stream.run(), "gambling")) == {0.0}
