"""What the contract tests share: members of one group, sinks, and topics that no other test uses.

A `Member` is a real `KafkaSource` that is driven turn by turn, as the loop drives it, and remembers
what it was told. Run as a program, this file is a member of a group that can be killed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from detector.edges.kafka_checkpoints import KafkaCheckpoints
from detector.edges.kafka_sink import AtLeastOnceSink, ExactlyOnceSink
from detector.edges.kafka_source import KafkaSource
from detector.runtime.ports import Changes, Output, Partition, Record
from detector.setting_sections import KafkaSettings
from detector.settings import Settings, load_settings
from tests.kafka_node import KafkaNode

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0


class Member:
    """One source and what it told, since `forget` was last called.

    Attributes:
        source: the source under test.
        told: all its changes together.
        records: what it read, in the order it came.
        membership: of the last turn.
    """

    def __init__(self, source: KafkaSource) -> None:
        self.source = source
        self.membership: Any = None
        self.forget()

    def forget(self) -> None:
        self.told = Changes()
        self.records: list[tuple[Partition, Record]] = []

    def turn(self, timeout_s: float = 0.05) -> Changes:
        """One poll and the questions after it, in the loop's order."""
        batches = self.source.poll(timeout_s)
        self.membership = self.source.membership()
        changes = self.source.take_changes()
        self.told.assigned |= changes.assigned
        self.told.revoked |= changes.revoked
        self.told.lost |= changes.lost
        for partition, records in batches.items():
            self.records += [(partition, record) for record in records]
        return changes

    @property
    def partitions(self) -> set[Partition]:
        return self.source.assignment()

    def count(self, topic: str) -> int:
        """How many of a topic's partitions it has."""
        return sum(partition.topic == topic for partition in self.partitions)


class Contract:
    """A group's topics on a node, and everything of the edges that was opened on them.

    Attributes:
        tips, rekeyed: four partitions each, read by the group.
        flags, dead: one partition each.
        checkpoints: four partitions.
    """

    def __init__(self, node: KafkaNode, prefix: str) -> None:
        self.node = node
        self.prefix = prefix
        self.group = f"{prefix}group"
        self.tips, self.rekeyed = f"{prefix}tips", f"{prefix}rekeyed"
        self.flags, self.dead = f"{prefix}flags", f"{prefix}dead"
        self.checkpoints = f"{prefix}checkpoints"
        self._opened = ExitStack()

    def create(self) -> None:
        for name in (self.tips, self.rekeyed, self.checkpoints):
            self.node.create_topic(name, 4)
        self.node.create_topic(self.flags)
        self.node.create_topic(self.dead)

    def close(self) -> None:
        self._opened.close()

    def settings(self, **kafka: Any) -> Settings:
        """All settings, with those of `[kafka]` changed."""
        defaults = load_settings(None, ROOT / "config" / "detector.toml", {})
        changes = {
            "bootstrap_servers": self.node.bootstrap, "group_id": self.group,
            "session_timeout_ms": 4_000, "transaction_timeout_ms": 5_000,
            "retry_backoff_max_ms": 200, **kafka,
        }  # fmt: skip
        topics = {
            "tips": self.tips, "flags": self.flags, "dead_letters": self.dead,
            "rekeyed": self.rekeyed, "checkpoints": self.checkpoints,
        }  # fmt: skip
        return defaults.model_copy(update={
            "kafka": defaults.kafka.model_copy(update=changes),
            "topics": defaults.topics.model_copy(update=topics),
        })  # fmt: skip

    def kafka(self, **changes: Any) -> KafkaSettings:
        return self.settings(**changes).kafka

    def member(self, topics: Sequence[str] = (), **changes: Any) -> Member:
        source = KafkaSource(
            self.kafka(**changes), dict.fromkeys(topics or [self.tips, self.rekeyed], 1), 500
        )
        self._opened.callback(source.close, 1.0)
        return Member(source)

    def exactly_once(self, name: str = "a", **changes: Any) -> ExactlyOnceSink:
        sink = ExactlyOnceSink(self.kafka(**changes), self.prefix + name)
        self._opened.callback(sink.close, 1.0)
        return sink

    def at_least_once(self, member: Member) -> AtLeastOnceSink:
        sink = AtLeastOnceSink(self.kafka(), member.source)
        self._opened.callback(sink.close, 1.0)
        return sink

    def store(self) -> KafkaCheckpoints:
        store = KafkaCheckpoints(self.kafka(), self.checkpoints)
        self._opened.callback(store.close)
        return store

    def flag(self, value: bytes) -> Output:
        return Output(self.flags, b"key", value, [])

    def values(self, topic: str, isolation: str = "read_committed") -> list[bytes | None]:
        return [record.value for record in self.node.read_all(topic, isolation=isolation)]

    def killable(self) -> subprocess.Popen[bytes]:
        """A member in a process of its own; returns once it has partitions."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.edges.contract", self.node.bootstrap, self.prefix],
            cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._opened.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process


def until(is_so: Callable[[], object], *members: Member, timeout_s: float = LIMIT_S) -> None:
    """Turns all members, one after the other, until it is so."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, [sorted(each.partitions) for each in members]
        for member in members:
            member.turn()
        if not members:
            time.sleep(0.02)


def settle(*members: Member, partitions: int = 8) -> None:
    """Turns until all partitions are somebody's, each member has some, and it stays so.

    All must be of one generation too: who is behind is about to join again.
    """
    calm = 0

    def is_calm() -> bool:
        nonlocal calm
        owned = [partition for member in members for partition in member.partitions]
        is_whole = len(owned) == len(set(owned)) == partitions
        has_each_some = all(member.partitions for member in members)
        generations = {member.membership and member.membership.generation_id for member in members}
        is_one = len(generations) == 1 and all(each.source.is_settled() for each in members)
        calm = calm + 1 if is_whole and has_each_some and is_one else 0
        return calm > 8

    until(is_calm, *members)


def finish(sink: Any, timeout_s: float = LIMIT_S) -> None:
    """Waits for a commit; raises what it raises."""
    deadline_s = time.monotonic() + timeout_s
    while not sink.wait(0.1):
        assert time.monotonic() < deadline_s, "the commit has not come about"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _run(bootstrap: str, prefix: str) -> None:
    """Reads as a member of the group until it is killed."""
    contract = Contract(KafkaNode(Path("unused")), prefix)
    member = contract.member(bootstrap_servers=bootstrap)
    until(lambda: member.partitions, member)
    print("ready", flush=True)
    while True:
        member.turn()


if __name__ == "__main__":
    _run(*sys.argv[1:])
