"""Bytes an active tipper, and the cost of an event, at one number of tippers: run as a process.

`python -m tests.bench.memory TIPPERS` prints one JSON object. Each tipper tips on two days, with a
device and an instrument; what grows is all stores but the event ids, which are held small.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from detector.assembly import Assembly
from detector.core.engine import Engine
from detector.core.event import Event

DAY_MS = 86_400_000
START_MS = 1_772_380_800_000
PROBES = 50_000


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def tip(assembly: Assembly, number: int, tipper: int, at_ms: int) -> Event:
    record: dict[str, Any] = {
        "event_id": f"e{number:012d}", "event_time": at_ms, "tipper_id": f"u{tipper:012d}",
        "streamer_id": f"s{tipper % 1000}", "amount": (1, 5, 10, 52)[number % 4],
        "currency": "CNY", "device_id": f"d{tipper}", "instrument_id": f"i{tipper}",
    }  # fmt: skip
    return assembly.reader.read(record, 4_102_444_800_000)


def main() -> None:
    tippers = int(sys.argv[1])
    assembly = Assembly.load(None)
    config = replace(assembly.settings.make_engine_config(), duplicate_max_entries=100,
                     tipper_max_entries=4_000_000)  # fmt: skip
    engine = Engine(config, assembly.policy, assembly.currencies)
    gc.collect()
    before = resident_bytes()
    for day in range(2):
        for tipper in range(tippers):
            at_ms = START_MS + day * DAY_MS + tipper * 60_000_000 // tippers
            engine.process(tip(assembly, day * tippers + tipper, tipper, at_ms))
    gc.collect()
    grown = resident_bytes() - before
    rng = random.Random(1)
    events = [
        tip(assembly, 2 * tippers + n, rng.randrange(tippers), START_MS + 2 * DAY_MS + n)
        for n in range(PROBES)
    ]
    started_s = time.perf_counter()
    for event in events:
        engine.process(event)
    took_s = time.perf_counter() - started_s
    assert engine.sizes()["tippers"] == tippers
    print(orjson.dumps({"bytes": grown / tippers, "us": took_s / PROBES * 1e6}).decode())


if __name__ == "__main__":
    main()
