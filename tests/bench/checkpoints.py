"""What saving costs while it goes on, and how long a new owner takes, at many active tippers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import orjson

from detector.assembly import Assembly
from detector.edges.metrics import Metrics
from detector.runtime.worker import Worker
from detector.service import Service
from detector.settings import Settings
from tests.bench.show import show
from tests.bench.throughput import position, settings_for
from tests.kafka_node import KafkaNode


class Stages(Metrics):
    """The real telemetry, which also keeps what commits took: (seconds saving, seconds in all)."""

    def __init__(self, build: dict[str, str]) -> None:
        super().__init__(build)
        self.commits_s: list[tuple[float, float]] = []
        self._saving_s = 0.0

    def stage(self, name: str, seconds: float) -> None:
        super().stage(name, seconds)
        if name == "save":
            self._saving_s = seconds
        elif name == "commit":
            self.commits_s.append((self._saving_s, self._saving_s + seconds))
            self._saving_s = 0.0


def checkpoints(node: KafkaNode, shipped: Settings, tippers: int) -> None:
    """Shows overhead, pauses and the time to restore."""
    tips = {"topics": {"tips": "many-tips"}}
    node.create_topic("many-tips")
    more = max(100_000, tippers // 5)
    node.produce("many-tips", ((None, value) for value in events(tippers, more)))
    total = tippers + more
    settings = settings_for(shipped, node, "saved", tips)
    saved_rate, commits = run(settings, tippers, total)
    unsaved = settings_for(shipped, node, "unsaved", {**tips, "checkpoint": {"enabled": False}})
    unsaved_rate, plain = run(unsaved, tippers, total)
    note = f"{tippers} active tippers, {more} records at full speed, shipped intervals"
    show("saving", "share of time", [1 - saved_rate / unsaved_rate], note)
    typical_s = median(whole_s for _, whole_s in plain)
    pauses = sorted(max(0.0, whole_s - typical_s) for saving_s, whole_s in commits if saving_s)
    note = f"of {len(pauses)} commits with a save: taking the cut, encoding a slice, writing it"
    show("pause p99", "s", [pauses[int(len(pauses) * 0.99)]], note)
    show("pause maximum", "s", [pauses[-1]], note)
    started_s = time.perf_counter()
    worker = make(settings, Metrics({"policy": "", "policy_hash": "", "mapping": ""}))
    while not worker.owned or any(each.is_replaying for each in worker.owned.values()):
        worker.turn()
    show("restore", "s", [time.perf_counter() - started_s],
         f"{tippers} tippers: join, load, replay to the committed offset")  # fmt: skip
    worker.stop()
    worker.run()


def run(settings: Settings, warm: int, total: int) -> tuple[float, list[tuple[float, float]]]:
    """Records a second after the first `warm` ones, and what the commits took."""
    stages = Stages(Assembly(settings).build())
    worker = make(settings, stages)
    while position(worker, settings) < warm:
        worker.turn()
    stages.commits_s.clear()
    started_s, first = time.perf_counter(), position(worker, settings)
    while position(worker, settings) < total:
        worker.turn()
    rate = (total - first) / (time.perf_counter() - started_s)
    worker.stop()
    worker.run()
    return rate, stages.commits_s


def make(settings: Settings, metrics: Metrics) -> Worker:
    worker = Service(Assembly(settings)).make_worker(metrics)
    assert worker is not None
    return worker


def events(tippers: int, more: int) -> Iterator[bytes]:
    """Every tipper once, then some of them again, in no order that a cache would like."""
    start_ms = 1_772_380_800_000
    for number in range(tippers + more):
        tipper = number if number < tippers else number * 7_919 % tippers
        event: dict[str, Any] = {
            "event_id": f"e{number}", "event_time": start_ms + number, "amount": "5",
            "tipper_id": f"tipper-{tipper}", "streamer_id": f"streamer-{tipper % 5000}",
            "currency": "CNY", "device_id": f"device-{tipper}",
        }  # fmt: skip
        yield orjson.dumps(event)
