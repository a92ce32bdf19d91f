"""The input of a run: the same records at the same offsets, however often it is produced.

Simulated tips of several seeds, and among them what a platform really sends: records that are no
events, events sent twice, and rooms that start PKs. Knows records and partitions, not Kafka.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from detector.lab.scenario import DAY_MS, HOUR_MS, MINUTE_MS, START_MS
from detector.lab.simulate import Scenario, simulate

PARTITIONS = 4
DAYS = 14
CASES_PER_10K = {"minor": 15.0, "outsized": 30.0, "binge": 45.0}
MALFORMED = (b"not json", b"[1, 2]", b"\xff\xfe", b'{"event_id": "x"}', b'{"type": "nonsense"}')
_MALFORMED_SHARE = 0.01
_TWICE_SHARE = 0.01
_TWICE_WITHIN_MS = 20 * MINUTE_MS  # within the hour for which event ids are remembered
_PK_STREAMERS = 24
_PKS_AN_EVENING = 4  # the pack allows two

Event = dict[str, Any]


class Produced(NamedTuple):
    """A record for the tips topic, with the partition it goes to."""

    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Stream:
    """Records in the order in which they are produced."""

    records: Sequence[Produced]

    def ends(self) -> dict[int, int]:
        """Partition → the offset after its last record."""
        ends = dict.fromkeys(range(PARTITIONS), 0)
        for record in self.records:
            ends[record.partition] += 1
        return ends

    def chunks(self, count: int) -> list[Sequence[Produced]]:
        """The stream in `count` pieces of about the same size."""
        size = max(1, -(-len(self.records) // count))
        return [self.records[at : at + size] for at in range(0, len(self.records), size)]

    def by_offset(self) -> dict[tuple[int, int], bytes]:
        """(partition, offset) → the bytes that lie there."""
        next_offsets = dict.fromkeys(range(PARTITIONS), 0)
        found = {}
        for record in self.records:
            found[record.partition, next_offsets[record.partition]] = record.value
            next_offsets[record.partition] += 1
        return found


def make_stream(events: int, seeds: Sequence[int] = (11, 12, 13), oversized: int = 0) -> Stream:
    """A stream of about so many simulated events.

    Args:
        events: simulated ones; malformed, repeated and room records come on top.
        seeds: each has its own tippers and streamers; they live at the same time.
        oversized: records of 500,000 bytes that are no events.
    """
    chance = Random(crc32(repr((events, tuple(seeds))).encode()))
    sources = [_simulated(seed, events // len(seeds)) for seed in seeds]
    merged = heapq.merge(*sources, _pks(), key=lambda event: event["event_time"])
    records: list[Produced] = []
    recent: deque[Event] = deque(maxlen=200)
    for event in merged:
        records.append(_keyed(event))
        recent.append(event)
        while recent[0]["event_time"] < event["event_time"] - _TWICE_WITHIN_MS:
            recent.popleft()
        if chance.random() < _TWICE_SHARE:
            records.append(_keyed(chance.choice(recent)))
        if chance.random() < _MALFORMED_SHARE:
            records.append(_produced(b"k%d" % chance.randrange(50), chance.choice(MALFORMED)))
    for number in range(oversized):
        at = (number + 1) * len(records) // (oversized + 1)
        records.insert(at, _produced(b"big%d" % number, b"not json " + b"x" * 500_000))
    return Stream(records)


def _simulated(seed: int, events: int) -> list[Event]:
    scenario = Scenario(seed=seed, events=events, days=DAYS, cases_per_10k=CASES_PER_10K)
    return [each.event for each in simulate(scenario)]


def _pks() -> Iterator[Event]:
    """Rooms that start more PKs of an evening (20:00 to 22:00 in Shanghai) than the pack allows."""
    for day in range(DAYS):
        evening_ms = START_MS + day * DAY_MS + 20 * HOUR_MS
        for number in range(_PKS_AN_EVENING):
            for streamer in range(_PK_STREAMERS):
                yield {
                    "type": "room",
                    "event_id": f"pk-{day}-{number}-{streamer}",
                    "event_time": evening_ms + number * 20 * MINUTE_MS + streamer * 1000,
                    "streamer_id": f"pk-streamer-{streamer}",
                    "event": "pk_start",
                }


def _keyed(event: Event) -> Produced:
    key = event.get("tipper_id") or event.get("streamer_id") or ""
    return _produced(key.encode(), orjson.dumps(event))


def _produced(key: bytes, value: bytes) -> Produced:
    return Produced(crc32(key) % PARTITIONS, key, value)
