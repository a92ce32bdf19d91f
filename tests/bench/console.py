"""Figures of the console as JSON lines: `python -m tests.bench.console [--quick]`.

Many flags of 10,000 open cases in Kafka: how fast they are read in, whether memory stays flat
meanwhile, and how long a page of the queue takes then, at the server's port. Needs tests/setup.sh.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from tests.bench.show import show
from tests.console.stack import Browser, Console, flag
from tests.kafka_node import KafkaNode

CASES = 10_000
QUERIES = ("", "?page=50", "?kind=binge", "?severity=high", "?state=closed", "?tipper=u77",
           "?since=2026-03-02")  # fmt: skip
KINDS = ("binge", "minor", "outsized", "ring", "gambling")


def records(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Flags as large as real ones, in the order in which many cases grow side by side."""
    chance = random.Random(1)
    features = {f"learn_feature_{number}": 0.123456 * number for number in range(40)}
    for number in range(count):
        case = number % CASES
        severity = chance.choices(("low", "medium", "high"), (60, 30, 10))[0]
        made = flag(
            number, case, KINDS[case % len(KINDS)], severity, features=features,
            score=round(chance.random(), 3),
        )  # fmt: skip
        yield made["subject"]["id"].encode(), orjson.dumps(made)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def read_in(console: Console, count: int) -> None:
    """Shows the rate, and how large the process was after the first half and at the end."""
    browser, sizes = Browser(console), []
    while b"console at" not in console.log.read_bytes():
        time.sleep(0.05)
    started_s = time.perf_counter()
    while browser.ask("/readyz")[0] != 200:
        sizes.append(resident_bytes(console.process.pid))
        time.sleep(0.25)
    took_s = time.perf_counter() - started_s
    show("read in", "flags/s", [count / took_s], f"{count} flags of {CASES} cases, SQLite")
    half = sizes[len(sizes) // 2] if sizes else 0
    note = "resident set at the end of reading in, against half-way"
    show("memory growth", "bytes", [resident_bytes(console.process.pid) - half], note)
    show("memory", "bytes", [resident_bytes(console.process.pid)], "resident set at the end")
    show("database", "bytes", [console.database.stat().st_size], "the file")


def pages(console: Console, rounds: int) -> None:
    """Shows how long the queue takes to answer."""
    browser = Browser(console)
    total = browser.json("/queue.json")["total"]
    for query in QUERIES:
        took_s = []
        for _ in range(rounds):
            started_s = time.perf_counter()
            status, _ = browser.ask(f"/{query}")
            took_s.append(time.perf_counter() - started_s)
            assert status == 200
        took_s.sort()
        for level in (0.5, 0.95):
            at = took_s[int(len(took_s) * level)]
            show(f"queue page p{level * 100:g}", "s", [at], f"/{query}, {total} open cases")


def main() -> None:
    count = 100_000 if "--quick" in sys.argv else 1_000_000
    with tempfile.TemporaryDirectory() as folder, KafkaNode(Path(folder) / "kafka") as node:
        for topic in ("flags", "tips", "accounts"):
            node.create_topic(f"bench-{topic}", 4)
        node.produce("bench-flags", records(count), compression="lz4")
        with Console(Path(folder), node.bootstrap, "bench") as console:
            read_in(console, count)
            pages(console, 100)
            console.terminate()


if __name__ == "__main__":
    main()
