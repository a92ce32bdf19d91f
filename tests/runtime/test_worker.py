"""The loop, on a Kafka in memory: what counts after which mishap, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.event import Event
from detector.runtime.canary import CANARY_HEADER, CANARY_VALUE
from detector.runtime.checkpoint import Manifest, manifest_key
from detector.runtime.ports import Output, Partition, Stop
from detector.runtime.rekey import Batch, decode
from tests import engines
from tests.runtime.fake_kafka import Broker, FakeRecord
from tests.runtime.fake_ports import Instance, Killed, make_broker

ZERO, ONE = Partition("tips", 0), Partition("tips", 1)


@cache
def assembly() -> Assembly:
    return Assembly(engines.settings())


def minor_tip(number: int, tipper_id: str = "t") -> bytes:
    """A tip of somebody who says he is twelve: each is worth a flag."""
    record = {
        "event_id": f"e{number}", "event_time": 1_772_380_802_272 + number, "tipper_id": tipper_id,
        "streamer_id": "s", "amount": "1", "currency": "CNY", "tipper_age": 12,
    }  # fmt: skip
    return orjson.dumps(record)


def produce(broker: Broker, *numbers: int, at: Partition = ZERO) -> None:
    for number in numbers:
        broker.produce(at, minor_tip(number))


def running(partitions: int = 1, **changes: Any) -> tuple[Broker, Instance]:
    """A member that has opened and saved its empty partitions of the tips topic."""
    broker = make_broker(assembly(), partitions)
    one = Instance(assembly(), broker, "one", **changes)
    broker.assign([Partition("tips", n) for n in range(partitions)], "one")
    one.turn(2)
    return broker, one


def another(broker: Broker, name: str = "two", **changes: Any) -> Instance:
    """A member that gets all of the tips topic and opens it."""
    two = Instance(assembly(), broker, name, **changes)
    broker.assign([at for at in broker.logs if at.topic == "tips"], name)
    two.turn()
    return two


def flagged(broker: Broker) -> list[str]:
    """The event of each flag that counts, in order."""
    return [orjson.loads(each.value or b"")["event_id"] for each in broker.all("tip-flags")]


def letters(broker: Broker) -> list[FakeRecord]:
    return broker.all("tip-dead-letters")


def everything(broker: Broker) -> dict[str, list[FakeRecord]]:
    """All that counts, by topic."""
    return {topic: broker.all(topic) for topic in broker.counts}


def ends(broker: Broker) -> dict[Partition, int]:
    return {at: broker.end(at) for at in broker.logs}


def rekeyed(broker: Broker, since: Mapping[Partition, int] | None = None) -> list[Batch]:
    """What partitions of the tips topic told others since then: by target, and in order."""
    return [
        decode(record.value or b"", "streamer")
        for at in broker.logs
        if at.topic == assembly().settings.rekeyed_topic
        for record in broker.read(at, since[at] if since else 0)[0]
    ]


def saved(broker: Broker, at: Partition = ZERO) -> Manifest:
    """The newest saved state of a partition that counts."""
    found = [
        record.value
        for record in broker.all(assembly().settings.checkpoints_topic)
        if record.key == manifest_key(at)
    ]
    return Manifest.parse(found[-1] or b"")


# -- commits -------------------------------------------------------------------------------------


def test_flags_re_keyed_events_state_and_offsets_come_about_in_one_commit() -> None:
    broker, one = running(save_every=2)
    produce(broker, 1, 2)
    commits = broker.commits
    one.turn()
    (batch,) = rekeyed(broker)
    assert broker.commits == commits + 1
    assert broker.offsets == {ZERO: 2}
    assert flagged(broker) == ["e1", "e2"]
    assert [event.event_id for _, _, event in batch.rows] == ["e1", "e2"]
    assert saved(broker).next_offset == 2


def test_a_credit_record_comes_about_with_the_flag_that_changed_it_and_counts_once() -> None:
    broker, one = running()
    produce(broker, 1, 2)
    one.sink.fates = ["aborted"]
    one.turn()
    assert broker.all("tip-accounts") == []
    one.turn(3)
    assert flagged(broker) == ["e1", "e2"]
    (record,) = broker.all("tip-accounts")
    assert record.key == b"t"
    assert orjson.loads(record.value or b"")["tier"] == "B"
    one.clock.s += 100  # until it looks around
    one.turn()
    assert one.sample("account_changes_total", subject="tipper", tier="B") == 1
    assert one.sample("accounts", subject="tipper", tier="B") == 1
    assert one.sample("accounts", subject="streamer", tier="B") == 0


def test_a_storm_of_high_flags_is_written_and_told_by_the_metrics() -> None:
    broker, one = running()
    most = assembly().settings.cases.storm_flags
    for number in range(most + 4):
        broker.produce(ZERO, minor_tip(number, f"t{number}"))
    one.turn()
    one.clock.s += 100
    one.turn()
    flags = [orjson.loads(each.value or b"") for each in broker.all("tip-flags")]
    assert [each.get("paged", True) for each in flags] == [True] * (most + 1) + [False] * 3
    assert one.sample("paging_flags_total", kind="minor", basis="declared") == most + 1
    assert one.sample("unpaged_flags_total") == 3
    assert one.sample("flag_storm") == 1


@pytest.mark.parametrize("key", ["tipper", "other"])
def test_flags_of_a_trial_are_written_and_count_only_as_a_comparison(
    tmp_path: Path, key: str
) -> None:
    live, trial = tmp_path / "live.toml", tmp_path / "trial.toml"
    live.write_text(f'[topics]\ntips_key = "{key}"\n[shadow]\nconfig = "trial.toml"\n')
    trial.write_text("[thresholds.binge]\nlow = 0.1\n")
    with_trial = Assembly.load(live)
    broker = make_broker(with_trial, 1)
    one = Instance(with_trial, broker, "one")
    broker.assign(list(broker.logs), "one")
    one.turn(2)
    produce(broker, 1)
    for _ in range(4):
        one.turn()
        one.clock.s += 100
    flags = [orjson.loads(each.value or b"") for each in broker.all("tip-flags")]
    assert [each["detector"]["shadow"] for each in flags] == [False, True]
    assert [each["event_id"] for each in flags] == ["e1", "e1"]
    assert one.sample("flags_total", kind="minor", severity="high") == 1
    assert one.sample("cases_total", kind="minor", step="opened") == 1
    assert one.sample("paging_flags_total", kind="minor", basis="declared") == 1
    assert one.sample("paging_flags_total", kind="binge", basis="evidence") == 0
    assert one.sample("unpaged_flags_total") == 0
    assert one.sample("shadow_findings_total", kind="minor", outcome="agreed") == 1
    assert one.sample("account_changes_total", subject="tipper", tier="B") == 1


def test_findings_on_a_snoozed_subject_are_counted() -> None:
    broker, one = running()
    produce(broker, 1)
    one.turn()
    (engine,) = one.lanes[ZERO].engines
    engine.snooze("minor", "tipper", "t", 1_772_380_802_272 + 3_600_000)
    one.clock.s += 100
    one.turn()
    produce(broker, 2, 3)
    one.turn()
    one.clock.s += 100
    one.turn()
    assert flagged(broker) == ["e1"]
    assert one.sample("snoozed_total") == 2


def test_nothing_is_committed_while_nothing_comes() -> None:
    _, one = running()
    one.turn(20)  # until others were told that it is idle
    begun = one.sink.begun
    one.turn(20)
    assert one.sink.begun == begun


def test_while_a_commit_is_under_way_nothing_is_read_and_the_state_says_blocked() -> None:
    broker, one = running()
    produce(broker, 1)
    seen = []
    one.sink.fates = ["late"]
    one.sink.meanwhile = lambda: seen.append((one.source.polls, one.status.state))
    polls = one.source.polls
    one.turn()
    assert seen == [(polls + 1, "running"), (polls + 1, "blocked")]
    assert (one.status.state, one.source.polls) == ("running", polls + 1)
    assert flagged(broker) == ["e1"]


def test_an_aborted_commit_is_done_again_from_saved_state_and_counts_once() -> None:
    broker, one = running(save_every=2)
    produce(broker, 1, 2, 3)
    one.turn()
    lane = one.lanes[ZERO]
    produce(broker, 4, 2)
    one.sink.fates = ["aborted"]
    one.turn()
    assert flagged(broker) == ["e1", "e2", "e3"]
    assert one.lanes[ZERO] is not lane  # a fresh one, that knows event 2 from saved state only
    one.turn()
    assert flagged(broker) == ["e1", "e2", "e3", "e4"]
    assert (broker.offsets[ZERO], one.sample("aborted_commits_total")) == (5, 1)
    assert (one.sample("events_total", type="tip"), one.sample("duplicates_total")) == (4, 1)


def test_a_high_flag_is_logged_with_where_it_came_from_once_it_is_committed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "detector.runtime.flag_log")
    broker, one = running()
    broker.produce(ZERO, minor_tip(1, tipper_id="nobodys-business"))
    one.sink.fates = ["aborted"]
    one.turn()
    assert [line for line in caplog.messages if "high flag" in line] == []
    one.turn(2)
    flag = orjson.loads(broker.all("tip-flags")[0].value or b"")
    assert [line for line in caplog.messages if "high flag" in line] == [
        f"high flag {flag['flag_id']}: minor, severity high, case {flag['case_id']}, from tips[0]@0"
    ]
    assert "nobodys-business" not in caplog.text


def test_more_high_flags_than_sixty_a_minute_are_only_counted_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "detector.runtime.flag_log")
    broker, one = running()
    produce(broker, *range(70))
    one.turn(2)
    assert sum(line.startswith("high flag f_") for line in caplog.messages) == 60
    one.clock.s += 60
    produce(broker, 70)
    one.turn(2)
    assert caplog.messages[-2] == "10 more high flags were not logged one by one"
    assert caplog.messages[-1].endswith(", from tips[0]@70")


def test_canaries_move_the_offset_and_nothing_else(  # also among tips, and in a silent replay
) -> None:
    header = [(CANARY_HEADER, b"id")]
    broker, one = running(save_every=1_000)
    for number in (1, 2):
        produce(broker, number)
        broker.produce(ZERO, CANARY_VALUE, headers=header)
    one.turn()
    assert flagged(broker) == ["e1", "e2"]
    two = another(broker)
    two.turn()
    broker.produce(ZERO, CANARY_VALUE, headers=header)
    before = everything(broker)
    two.turn(2)
    assert (broker.offsets[ZERO], two.sample("replayed_total")) == (5, 4)
    assert everything(broker) == before
    assert two.sample("dead_letters_total", reason="missing_field") == 0


def test_a_partition_that_gets_canaries_only_is_idle_all_the_same() -> None:
    broker, one = running(partitions=2)
    one.turn(20)
    before = ends(broker)
    for _ in range(5):
        broker.produce(ZERO, CANARY_VALUE, headers=[(CANARY_HEADER, b"id")])
        one.turn()
    assert broker.offsets[ZERO] == 5
    assert all(batch.is_idle for batch in rekeyed(broker, before))
    produce(broker, 1)
    one.turn()
    assert not rekeyed(broker, before)[-1].is_idle


def test_an_aborted_commit_leaves_partitions_alone_that_had_no_part_in_it() -> None:
    broker, one = running(partitions=2)
    before = dict(one.lanes)
    produce(broker, 1, at=ONE)
    one.sink.fates = ["aborted"]
    one.turn()
    assert one.lanes[ZERO] is before[ZERO]
    assert one.lanes[ONE] is not before[ONE]


def test_a_commit_that_is_refused_for_good_stops_the_process_and_gives_everything_back() -> None:
    broker, one = running()
    produce(broker, 1)
    one.sink.fates = ["refused"]
    with pytest.raises(Stop, match="scripted"):
        one.worker.run()
    assert (one.source.is_closed, one.store.is_closed) == (True, True)
    assert (broker.offsets[ZERO], flagged(broker)) == (0, [])


# -- partitions that come and go -----------------------------------------------------------------


def test_a_batch_of_a_partition_that_is_not_open_yet_is_read_again() -> None:
    broker = make_broker(assembly())
    produce(broker, 1, 2)
    one = Instance(assembly(), broker, "one")
    broker.assign([ZERO], "one")
    one.turn()
    assert one.source.position(ZERO) == 0  # both were polled, and then the partition was opened
    one.turn()
    assert (flagged(broker), broker.offsets) == (["e1", "e2"], {ZERO: 2})


def test_of_a_revoked_partition_the_state_is_dropped_and_nothing_is_committed() -> None:
    broker, one = running()
    produce(broker, 1)
    one.turn()
    produce(broker, 2)
    broker.assign([ZERO], "two")
    begun = one.sink.begun
    one.turn(10)
    assert one.sink.begun == begun
    assert one.status.partitions == 0
    assert one.sample("rebalances_total", change="revoked") == 1


def test_a_partition_brings_its_state_along_to_its_next_owner() -> None:
    broker, one = running(save_every=1)
    produce(broker, 1, 2)
    one.turn()
    two = another(broker)
    produce(broker, 2, 3)
    two.turn()
    assert flagged(broker) == ["e1", "e2", "e3"]
    assert (two.sample("duplicates_total"), two.sample("replayed_total")) == (1, 0)


def test_a_late_event_after_a_move_is_passed_on_as_of_the_time_its_source_had_reached() -> None:
    broker, one = running(save_every=1)
    produce(broker, 5)
    one.turn(2)  # the first save is of the empty state
    two = another(broker)
    produce(broker, 1)
    two.turn()
    times = [time_ms for batch in rekeyed(broker) for time_ms, _, _ in batch.rows]
    assert times == [1_772_380_802_277] * 2
    assert two.sample("replayed_total") == 0


def test_a_partition_that_was_somebody_elses_meanwhile_is_loaded_anew() -> None:
    broker, one = running(save_every=1)
    produce(broker, 1)
    one.turn()
    two = another(broker)
    produce(broker, 2)
    two.turn()
    broker.assign([ZERO], "one")
    produce(broker, 2, 3)
    one.turn(2)
    assert flagged(broker) == ["e1", "e2", "e3"]
    assert one.sample("rebalances_total", change="lost") == 1


def test_a_partition_that_leaves_during_a_commit_takes_the_commit_with_it() -> None:
    broker, one = running(partitions=2)
    produce(broker, 1)
    produce(broker, 2, at=ONE)
    one.sink.meanwhile = lambda: broker.assign([ZERO], "two")
    one.turn()
    assert flagged(broker) == []
    one.sink.meanwhile = lambda: None
    two = Instance(assembly(), broker, "two")
    for _ in range(3):
        one.turn()
        two.turn()
    assert sorted(flagged(broker)) == ["e1", "e2"]
    assert broker.offsets == {ZERO: 1, ONE: 1}


@pytest.mark.parametrize("first", ["membership", "take_changes"])
def test_a_partition_that_leaves_right_after_a_poll_is_not_committed_for_its_next_owner(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, one = running(partitions=2)
    produce(broker, 1)
    produce(broker, 2, at=ONE)
    ask = getattr(one.source, first)

    def ask_and_lose() -> Any:
        answer = ask()
        monkeypatch.undo()
        broker.assign([ZERO], "two")
        one.source._join()
        return answer

    monkeypatch.setattr(one.source, first, ask_and_lose)
    one.turn()
    assert flagged(broker) == []
    two = Instance(assembly(), broker, "two")
    for _ in range(3):
        one.turn()
        two.turn()
    assert sorted(flagged(broker)) == ["e1", "e2"]
    assert broker.offsets == {ZERO: 1, ONE: 1}


def test_who_is_no_member_commits_nothing_and_holds_nothing() -> None:
    broker, one = running()
    lane = one.lanes[ZERO]
    produce(broker, 1)
    one.source.is_member = False
    begun = one.sink.begun
    one.turn(3)
    assert (one.sink.begun, one.lanes[ZERO] is lane) == (begun, True)  # nor is it opened in vain
    one.source.is_member = True
    one.turn(2)
    assert one.lanes[ZERO] is not lane
    assert flagged(broker) == ["e1"]


def test_a_partition_is_opened_once_the_transaction_of_its_killed_owner_has_ended() -> None:
    broker, one = running()
    produce(broker, 1)
    one.sink.fates = ["killed before"]
    with pytest.raises(Killed):
        one.turn()
    two = another(broker)
    two.clock.s += 3
    assert (two.lanes, two.status.state) == ({}, "restoring")
    two.turn(4)
    assert (flagged(broker), broker.offsets) == (["e1"], {ZERO: 1})


def test_saved_state_behind_somebody_elses_open_transaction_is_waited_for() -> None:
    broker = make_broker(assembly())
    one, killed = (Instance(assembly(), broker, name, save_every=1) for name in ("one", "killed"))
    broker.assign([ZERO], "one")
    broker.assign([Partition(assembly().settings.rekeyed_topic, 0)], "killed")
    one.turn()
    killed.sink.fates = ["killed before"]
    with pytest.raises(Killed):
        killed.turn(2)  # the store's partition is the same, and what it saved is not decided on
    produce(broker, 1)
    one.turn()
    two = another(broker)
    assert (two.lanes, two.sample("cold_starts_total")) == ({}, 0)
    produce(broker, 1, 2)
    two.turn(4)
    assert flagged(broker) == ["e1", "e2"]
    assert (two.sample("cold_starts_total"), two.sample("duplicates_total")) == (0, 1)


def test_a_partition_that_comes_back_with_tips_to_read_is_not_said_to_be_idle() -> None:
    broker, one = running(partitions=2)
    one.turn(20)
    assert {batch.source for batch in rekeyed(broker) if batch.is_idle} == {0, 1}
    broker.assign([ZERO], "two")
    one.turn()
    produce(broker, 1)
    broker.assign([ZERO], "one")
    one.turn()
    one.source.most = 0  # what comes first is another partition's, however long that takes
    before = ends(broker)
    one.turn(3)
    told = [batch.is_idle for batch in rekeyed(broker, before) if batch.source == 0]
    assert told == [False, False]  # one for each target


# -- replay --------------------------------------------------------------------------------------


def test_a_silent_replay_writes_and_counts_nothing() -> None:
    broker, one = running(save_every=1_000)
    produce(broker, 1, 2, 3)
    broker.produce(ZERO, b"{}")
    one.turn()
    written = everything(broker)
    two = another(broker)
    two.turn()
    assert two.sample("replayed_total") == 4
    assert everything(broker) == written
    assert (broker.offsets, len(letters(broker))) == ({ZERO: 4}, 1)
    assert two.sample("events_total", type="tip") == 0
    assert two.sample("dead_letters_total", reason="missing_field") == 0
    produce(broker, 3, 4)
    two.turn()
    assert flagged(broker) == ["e1", "e2", "e3", "e4"]
    assert two.sample("duplicates_total") == 1


def test_a_batch_that_goes_past_the_committed_offset_is_silent_up_to_there() -> None:
    broker, one = running(save_every=1_000)
    produce(broker, 1, 2)
    one.turn()
    two = another(broker)
    produce(broker, 3)
    two.turn()
    assert (flagged(broker), broker.offsets) == (["e1", "e2", "e3"], {ZERO: 3})
    assert (two.sample("replayed_total"), two.sample("events_total", type="tip")) == (2, 1)


def test_while_a_partition_replays_it_says_nothing_and_saves_nothing() -> None:
    broker, one = running(save_every=1_000)
    produce(broker, *range(10))
    one.turn()
    two = another(broker, save_every=1)
    two.source.most = 3
    begun = two.sink.begun
    two.turn(3)
    assert two.sink.begun == begun
    two.turn()
    assert saved(broker).next_offset == 10


def test_after_a_replay_every_target_hears_again_how_far_its_source_is() -> None:
    broker, one = running(partitions=2, save_every=1_000)
    produce(broker, 1)
    one.turn()
    two = another(broker)
    before = ends(broker)
    two.turn(3)
    told = [batch for batch in rekeyed(broker, before) if batch.source == 0]
    assert [batch.promise_ms for batch in told] == [1_772_380_802_273] * 2
    assert not any(batch.rows or batch.is_idle for batch in told)


def test_events_are_passed_on_also_while_the_client_knows_of_no_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, one = running(partitions=2)
    monkeypatch.setattr(one.source, "partition_count", lambda topic: 0)
    produce(broker, 1, at=ONE)
    one.turn()
    assert [batch.sources for batch in rekeyed(broker) if batch.rows] == [2]


# -- events that fail ----------------------------------------------------------------------------


def break_on(engine: Engine, is_poison: Callable[[Event], bool]) -> Callable[[], None]:
    """Gives an engine a bug; what is returned mends it."""
    process = engine.process

    def broken(event: Event) -> Decision | Skipped:
        if is_poison(event):
            raise KeyError(event.tipper_id)
        return process(event)

    engine.process = broken  # type: ignore[method-assign]
    return lambda: engine.__dict__.pop("process")


def test_a_poison_event_becomes_a_dead_letter_and_can_be_replayed_once_the_bug_is_mended() -> None:
    broker, one = running()
    mend = break_on(one.lanes[ZERO].engines[0], lambda event: event.event_id == "e2")
    produce(broker, 1, 2, 3)
    one.turn()
    (letter,) = letters(broker)
    headers = dict(letter.headers)
    assert flagged(broker) == ["e1", "e3"]
    assert (letter.value, headers["reason"]) == (minor_tip(2), b"internal_error")
    assert headers["detail"].startswith(b"KeyError in broken, line ")  # and not the tipper's id
    mend()
    produce(broker, 2)
    one.turn()
    assert flagged(broker) == ["e1", "e3", "e2"]
    assert one.sample("duplicates_total") == 0


def test_a_bug_that_many_events_meet_stops_the_process_before_it_commits() -> None:
    broker, one = running()
    break_on(one.lanes[ZERO].engines[0], lambda event: True)
    produce(broker, *range(10))
    begun = one.sink.begun
    with pytest.raises(Stop, match="10 of the last 10 records failed inside the detector"):
        one.worker.run()
    assert one.sink.begun == begun
    assert (broker.offsets, letters(broker)) == ({ZERO: 0}, [])


def test_a_bug_that_one_in_a_hundred_events_meets_stops_nothing() -> None:
    broker, one = running()
    break_on(one.lanes[ZERO].engines[0], lambda event: (event.event_id or "").endswith("00"))
    produce(broker, *range(1_001, 2_501))
    one.turn(2)
    assert (broker.offsets[ZERO], len(letters(broker))) == (1_500, 15)


def test_a_bug_that_one_in_a_hundred_re_keyed_events_meets_stops_nothing_either() -> None:
    broker, source = running()
    internal = Partition(assembly().settings.rekeyed_topic, 0)
    target = Instance(assembly(), broker, "target")
    broker.assign([internal], "target")
    target.turn(2)
    engine = target.lanes[internal].engines[0]
    break_on(engine, lambda event: (event.event_id or "").endswith("00"))
    produce(broker, *range(1_001, 2_501))
    source.turn(2)
    target.turn(2)
    assert len(letters(broker)) == 15
    assert broker.offsets[internal] > 0


@pytest.mark.parametrize("value", [b"", b"{}", None])
def test_a_dead_letter_keeps_key_bytes_and_headers(value: bytes | None) -> None:
    broker, one = running()
    broker.produce(ZERO, value, b"k", [("trace", b"1")])
    one.turn()
    (letter,) = letters(broker)
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["trace"]) == (b"k", value, b"1")
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"tips", b"0", b"0")
    assert headers["reason"] and headers["version"] and headers["policy"].startswith(b"cn@")


def test_a_dead_letter_has_empty_headers_where_the_record_had_null_ones() -> None:
    broker, one = running()
    broker.produce(ZERO, b"?", headers=[("trace", None)])
    one.turn()
    (letter,) = letters(broker)
    assert dict(letter.headers)["trace"] == b""


# -- where a partition begins --------------------------------------------------------------------


def test_records_deleted_before_they_were_read_are_counted_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running(save_every=1)
    produce(broker, 1, 2)
    one.turn()
    produce(broker, *range(3, 9))
    broker.starts[ZERO] = 5
    two = another(broker)
    assert "tips[0]: 3 records were deleted before they were read" in caplog.text
    two.turn()
    assert flagged(broker) == ["e1", "e2", "e6", "e7", "e8"]
    assert broker.offsets[ZERO] == 8


def test_records_deleted_before_they_were_replayed_are_no_loss_of_flags(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running(save_every=1_000)
    produce(broker, 1, 2, 3)
    one.turn()
    broker.starts[ZERO] = 2
    two = another(broker)
    assert "tips[0]: 2 records were deleted before they were replayed" in caplog.text
    assert "deleted before they were read" not in caplog.text
    produce(broker, 3)
    two.turn()
    assert (flagged(broker), two.sample("duplicates_total")) == (["e1", "e2", "e3"], 1)


def test_a_group_that_was_set_back_starts_cold_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running(save_every=1)
    produce(broker, 1, 2, 3)
    one.turn()
    broker.offsets[ZERO] = 1
    two = another(broker)
    assert "tips[0] is ours: cold start" in caplog.text
    assert "stands for offset 3, ahead of the group's 1: the group was set back" in caplog.text
    assert two.sample("cold_starts_total") == 1
    two.turn()
    assert flagged(broker) == ["e1", "e2", "e3", "e2", "e3"]  # as asked for
    assert (saved(broker).next_offset, two.sample("duplicates_total")) == (1, 0)


def test_a_first_start_is_no_cold_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, one = running()
    assert "tips[0] is ours: a fresh start at offset 0" in caplog.text
    assert one.sample("cold_starts_total") == 0


def test_saved_state_of_another_format_stops_the_process_and_says_what_to_do() -> None:
    broker = make_broker(assembly())
    store = Partition(assembly().settings.checkpoints_topic, 0)
    broker.produce(store, b'{"format": 7}', manifest_key(ZERO))
    with pytest.raises(
        Stop, match=r"tips\[0\]: checkpoint: format 7; expected 1 or 2: run the version"
    ):
        another(broker)


def test_saved_state_that_is_damaged_stops_the_process() -> None:
    broker, one = running(save_every=1)
    produce(broker, 1)
    one.turn()
    store = Partition(assembly().settings.checkpoints_topic, 0)
    chunk = next(r for r in broker.logs[store] if not (r.key or b"/manifest").endswith(b"manifest"))
    chunk.value = (chunk.value or b"").replace(b'"time_ms":0', b'"time_ms":1')
    with pytest.raises(Stop, match=r"tips\[0\]: checkpoint: save .*digest is not the manifest's"):
        another(broker)


def test_saved_state_of_a_configuration_with_more_views_stops_the_process_with_words() -> None:
    settings = engines.settings()
    topics = settings.topics.model_copy(update={"tips_key": "other"})
    other = Assembly(settings.model_copy(update={"topics": topics}))
    broker = make_broker(other)
    broker.assign([ZERO], "one")
    Instance(other, broker, "one").turn(2)
    with pytest.raises(Stop, match=r"tips\[0\]: checkpoint: .*was topics.tips_key changed\?"):
        another(broker)


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_topic_that_was_deleted_and_made_again_is_not_taken_for_one_already_read(
    is_committed: bool,
) -> None:
    broker, one = running(save_every=1)
    produce(broker, 1, 2, 3)
    one.turn()
    broker.logs[ZERO].clear()
    if not is_committed:  # Kafka forgets a deleted topic's offsets
        del broker.offsets[ZERO]
    produce(broker, 4)
    with pytest.raises(
        Stop, match=r"tips\[0\]: its log ends at offset 1, but 3 was reached before"
    ):
        another(broker)
    assert flagged(broker) == ["e1", "e2", "e3"]


def test_a_topic_that_is_made_again_while_it_is_read_stops_the_process() -> None:
    broker, one = running()
    produce(broker, 1, 2, 3)
    one.turn()
    broker.logs[ZERO].clear()
    produce(broker, 4)
    one.source.seek(ZERO, 0)  # as Kafka's client does of itself
    with pytest.raises(Stop, match=r"tips\[0\]: offset 0 came after 2: was the topic deleted"):
        one.worker.run()
    assert broker.offsets[ZERO] == 3


def test_a_replay_is_over_where_only_ends_of_transactions_are_left_of_it() -> None:
    broker, one = running(save_every=1_000)
    produce(broker, 1)
    one.turn()
    for number in (2, 3):
        transaction = broker.begin([Output("tips", b"k", minor_tip(number), [], 0)], {})
        broker.finish(transaction, "aborted")
    broker.offsets[ZERO] = broker.end(ZERO)  # the group was set to the end
    two = another(broker)
    two.turn()
    two.clock.s += 2
    two.turn()
    assert two.status.state == "running"
    produce(broker, 4)
    two.turn()
    assert flagged(broker) == ["e1", "e4"]


def test_partitions_that_take_long_to_load_are_opened_over_several_polls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, one = running(partitions=2, save_every=1)
    produce(broker, 1)
    one.turn()
    two = Instance(assembly(), broker, "two")
    broker.assign([ZERO, ONE], "two")
    find = two.store.find

    def find_slowly(partition: Partition) -> Any:
        two.clock.s += 60
        return find(partition)

    monkeypatch.setattr(two.store, "find", find_slowly)
    two.turn()
    assert list(two.worker.owned) == [ZERO]
    two.turn()
    assert list(two.worker.owned) == [ZERO, ONE]


def test_a_stop_does_not_wait_for_a_state_that_is_being_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, one = running(save_every=1)
    produce(broker, 1)
    one.turn()
    two = Instance(assembly(), broker, "two")
    broker.assign([ZERO], "two")
    find = two.store.find

    def find_and_stop(partition: Partition) -> Any:
        two.worker.stop()
        return find(partition)

    monkeypatch.setattr(two.store, "find", find_and_stop)
    assert two.worker.run()
    assert not two.worker.owned


# -- the end, and how it is doing ----------------------------------------------------------------


def test_a_stop_lets_the_commit_under_way_come_about_and_leaves_the_group() -> None:
    broker, one = running()
    produce(broker, 1)
    one.sink.meanwhile = one.worker.stop
    assert one.worker.run()
    assert (flagged(broker), broker.offsets) == (["e1"], {ZERO: 1})
    assert (one.source.is_closed, one.store.is_closed) == (True, True)


def test_a_stop_gives_up_a_commit_that_does_not_come_about() -> None:
    broker, one = running()
    produce(broker, 1)
    one.sink.fates = ["never"]
    one.sink.meanwhile = one.worker.stop
    assert not one.worker.run()
    assert (flagged(broker), broker.offsets) == ([], {ZERO: 0})
    two = another(broker)
    two.turn()
    assert (flagged(broker), broker.offsets) == (["e1"], {ZERO: 1})


def test_the_lag_is_unknown_until_something_was_scored_and_its_age_after_that() -> None:
    broker = make_broker(assembly())
    produce(broker, *range(10))
    one = Instance(assembly(), broker, "one")
    broker.assign([ZERO], "one")
    one.turn()
    assert (one.status.lag_records, one.status.lag_s) == (10, None)
    one.source.most = 4
    one.clock.s = 1_800_000_000 + 60  # a minute after the records were written
    one.turn()
    assert one.status.lag_records == 6
    assert one.status.lag_s == pytest.approx(60, abs=1)
