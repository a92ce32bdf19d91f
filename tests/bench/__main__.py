"""Figures of the pipeline as JSON lines: `python -m tests.bench [--quick]`; needs tests/setup.sh.

The client's ceiling, the whole pipeline and their ratio; the engine alone; bytes an active tipper
and the cost of an event at several numbers of tippers; the delay from tip to flag.
"""

from __future__ import annotations

import subprocess
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
from tests.bench.delay import delays_s
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
            for record in records:
                orjson.loads(record.value)
            done += len(records)
            if not started_s:  # the first batch holds the start-up: it is left out, as below
                started_s, first = time.perf_counter(), done
    took_s = time.perf_counter() - started_s
    consumer.close()
    return (count - first) / took_s


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


def by_tippers(numbers: tuple[int, ...]) -> None:
    costs = []
    for tippers in numbers:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.bench.memory", str(tippers)],
            capture_output=True, check=True, cwd=ROOT,
        )  # fmt: skip
        found = orjson.loads(done.stdout)
        note = f"{tippers} tippers, resident set growth; all stores but event ids"
        show("memory", "bytes/tipper", [found["bytes"]], note)
        costs.append(found["us"])
    note = f"an event at {numbers[-1]} tippers against {numbers[0]}"
    show("cost by size", "ratio", [costs[-1] / costs[0]], note)


def delay(node: KafkaNode, folder: Path, name: str, rate: float, seconds: float) -> None:
    found = delays_s(node, folder, f"delay-{name}", rate, seconds)
    for level in (0.5, 0.99, 0.999):
        at = found[min(len(found) - 1, int(len(found) * level))]
        note = f"at {name} of the pipeline's rate, {rate:.0f} tips/s, {len(found)} flags"
        show(f"tip to flag p{level * 100:g}", "s", [at], note)


def main() -> None:
    is_quick = "--quick" in sys.argv
    count = 50_000 if is_quick else 200_000
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
        show("ceiling", "records/s", reads, "after the first batch: poll + orjson.loads")
        show("pipeline", "records/s", whole, "after the first batch, until all are committed")
        ratios = [b / a for a, b in zip(reads, whole, strict=True)]
        show("pipeline/ceiling", "ratio", ratios, "median of pairs")
        for name, share in (("a quarter", 0.25), ("half", 0.5)):
            key = name.replace(" ", "-")
            delay(node, Path(folder), key, share * median(whole), 5 if is_quick else 15)
    spent = [engine(assembly, values) for _ in range(ROUNDS)]
    show("engine", "events/s", [count / (a + b) for a, b in spent], "decode + process, in memory")
    show("decode", "us/event", [a / count * 1e6 for a, _ in spent], "in memory")
    show("process", "us/event", [b / count * 1e6 for _, b in spent], "in memory")
    by_tippers((10_000, 100_000) if is_quick else (10_000, 100_000, 1_000_000))


if __name__ == "__main__":
    main()
