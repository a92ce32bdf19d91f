"""The made-up stream: repeatable, exact, in order, and alive enough to be worth running on."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean

import orjson
import pytest

from detector.lab.scenario import DAY_MS, START_MS, local_hour, weekday
from detector.lab.simulate import STORIES, TRAPS, Scenario, Simulated, simulate, write

ROOT = Path(__file__).parents[2]
AMOUNT = re.compile(r"\d+\.\d{2}")
REQUIRED = {
    "tip": {"event_id", "event_time", "tipper_id", "streamer_id", "amount", "currency"},
    "recharge": {"event_id", "event_time", "tipper_id", "amount", "currency"},
    "payout": {"event_id", "event_time", "streamer_id", "account_id", "amount", "reason"},
    "refund": {"event_id", "event_time", "tipper_id", "amount", "currency", "claim"},
    "room": {"event_id", "event_time", "streamer_id", "room_id", "event", "viewers"},
}


@pytest.fixture(scope="module")
def stream() -> list[Simulated]:
    return list(simulate(Scenario(seed=7, events=60_000)))


def tips_of(stream: list[Simulated]) -> list[Simulated]:
    return [made for made in stream if made.event["type"] == "tip"]


def cases_of(stream: list[Simulated]) -> dict[str, list[dict]]:
    """The events of each planted case, by its name."""
    cases = defaultdict(list)
    for event, label in stream:
        if label is not None and label["kind"] is not None:
            cases[label["case"]].append(event)
    return cases


def digest(settings: Scenario) -> str:
    events, labels = io.BytesIO(), io.BytesIO()
    write(settings, events, labels)
    return hashlib.sha256(events.getvalue() + labels.getvalue()).hexdigest()


def test_the_same_scenario_gives_the_same_bytes() -> None:
    assert digest(Scenario(seed=3, events=4_000)) == digest(Scenario(seed=3, events=4_000))


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same_bytes(hash_seed: str) -> None:
    program = (
        "import sys, hashlib, io\n"
        "from detector.lab.simulate import Scenario, write\n"
        "events, labels = io.BytesIO(), io.BytesIO()\n"
        "write(Scenario(seed=3, events=4_000), events, labels)\n"
        "print(hashlib.sha256(events.getvalue() + labels.getvalue()).hexdigest())\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert there.stdout.strip() == digest(Scenario(seed=3, events=4_000))


def test_another_seed_gives_another_stream() -> None:
    def without_ids(seed: int) -> list[tuple]:
        stream = simulate(Scenario(seed=seed, events=500))
        return [tuple(v for k, v in e.items() if k != "event_id") for e, _ in stream]

    assert without_ids(1) != without_ids(2)


def test_two_streams_at_once_do_not_disturb_each_other() -> None:
    alone = [made.event for made in simulate(Scenario(seed=3, events=800))]
    first, second = simulate(Scenario(seed=3, events=800)), simulate(Scenario(seed=4, events=800))
    assert [a.event for a, _ in zip(first, second, strict=True)] == alone


@pytest.mark.parametrize("events", [1, 2, 17, 300, 4_321])
@pytest.mark.parametrize("days", [0.01, 1.0, 14.0])
def test_the_number_of_events_is_exact(events: int, days: float) -> None:
    assert sum(1 for _ in simulate(Scenario(events=events, days=days))) == events


@pytest.mark.parametrize("tippers", [1, 2, 60_000])
@pytest.mark.parametrize("streamers", [1, 3, 200])
def test_any_number_of_people_will_do(tippers: int, streamers: int) -> None:
    settings = Scenario(events=1_500, tippers=tippers, streamers=streamers, cases={"binge": 2})
    assert sum(1 for _ in simulate(settings)) == 1_500


def test_event_ids_are_unique_and_begin_with_prefix_and_seed(stream: list[Simulated]) -> None:
    ids = {made.event["event_id"] for made in stream}
    assert len(ids) == len(stream)
    assert all(event_id.startswith("sim-7-") for event_id in ids)
    other = next(iter(simulate(Scenario(seed=2, events=10, prefix="load"))))
    assert other.event["event_id"] == "load-2-00000001"


def test_events_come_in_order_of_time_when_there_is_no_jitter() -> None:
    times = [made.event["event_time"] for made in simulate(Scenario(events=8_000, jitter_s=0))]
    assert times == sorted(times)


def test_a_few_events_come_late_but_none_later_than_the_jitter(stream: list[Simulated]) -> None:
    newest_ms = late = 0
    for event, _ in stream:
        assert event["event_time"] >= newest_ms - 3_000
        late += event["event_time"] < newest_ms
        newest_ms = max(newest_ms, event["event_time"])
    assert 0 < late < 0.02 * len(stream)


def test_the_stream_covers_the_days_asked_for(stream: list[Simulated]) -> None:
    times = [made.event["event_time"] for made in stream]
    assert START_MS <= min(times) < START_MS + DAY_MS / 2
    assert START_MS + 13.5 * DAY_MS < max(times) < START_MS + 15 * DAY_MS


def test_every_event_has_what_its_type_requires(stream: list[Simulated]) -> None:
    seen = Counter(made.event["type"] for made in stream)
    assert set(seen) == set(REQUIRED)
    for event, _ in stream:
        assert REQUIRED[event["type"]] <= set(event)
        assert all(value is not None and value != "" for value in event.values())


def test_every_amount_is_a_positive_decimal_with_two_places(stream: list[Simulated]) -> None:
    for event, _ in stream:
        if event["type"] != "room":
            assert AMOUNT.fullmatch(event["amount"])
            assert float(event["amount"]) > 0
            assert event["currency"] == "CNY"


def test_no_account_tips_before_it_was_made(stream: list[Simulated]) -> None:
    for event, _ in stream:
        assert event.get("account_created_at", 0) <= event["event_time"]


def test_every_label_names_an_emitted_event_and_a_known_kind_or_trap(
    stream: list[Simulated],
) -> None:
    labels = [(event, label) for event, label in stream if label is not None]
    assert labels
    for event, label in labels:
        assert set(label) == {"event_id", "kind", "case", "subject", "trap"}
        assert label["event_id"] == event["event_id"]
        assert (label["kind"] in STORIES) != (label["trap"] in TRAPS)
        assert (label["kind"] is None) != (label["trap"] is None)
        whose = label["subject"]["type"]
        assert label["subject"]["id"] == event.get(f"{whose}_id", label["subject"]["id"])
        assert label["case"]


def test_as_many_cases_are_planted_as_were_asked_for() -> None:
    asked = {"minor": 5, "outsized": 4, "binge": 3}
    stream = list(simulate(Scenario(events=6_000, cases=asked)))
    cases = {label["case"]: label["kind"] for _, label in stream if label and label["kind"]}
    assert Counter(cases.values()) == asked
    assert all(events for events in cases_of(stream).values())


def test_the_planted_share_stays_within_what_was_asked(stream: list[Simulated]) -> None:
    cases = cases_of(stream)
    assert Counter(case.split("-")[0] for case in cases) == {
        "minor": 12,
        "outsized": 18,
        "binge": 12,
        "gambling": 4,
        "ring": 6,
        "refund_abuse": 6,
    }
    most = {f"{kind}-{story.name}": story.most for kind in STORIES for story in STORIES[kind]}
    for case, events in cases.items():
        assert 1 <= len(events) <= most[case.rsplit("-", 1)[0]]
    assert sum(map(len, cases.values())) < 0.08 * len(stream)


def test_no_cases_are_planted_when_none_are_wanted() -> None:
    assert not cases_of(list(simulate(Scenario(events=5_000, cases={}))))


def test_no_tipper_is_the_subject_of_two_cases(stream: list[Simulated]) -> None:
    subjects = defaultdict(set)
    for _, label in stream:
        if label is not None and label["kind"] not in (None, "gambling", "ring"):
            subjects[label["subject"]["id"]].add(label["case"])
    assert all(len(cases) == 1 for cases in subjects.values())


def test_every_trap_appears_in_a_large_enough_run(stream: list[Simulated]) -> None:
    seen = {label["trap"] for _, label in stream if label is not None and label["trap"]}
    assert seen == set(TRAPS)


def test_declared_minors_are_so_on_every_tip_and_nobody_else_is(stream: list[Simulated]) -> None:
    ages = set()
    for event, label in tips_of(stream):
        is_declared = event.get("tipper_age", 99) < 18 or event.get("minor_mode", False)
        case = "" if label is None else label["case"]
        assert is_declared == case.startswith(("minor-age-", "minor-mode-"))
        if is_declared:
            ages.add(event.get("tipper_age"))
    assert None in ages  # by minor mode alone
    assert len(ages - {None}) >= 2


def test_a_sudden_gift_is_many_times_the_accounts_own_usual(stream: list[Simulated]) -> None:
    before: defaultdict[str, list[float]] = defaultdict(list)
    seen = 0
    for event, label in tips_of(stream):
        own, amount = before[event["tipper_id"]], float(event["amount"])
        if label is not None and label["case"].startswith("outsized-sudden"):
            seen += 1
            assert len(own) >= 4
            assert 25 <= amount / mean(own) <= 350
            assert amount > 5_000
        own.append(amount)
    assert seen == 4


def test_a_newcomers_first_tips_are_very_large(stream: list[Simulated]) -> None:
    cases = [e for case, e in cases_of(stream).items() if case.startswith("outsized-newcomer")]
    known: dict[str, str] = {}
    for event, _ in tips_of(stream):
        known.setdefault(event["tipper_id"], event["event_id"])
    assert cases
    for events in cases:
        first = next(event for event in events if event["type"] == "tip")
        assert known[first["tipper_id"]] == first["event_id"]
        assert float(first["amount"]) >= 5_000


def test_sustained_spending_recharges_round_sums_on_working_days(
    stream: list[Simulated],
) -> None:
    cases = [e for case, e in cases_of(stream).items() if case.startswith("outsized-sustained")]
    assert cases
    for events in cases:
        recharges = [event for event in events if event["type"] == "recharge"]
        assert len({event["event_time"] // DAY_MS for event in recharges}) >= 2
        assert all(float(event["amount"]) % 1_000 == 0 for event in recharges)
        assert all(weekday(event["event_time"]) < 5 for event in recharges)
    cards = Counter(
        len({e["instrument_id"] for e in events if "instrument_id" in e}) for events in cases
    )
    assert max(cards) >= 2


def test_a_binge_speeds_up_grows_and_recharges_in_between(stream: list[Simulated]) -> None:
    steady = {case: events for case, events in cases_of(stream).items() if "binge" in case}
    cases = [events for case, events in steady.items() if "payday" not in case]
    assert len(cases) == 10
    for events in cases:
        tips = sorted(
            (event["event_time"], float(event["amount"]))
            for event in events
            if event["type"] == "tip"
        )
        gaps = [after[0] - before[0] for before, after in pairwise(tips)]
        third = len(tips) // 3
        assert mean(gaps[-third:]) < 0.5 * mean(gaps[:third])
        assert mean(a for _, a in tips[-third:]) > 1.2 * mean(a for _, a in tips[:third])
        assert sum(event["type"] == "recharge" for event in events) >= 2


def test_evenings_are_busier_than_early_mornings(stream: list[Simulated]) -> None:
    hours = Counter(local_hour(event["event_time"]) for event, _ in tips_of(stream))
    evening, morning = (sum(hours[h] for h in some) for some in ((20, 21, 22), (4, 5, 6)))
    assert evening > 6 * morning


def test_weekends_are_busier_than_working_days(stream: list[Simulated]) -> None:
    days = Counter(weekday(event["event_time"]) for event, _ in tips_of(stream))
    assert days[5] + days[6] > 1.2 * (days[0] + days[1])


def test_the_top_hundredth_of_tippers_give_more_than_a_fifth(stream: list[Simulated]) -> None:
    spent: Counter[str] = Counter()
    for event, label in tips_of(stream):
        if label is None or label["kind"] is None:
            spent[event["tipper_id"]] += round(float(event["amount"]) * 100)
    top = sum(minor for _, minor in spent.most_common(len(spent) // 100))
    assert 0.2 < top / spent.total() < 0.9


def test_small_gifts_are_common_and_dear_ones_rare(stream: list[Simulated]) -> None:
    amounts = sorted(float(event["amount"]) for event, _ in tips_of(stream))
    assert 0.5 <= amounts[len(amounts) // 2] <= 5
    assert 50 <= amounts[int(0.99 * len(amounts))] <= 1_000


def test_new_accounts_keep_arriving(stream: list[Simulated]) -> None:
    first_half = START_MS + 7 * DAY_MS
    young = {
        event["tipper_id"]
        for event, _ in tips_of(stream)
        if event.get("account_created_at", 0) > first_half
    }
    assert len(young) > 100


def test_a_pk_ends_with_a_rush_of_many_payers(stream: list[Simulated]) -> None:
    rushes = defaultdict(set)
    for event, label in tips_of(stream):
        if label is not None and label["trap"] == "pk_finish":
            assert event["room_mode"] == "pk"
            rushes[label["case"], event["streamer_id"]].add(event["tipper_id"])
    assert mean(map(len, rushes.values())) >= 10


def test_room_modes_follow_the_room_events() -> None:
    stream = list(simulate(Scenario(seed=7, events=30_000, jitter_s=0)))
    modes: dict[str, str] = {}
    starts = {"pk_start": "pk", "ceremony_start": "ceremony", "lottery_open": "lottery"}
    for event, _ in stream:
        if event["type"] == "room" and event["event"] != "live_start":
            modes[event["streamer_id"]] = starts.get(event["event"], "normal")
        elif event["type"] == "tip":
            assert event["room_mode"] == modes.get(event["streamer_id"], "normal")
    seen = {event["room_mode"] for event, _ in tips_of(stream)}
    assert seen == {"normal", "pk", "ceremony", "lottery"}


def test_most_tips_go_to_rooms_that_are_live(stream: list[Simulated]) -> None:
    live: set[str] = set()
    away = tips = 0
    for event, _ in stream:
        if event["type"] == "room" and event["event"] in ("live_start", "live_end"):
            (live.add if event["event"] == "live_start" else live.discard)(event["streamer_id"])
        elif event["type"] == "tip":
            tips += 1
            away += event["streamer_id"] not in live
    assert away < 0.03 * tips


def test_what_is_held_does_not_grow_with_the_events() -> None:
    def most_held(events: int) -> int:
        stream = simulate(Scenario(events=events, tippers=500, streamers=20, cases={}))
        frame = stream.gi_frame  # type: ignore[attr-defined]
        agenda = frame.f_locals["site"].agenda
        held = 0
        for number, _ in enumerate(stream):
            if number % 50 == 0:
                held = max(held, sum(map(len, agenda._slices.values())))
        return held

    assert most_held(40_000) < 4_000


def test_write_gives_one_json_object_a_line_and_labels_beside_them() -> None:
    settings = Scenario(seed=9, events=2_000)
    events, labels = io.BytesIO(), io.BytesIO()
    assert write(settings, events, labels) == 2_000
    made = list(simulate(settings))
    assert [orjson.loads(line) for line in events.getvalue().splitlines()] == [e for e, _ in made]
    assert [orjson.loads(line) for line in labels.getvalue().splitlines()] == [
        label for _, label in made if label is not None
    ]
    alone = io.BytesIO()
    write(settings, alone)
    assert alone.getvalue() == events.getvalue()


def test_unknown_kinds_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"cases of robbery: known kinds are minor, outsized"):
        simulate(Scenario(cases={"robbery": 1}))


def test_more_cases_than_fit_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"50 cases may need 3000 events of 1000: ask for fewer"):
        simulate(Scenario(events=1_000, cases={"binge": 50}))


def test_impossible_settings_are_all_named_at_once() -> None:
    with pytest.raises(ValueError) as refused:
        Scenario(events=0, days=-1.0, jitter_s=-2.0, cases={"minor": -1})
    assert str(refused.value) == (
        "scenario: events = 0: must be at least 1; days = -1.0: must be above 0, at most 3,660; "
        "jitter_s = -2.0: must be 0 to 3,600 seconds; cases of 'minor' = -1: must be 0 or more"
    )
