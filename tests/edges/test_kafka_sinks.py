"""The sinks' promises: together or not at all, in order, fenced, and never stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kafka import KafkaProducer

from detector.edges.kafka_sink import CUT_BYTES
from detector.runtime.ports import Aborted, Output, Partition, Retry, Stop
from tests.edges.contract import Contract, Member, finish, settle, until
from tests.kafka_node import KafkaNode


def joined(contract: Contract, **changes: Any) -> Member:
    member = contract.member(**changes)
    source = member.source
    until(lambda: member.partitions and member.membership and source.is_settled(), member)
    return member


def zero(contract: Contract) -> Partition:
    return Partition(contract.tips, 0)


def hold(producer: KafkaProducer, method: str) -> tuple[threading.Event, threading.Event]:
    """Stops the producer in front of a step; (it stands there, let it go on)."""
    stands, go = threading.Event(), threading.Event()
    step = getattr(producer, method)

    def wait(*arguments: Any) -> Any:
        stands.set()
        assert go.wait(20)
        return step(*arguments)

    setattr(producer, method, wait)
    return stands, go


def test_outputs_saves_and_offsets_become_visible_together(contract: Contract) -> None:
    sink, member = contract.exactly_once(), joined(contract)
    stands, go = hold(sink._producer, "commit_transaction")
    outputs = [contract.flag(b"1"), Output(contract.rekeyed, b"streamer", b"batch", [], 0)]
    save = Output(contract.checkpoints, b"k", b"saved", [], 0)
    sink.submit(outputs, [save], {zero(contract): 5}, member.membership)
    assert stands.wait(10)
    sink._producer.flush()
    assert not sink.wait(0.0)
    written = [*outputs, save]
    for output in written:
        assert contract.values(output.topic, "read_uncommitted") == [output.value]
        assert contract.values(output.topic) == []
    assert contract.node.committed(contract.group, contract.tips) == {}
    go.set()
    finish(sink)
    # The broker says that it has committed before every partition has been told.
    until(lambda: all(contract.values(each.topic) == [each.value] for each in written))
    assert contract.node.committed(contract.group, contract.tips) == {0: 5}


def test_an_aborted_commit_shows_nothing_and_the_next_one_works(contract: Contract) -> None:
    sink, member = contract.exactly_once(), joined(contract)
    outputs = [contract.flag(b"1"), Output(contract.rekeyed, b"streamer", b"batch", [], 0)]
    save = Output(contract.checkpoints, b"k", b"saved", [], 0)
    stranger = member.membership._replace(member_id="somebody-else")
    sink.submit(outputs, [save], {zero(contract): 5}, stranger)
    with pytest.raises(Aborted):
        finish(sink)
    sink.submit([contract.flag(b"2")], [], {zero(contract): 5}, member.membership)
    finish(sink)
    assert contract.values(contract.flags, "read_uncommitted") == [b"1", b"2"]
    assert contract.values(contract.flags) == [b"2"]
    assert contract.values(contract.rekeyed) == []
    assert contract.values(contract.checkpoints) == []


def test_who_takes_over_waits_for_a_zombies_open_transaction_and_the_zombie_is_fenced(
    contract: Contract,
) -> None:
    zombie = joined(contract, session_timeout_ms=1_000, max_poll_interval_ms=1_000)
    sink = contract.exactly_once(transaction_timeout_ms=6_000)
    sink.submit([contract.flag(b"0")], [], {zero(contract): 3}, zombie.membership)
    finish(sink)
    stands, go = hold(sink._producer, "commit_transaction")
    zombie.turn()
    sink.submit([contract.flag(b"1")], [], {zero(contract): 9}, zombie.membership)
    assert stands.wait(10)  # its offsets are in the transaction, and it freezes
    heir = contract.member()
    until(lambda: zero(contract) in heir.partitions, heir)
    with pytest.raises(Retry):
        heir.source.committed(zero(contract))
    offset = None
    for _ in range(5):  # each waits for seconds
        try:
            offset = heir.source.committed(zero(contract))
            break
        except Retry:
            continue
    assert offset == 3
    go.set()
    with pytest.raises(Aborted):
        finish(sink)
    assert contract.values(contract.flags) == [b"0"]
    assert contract.node.committed(contract.group, contract.tips) == {0: 3}


def test_of_two_sinks_with_one_transactional_id_the_older_is_fenced_and_in_the_end_stops(
    contract: Contract,
) -> None:
    member = joined(contract)
    older = contract.exactly_once("same")
    for _ in range(3):
        contract.exactly_once("same")
        older.submit([contract.flag(b"no")], [], {zero(contract): 1}, member.membership)
        with pytest.raises(Aborted):
            finish(older)
    older.submit([contract.flag(b"yes")], [], {zero(contract): 1}, member.membership)
    finish(older)  # it has made a producer of its own each time
    contract.exactly_once("same")
    older.submit([contract.flag(b"no")], [], {zero(contract): 1}, member.membership)
    with pytest.raises(Stop, match=r"fenced 3 times within a minute.*kafka\.instance_id"):
        finish(older)
    assert contract.values(contract.flags) == [b"yes"]


def test_a_transaction_that_a_sink_left_open_ends_when_its_id_comes_back(
    contract: Contract,
) -> None:
    member = joined(contract)
    left = contract.exactly_once("same", transaction_timeout_ms=600_000)
    stands, go = hold(left._producer, "commit_transaction")
    left.submit([contract.flag(b"1")], [], {zero(contract): 9}, member.membership)
    assert stands.wait(10)
    contract.exactly_once("same")
    assert member.source.committed(zero(contract)) is None
    go.set()
    with pytest.raises(Aborted):
        finish(left)
    assert contract.values(contract.flags) == []


def narrow(contract: Contract) -> str:
    """A topic that takes no more than 300 kB a batch."""
    topic = contract.prefix + "narrow"
    contract.node.create_topic(topic, config={"max.message.bytes": "300000"})
    return topic


def test_a_dead_letter_over_the_brokers_limit_is_cut_when_it_is_submitted_again(
    contract: Contract,
) -> None:
    topic, member, sink = narrow(contract), joined(contract), contract.exactly_once()
    letter = Output(topic, b"k", bytes(400_000), [("reason", b"x")])
    outputs = [contract.flag(b"1"), letter]
    sink.submit(outputs, [], {zero(contract): 1}, member.membership)
    with pytest.raises(Aborted):
        finish(sink)
    assert contract.values(contract.flags) == []
    sink.submit(outputs, [], {zero(contract): 1}, member.membership)
    finish(sink)
    (record,) = contract.node.read_all(topic)
    assert record.value == bytes(CUT_BYTES)
    assert record.headers == [("reason", b"x"), ("cut_from_bytes", b"400000")]
    assert contract.values(contract.flags) == [b"1"]
    assert contract.node.committed(contract.group, contract.tips) == {0: 1}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_dead_letter_is_cut_also_where_its_key_and_headers_are_what_is_large(
    contract: Contract, delivery: str
) -> None:
    topic, member = narrow(contract), joined(contract)
    letters = [
        Output(topic, bytes(400_000), b"1", [("reason", b"x")]),
        Output(topic, b"k", None, [("h", bytes(400_000)), ("reason", b"x")]),
        Output(topic, b"k", b"3", [("h", b"")] * 100_000 + [("reason", b"x")]),
    ]
    sink: Any = contract.exactly_once()
    if delivery == "at_least_once":
        sink = contract.at_least_once(member)
    for _ in range(2):
        sink.submit(letters, [], {zero(contract): 1}, member.membership)
        with suppress(Aborted):
            finish(sink)
            break
    records = contract.node.read_all(topic)
    assert [record.value for record in records] == [b"1", None, b"3"]
    assert all(("reason", b"x") in record.headers for record in records)
    assert all(record.headers[-1][0] == "cut_from_bytes" for record in records)


def test_a_transaction_may_not_be_left_open_for_longer_than_the_broker_allows(
    contract: Contract,
) -> None:
    with pytest.raises(Stop, match=r"transaction_timeout_ms = 1000000: the broker allows less"):
        contract.exactly_once(transaction_timeout_ms=1_000_000)


def test_a_chunk_over_the_brokers_limit_is_never_cut_and_stops(contract: Contract) -> None:
    topic, member, sink = narrow(contract), joined(contract), contract.exactly_once()
    chunk = Output(topic, b"k", bytes(400_000), [], 0)
    sink.submit([contract.flag(b"1")], [chunk], {zero(contract): 1}, member.membership)
    with pytest.raises(Stop, match=r"refuses 400001 bytes for .*narrow: raise its limit"):
        finish(sink)
    assert contract.values(contract.flags) == []


def test_at_least_once_flags_come_before_offsets_and_saves_after_them(contract: Contract) -> None:
    member = joined(contract)
    sink = contract.at_least_once(member)
    seen: list[tuple[Any, ...]] = []
    commit = member.source.commit

    def look(next_offsets: Any) -> None:
        def see() -> tuple[Any, ...]:
            committed = contract.node.committed(contract.group, contract.tips)
            return contract.values(contract.flags), committed, contract.values(contract.checkpoints)

        seen.append(see())
        commit(next_offsets)
        seen.append(see())

    member.source.commit = look  # type: ignore[method-assign]
    save = Output(contract.checkpoints, b"k", b"saved", [], 0)
    sink.submit([contract.flag(b"1")], [save], {zero(contract): 5}, member.membership)
    finish(sink)
    assert seen == [([b"1"], {}, []), ([b"1"], {0: 5}, [])]
    assert contract.values(contract.checkpoints) == [b"saved"]


def test_at_least_once_a_member_that_was_thrown_out_commits_nothing(contract: Contract) -> None:
    member = joined(contract, session_timeout_ms=1_000, max_poll_interval_ms=1_000)
    sink = contract.at_least_once(member)
    until(lambda: member.source.membership() is None)
    save = Output(contract.checkpoints, b"k", b"saved", [], 0)
    sink.submit([contract.flag(b"1")], [save], {zero(contract): 5}, None)
    with pytest.raises(Aborted):
        finish(sink)
    assert contract.values(contract.checkpoints) == []
    assert contract.node.committed(contract.group, contract.tips) == {}
    settle(member)
    sink.submit([contract.flag(b"2")], [save], {zero(contract): 5}, member.membership)
    finish(sink)
    assert contract.values(contract.flags) == [b"1", b"2"]
    assert contract.node.committed(contract.group, contract.tips) == {0: 5}


def test_at_least_once_what_is_over_the_brokers_limit_is_cut(contract: Contract) -> None:
    topic, member = narrow(contract), joined(contract)
    sink = contract.at_least_once(member)
    letter = Output(topic, b"k", bytes(400_000), [])
    outputs = [contract.flag(b"1"), letter, contract.flag(b"2")]
    sink.submit(outputs, [], {zero(contract): 1}, member.membership)
    finish(sink)
    assert set(contract.values(contract.flags)) == {b"1", b"2"}
    (record,) = contract.node.read_all(topic)
    assert (len(record.value), record.headers) == (CUT_BYTES, [("cut_from_bytes", b"400000")])


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A node of this file's own, to be frozen."""
    with KafkaNode(tmp_path_factory.mktemp("frail")) as node:
        yield node


