"""The loop's ports on the Kafka of `fake_kafka`, and whole detectors on it.

Saved state is read by the real `KafkaCheckpoints`, from a log compacted as far as Kafka may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kafka import TopicPartition

from detector.assembly import Assembly
from detector.edges.kafka_checkpoints import KafkaCheckpoints
from detector.edges.metrics import Metrics
from detector.runtime.breaker import Breaker
from detector.runtime.checkpoint import Mark, SaveEvery
from detector.runtime.lane import Lane, Rules
from detector.runtime.owned import Opener, Owned
from detector.runtime.ports import (
    Aborted,
    Changes,
    Found,
    Output,
    Partition,
    Record,
    Retry,
    Stop,
)
from detector.runtime.status import Pace, Status
from detector.runtime.worker import Worker
from tests.runtime.fake_kafka import NONE, Broker, FakeRecord, Membership


class Killed(BaseException):
    """The process is gone; nothing catches this."""


class FakeSource:
    """One member. See `ports.Source`; it finds out about a rebalance in `poll`, like the real one.

    Attributes:
        most: records of a poll.
        polls: how many there were.
        is_member: False once the group has thrown it out.
    """

    def __init__(self, broker: Broker, member: str, topics: Sequence[str]) -> None:
        self.most = 1_000
        self.polls = 0
        self.is_member = True
        self.is_closed = False
        self._broker = broker
        self._member = member
        self._topics = topics
        self._generation = 0
        self._changes = Changes()
        self._positions: dict[Partition, int] = {}

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[FakeRecord]]:
        self.polls += 1
        self._join()
        batches = {}
        room = self.most
        queue = sorted(self._positions)
        first = self.polls % max(1, len(queue))
        for at in queue[first:] + queue[:first]:
            records, self._positions[at] = self._broker.read(at, self._positions[at], room)
            if records:
                batches[at] = records
                room -= len(records)
        return batches

    def _join(self) -> None:
        owned = self._broker.owned(self._member)
        ours = {at for at in owned if at.topic in self._topics}
        for at in self._positions.keys() - ours:
            self._changes.revoked.add(at)
            del self._positions[at]
        for at in ours:
            if owned[at] > self._generation:  # somebody else's, or nobody's, meanwhile
                if at in self._positions:
                    self._changes.lost.add(at)
                self._changes.assigned.add(at)
                self._positions[at] = self._broker.offsets.get(at, 0)
        self._generation = self._broker.generation

    def membership(self) -> Membership | None:
        return Membership(self._member, self._generation) if self.is_member else None

    def is_settled(self) -> bool:
        return True

    def take_changes(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes

    def assignment(self) -> set[Partition]:
        return set(self._positions)

    def committed(self, partition: Partition) -> int | None:
        return self._broker.committed(partition)

    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    def origin(self, partition: Partition) -> int:
        return self.start(partition)

    def start(self, partition: Partition) -> int:
        return self._broker.starts.get(partition, 0)

    def ends(self) -> Mapping[Partition, int]:
        return {at: self._broker.end(at) for at in self._positions}

    def is_behind(self) -> bool:
        return any(end > self._positions[at] for at, end in self.ends().items())

    def partition_count(self, topic: str) -> int:
        return self._broker.counts[topic]

    def close(self, timeout_s: float) -> None:
        self.is_closed = True


Fate = Literal["late", "never", "aborted", "refused", "killed before", "killed after"]


class FakeSink:
    """See `ports.Sink`.

    Attributes:
        fates: what becomes of the next commits; those after them come about at once.
        meanwhile: is called while a commit waits to come about.
        begun: how many commits were begun.
    """

    def __init__(self, broker: Broker) -> None:
        self.fates: list[Fate | None] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.begun = 0
        self._broker = broker
        self._fate: Fate | None = None
        self._membership: Any = None
        self._transaction = NONE

    def submit(
        self, outputs: Sequence[Output], saves: Sequence[Output],
        next_offsets: Mapping[Partition, int], membership: Any,
    ) -> None:  # fmt: skip
        self.begun += 1
        self._fate = self.fates.pop(0) if self.fates else None
        self._membership = membership
        self._transaction = self._broker.begin([*outputs, *saves], next_offsets)
        if self._fate == "killed before":
            raise Killed

    def wait(self, timeout_s: float) -> bool:
        fate, broker = self._fate, self._broker
        self.meanwhile()
        if fate == "late":
            self._fate = None
            return False
        if fate == "never":
            return False
        if fate in ("aborted", "refused"):
            broker.finish(self._transaction, "aborted")
            raise Aborted("scripted") if fate == "aborted" else Stop("scripted")
        broker.commit(self._transaction, self._membership)
        if fate == "killed after":
            raise Killed
        return True

    def close(self, timeout_s: float) -> None:
        if self._transaction.state == "open":
            self._broker.finish(self._transaction, "aborted")


class Store(KafkaCheckpoints):
    """The real reader of saved state, on a log in memory in which each key has its last record."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def _check_width(self, at: TopicPartition) -> None: ...

    def _bounds(self, at: TopicPartition) -> tuple[int, int]:
        return 0, len(self._broker.logs[Partition(*at)])

    def _read(self, at: TopicPartition, since: int, until: int) -> Iterator[FakeRecord]:
        if self._broker.end_once_waited_for(Partition(*at)) < until:
            raise Retry("a transaction may be open")
        records, _ = self._broker.read(Partition(*at))
        last = {record.key: record.offset for record in records}
        for record in records:
            if since <= record.offset < until and last[record.key] == record.offset:
                yield record


