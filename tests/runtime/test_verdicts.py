"""Verdicts reach every engine, once and in their place, and never hold scoring up."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import orjson
import pytest

from detector.core.verdict import Verdict
from detector.runtime import checkpoint, verdicts
from detector.runtime.checkpoint import Manifest, Mark, manifest_key
from detector.runtime.ports import Partition
from tests import engines
from tests.minding import MindingAssembly, MindingEngine
from tests.runtime.fake_kafka import Broker
from tests.runtime.fake_ports import Instance, Killed, make_broker

TIPS, REKEYED = Partition("tips", 0), Partition("tip-detector-rekeyed", 0)
VERDICTS = Partition("tip-verdicts", 0)
LETTERS = "tip-dead-letters"


@cache
def assembly() -> MindingAssembly:
    return MindingAssembly(engines.settings())


def tip(broker: Broker, number: int, at: Partition = TIPS) -> None:
    record = {
        "event_id": f"e{number}", "event_time": 1_772_380_802_272 + number, "tipper_id": "t",
        "streamer_id": "s", "amount": "1", "currency": "CNY", "tipper_age": 12,
    }  # fmt: skip
    broker.produce(at, orjson.dumps(record))


def verdict(broker: Broker, number: int, at: Partition = VERDICTS, **changes: Any) -> None:
    record = {
        "event_id": f"e{number}", "verdict": "confirmed", "kind": "minor", "reviewer": "r1",
        "decided_at": 1_772_380_802_272, "features": {"score": 0.5}, **changes,
    }  # fmt: skip
    broker.produce(at, orjson.dumps(record))


def running(partitions: int = 1, save_every: int = 1_000) -> tuple[Broker, Instance]:
    """A member that has opened and saved its empty partitions."""
    broker = make_broker(assembly(), partitions)
    return broker, another(broker, "one", save_every)


def another(broker: Broker, name: str = "two", save_every: int = 1_000) -> Instance:
    """A member that gets all there is and opens it."""
    instance = Instance(assembly(), broker, name, save_every)
    topics = (TIPS.topic, REKEYED.topic)
    broker.assign([at for at in broker.logs if at.topic in topics], name)
    instance.turn(2)
    return instance


def learned(instance: Instance, at: Partition = TIPS) -> bytes:
    """What the engine of a partition has learned, as a digest."""
    (engine,) = instance.lanes[at].engines
    assert isinstance(engine, MindingEngine)
    return engine.learned


def manifest(broker: Broker, at: Partition = TIPS) -> Manifest:
    store = assembly().settings.checkpoints_topic
    found = [each.value for each in broker.all(store) if each.key == manifest_key(at)]
    return Manifest.parse(found[-1] or b"")


def flags(broker: Broker) -> list[str]:
    """What had been learned before each flag."""
    return [orjson.loads(each.value or b"")["learned"] for each in broker.all("tip-flags")]


# -- learning ------------------------------------------------------------------------------------


def test_every_partition_learns_every_verdict_before_its_next_batch() -> None:
    broker, one = running(partitions=2)
    other = VERDICTS._replace(partition=1)
    verdict(broker, 1)
    verdict(broker, 2, other)
    one.turn(3)
    assert learned(one) == b""  # until there is a batch
    for partition in (0, 1):
        tip(broker, partition, TIPS._replace(partition=partition))
    one.turn(3)
    every = {learned(one, at) for at in one.lanes if one.lanes[at].next_offset}
    assert len(every) == 1 and every != {b""}
    assert flags(broker) == [every.pop().hex()] * 2
    assert one.sample("verdicts_total", verdict="confirmed") == 2
    assert one.sample("lessons_total") >= 4


def test_what_comes_while_no_tip_does_is_fetched_and_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, one = running()
    spans, asked = one.verdicts.spans, []
    monkeypatch.setattr(one.verdicts, "spans", lambda: asked.append(1) or spans())
    one.turn(3)
    assert len(asked) >= 3


def test_verdicts_are_counted_by_kind_once_for_all_partitions() -> None:
    broker, one = running(partitions=2)
    verdict(broker, 1, event_id=None, flag_id="f1")
    verdict(broker, 7, kind="ring")
    tip(broker, 2)
    tip(broker, 2, TIPS._replace(partition=1))
    one.turn(3)
    assert one.sample("judged_total", kind="minor", verdict="confirmed") == 1
    assert one.sample("judged_total", kind="ring", verdict="missed") == 1


def test_without_verdicts_the_manifest_is_that_of_the_first_release() -> None:
    broker, one = running(save_every=1)
    tip(broker, 1)
    one.turn(2)
    assert (manifest(broker).next_offset, manifest(broker).format) == (1, 1)
    assert one.marked == []


def test_a_commit_carries_a_mark_only_where_something_was_learned() -> None:
    broker, one = running()
    before = manifest(broker)
    verdict(broker, 1)
    tip(broker, 1)
    one.turn()
    tip(broker, 2)
    one.turn()
    assert manifest(broker) == before._replace(marks=(Mark(0, {0: 1}),))
    assert one.marked == [(TIPS, Mark(0, {0: 1})), (REKEYED, Mark(0, {0: 1}))]


def test_a_save_takes_over_what_its_marks_said() -> None:
    broker, one = running(save_every=4)
    verdict(broker, 1)
    for number in range(8):
        tip(broker, number)
        one.turn()
    assert (manifest(broker).positions, manifest(broker).marks) == ({0: 1}, ())
    two = another(broker)
    assert learned(two) == learned(one) != b""


@pytest.mark.parametrize("fate", ["killed before", "killed after"])
def test_who_takes_over_has_learned_the_same_at_the_same_offsets(fate: Any) -> None:
    broker, one = running()
    for number in range(5):
        verdict(broker, number)
        tip(broker, number)
        one.turn()
    said = flags(broker)
    verdict(broker, 5)
    tip(broker, 5)
    one.sink.fates = [fate]
    with pytest.raises(Killed):
        one.turn()
    verdict(broker, 6)
    two = another(broker)
    two.turn(4)
    assert two.worker.owned[TIPS].silent_until == (5 if fate == "killed before" else 6)
    assert flags(broker)[:5] == said
    assert len(set(flags(broker))) == len(flags(broker)) == 6
    behind = learned(two)
    tip(broker, 7)
    two.turn()
    assert (learned(two) == behind) == (fate == "killed before")  # then 5 and 6 came together


def test_new_verdicts_wait_for_the_first_save_since_no_mark_can_be_written_before() -> None:
    broker = make_broker(assembly())
    verdict(broker, 1)
    tip(broker, 1)
    one = Instance(assembly(), broker, "one")
    broker.assign([TIPS], "one")
    one.turn(2)
    tip(broker, 2)
    one.turn()
    assert flags(broker)[0] == ""
    assert flags(broker)[1] == learned(one).hex() != ""


def test_what_has_piled_up_is_learned_in_parts_that_a_replay_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verdicts, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(checkpoint, "MOST_VERDICTS", 6)
    broker, one = running()
    for number in range(20):
        verdict(broker, number)
    reached = []
    for number in range(10):
        tip(broker, number)
        one.turn()
        marks = manifest(broker).marks
        reached.append(marks[-1].positions[0] if marks else manifest(broker).positions[0])
    assert reached[:5] == [4, 6, 10, 12, 16]
    assert reached[-1] == 20
    two = another(broker)
    two.turn()
    assert learned(two) == learned(one)


def test_a_group_that_was_set_back_learns_anew_what_it_learned_after() -> None:
    broker, one = running()
    for number in range(6):
        verdict(broker, number)
        tip(broker, number)
        one.turn()
    mark = manifest(broker).marks[-1]
    assert mark.next_offset == broker.offsets[TIPS] - 1
    broker.offsets[TIPS] = mark.next_offset
    two = another(broker)
    two.turn()
    assert learned(two) == learned(one)
    assert manifest(broker).marks[-1].next_offset == mark.next_offset


# -- what is wrong with verdicts -----------------------------------------------------------------


def test_a_record_that_is_no_verdict_is_one_dead_letter_of_all_partitions() -> None:
    broker, one = running(partitions=2)
    broker.produce(VERDICTS, b"not json", b"key")
    verdict(broker, 1, verdict="guilty")
    verdict(broker, 2)
    for number in range(4):
        tip(broker, number, TIPS._replace(partition=number % 2))
    one.turn(3)
    found = [(each.key, dict(each.headers)) for each in broker.all(LETTERS)]
    assert [(key, each["reason"], each["topic"], each["offset"]) for key, each in found] == [
        (b"key", b"not_json", b"tip-verdicts", b"0"),
        (b"k", b"unknown_shape", b"tip-verdicts", b"1"),
    ]
    assert one.sample("verdicts_total", verdict="unreadable") == 2
    assert one.sample("verdicts_total", verdict="confirmed") == 1
    assert one.sample("dead_letters_total", reason="not_json") == 1


def test_a_verdict_that_an_engine_fails_at_is_a_dead_letter_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn = MindingEngine.learn

    def fail(self: MindingEngine, each: Verdict) -> bool:
        if each.event_id == "e1":
            raise ZeroDivisionError("about e1")
        return learn(self, each)

    monkeypatch.setattr(MindingEngine, "learn", fail)
    broker, one = running()
    verdict(broker, 1)
    verdict(broker, 2)
    tip(broker, 1)
    one.turn()
    (letter,) = broker.all(LETTERS)
    headers = dict(letter.headers)
    assert (headers["reason"], b"e1" in (headers["detail"] or b"")) == (b"internal_error", False)
    assert learned(one) != b""
    assert len(flags(broker)) == 1


# -- what is wrong with their topic --------------------------------------------------------------


def test_scoring_goes_on_while_verdicts_cannot_be_read_and_learns_later() -> None:
    broker, one = running()
    verdict(broker, 1)
    one.verdicts.is_away = True
    tip(broker, 1)
    one.turn()
    assert flags(broker) == [""]
    one.verdicts.is_away = False
    tip(broker, 2)
    one.turn()
    assert flags(broker)[1] == learned(one).hex() != ""


def test_a_partition_is_not_opened_without_the_verdicts_that_its_flags_rested_on() -> None:
    broker, one = running()
    verdict(broker, 1)
    tip(broker, 1)
    one.turn()
    two = Instance(assembly(), broker, "two")
    broker.assign([TIPS], "two")
    two.verdicts.is_away = True
    two.turn(5)
    assert two.worker.owned == {}
    two.verdicts.is_away = False
    two.turn(2)
    assert learned(two) == learned(one) != b""


def test_without_marks_a_partition_is_opened_also_while_verdicts_cannot_be_read() -> None:
    broker, one = running(save_every=1)
    verdict(broker, 1)
    tip(broker, 1)
    one.turn(3)
    assert manifest(broker).marks == ()
    two = Instance(assembly(), broker, "two")
    broker.assign([TIPS], "two")
    two.verdicts.is_away = True
    two.turn(2)
    assert learned(two) == learned(one) != b""


def test_verdicts_deleted_before_they_were_learned_are_counted_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running()
    verdict(broker, 0)
    tip(broker, 0)
    one.turn()
    for number in range(1, 6):
        verdict(broker, number)
    broker.starts[VERDICTS] = 4
    tip(broker, 1)
    with caplog.at_level(logging.ERROR):
        one.turn()
    assert "tips[0]: 3 verdicts were deleted before they were learned" in caplog.text
    assert one.sample("verdicts_total", verdict="lost") == 3
    assert one.sample("verdicts_total", verdict="confirmed") == 3
    assert len(flags(broker)) == 2


def test_verdicts_deleted_before_they_were_learned_again_are_named_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running()
    verdict(broker, 0)
    verdict(broker, 1)
    tip(broker, 0)
    one.turn()
    broker.starts[VERDICTS] = 2
    manifest_was = manifest(broker)._replace(positions={0: 0})
    broker.produce(
        Partition(assembly().settings.checkpoints_topic, 0), manifest_was.to_bytes(),
        manifest_key(TIPS),
    )  # fmt: skip
    with caplog.at_level(logging.ERROR):
        two = another(broker)
    assert "tips[0]: 2 verdicts were deleted before they were learned" in caplog.text
    assert learned(two) == b""


def test_a_topic_of_verdicts_that_was_made_anew_is_learned_from_its_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, one = running(save_every=1)
    for number in range(5):
        verdict(broker, number)
    tip(broker, 0)
    one.turn(3)
    assert manifest(broker).positions == {0: 5}
    broker.logs[VERDICTS] = []
    verdict(broker, 7)
    with caplog.at_level(logging.ERROR):
        two = another(broker)
    assert "tips[0]: partition 0 of the verdicts ends at 1, but 5 was reached" in caplog.text
    before = learned(two)
    tip(broker, 1)
    two.turn()
    assert learned(two) != before
    assert two.sample("verdicts_total", verdict="lost") == 1


def test_there_may_be_no_such_topic() -> None:
    broker, one = running()
    del broker.logs[VERDICTS]
    tip(broker, 1)
    one.turn()
    assert flags(broker) == [""]
