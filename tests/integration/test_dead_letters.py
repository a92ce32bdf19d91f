"""`tip-detector dead-letters` against a real Apache Kafka."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaProducer

from tests.integration.process import ROOT, Detector
from tests.integration.test_run import make_topics, until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

Headers = list[tuple[str, bytes]]
WHEN_MS = 1_776_000_000_000


class DeadLetters:
    """Runs the command with the topics and the group of one prefix, and reads what it did."""

    def __init__(self, kafka: KafkaNode, prefix: str, folder: Path) -> None:
        self.kafka = kafka
        self.tips, self.dead = f"{prefix}-tips", f"{prefix}-dead"
        self.group = f"{prefix}-dead-letters-{self.tips}"
        self.environment = Detector(folder, kafka.bootstrap, prefix).environment

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "detector", "dead-letters", *arguments], cwd=ROOT,
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], list[str]]:
        """(the objects on standard output, the lines on standard error)."""
        process = self.start(*arguments)
        out, said = process.communicate(timeout=90)
        assert process.returncode == code, said.decode()
        return [orjson.loads(line) for line in out.splitlines()], said.decode().splitlines()

    def replay(self, *arguments: str) -> str:
        """How a replay sums itself up."""
        out, said = self.run("replay", *arguments)
        assert out == []
        return said[-1]

    def read_tips(self) -> list[Any]:
        return self.kafka.read_all(self.tips)

    def progress(self, reason: str) -> int:
        return sum(self.kafka.committed(f"{self.group}-{reason}", self.dead).values())

    @contextmanager
    def underway(self, *arguments: str, reason: str) -> Any:
        """A replay that has committed something and, unless it is too fast, has more to do."""
        process = self.start("replay", *arguments)
        try:
            until(lambda: process.poll() is not None or self.progress(reason) > 0)
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def letters(kafka: KafkaNode, topic_prefix: str, tmp_path: Path) -> DeadLetters:
    return DeadLetters(kafka, topic_prefix, tmp_path)


def label(reason: str, topic: str, partition: int = 0, offset: int = 0) -> Headers:
    return [
        ("reason", reason.encode()), ("detail", b"what was found"), ("topic", topic.encode()),
        ("partition", b"%d" % partition), ("offset", b"%d" % offset), ("version", b"0.1.0"),
        ("policy", b"cn@abc"),
    ]  # fmt: skip


def fill(letters: DeadLetters, count: int) -> list[bytes]:
    """That many dead letters of one reason; their values."""
    values = [b"%06d%s" % (number, b"x" * 300) for number in range(count)]
    headers = label("not_json", letters.tips)
    letters.kafka.produce(letters.dead, ((b"k", value, headers) for value in values))
    return values


def contents(records: Sequence[Any]) -> list[tuple[bytes, bytes, Headers]]:
    """Key, value and headers without the one that replay adds."""
    for each in records:
        assert each.headers[-1][0] == "replayed_from"
    return [(each.key, each.value, list(each.headers[:-1])) for each in records]


def platform_tip(number: int) -> bytes:
    return orjson.dumps({
        "type": "tip", "_id": f"a{number}", "channel": "c1", "provider": "twitch",
        "createdAt": datetime.now(UTC).isoformat(),
        "data": {"tipId": f"t{number}", "providerId": f"u{number % 5}", "username": "someone",
                 "amount": 5, "currency": "USD"},
    })  # fmt: skip


def test_once_the_mapping_is_mended_a_replay_brings_back_what_died_each_tip_once(
    letters: DeadLetters, kafka: KafkaNode, topic_prefix: str, tmp_path: Path
) -> None:
    make_topics(kafka, topic_prefix)
    died: list[tuple[bytes, bytes, Headers]] = [
        (b"u%d" % (number % 5), platform_tip(number), [("trace", b"\xff"), ("reason", b"theirs")])
        for number in range(20)
    ]
    died.insert(7, (b"u1", b"not json", []))
    kafka.produce(letters.tips, died)
    with Detector(tmp_path, kafka.bootstrap, topic_prefix) as detector:
        until(lambda: len(kafka.read_all(letters.dead)) == len(died))
        detector.terminate()
    listed, said = letters.run("list")
    assert Counter(each["reason"] for each in listed) == {"missing_field": 20, "not_json": 1}
    assert [(each["topic"], each["offset"]) for each in listed] == [
        (letters.tips, number) for number in range(21)
    ]
    assert said[-1] == "21 dead letters: missing_field 20, not_json 1"

    assert letters.replay("--reason", "missing_field", "--limit", "4") == (
        "sent 4; skipped 0; left 16"
    )
    assert letters.replay("--reason", "missing_field") == (
        "sent 16; skipped 4 (sent_before 4); left 0"
    )
    assert [each["reason"] for each in letters.run("list")[0] if not each["replayed"]] == [
        "not_json"
    ]
    assert letters.replay() == "sent 1; skipped 20 (sent_before 20); left 0"
    assert letters.replay() == "sent 0; skipped 21 (sent_before 21); left 0"
    came = letters.read_tips()[21:]
    assert contents(came) == [each for each in died if each[2]] + [died[7]]
    assert came[0].headers[-1][1] == f"{letters.dead}[0]@0".encode()
    assert came[-1].headers[-1][1] == f"{letters.dead}[0]@7".encode()

    mended = {"INPUT__MAPPING": "streamelements"}
    with Detector(tmp_path, kafka.bootstrap, topic_prefix, **mended) as detector:
        detector.wait_ready()
        until(lambda: detector.metric("dead_letters_total") == 1)
        assert detector.metric("events_total") == 20


def test_a_list_is_oldest_first_and_shows_personal_data_only_when_asked(
    letters: DeadLetters, kafka: KafkaNode
) -> None:
    kafka.create_topic(letters.dead, 2)
    tips = letters.tips
    cut = [*label("record_too_large", tips, 1, 9), ("cut_from_bytes", b"3000000")]
    for partition, records in (
        (0, [(b"user-1", "小费".encode(), label("not_json", tips, 2, 5), WHEN_MS + 1),
             (b"user-1", b"{}", label("missing_field", tips, 2, 6), WHEN_MS + 4)]),
        (1, [(None, b"user-\xff", label("invalid_utf8", tips, 1, 8), WHEN_MS + 2),
             (b"user-2", b"user-2 is", cut, WHEN_MS + 3)]),
    ):  # fmt: skip
        kafka.produce(letters.dead, records, partition=partition)
    listed, said = letters.run("list")
    assert [each["dead_partition"] for each in listed] == [0, 1, 1, 0]
    assert listed[0] == {
        "dead_partition": 0, "dead_offset": 0, "written_at": "2026-04-12T13:20:00.001Z",
        "reason": "not_json", "detail": "what was found", "topic": tips, "partition": 2,
        "offset": 5, "version": "0.1.0", "policy": "cn@abc", "bytes": 6, "cut": False,
        "replayed": False,
    }  # fmt: skip
    assert [each["cut"] for each in listed] == [False, False, True, False]
    assert "user-" not in repr((listed, said))

    shown, _ = letters.run("list", "--show")
    assert (shown[0]["key"], shown[0]["value"]) == ("user-1", "小费")
    assert (shown[1]["key"], shown[1]["value_base64"]) == (None, "dXNlci3/")
    assert [{**each, **plain} for each, plain in zip(shown, listed, strict=True)] == shown

    first, said = letters.run("list", "--limit", "1")
    assert first == listed[:1]
    assert said[-1].startswith("4 dead letters: ")
    one, said = letters.run("list", "--reason", "invalid_utf8")
    assert one == [listed[1]]
    assert said[-1] == "1 dead letters: invalid_utf8 1"


def test_a_list_merges_long_partitions_by_time_and_knows_only_committed_letters(
    letters: DeadLetters, kafka: KafkaNode
) -> None:
    kafka.create_topic(letters.dead, 3)
    headers = label("not_json", letters.tips)
    by_partition = range(0, 9000, 3), range(1, 9000, 3), range(20_000, 23_000)
    for partition, times in enumerate(by_partition):
        records = [(b"k", b"x", headers, WHEN_MS + each) for each in times]
        kafka.produce(letters.dead, records, partition=partition)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=letters.group)
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.send(letters.dead, b"x", b"k", headers, 1, WHEN_MS + 30_000).get(10)
        end()
    producer.close()
    listed, _ = letters.run("list")
    assert len(listed) == 9001
    assert listed == sorted(listed, key=lambda each: str(each["written_at"]))
    for partition, count in enumerate((3000, 3001, 3000)):
        offsets = [each["dead_offset"] for each in listed if each["dead_partition"] == partition]
        assert offsets == list(range(count))


def test_a_missing_topic_is_an_error_an_empty_one_is_not_and_an_unknown_reason_is_refused(
    letters: DeadLetters, kafka: KafkaNode
) -> None:
    _, said = letters.run("list", code=1)
    assert said[-1] == (
        f"tip-detector: {letters.dead}: no such topic; `tip-detector topics create` makes it"
    )
    kafka.create_topic(letters.dead, 3)
    assert letters.run("list") == ([], ["0 dead letters"])
    assert letters.replay() == "sent 0; skipped 0; left 0"
    _, said = letters.run("list", "--reason", "not_jsn", code=2)
    assert "not_json" in said[-1]


def test_a_replay_sends_only_whole_letters_of_the_tips_topic_and_to_their_partition(
    letters: DeadLetters, kafka: KafkaNode
) -> None:
    kafka.create_topic(letters.tips, 3)
    kafka.create_topic(letters.dead, 2)
    tips = letters.tips
    cut = [*label("record_too_large", tips), ("cut_from_bytes", b"3000000")]
    kafka.produce(letters.dead, [
        (b"k", b"cut", cut),
        (b"k", b"elsewhere", label("not_json", "another-topic")),
        (b"k", b"not ours", [("reason", b"not_json")]),
        *((b"k", b"%d" % number, label("not_json", tips, number)) for number in range(4)),
        (None, b"no key", label("unknown_type", tips, 2)),
        (b"k", None, label("not_json", tips, 0)),
    ], partition=1)  # fmt: skip
    skipped = "skipped 3 (cut 1, no_label 1, other_topic 1)"
    assert letters.replay("--dry-run") == f"dry run: sent 6; {skipped}; left 0"
    assert letters.read_tips() == []
    assert kafka.committed(f"{letters.group}-not_json", letters.dead) == {}

    _, said = letters.run("replay")
    assert said[-1] == f"sent 6; {skipped}; left 0"
    assert [line for line in said if f"{letters.dead}[1]@0" in line and "3 bytes" in line]
    came = {each.value: each.partition for each in letters.read_tips()}
    assert came.pop(b"3") in range(3)  # there is no partition 3: by its key
    assert came == {b"0": 0, b"1": 1, b"2": 2, b"no key": 2, None: 0}
    replayed = {each["dead_offset"] for each in letters.run("list")[0] if each["replayed"]}
    assert replayed == {3, 4, 5, 6, 7, 8}


def test_a_replay_that_is_killed_and_run_again_doubles_nothing_and_loses_nothing(
    letters: DeadLetters, kafka: KafkaNode, topic_prefix: str
) -> None:
    make_topics(kafka, topic_prefix)
    values = fill(letters, 30_000)
    with letters.underway(reason="not_json") as process:
        process.kill()
        process.wait()
    sent = letters.progress("not_json")
    assert 0 < sent < len(values)
    assert letters.replay() == (
        f"sent {len(values) - sent}; skipped {sent} (sent_before {sent}); left 0"
    )
    assert [each.value for each in letters.read_tips()] == values


def test_a_list_that_nobody_reads_to_its_end_ends(
    letters: DeadLetters, kafka: KafkaNode, topic_prefix: str
) -> None:
    make_topics(kafka, topic_prefix)
    fill(letters, 3000)
    listing = letters.start("list", "--show")
    assert listing.stdout is not None
    assert orjson.loads(listing.stdout.readline())["dead_offset"] == 0
    listing.stdout.close()
    try:
        assert listing.wait(10) == 0
    finally:
        listing.kill()
        listing.communicate()


def test_a_second_replay_fences_the_first_which_says_so_and_nothing_is_doubled(
    letters: DeadLetters, kafka: KafkaNode, topic_prefix: str
) -> None:
    make_topics(kafka, topic_prefix)
    values = fill(letters, 30_000)
    with letters.underway(reason="not_json") as first:
        first.send_signal(signal.SIGSTOP)
        letters.replay()
        first.send_signal(signal.SIGCONT)
        _, said = first.communicate(timeout=60)
    assert first.returncode == 1, said.decode()
    assert "another replay took over" in said.decode()
    assert [each.value for each in letters.read_tips()] == values
