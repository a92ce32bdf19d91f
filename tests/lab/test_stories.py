"""The planted stories: each is told, labelled as it says, and has the shape of its kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from detector.lab.cases import traps
from detector.lab.scenario import local_hour
from detector.lab.simulate import STORIES, TRAPS, Platform, Scenario, Simulated, simulate

EVERY_STORY = {kind: len(stories) for kind, stories in STORIES.items()}


def fen(event: dict) -> int:
    return int(event["amount"].replace(".", ""))


def everything(**changes: object) -> list[Simulated]:
    """A stream with every story and every trap, twice."""
    asked = {kind: 2 * count for kind, count in EVERY_STORY.items()}
    settings = {"seed": 5, "events": 40_000, "cases": asked, "traps_per_10k": 0.5}
    return list(simulate(Scenario(**{**settings, **changes})))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stream() -> list[Simulated]:
    return everything()


def told(stream: list[Simulated], start: str) -> Iterator[list[dict]]:
    """The labelled events of each case whose name begins so."""
    cases = defaultdict(list)
    for event, label in stream:
        if label is not None and label["kind"] is not None and label["case"].startswith(start):
            cases[label["case"]].append(event)
    assert cases
    yield from cases.values()


@pytest.mark.parametrize("days", [0.1, 2.0, 14.0, 60.0])
def test_every_story_is_told_however_long_the_stream_is(days: float) -> None:
    stream = everything(days=days, events=12_000, cases=EVERY_STORY)
    cases = {label["case"] for _, label in stream if label is not None and label["kind"]}
    assert Counter("-".join(case.split("-")[:2]) for case in cases) == {
        f"{kind}-{story.name}": 1 for kind, stories in STORIES.items() for story in stories
    }
    assert len(stream) == 12_000


@pytest.mark.parametrize(("tippers", "streamers"), [(1, 1), (2, 3), (30_000, 200)])
def test_every_story_copes_with_any_number_of_people(tippers: int, streamers: int) -> None:
    people = {"tippers": tippers, "streamers": streamers}
    stream = everything(days=3.0, events=12_000, cases=EVERY_STORY, **people)
    assert len(stream) == 12_000


def test_every_trap_is_planted(stream: list[Simulated]) -> None:
    seen = {label["trap"] for _, label in stream if label is not None and label["trap"]}
    assert seen == set(TRAPS)


def test_no_traps_are_planted_when_none_are_wanted() -> None:
    stream = simulate(Scenario(events=20_000, traps_per_10k=0.0, cases={}))
    seen = {label["trap"] for _, label in stream if label is not None}
    assert not seen & set(traps.STORIES)


def test_undeclared_children_top_up_often_and_mostly_after_school(stream: list[Simulated]) -> None:
    for story in ("parents_phone", "own_account"):
        for events in told(stream, f"minor-{story}"):
            assert not any("tipper_age" in e or "minor_mode" in e for e in events)
            tips = [event for event in events if event["type"] == "tip"]
            assert 1 < len(tips) / (len(events) - len(tips)) < 8
            hours = Counter(local_hour(event["event_time"]) in range(12, 24) for event in tips)
            assert hours[True] > 0.9 * len(tips)


def test_winners_at_dice_get_back_less_than_two_times_what_they_gave(
    stream: list[Simulated],
) -> None:
    for events in told(stream, "gambling-dice"):
        tips = [event for event in events if event["type"] == "tip"]
        prizes = [event for event in events if event["type"] == "payout"]
        assert {event["reason"] for event in prizes} == {"prize"}
        assert len({event["gift_id"] for event in tips}) == 2
        assert len({fen(event) // event["quantity"] for event in tips}) == 1
        assert 0.5 < sum(map(fen, prizes)) / sum(map(fen, tips)) < 1.4


def test_some_gambling_is_seen_without_a_payout(stream: list[Simulated]) -> None:
    for events in told(stream, "gambling-unpaid"):
        assert {event["type"] for event in events} == {"tip"}


def test_a_raffle_gives_back_a_fifth_to_a_half_to_few(stream: list[Simulated]) -> None:
    for events in told(stream, "gambling-raffle"):
        tips = [event for event in events if event["type"] == "tip"]
        prizes = [event for event in events if event["type"] == "payout"]
        assert 0.1 < sum(map(fen, prizes)) / sum(map(fen, tips)) < 0.55
        assert len(prizes) < 0.3 * len(tips)


def test_laundered_money_goes_back_to_the_cards_it_came_from(stream: list[Simulated]) -> None:
    for events in told(stream, "ring-laundering"):
        tips = [event for event in events if event["type"] == "tip"]
        back = [event for event in events if event["type"] == "payout"]
        assert {e["instrument_id"] for e in back} <= {e["instrument_id"] for e in tips}
        assert 0.2 < sum(map(fen, back)) / sum(map(fen, tips)) < 0.85


def test_stolen_cards_are_many_on_few_devices(stream: list[Simulated]) -> None:
    for events in told(stream, "ring-stolen_cards"):
        tips = [event for event in events if event["type"] == "tip"]
        assert len({event["instrument_id"] for event in tips}) == len(tips) >= 15
        assert len({event.get("device_id") for event in tips}) <= 10


def test_of_refund_abuse_only_the_claims_are_labelled(stream: list[Simulated]) -> None:
    for events in told(stream, "refund_abuse"):
        assert {event["type"] for event in events} == {"refund"}
    for events in told(stream, "refund_abuse-agent"):
        assert len({event["claimant_id"] for event in events}) == 1
        assert len({event["tipper_id"] for event in events}) >= 3


def test_a_true_claim_is_a_trap_not_a_case(stream: list[Simulated]) -> None:
    claims = [
        label["trap"]
        for event, label in stream
        if event["type"] == "refund" and label is not None and label["kind"] is None
    ]
    assert claims.count("honest_refund") >= 4


def test_a_platform_leaves_out_what_it_does_not_tell() -> None:
    platform = Platform({"device_id": 1.0, "ip": 0.5}, frozenset(("payout", "room")))
    told, all_told = everything(platform=platform), everything()
    assert len(told) == 40_000
    assert {event["type"] for event, _ in told} == {"tip", "recharge", "refund"}
    assert not any("device_id" in event for event, _ in told)
    some, most = (sum("ip" in event for event, _ in each) for each in (told, all_told))
    assert 0.3 * most < some < 0.7 * most
    assert all(("ip" in e) == ("ip" in f) for e, f in _same_account_pairs(told))


def _same_account_pairs(stream: list[Simulated]) -> Iterator[tuple[dict, dict]]:
    latest: dict[str, dict] = {}
    for event, label in stream:
        if event["type"] == "tip" and label is None:
            if event["tipper_id"] in latest:
                yield latest[event["tipper_id"]], event
            latest[event["tipper_id"]] = event


@pytest.mark.parametrize(("currency", "places"), [("USD", 2), ("JPY", 0)])
def test_amounts_are_in_the_platforms_currency(currency: str, places: int) -> None:
    for event, _ in simulate(Scenario(events=3_000, platform=Platform(currency=currency))):
        if "amount" in event:
            assert event["currency"] == currency
            assert float(event["amount"]) > 0
            assert len(event["amount"].partition(".")[2]) == places


def test_impossible_platforms_are_refused_with_all_problems() -> None:
    with pytest.raises(ValueError) as refused:
        Platform({"amount": 1.0, "ip": 2.0}, frozenset(("tip",)), "XTS")
    assert str(refused.value) == (
        "platform: amount: is no optional field; ip missing for 2.0: must be 0 to 1; "
        "tip: cannot be silent; currency XTS: known are CNY, USD, JPY"
    )
