"""Tip to flag: how long after a tip was sent its flag can be read, at a steady rate."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import orjson
from kafka import KafkaConsumer, KafkaProducer

from tests.integration.process import Detector
from tests.kafka_node import KafkaNode

FLAGGED_EVERY = 100  # one tip in so many is by a declared minor, and so leads to a flag
WARM_UP_S = 1.0


def delays_s(
    node: KafkaNode, folder: Path, prefix: str, rate: float, seconds: float
) -> list[float]:
    """Sorted delays, seconds, of the flags of one run; a detector of its own, one partition.

    Those of the first second are left out: a run begins with connections to be made.
    """
    for name in ("tips", "flags", "dead"):
        node.create_topic(f"{prefix}-{name}")
    sent_s: dict[str, float] = {}
    found: list[tuple[float, float]] = []  # when it was sent, how long it took
    over = threading.Event()

    def read() -> None:
        consumer = KafkaConsumer(
            f"{prefix}-flags", bootstrap_servers=node.bootstrap, auto_offset_reset="earliest",
            fetch_max_wait_ms=10, enable_auto_commit=False, isolation_level="read_committed",
        )  # fmt: skip
        while not over.is_set():
            for records in consumer.poll(timeout_ms=20).values():
                now_s = time.monotonic()
                for record in records:
                    at_s = sent_s.get(orjson.loads(record.value)["event_id"])
                    if at_s is not None:
                        found.append((at_s, now_s - at_s))
        consumer.close()

    with Detector(folder, node.bootstrap, prefix) as detector:
        detector.wait_ready()
        reader = threading.Thread(target=read)
        reader.start()
        producer = KafkaProducer(bootstrap_servers=node.bootstrap, linger_ms=2)
        started_s = time.monotonic()
        for number in range(int(rate * seconds)):
            pause_s = started_s + number / rate - time.monotonic()
            if pause_s > 0.002:
                time.sleep(pause_s)
            event = {
                "event_id": f"{prefix}{number}", "event_time": time.time_ns() // 1_000_000,
                "tipper_id": f"u{number % 5000}", "streamer_id": f"s{number % 100}",
                "amount": "1", "currency": "CNY", "device_id": f"d{number % 5000}",
            }  # fmt: skip
            if number % FLAGGED_EVERY == 0:
                event["tipper_age"] = 12  # type: ignore[assignment]
                sent_s[str(event["event_id"])] = time.monotonic()
            producer.send(f"{prefix}-tips", orjson.dumps(event))
        producer.flush()
        time.sleep(2)
        over.set()
        reader.join()
        producer.close()
    assert len(found) == len(sent_s), f"{len(sent_s) - len(found)} flags did not come"
    return sorted(took_s for at_s, took_s in found if at_s - started_s >= WARM_UP_S)
