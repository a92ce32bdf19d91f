"""Figures of the pipeline as JSON lines: `python -m tests.bench [--quick]`; needs tests/setup.sh.

The client's ceiling, the whole pipeline and their ratio, by kind of delivery, with and without
saved state, with one instance and two; the delay from tip to flag; what saving and restoring cost;
the engine alone, and each detector's part of it; bytes an active tipper and the cost of an event at
several numbers of tippers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from detector.assembly import Assembly
from detector.core.event import Event
from detector.lab.simulate import Scenario, simulate
from detector.settings import load_settings
from tests.bench.checkpoints import checkpoints
from tests.bench.delay import delays_s
from tests.bench.detectors import detectors
from tests.bench.show import ROUNDS, show
from tests.bench.throughput import instances, throughput
from tests.kafka_node import ROOT, KafkaNode


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
        rate = throughput(node, shipped, values)
        instances(node, Path(folder), values)
        for name, share in (("a quarter", 0.25), ("half", 0.5)):
            key = name.replace(" ", "-")
            delay(node, Path(folder), key, share * rate, 5 if is_quick else 15)
        checkpoints(node, shipped, 50_000 if is_quick else 1_000_000)
    assembly = Assembly(shipped)
    spent = [engine(assembly, values) for _ in range(ROUNDS)]
    show("engine", "events/s", [count / (a + b) for a, b in spent], "decode + process, in memory")
    show("decode", "us/event", [a / count * 1e6 for a, _ in spent], "in memory")
    show("process", "us/event", [b / count * 1e6 for _, b in spent], "in memory")
    detectors(assembly, values[:50_000])
    by_tippers((10_000, 100_000) if is_quick else (10_000, 100_000, 1_000_000))


if __name__ == "__main__":
    main()
