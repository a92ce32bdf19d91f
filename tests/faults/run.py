"""One run of the real program over a stream: topics, a fleet, faults, and what was left behind.

`Run` is what a fault gets into its hands. It knows how to feed the stream, how far the detectors
are, and when everything is done; it does not know which faults there are.
"""

from __future__ import annotations

import contextlib
import time
import tomllib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.faults import outcome
from tests.faults.cluster import Cluster
from tests.faults.fleet import PLAIN, Failed, Fleet, Instance
from tests.faults.outcome import Outcome
from tests.faults.stream import PARTITIONS, Produced, Stream
from tests.integration.process import ROOT
from tests.kafka_node import KafkaNode

LOOK_S = 0.01
STALL_S = 60.0
OPEN_TRANSACTION_S = 20.0
PROMISED_S = 2.0
"""Within this a detector that runs at the end has told every partition how far it is."""

SETTINGS = {
    # Small batches and short intervals, so that a fault falls into the midst of something.
    "KAFKA__SESSION_TIMEOUT_MS": "1500",
    "KAFKA__TRANSACTION_TIMEOUT_MS": "3000",
    "COMMIT__INTERVAL_MS": "50",
    "COMMIT__RECORDS": "200",
    "CHECKPOINT__INTERVAL_S": "1.0",
    "CHECKPOINT__RECORDS": "500",
    # The stream's weeks pass in seconds: whoever is not waited for would be weeks late.
    "MERGE__IDLE_AFTER_S": "3600",
}


@dataclass(frozen=True)
class Setup:
    """How the detectors of a run are started.

    Attributes:
        instances: how many at first.
        settings: on top of `SETTINGS`; those that the program does not have are left out.
        module, variables: see `Instance`.
        dead_letter_bytes: the most that the dead-letter topic takes.
    """

    instances: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    module: tuple[str, ...] = PLAIN
    variables: Mapping[str, str] = field(default_factory=dict)
    dead_letter_bytes: int = 2 * 1024 * 1024


