"""`tip-detector checkpoint inspect` against a real Apache Kafka and a real run."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

import detector
from tests.integration.process import ROOT, Detector
from tests.integration.test_run import committed, keyed, make_topics, tips, until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

EVENTS = keyed(tips(2_000, seed=21))
IDS = {key.decode() for key, _ in EVENTS} | {orjson.loads(v)["event_id"] for _, v in EVENTS} - {""}


class Command:
    """Runs `checkpoint inspect` with the topics and the group of one prefix."""

    def __init__(self, kafka: KafkaNode, prefix: str, folder: Path) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.folder = folder
        self.environment = Detector(folder, kafka.bootstrap, prefix).environment

    def inspect(self, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
        """(the objects on standard output, what was said on standard error); no id in either."""
        done = subprocess.run(
            [sys.executable, "-m", "detector", "checkpoint", "inspect", *arguments], cwd=ROOT,
            env=self.environment, capture_output=True, timeout=90, check=False,
        )  # fmt: skip
        said = done.stderr.decode()
        assert done.returncode == code, said
        words = set(re.findall(r"[^\s\"',;:]+", done.stdout.decode() + said))
        assert not words & IDS
        return [orjson.loads(line) for line in done.stdout.splitlines()], said

    def run_over(self, events: list[tuple[bytes, bytes]]) -> None:
        """A real run that reads these, saves its state and ends."""
        before = committed(self.kafka, self.prefix)
        self.kafka.produce(f"{self.prefix}-tips", events)
        every = {"CHECKPOINT__INTERVAL_S": "0.5"}
        with Detector(self.folder, self.kafka.bootstrap, self.prefix, **every) as running:
            until(lambda: committed(self.kafka, self.prefix) == before + len(events))
            running.wait_ready()
            until(self._is_all_saved)
            code, _ = running.terminate()
        assert code == 0

    def _is_all_saved(self) -> bool:
        found, _ = self.inspect()
        tips_found = [each for each in found if each["topic"] == f"{self.prefix}-tips"]
        return all(each.get("next_offset") == each["committed"] for each in tips_found)


@pytest.fixture
def command(kafka: KafkaNode, topic_prefix: str, tmp_path: Path) -> Command:
    make_topics(kafka, topic_prefix, partitions=2)
    return Command(kafka, topic_prefix, tmp_path)


def test_before_any_run_nothing_is_saved_and_nothing_is_made(command: Command) -> None:
    found, said = command.inspect("--verify")
    assert found == [
        {"topic": f"{command.prefix}-tips", "partition": number, "saved": False, "committed": None}
        for number in (0, 1)
    ]
    assert said.splitlines()[-1] == "2 partitions: 0 with saved state, 2 without"
    assert command.inspect()[0] == found, "no topic was made by looking"


def test_after_a_run_every_partition_shows_its_state_and_it_loads(command: Command) -> None:
    command.run_over(EVENTS)
    found, said = command.inspect("--verify")
    topics = [f"{command.prefix}-tips", f"{command.prefix}-rekeyed"]
    assert [(each["topic"], each["partition"]) for each in found] == [
        (topic, number) for topic in topics for number in (0, 1)
    ]
    for each in found:
        assert list(each) == [
            "topic", "partition", "saved", "next_offset", "committed", "to_replay", "saved_at",
            "age_s", "version", "format", "saves", "chunks", "bytes", "entries", "verified",
        ]  # fmt: skip
        assert (each["saved"], each["verified"]) == (True, True)
        assert (each["format"], each["version"]) == (1, detector.__version__)
        assert each["to_replay"] == each["committed"] - each["next_offset"]
        assert 1 <= each["saves"] <= each["chunks"]
        assert each["bytes"] > 100
        saved_at = datetime.fromisoformat(each["saved_at"])
        assert saved_at.utcoffset() == timedelta(0)
        assert 0 <= each["age_s"] < 60
    tips_found, rekeyed_found = found[:2], found[2:]
    assert sum(each["next_offset"] for each in tips_found) == len(EVENTS)
    payers = {
        event["tipper_id"]
        for event in (orjson.loads(value) for _, value in EVENTS)
        if event.get("type", "tip") == "tip"
    }
    assert sum(each["entries"]["tippers"] for each in tips_found) == len(payers)
    assert sum(each["entries"]["event_ids"] for each in tips_found) > 0
    assert sum(each["entries"]["event_ids"] for each in rekeyed_found) == 0
    assert sum(each["entries"]["tippers"] for each in rekeyed_found) == 0
    assert re.fullmatch(
        r"4 partitions: 4 with saved state \([\d.]+ MB, oldest \d+ s\), 0 without, 4 verified",
        said.splitlines()[-1],
    )


def test_one_partition_is_shown_alone_and_looking_joins_no_group(command: Command) -> None:
    command.run_over(EVENTS[:300])
    ends = [
        command.kafka.end(f"{command.prefix}-{topic}", "read_uncommitted")
        for topic in ("tips", "rekeyed", "checkpoints")
    ]
    found, _ = command.inspect("--partition", f"{command.prefix}-rekeyed/1")
    assert [(each["topic"], each["partition"]) for each in found] == [
        (f"{command.prefix}-rekeyed", 1)
    ]
    assert "verified" not in found[0]
    assert [
        command.kafka.end(f"{command.prefix}-{topic}", "read_uncommitted")
        for topic in ("tips", "rekeyed", "checkpoints")
    ] == ends
    with command.kafka._admin() as admin:
        assert admin.describe_groups([command.prefix])[command.prefix]["members"] == []


def test_while_a_run_owns_the_partitions_it_is_looked_at_without_a_rebalance(
    command: Command,
) -> None:
    command.kafka.produce(f"{command.prefix}-tips", EVENTS[:500])
    every = {"CHECKPOINT__INTERVAL_S": "0.5"}
    where = command.folder, command.kafka.bootstrap, command.prefix
    with Detector(*where, **every) as running:
        until(lambda: committed(command.kafka, command.prefix) == 500)
        running.wait_ready()
        rebalances = running.metric("rebalances_total")
        for _ in range(3):
            found, _ = command.inspect("--verify")
            assert [each["verified"] for each in found] == [True] * 4
            assert all(each["to_replay"] >= 0 for each in found)
        assert running.metric("rebalances_total") == rebalances
        assert running.terminate()[0] == 0


def test_a_damaged_chunk_is_an_error_of_its_partition_and_the_others_are_still_verified(
    command: Command,
) -> None:
    command.run_over(EVENTS[:500])
    topic = f"{command.prefix}-checkpoints"
    prefix = f"{command.prefix}-tips/0/"
    records = [
        each for each in command.kafka.read_all(topic) if each.key.startswith(prefix.encode())
    ]
    manifest = [each for each in records if each.key.endswith(b"/manifest")][-1]
    line = orjson.loads(manifest.value)
    line["saves"] = line["saves"][:1]
    name = line["saves"][0]["name"]
    of_the_save = [each for each in records if each.key.startswith(f"{prefix}{name}/".encode())]
    # The whole save is written again with one bit changed, and a manifest that names it there.
    wrong = bytearray(of_the_save[-1].value)
    wrong[-1] ^= 1
    again = [(each.key, each.value) for each in of_the_save[:-1]]
    again.append((of_the_save[-1].key, bytes(wrong)))
    line["since"] = command.kafka.produce(topic, again, partition=0)[0]
    command.kafka.produce(topic, [(manifest.key, orjson.dumps(line))], partition=0)
    found, said = command.inspect("--verify", code=1)
    assert ["error" in each for each in found] == [True, False, False, False]
    assert "verified" not in found[0]
    assert found[0]["error"].startswith(("checkpoint: ", "learning: "))
    assert said.endswith("3 verified, 1 that cannot be used\n")
    assert "error" not in command.inspect()[0][0], "without --verify only manifests are read"


def test_a_manifest_of_another_format_is_an_error_without_verify_too(command: Command) -> None:
    command.run_over(EVENTS[:300])
    key = f"{command.prefix}-tips/1/manifest".encode()
    command.kafka.produce(f"{command.prefix}-checkpoints", [(key, b'{"format":9}')], partition=1)
    found, _ = command.inspect(code=1)
    assert [each["partition"] for each in found if "error" in each] == [1]
    assert "format 9; expected 1" in found[1]["error"]
    assert (found[1]["saved"], found[1]["committed"] is not None) == (True, True)


def test_a_group_that_was_set_back_to_before_its_state_shows_nothing_to_replay(
    command: Command,
) -> None:
    command.run_over(EVENTS[:300])
    at = TopicPartition(f"{command.prefix}-tips", 0)
    consumer = KafkaConsumer(
        bootstrap_servers=command.kafka.bootstrap, group_id=command.prefix, enable_auto_commit=False
    )
    consumer.assign([at])
    consumer.commit({at: OffsetAndMetadata(7, "", -1)})
    consumer.close(autocommit=False)
    found, _ = command.inspect("--partition", f"{command.prefix}-tips/0")
    assert (found[0]["committed"], found[0]["to_replay"]) == (7, None)
    assert found[0]["next_offset"] > 7


def test_a_transaction_that_a_killed_instance_left_open_is_not_waited_for(
    command: Command,
) -> None:
    command.run_over(EVENTS[:300])
    before, _ = command.inspect()
    at = TopicPartition(f"{command.prefix}-tips", 0)
    producer = KafkaProducer(
        bootstrap_servers=command.kafka.bootstrap, transactional_id=f"{command.prefix}-open",
        transaction_timeout_ms=60_000,
    )  # fmt: skip
    producer.init_transactions()
    producer.begin_transaction()
    group = ConsumerGroupMetadata(command.prefix)
    producer.send_offsets_to_transaction({at: OffsetAndMetadata(7, "", -1)}, group)
    started_s = time.monotonic()
    found, _ = command.inspect()
    took_s = time.monotonic() - started_s
    producer.abort_transaction()
    producer.close()
    assert [each["committed"] for each in found] == [each["committed"] for each in before]
    assert took_s < 20


def test_what_cannot_be_looked_at_is_said_with_the_exit_code_that_fits(command: Command) -> None:
    tips_topic = f"{command.prefix}-tips"
    _, said = command.inspect("--partition", "elsewhere/0", code=2)
    assert said == (
        f"--partition elsewhere/0: expected {tips_topic}/N or {command.prefix}-rekeyed/N\n"
    )
    _, said = command.inspect("--partition", f"{tips_topic}/7", code=1)
    assert said.splitlines()[-1] == (
        f"tip-detector: {tips_topic}[7]: no such partition; {tips_topic} has 2"
    )
    command.environment["TIP_DETECTOR__TOPICS__TIPS"] = "nowhere"
    assert "nowhere: no such topic" in command.inspect(code=1)[1]
    command.environment["TIP_DETECTOR__KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    said = command.inspect(code=1)[1]
    assert said.splitlines()[-1].startswith("tip-detector: reading saved state failed: ")
