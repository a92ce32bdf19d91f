"""Figures of the pipeline as JSON lines: `python -m tests.bench [--quick]`; needs tests/setup.sh.

So far: the client's ceiling, the whole pipeline, their ratio, and the engine alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import orjson
from kafka import KafkaConsumer, TopicPartition

from detector.assembly import Assembly
from detector.core.event import Event
from detector.edges.kafka import KafkaSink, KafkaSource, client_options
from detector.edges.metrics import Metrics
from detector.lab.simulate import Scenario, simulate
from detector.runtime.worker import CommitEvery, Status, Worker
from detector.service import WallClock, _spare_the_collector
from detector.settings import KafkaSettings, load_settings
from tests.kafka_node import ROOT, KafkaNode

ROUNDS = 3


def show(bench: str, unit: str, runs: list[float], note: str) -> None:
    figure = {"bench": bench, "value": median(runs), "unit": unit, "runs": runs, "note": note}
    print(orjson.dumps(figure).decode(), flush=True)


def ceiling(kafka: KafkaSettings, topic: str, count: int) -> float:
    consumer = KafkaConsumer(
        **client_options(kafka), enable_auto_commit=False, isolation_level="read_committed",
        max_poll_records=kafka.max_poll_records, fetch_max_bytes=kafka.fetch_max_bytes,
        fetch_max_wait_ms=100, metrics_enabled=False,
    )  # fmt: skip
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    done, started_s = 0, 0.0
    while done < count:
        for records in consumer.poll(timeout_ms=100).values():
            started_s = started_s or time.perf_counter()
            for record in records:
                orjson.loads(record.value)
            done += len(records)
    took_s = time.perf_counter() - started_s
    consumer.close()
    return count / took_s


def pipeline(assembly: Assembly, group: str, count: int) -> float:
    settings = assembly.settings
    kafka = settings.kafka.model_copy(update={"group_id": group})
    source, sink = KafkaSource(kafka, settings.topics.tips), KafkaSink(kafka)
    every = CommitEvery(settings.commit.interval_ms / 1000, settings.commit.records)
    worker = Worker(source, sink, WallClock(), assembly.make_lane, Metrics(assembly.build()),
                    every, Status())  # fmt: skip
    started_s, lanes = 0.0, worker._lanes
    while not any((lane.next_offset or 0) >= count for lane in lanes.values()):
        worker.turn()
        if not started_s and any(lane.next_offset for lane in lanes.values()):
            started_s = time.perf_counter()
            first = max(lane.next_offset or 0 for lane in lanes.values())
    while not worker.commit():
        pass
    took_s = time.perf_counter() - started_s
    worker.stop()
    worker.run()
    return (count - first) / took_s


def engine(assembly: Assembly, values: list[bytes]) -> tuple[float, float]:
    received_ms, decode = 4_102_444_800_000, assembly.decoder.decode
    started_s = time.perf_counter()
    events = [decode(value, received_ms) for value in values]
    decoded_s = time.perf_counter()
    process = assembly.make_engine().process
    for event in events:
        if isinstance(event, Event):
            process(event)
    return decoded_s - started_s, time.perf_counter() - decoded_s


def main() -> None:
    count = 50_000 if "--quick" in sys.argv else 200_000
    shipped = load_settings(None, ROOT / "config" / "detector.toml", environment={})
    values = [orjson.dumps(each.event) for each in simulate(Scenario(events=count))]
    with tempfile.TemporaryDirectory() as folder, KafkaNode(Path(folder)) as node:
        kafka = shipped.kafka.model_copy(update={"bootstrap_servers": node.bootstrap})
        assembly = Assembly(shipped.model_copy(update={"kafka": kafka}))
        topics = shipped.topics
        for name in (topics.tips, topics.flags, topics.dead_letters):
            node.create_topic(name)
        node.produce(topics.tips, ((None, value) for value in values))
        _spare_the_collector()
        reads, whole = [], []
        for number in range(ROUNDS):
            reads.append(ceiling(kafka, topics.tips, count))
            whole.append(pipeline(assembly, f"bench-{number}", count))
        show("ceiling", "records/s", reads, "from the first batch on: poll + orjson.loads")
        show("pipeline", "records/s", whole, "after the first batch, until all are committed")
        ratios = [b / a for a, b in zip(reads, whole, strict=True)]
        show("pipeline/ceiling", "ratio", ratios, "median of pairs")
    spent = [engine(assembly, values) for _ in range(ROUNDS)]
    show("engine", "events/s", [count / (a + b) for a, b in spent], "decode + process, in memory")
    show("decode", "us/event", [a / count * 1e6 for a, _ in spent], "in memory")
    show("process", "us/event", [b / count * 1e6 for _, b in spent], "in memory")


if __name__ == "__main__":
    main()
