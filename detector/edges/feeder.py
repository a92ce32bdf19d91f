"""A recorded file into the tips topic, at its own pace, faster, or as fast as it goes."""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kafka import KafkaProducer
from tqdm import tqdm

from detector.assembly import Assembly
from detector.core.event import Event
from detector.edges.dead_letters import stop_on_failure
from detector.edges.kafka import client_options


def feed(assembly: Assembly, path: Path, speed: float) -> int:
    """Sends each line as it is, keyed as the config says tips are keyed.

    Lines that are no tips are sent too: what they lead to is the detector's to say.

    Args:
        assembly: its mapping tells each line's key and time.
        path: one JSON record a line, plain or gzip.
        speed: times the recording's own pace; 0 for no pauses.

    Returns:
        Records sent and acknowledged.

    Raises:
        Stop: a record could not be delivered.
        OSError: the file cannot be read.
    """
    settings = assembly.settings
    with stop_on_failure(f"feeding {path}"):
        producer = KafkaProducer(
            **client_options(settings.kafka), acks="all", linger_ms=20, batch_size=131_072,
            compression_type="lz4", max_request_size=64 * 1024 * 1024,
        )  # fmt: skip
        futures, sent = [], 0
        pace, decoder = _Pace(speed), assembly.make_plain_decoder()
        for line in tqdm(_lines(path), unit=" records", disable=not sys.stderr.isatty()):
            event = decoder.decode(line, time.time_ns() // 1_000_000)
            key = None
            if isinstance(event, Event):
                pace.wait_for(event.event_time_ms)
                identity = (
                    event.streamer_id if settings.topics.tips_key == "streamer" else event.tipper_id
                )
                key = None if identity is None else identity.encode()
            futures.append(producer.send(settings.topics.tips, key=key, value=line))
            sent += 1
            if len(futures) >= 10_000:
                _settle(futures)
        _settle(futures)
        producer.close()
    return sent


class _Pace:
    """Waits until an event is due, measured from the first one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first_ms: int | None = None
        self._started_s = time.monotonic()

    def wait_for(self, event_time_ms: int) -> None:
        if not self._speed:
            return
        if self._first_ms is None:
            self._first_ms = event_time_ms
        due_s = self._started_s + (event_time_ms - self._first_ms) / 1000 / self._speed
        pause_s = due_s - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)


def _settle(futures: list[object]) -> None:
    for future in futures:
        future.get(60)  # type: ignore[attr-defined]
    futures.clear()


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            stripped = line.rstrip(b"\r\n")
            if stripped:
                yield stripped
