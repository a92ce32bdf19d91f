"""Records a second: the client's ceiling, and the whole pipeline set up in several ways.

Rounds of all ways alternate, so that their ratios are of the same minutes.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition

from detector.assembly import Assembly
from detector.edges.kafka import client_options
from detector.edges.metrics import Metrics
from detector.runtime.worker import Worker
from detector.service import Service, _spare_the_collector
from detector.settings import Settings
from tests.bench.show import ROUNDS, show
from tests.integration.process import Detector
from tests.kafka_node import KafkaNode

WAYS: dict[str, dict[str, Any]] = {
    "exactly once": {},
    "at least once": {"delivery": "at_least_once"},
    "nothing saved": {"checkpoint": {"enabled": False}},
}


def settings_for(shipped: Settings, node: KafkaNode, group: str, changes: Any) -> Settings:
    """The shipped settings for one group on one broker, with some changes."""
    kafka = {"bootstrap_servers": node.bootstrap, "group_id": group}
    update: dict[str, Any] = {"kafka": shipped.kafka.model_copy(update=kafka)}
    for name, value in changes.items():
        before = getattr(shipped, name)
        update[name] = before.model_copy(update=value) if isinstance(value, dict) else value
    return shipped.model_copy(update=update)


def throughput(node: KafkaNode, shipped: Settings, values: list[bytes]) -> float:
    """Shows ceiling, pipeline and ratios; returns the pipeline's median rate."""
    topics, count = shipped.topics, len(values)
    for name in (topics.tips, topics.flags, topics.dead_letters):
        node.create_topic(name)
    node.produce(topics.tips, ((None, value) for value in values))
    _spare_the_collector()
    reads: list[float] = []
    runs: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS):
        reads.append(ceiling(settings_for(shipped, node, "", {}), count))
        for way, changes in WAYS.items():
            group = f"{way.replace(' ', '-')}-{number}"
            runs[way].append(pipeline(settings_for(shipped, node, group, changes), count))
    show("ceiling", "records/s", reads, "after the first batch: poll + orjson.loads")
    whole = runs["exactly once"]
    show("pipeline", "records/s", whole, "after the first commit, until all are committed")
    ratios = [b / a for a, b in zip(reads, whole, strict=True)]
    show("pipeline/ceiling", "ratio", ratios, "exactly once, state saved; median of pairs")
    for way in list(WAYS)[1:]:
        ratios = [a / b for a, b in zip(whole, runs[way], strict=True)]
        show(f"exactly once/{way}", "ratio", ratios, "median of pairs")
    return median(whole)


def ceiling(settings: Settings, count: int) -> float:
    """Polling and parsing, nothing else."""
    kafka = settings.kafka
    consumer = KafkaConsumer(
        **client_options(kafka), enable_auto_commit=False, isolation_level="read_committed",
        max_poll_records=settings.commit.records, fetch_max_bytes=kafka.fetch_max_bytes,
        max_partition_fetch_bytes=1024 * 1024, fetch_max_wait_ms=100,
        metrics_enabled=False,
    )  # fmt: skip
    partition = TopicPartition(settings.topics.tips, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    done, started_s = 0, 0.0
    while done < count:
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                orjson.loads(record.value)
            done += len(records)
            if not started_s:  # the first batch holds the start-up: it is left out, as below
                started_s, first = time.perf_counter(), done
    took_s = time.perf_counter() - started_s
    consumer.close(autocommit=False)
    return (count - first) / took_s


def pipeline(settings: Settings, count: int) -> float:
    """The loop in this process, from the first commit until all is committed."""
    worker = Service(assembly := Assembly(settings)).make_worker(Metrics(assembly.build()))
    assert worker is not None
    started_s, first = 0.0, 0
    while (done := position(worker, settings)) < count:
        worker.turn()
        if not started_s and done:
            started_s, first = time.perf_counter(), done
    took_s = time.perf_counter() - started_s
    worker.stop()
    worker.run()
    return (count - first) / took_s


def position(worker: Worker, settings: Settings) -> int:
    """Records of the tips topic that are scored and committed."""
    return sum(
        owned.lane.next_offset
        for partition, owned in worker.owned.items()
        if partition.topic == settings.topics.tips
    )


def instances(node: KafkaNode, folder: Path, values: list[bytes]) -> None:
    """Two processes against one, on four partitions; all share this machine with the broker."""
    rates = {number: shared(node, folder, f"share-{number}", values, number) for number in (1, 2)}
    show("one instance", "records/s", [rates[1]], "a process of its own, four partitions")
    show("two instances/one", "ratio", [rates[2] / rates[1]], "on the cores the broker runs on too")


def shared(node: KafkaNode, folder: Path, prefix: str, values: list[bytes], number: int) -> float:
    """Records a second of some instances on one backlog."""
    node.create_topic(f"{prefix}-tips", 4)
    node.create_topic(f"{prefix}-flags", 4)
    node.create_topic(f"{prefix}-dead")
    records = ((orjson.loads(value).get("tipper_id", "").encode(), value) for value in values)
    node.produce(f"{prefix}-tips", records)
    fleet = [Detector(folder, node.bootstrap, prefix) for _ in range(number)]
    try:
        for each in fleet:
            each.start()
        reached: list[tuple[float, int]] = []
        while not reached or reached[-1][1] < len(values):
            time.sleep(0.2)
            done = sum(node.committed(prefix, f"{prefix}-tips").values())
            if done > len(values) // 10:  # by then all have joined
                reached.append((time.monotonic(), done))
    finally:
        for each in fleet:
            each.process.kill()
            each.process.wait()
    (started_s, first), (ended_s, last) = reached[0], reached[-1]
    return (last - first) / (ended_s - started_s)
