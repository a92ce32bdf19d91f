"""One partition's lane: its decoder, its engine, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

import detector
from detector.core.decode import Decoder, Skipped
from detector.core.engine import Decision, Engine
from detector.core.event import Event, Rejected
from detector.runtime.ports import Clock, Output, Partition, Record
from detector.runtime.tally import Tally


class OutputTopics(NamedTuple):
    """Where a lane's outputs go; `scores` is None when every event's scores are not written."""

    flags: str
    dead_letters: str
    scores: str | None = None


class Lane:
    """Scores the records of one partition, in order.

    Args:
        partition: which one.
        decoder: bytes to events; may be shared, it keeps no state.
        engine: the partition's own.
        topics: where outputs go.
        policy: name@hash of the pack in force, for dead letters.

    Attributes:
        next_offset: of the record to read next; None before the first.
        last_event_ms: event time of the newest event scored; 0 before the first.
    """

    def __init__(
        self, partition: Partition, decoder: Decoder, engine: Engine, topics: OutputTopics,
        policy: str,
    ) -> None:  # fmt: skip
        self.partition = partition
        self.engine = engine
        self.next_offset: int | None = None
        self._decoder = decoder
        self._topics = topics
        self._policy = policy

    @property
    def last_event_ms(self) -> int:
        return self.engine.watermark_ms

    def process(
        self, records: Sequence[Record], tally: Tally, outputs: list[Output], clock: Clock
    ) -> tuple[float, float]:
        """Decodes and scores a batch; appends what must be written to `outputs`.

        Returns:
            Seconds spent decoding, and scoring.
        """
        started_s = clock.steady_s()
        decode = self._decoder.decode
        decoded = [decode(record.value, record.timestamp) for record in records]
        decoded_s = clock.steady_s()
        score = self.engine.process
        for record, event in zip(records, decoded, strict=True):
            if isinstance(event, Event):
                decision = score(event)
                if isinstance(decision, Decision):
                    self._count(decision, tally, outputs)
                else:
                    tally.duplicates += 1
            elif isinstance(event, Skipped):
                tally.skipped[event.reason] += 1
            else:
                tally.dead_letters[event.reason] += 1
                outputs.append(self._dead_letter(record, event))
        if records:
            self.next_offset = records[-1].offset + 1
        return decoded_s - started_s, clock.steady_s() - decoded_s

    def _count(self, decision: Decision, tally: Tally, outputs: list[Output]) -> None:
        event = decision.event
        tally.events[event.type] += 1
        tally.late += decision.is_late
        if event.type == "tip":
            tally.tips += 1
            tally.add_scores(decision.scores)
        for flag in decision.flags:
            tally.flags[flag.kind, flag.severity] += 1
            tally.cases[flag.kind, flag.step] += 1
            outputs.append(
                Output(self._topics.flags, flag.subject_id.encode("utf-8", "surrogatepass"),
                       orjson.dumps(flag.record), [])
            )  # fmt: skip
        if self._topics.scores is not None:
            key = event.tipper_id or event.streamer_id or ""
            outputs.append(
                Output(self._topics.scores, key.encode("utf-8", "surrogatepass"),
                       orjson.dumps(decision.to_record()), [])
            )  # fmt: skip

    def _dead_letter(self, record: Record, refusal: Rejected) -> Output:
        """The record as it came, with why and where from in the headers."""
        headers = [
            *record.headers,
            ("reason", refusal.reason.encode()),
            ("detail", refusal.detail.encode("utf-8", "replace")),
            ("topic", self.partition.topic.encode()),
            ("partition", str(self.partition.partition).encode()),
            ("offset", str(record.offset).encode()),
            ("version", detector.__version__.encode()),
            ("policy", self._policy.encode()),
        ]
        return Output(self._topics.dead_letters, record.key, record.value, headers)