@pytest.fixture
def frozen(frail: KafkaNode, topic_prefix: str) -> Iterator[Contract]:
    contract = Contract(frail, topic_prefix)
    frail._wait_until_ready(time.monotonic() + 20)  # its controller may still think it is gone
    contract.create()
    yield contract
    frail.resume()
    contract.close()


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_commit_waits_while_the_broker_is_frozen_and_comes_about_afterwards(
    frozen: Contract, delivery: str
) -> None:
    member = joined(frozen, session_timeout_ms=30_000)
    sink: Any = (
        frozen.exactly_once() if delivery == "exactly_once" else frozen.at_least_once(member)
    )
    sink.submit([frozen.flag(b"1")], [], {zero(frozen): 1}, member.membership)
    finish(sink)
    frozen.node.pause()
    sink.submit([frozen.flag(b"2")], [], {zero(frozen): 2}, member.membership)
    assert not sink.wait(0.5)
    assert not sink.wait(0.5)
    frozen.node.resume()
    finish(sink)
    assert frozen.values(frozen.flags) == [b"1", b"2"]
    assert frozen.node.committed(frozen.group, frozen.tips) == {0: 2}


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_closing_while_the_broker_is_frozen_takes_seconds(frozen: Contract, delivery: str) -> None:
    member = joined(frozen, session_timeout_ms=30_000)
    sink: Any = (
        frozen.exactly_once() if delivery == "exactly_once" else frozen.at_least_once(member)
    )
    sink.submit([frozen.flag(b"0")], [], {zero(frozen): 1}, member.membership)
    finish(sink)
    frozen.node.pause()
    sink.submit([frozen.flag(b"1")], [], {zero(frozen): 1}, member.membership)
    assert not sink.wait(0.3)
    started_s = time.monotonic()
    member.source.close(2.0)
    sink.close(1.0)
    assert time.monotonic() - started_s < 6.0