class Run:
    """Fresh topics and a fresh group; nothing is started before `start`.

    Attributes:
        chance: what a fault draws from; seeded.
        fleet: the detectors.
        applied: how many faults were applied.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, stream: Stream, setup: Setup, seed: int = 1
    ) -> None:
        self.cluster = cluster
        self.stream = stream
        self.setup = setup
        self.chance = Random(seed)
        self.applied = 0
        self.prefix = f"run-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._ends = stream.ends()
        self._fed = 0
        self._progress = 0
        node = cluster.node
        self._tips, self._flags, self._dead = (
            f"{self.prefix}-{name}" for name in ("tips", "flags", "dead")
        )
        self._rekeyed = f"{self.prefix}-rekeyed"
        node.create_topic(self._tips, PARTITIONS)
        node.create_topic(self._flags, 2)
        node.create_topic(self._dead, 2, {"max.message.bytes": str(setup.dead_letter_bytes)})
        self._producer = KafkaProducer(
            bootstrap_servers=node.bootstrap, linger_ms=1, retry_backoff_ms=50
        )
        self._admin = KafkaAdminClient(bootstrap_servers=node.bootstrap)
        self.fleet = Fleet(self._make_instance, 0)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.abandon()
        self._producer.close(timeout=5)
        self._admin.close()

    def _make_instance(self) -> Instance:
        settings = SETTINGS | {"TOPICS__REKEYED": self._rekeyed} | dict(self.setup.settings)
        return Instance(self._folder, self.cluster.bootstrap, self.prefix, known(settings),
                        self.setup.module, self.setup.variables)  # fmt: skip

    def start(self) -> None:
        """Starts the fleet and waits until it looks for its broker."""
        for _ in range(self.setup.instances):
            self.fleet.add()
        self.wait(lambda: all(each.is_up for each in self.fleet.instances), "the fleet is up")

    # -- what a fault does ----------------------------------------------------------------------

    def feed(self, records: Iterable[Produced]) -> None:
        """Produces records, each to its own partition, and waits until they are acknowledged."""
        sent = [
            self._producer.send(self._tips, each.value, each.key, partition=each.partition)
            for each in records
        ]
        self._producer.flush(timeout=30)
        for future in sent:
            future.get(timeout=1)
        self._fed += len(sent)

    def rounds(self, times: int) -> Iterable[int]:
        """Feeds the stream in `times` parts; the loop's body applies one fault to each part.

        So every fault meets work: what was just fed, and what the faults before held up.
        """
        for number, chunk in enumerate(self.stream.chunks(times)):
            self.feed(chunk)
            yield number
            self.applied += 1

    def pause_at_random(self, longest_s: float, start_share: float = 0.3) -> None:
        """Waits for a moment to strike: mostly shortly after work on what was fed last has begun.

        In `start_share` of all cases it is anywhere within the first seconds instead: while a
        process starts, joins its group or restores its state.
        """
        if self.chance.random() < start_share:
            self.sleep(self.chance.uniform(0, 1.5))
            return
        begun = self.progress() + 1
        if self._fed >= begun:
            self.wait(lambda: self.progress() >= begun, "work goes on")
        self.sleep(self.chance.uniform(0, longest_s))

    def sleep(self, seconds: float) -> None:
        """Lets time go by, with the supervisor at work."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.fleet.tend()
            time.sleep(min(left_s, 0.05))

    def wait(self, is_so: Callable[[], bool], what: str, limit_s: float = STALL_S) -> None:
        """Waits until something is so, with the supervisor at work.

        Raises:
            Failed: it did not come about in time.
        """
        deadline_s = time.monotonic() + limit_s
        while not is_so():
            if time.monotonic() > deadline_s:
                raise Failed(
                    f"not within {limit_s:.0f} s: {what} ({self._progress:,} of {self._fed:,} "
                    f"records committed, {self.fleet.exits} exits)\n{self.fleet.last_log}"
                )
            self.fleet.tend()
            time.sleep(LOOK_S)

    def wait_until_done(self) -> None:
        """Waits until everything that was fed is committed; each step may take `STALL_S`."""
        while (before := self.progress()) < self._fed:
            self.wait_for_more_than(before)

    def wait_for_more_than(self, before: int) -> None:
        """Waits until more records are committed than there were."""
        self.wait(lambda: self.progress() > before, "offsets move")

    def progress(self) -> int:
        """Records of the tips topic whose offsets are committed; as last known in an outage."""
        with contextlib.suppress(KafkaError, OSError):
            progress = sum(self._committed(self._tips).values())
            if progress > self._progress:
                self.fleet.has_progressed()
            self._progress = progress
        return self._progress

    def _committed(self, topic: str) -> dict[int, int]:
        offsets = self._admin.list_group_offsets(self.prefix)[self.prefix]
        return {at.partition: kept.offset for at, kept in offsets.items() if at.topic == topic}

    # -- the end --------------------------------------------------------------------------------

    def finish(self) -> Outcome:
        """Waits for the end of the stream, stops the fleet in order and reads what it wrote.

        Raises:
            Failed: it did not get there, or left a transaction open.
        """
        self.wait_until_done()
        self._wait_until_all_is_told()
        self._wait_for_rekeyed()
        self.fleet.stop()
        flags, dead = self._read(self._flags), self._read(self._dead)
        sources = self.stream.by_offset()
        return Outcome(
            [outcome.flag(each) for each in flags]
            + [outcome.dead_letter(each, sources) for each in dead],
            self.cluster.node.committed(self.prefix, self._tips),
        )

    def _wait_until_all_is_told(self) -> None:
        """Who is held up in a commit, though its offsets are there, has more to say afterwards."""
        while True:
            self.wait(self._is_running, "all detectors run")
            self.sleep(PROMISED_S)
            if self._is_running():
                return

    def _is_running(self) -> bool:
        """Whether no detector is held up or behind."""
        instances = self.fleet.instances
        with contextlib.suppress(OSError):
            return all(
                each.is_up
                and each.metric("worker_state", state="running") == 1
                and each.metric("lag_records") == 0
                for each in instances
            )
        return False

    def _wait_for_rekeyed(self) -> None:
        """What the detector wrote for itself must be consumed too, where there is such a topic."""
        if self._rekeyed not in self._admin.list_topics():
            return
        ends: dict[int, int] = {}
        for record in self.cluster.node.read_all(self._rekeyed):
            ends[record.partition] = record.offset + 1
        self.wait(
            lambda: all(
                self._committed(self._rekeyed).get(at, 0) >= end for at, end in ends.items()
            ),
            "the rekeyed topic is consumed",
        )

    def _read(self, topic: str) -> Sequence[Any]:
        """All committed records, once no transaction is open: one left open would hide the rest."""
        node = self.cluster.node
        self.wait(
            lambda: _ends(node, topic, "read_committed") == _ends(node, topic, "read_uncommitted"),
            f"no transaction is open on {topic}", OPEN_TRANSACTION_S,
        )  # fmt: skip
        return node.read_all(topic)


def _ends(node: KafkaNode, topic: str, isolation: str) -> dict[TopicPartition, int]:
    """Where a topic ends for a reader of committed records, or of all."""
    consumer = KafkaConsumer(bootstrap_servers=node.bootstrap, isolation_level=isolation)
    try:
        numbers = consumer.partitions_for_topic(topic)
        return dict(consumer.end_offsets([TopicPartition(topic, number) for number in numbers]))
    finally:
        consumer.close()


def reference(cluster: Cluster, folder: Path, stream: Stream, setup: Setup) -> Outcome:
    """What one undisturbed detector leaves behind.

    Raises:
        Failed: it ended by itself, or wrote something twice: then nothing can be compared with it.
    """
    with Run(cluster, folder, stream, setup) as run:
        run.start()
        run.feed(stream.records)
        result = run.finish()
        if run.fleet.exits:
            raise Failed(f"the reference: a detector ended by itself\n{run.fleet.last_log}")
    if len({each.id for each in result.written}) < len(result.written):
        raise Failed("the reference: an undisturbed run wrote something twice")
    return result


def known(settings: Mapping[str, str]) -> dict[str, str]:
    """Those of the settings that `config/detector.toml` has."""
    defaults = tomllib.loads((ROOT / "config" / "detector.toml").read_text("utf-8"))
    return {name: value for name, value in settings.items() if _has(defaults, name)}


def _has(table: Any, name: str) -> bool:
    for part in name.lower().split("__"):
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True
