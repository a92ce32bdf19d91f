"""The verdict topic as Apache Kafka keeps it: followed, read again, absent, cut off, widened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pytest
from kafka import KafkaProducer, TopicPartition

from detector.edges import kafka_verdicts
from detector.edges.kafka_verdicts import KafkaVerdicts
from detector.runtime.ports import Found
from tests.edges.contract import Contract, until


@pytest.fixture
def topic(contract: Contract) -> str:
    name = f"{contract.prefix}verdicts"
    contract.node.create_topic(name, 2)
    return name


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_verdicts, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(kafka_verdicts, "_POLL_EVERY_S", 0.01)


@pytest.fixture
def verdicts(contract: Contract) -> Iterator[KafkaVerdicts]:
    log = KafkaVerdicts(contract.kafka(), f"{contract.prefix}verdicts")
    yield log
    log.close()


def produce(contract: Contract, topic: str, partition: int, *values: bytes) -> None:
    contract.node.produce(topic, [(b"k", value) for value in values], partition=partition)


def ends(log: KafkaVerdicts) -> Mapping[int, int]:
    return {number: end for number, (_, end) in log.spans().items()}


def values(found: Found) -> list[tuple[int, bytes | None]]:
    return [(number, record.value) for number, record in found.records]


def test_what_is_held_and_what_is_read_again_is_the_same(
    contract: Contract, topic: str, verdicts: KafkaVerdicts
) -> None:
    produce(contract, topic, 0, b"a", b"b")
    until(lambda: ends(verdicts) == {0: 2, 1: 0})
    produce(contract, topic, 1, b"c", b"d")
    produce(contract, topic, 0, b"e")
    until(lambda: ends(verdicts) == {0: 3, 1: 2})
    later = verdicts.read({0: 1, 1: 0}, {0: 3, 1: 1})
    assert (values(later), later.lost) == ([(0, b"b"), (0, b"e"), (1, b"c")], 0)
    everything = [(0, b"a"), (0, b"b"), (0, b"e"), (1, b"c"), (1, b"d")]
    assert values(verdicts.read({}, {0: 3, 1: 2})) == everything
    new = KafkaVerdicts(contract.kafka(), topic)
    assert ends(new) == {0: 3, 1: 2}
    assert values(new.read({}, {0: 3, 1: 2})) == everything
    assert values(new.read({0: 3, 1: 1}, {0: 3, 1: 2})) == [(1, b"d")]
    assert verdicts.ends() == new.ends() == {0: 3, 1: 2}
    new.close()


def test_what_another_instance_has_read_further_is_read_from_the_log(
    contract: Contract, topic: str, verdicts: KafkaVerdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: ends(verdicts) == {0: 0, 1: 0})
    monkeypatch.setattr(kafka_verdicts, "_POLL_EVERY_S", 1e9)
    produce(contract, topic, 0, b"a", b"b")
    assert ends(verdicts) == {0: 0, 1: 0}
    assert values(verdicts.read({0: 0}, {0: 2})) == [(0, b"a"), (0, b"b")]


def test_more_than_is_held_is_read_again(
    contract: Contract, topic: str, verdicts: KafkaVerdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_verdicts, "_HELD_RECORDS", 3)
    until(lambda: ends(verdicts) == {0: 0, 1: 0})
    produce(contract, topic, 0, *(b"%d" % number for number in range(10)))
    until(lambda: ends(verdicts)[0] == 10)
    assert values(verdicts.read({0: 5}, {0: 10})) == [(0, b"%d" % n) for n in range(5, 10)]


def test_verdicts_of_an_open_or_aborted_transaction_do_not_count(
    contract: Contract, topic: str, verdicts: KafkaVerdicts
) -> None:
    until(lambda: ends(verdicts) == {0: 0, 1: 0})
    producer = KafkaProducer(
        bootstrap_servers=contract.node.bootstrap, transactional_id=f"{contract.prefix}reviewers"
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"never", partition=0)
    producer.flush()
    produce(contract, topic, 0, b"after")
    deadline_s = time.monotonic() + 0.5
    while time.monotonic() < deadline_s:
        assert ends(verdicts)[0] == 0
    producer.abort_transaction()
    until(lambda: ends(verdicts)[0] > 1)
    assert values(verdicts.read({0: 0}, ends(verdicts))) == [(0, b"after")]
    assert values(verdicts.read({}, ends(verdicts))) == [(0, b"after")]
    producer.close(timeout=5)


def test_verdicts_that_are_gone_are_counted(
    contract: Contract, topic: str, verdicts: KafkaVerdicts
) -> None:
    produce(contract, topic, 0, b"a", b"b", b"c", b"d")
    with contract.node._admin() as admin:
        admin.delete_records({TopicPartition(topic, 0): 3})
    until(lambda: verdicts.spans().get(0) == (3, 4))
    found = verdicts.read({0: 1}, {0: 4})
    assert (values(found), found.lost) == ([(0, b"d")], 2)
    found = verdicts.read({}, {0: 4})
    assert (values(found), found.lost) == ([(0, b"d")], 0)
    found = verdicts.read({0: 4}, {0: 9})  # of a log that was longer
    assert (values(found), found.lost) == ([], 5)


def test_a_topic_that_is_absent_is_found_once_it_is_there(
    contract: Contract, verdicts: KafkaVerdicts
) -> None:
    topic = f"{contract.prefix}verdicts"
    assert (verdicts.spans(), verdicts.ends()) == ({}, {})
    assert verdicts.read({0: 1}, {0: 3}) == Found([], 2)
    contract.node.create_topic(topic, 1)
    produce(contract, topic, 0, b"a")
    until(lambda: ends(verdicts) == {0: 1})
    assert values(verdicts.read({}, {0: 1})) == [(0, b"a")]