class FakeVerdicts:
    """See `ports.VerdictLog`.

    Attributes:
        is_away: no broker answers.
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self.is_away = False
        self._broker = broker
        self._topic = topic

    def spans(self) -> Mapping[int, tuple[int, int]]:
        return {
            at.partition: (self._broker.starts.get(at, 0), self._broker.end(at))
            for at in self._partitions()
        }

    def ends(self) -> Mapping[int, int]:
        if self.is_away:
            raise Retry("no broker answers")
        return {number: end for number, (_, end) in self.spans().items()}

    def read(self, since: Mapping[int, int], until: Mapping[int, int]) -> Found:
        records: list[tuple[int, Record]] = []
        lost = 0
        for number, last in sorted(until.items()):
            start, end = self.spans().get(number, (0, 0))
            first = since.get(number, start)
            if first >= last:
                continue
            if self.is_away:
                raise Retry("no broker answers")
            lost += max(0, min(start, last) - first) + max(0, last - max(end, first))
            found, _ = self._broker.read(Partition(self._topic, number), max(start, first))
            records += [(number, each) for each in found if each.offset < last]
        return Found(records, lost)

    def close(self) -> None: ...

    def _partitions(self) -> list[Partition]:
        return [at for at in self._broker.logs if at.topic == self._topic]


@dataclass
class FakeClock:
    """A hundredth of a second goes by whenever somebody looks."""

    s: float = 100.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def steady_s(self) -> float:
        self.s += 0.01
        return self.s

    def sleep(self, seconds: float) -> None:
        self.s += seconds


class FakeReloads:
    """See `reload.Reloads`.

    Attributes:
        in_force: the configuration that lanes are made by.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.in_force = assembly
        self._offer: tuple[Assembly, Rules] | None = None

    def offer(self, assembly: Assembly) -> None:
        self._offer = assembly, assembly.rules()

    def waiting(self) -> Rules | None:
        return None if self._offer is None else self._offer[1]

    def applied(self, rules: Rules) -> None:
        assert self._offer is not None
        assert self._offer[1] is rules
        self.in_force, self._offer = self._offer[0], None


def make_broker(assembly: Assembly, tips: int = 1) -> Broker:
    """A broker with the topics of a configuration, all of which have as many partitions."""
    topics, settings = assembly.settings.topics, assembly.settings
    names = [topics.tips, topics.flags, topics.accounts, topics.scores, topics.dead_letters,
             topics.verdicts,
             settings.rekeyed_topic, settings.checkpoints_topic]  # fmt: skip
    return Broker(dict.fromkeys(names, tips))


class _WatchedOpener(Opener):
    """Tells of every mark that is made of a partition it has opened."""

    marked: list[tuple[Partition, Mark]]

    def open(self, partition: Partition, on_progress: Callable[[], None]) -> Owned:
        owned = super().open(partition, on_progress)
        assert owned.checkpointer is not None
        make = owned.checkpointer.mark

        def mark(mark: Mark, verdicts: int) -> None:
            self.marked.append((partition, mark))
            make(mark, verdicts)

        owned.checkpointer.mark = mark  # type: ignore[method-assign]
        return owned


class Instance:
    """One running detector, turn by turn.

    Attributes:
        marked: every mark it has made, also of commits that did not come about.

    Args:
        assembly: its configuration.
        broker: where it runs.
        member: its name in the group.
        save_every: records between saves.
        breaker: see `Breaker`.
    """

    def __init__(
        self, assembly: Assembly, broker: Broker, member: str = "one", save_every: int = 100,
        breaker: Breaker | None = None,
    ) -> None:  # fmt: skip
        settings = assembly.settings
        tips, rekeyed = settings.topics.tips, settings.rekeyed_topic
        store = settings.checkpoints_topic
        self.clock = FakeClock()
        self.source = FakeSource(broker, member, [tips, rekeyed])
        self.sink = FakeSink(broker)
        self.store = Store(broker, store)
        self.verdicts = FakeVerdicts(broker, settings.topics.verdicts)
        self.metrics = Metrics(assembly.build())
        self.status = Status()
        self.reloads = FakeReloads(assembly)
        self.lanes: dict[Partition, Lane] = {}

        def make_lane(partition: Partition) -> Lane:
            made = self.reloads.in_force.make_lane(partition, broker.counts[rekeyed])
            self.lanes[partition] = made
            return self.lanes[partition]

        self.marked: list[tuple[Partition, Mark]] = []
        opener = _WatchedOpener(
            self.source, self.store, make_lane, store, SaveEvery(1e9, save_every), self.clock,
            lambda lane: self.reloads.in_force.make_learner(lane, self.verdicts),
        )  # fmt: skip
        opener.marked = self.marked
        self.worker = Worker(
            self.source, self.sink, self.clock, opener, self.store, tips, self.metrics,
            Pace(commit_interval_s=0.5, idle_after_s=1.0),
            breaker or Breaker(max_share=0.01, records=1_000), self.status, self.reloads,
        )  # fmt: skip

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.worker.turn()

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value."""
        value = self.metrics.registry.get_sample_value(f"tip_detector_{name}", labels)
        assert value is not None, name
        return value
