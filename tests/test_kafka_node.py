"""The Kafka node that other tests rely on does what they take for granted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.kafka_node import ROOT, KafkaNode

pytestmark = pytest.mark.kafka


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[KafkaNode]:
    with KafkaNode(tmp_path) as node:
        yield node


def values(records: list) -> list[bytes]:
    return [record.value for record in records]


def test_records_are_read_back_as_they_were_written(kafka: KafkaNode, topic_prefix: str) -> None:
    topic = topic_prefix + "tips"
    kafka.create_topic(topic, partitions=3)
    headers = [("trace", b"\x00\x01")]
    offsets = kafka.produce(
        topic,
        [(b"ann", b"1"), (None, b"2", headers), (b"bob", None, [], 1_577_836_800_000)],
        partition=2,
    )

    records = kafka.read_all(topic)

    assert offsets == [0, 1, 2]
    assert [(r.partition, r.key, r.value, r.headers) for r in records] == [
        (2, b"ann", b"1", []),
        (2, None, b"2", headers),
        (2, b"bob", None, []),
    ]
    assert records[2].timestamp == 1_577_836_800_000


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records_are_read_back(
    kafka: KafkaNode, topic_prefix: str, compression: str
) -> None:
    topic = topic_prefix + "tips"
    kafka.create_topic(topic)
    tips = [b'{"gift": "rose", "n": %d}' % n for n in range(1000)]

    kafka.produce(topic, [(b"ann", tip) for tip in tips], compression=compression)

    assert values(kafka.read_all(topic)) == tips


def test_a_topic_must_be_created_before_it_is_used(kafka: KafkaNode, topic_prefix: str) -> None:
    with pytest.raises(ValueError, match="no topic"):
        kafka.read_all(topic_prefix + "typo")


def test_a_reader_sees_no_aborted_and_no_open_transaction(
    kafka: KafkaNode, topic_prefix: str
) -> None:
    topic = topic_prefix + "flags"
    kafka.create_topic(topic)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic)
    try:
        producer.init_transactions()
        for value, end in [
            (b"committed", producer.commit_transaction),
            (b"aborted", producer.abort_transaction),
            (b"open", lambda: None),
        ]:
            producer.begin_transaction()
            producer.send(topic, value)
            producer.flush()
            end()

        assert values(kafka.read_all(topic)) == [b"committed"]
        everything = kafka.read_all(topic, isolation="read_uncommitted")
        assert values(everything) == [b"committed", b"aborted", b"open"]

        producer.abort_transaction()
        assert values(kafka.read_all(topic)) == [b"committed"]
    finally:
        producer.close()


def test_waiting_for_more_records_than_there_are_says_how_many_there_were(
    kafka: KafkaNode, topic_prefix: str
) -> None:
    topic = topic_prefix + "tips"
    kafka.create_topic(topic)
    kafka.produce(topic, [(None, b"1"), (None, b"2")])

    with pytest.raises(TimeoutError, match=r"read 2 records in 0\.5 s, expected 3 records"):
        kafka.read_all(topic, timeout_s=0.5, count=3)


def test_committed_offsets_are_told_by_partition(kafka: KafkaNode, topic_prefix: str) -> None:
    topic, group = topic_prefix + "tips", topic_prefix + "group"
    kafka.create_topic(topic, partitions=2)
    kafka.produce(topic, [(None, b"1"), (None, b"2")], partition=1)
    assert kafka.committed(group, topic) == {}
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        consumer.assign([TopicPartition(topic, 1)])
        while consumer.position(TopicPartition(topic, 1)) < 2:
            consumer.poll(100)
        consumer.commit()
    finally:
        consumer.close()

    assert kafka.committed(group, topic) == {1: 2}


def test_a_stopped_node_starts_again_with_its_data(own_node: KafkaNode) -> None:
    own_node.create_topic("tips")
    own_node.produce("tips", [(b"ann", b"before")])

    own_node.stop()
    successor = KafkaNode(own_node.directory, own_node.port)
    with successor:
        successor.produce("tips", [(b"ann", b"after")])

        assert successor.bootstrap == own_node.bootstrap
        assert values(successor.read_all("tips")) == [b"before", b"after"]


def test_a_killed_node_starts_again_with_its_data(own_node: KafkaNode) -> None:
    own_node.create_topic("tips", partitions=2)
    own_node.produce("tips", [(b"ann", b"before")], partition=1)

    own_node.kill()
    own_node.start()

    own_node.produce("tips", [(b"ann", b"after")], partition=1)
    assert values(own_node.read_all("tips")) == [b"before", b"after"]


def test_a_frozen_node_answers_nothing_until_it_is_resumed(own_node: KafkaNode) -> None:
    own_node.create_topic("tips")
    own_node.produce("tips", [(b"ann", b"1")])
    producer = KafkaProducer(bootstrap_servers=own_node.bootstrap)
    try:
        producer.send("tips", b"2").get(timeout=10)

        own_node.pause()
        sent = producer.send("tips", b"3")
        time.sleep(0.5)
        assert not sent.is_done

        own_node.resume()
        sent.get(timeout=10)
    finally:
        producer.close()
    assert values(own_node.read_all("tips")) == [b"1", b"2", b"3"]


def test_the_port_of_a_node_that_is_down_is_nobody_elses(tmp_path: Path) -> None:
    node = KafkaNode(tmp_path)

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", node.port))
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", node.port))


def test_a_node_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")

    with pytest.raises(RuntimeError, match=r"(?s)ended while starting.*node id .*7"):
        KafkaNode(tmp_path).start()


@pytest.mark.parametrize("number", [signal.SIGINT], ids=["SIGINT"])
def test_no_node_outlives_an_interrupted_test_run(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    test = tmp_path / "test_endless.py"
    test.write_text(
        "import pathlib, time\n"
        "def test_endless(kafka):\n"
        f"    pathlib.Path({str(pid_file)!r}).write_text(str(kafka._process.pid))\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", tmp_path, test]
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup ignores it
    )  # fmt: skip
    try:
        while not pid_file.exists() or not pid_file.read_text():
            assert run.poll() is None, "the inner run ended before its node was up"
            time.sleep(0.05)
        run.send_signal(number)
        run.wait(30)
    finally:
        run.kill()
        run.wait()

    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
