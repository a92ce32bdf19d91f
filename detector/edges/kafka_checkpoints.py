"""The checkpoint topic behind `ports.Checkpoints`: finds a partition's saved state and reads it.

The newest manifest lies near the end of the topic's partition, so it is looked for from there
backwards; the chunks are then read forward from the offset that the manifest names, one after the
other, so that a large state is never held twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors

from detector.edges.kafka import bounds, make_reader, read_between
from detector.runtime.checkpoint import Manifest, chunk_names, manifest_key
from detector.runtime.ports import Partition, Retry, Stop
from detector.setting_sections import KafkaSettings

_FIRST_LOOK = 500
_FETCH_BYTES = 16 * 1024 * 1024


class KafkaCheckpoints:
    """Reads the checkpoint topic; a member of no group. See `ports.Checkpoints`.

    Raises:
        KafkaError: no broker answers, or one refuses.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._consumer = make_reader(settings, "read_committed", _FETCH_BYTES)
        # To `read_committed` a log ends before the first open transaction. What others have saved
        # behind that counts too, so the end asked for is the log's own, and reading waits for it.
        self._ends = make_reader(settings, "read_uncommitted", _FETCH_BYTES)

    def find(self, partition: Partition) -> KafkaSaved | None:
        at = TopicPartition(self._topic, partition.partition)
        self._check_width(at)
        start, end = self._bounds(at)
        key = manifest_key(partition)
        until, span = end, _FIRST_LOOK
        while until > start:
            since = max(start, until - span)
            found = None
            for record in self._read(at, since, until):
                if record.key == key and record.value is not None:
                    found = record.value
            if found is not None:
                return KafkaSaved(self, at, partition, Manifest.parse(found), end)
            until, span = since, span * 4
        return None

    def end(self, partition: Partition) -> int:
        return self._bounds(TopicPartition(self._topic, partition.partition))[1]

    def close(self) -> None:
        for consumer in (self._consumer, self._ends):
            consumer.close(autocommit=False, timeout_ms=1000)

    def _check_width(self, at: TopicPartition) -> None:
        """Stops at a partition that is not there: asked for its end, a broker never answers."""
        try:
            known = self._ends.partitions_for_topic(self._topic)
            if known and at.partition not in known:
                self._ends.topics()  # asks the broker: somebody may have added it
                known = self._ends.partitions_for_topic(self._topic)
        except kafka_errors.KafkaError as error:
            raise Retry(f"{self._topic}: {error}") from error
        if known and at.partition not in known:
            raise Stop(
                f"{self._topic} has {len(known)} partitions, and there is more to save: partitions "
                "were added; start again, and they are added here too"
            )

    def _bounds(self, at: TopicPartition) -> tuple[int, int]:
        return bounds(self._ends, at)

    def _read(self, at: TopicPartition, since: int, until: int) -> Iterator[Any]:
        """The records between two offsets."""
        return read_between(self._consumer, at, since, until)


class KafkaSaved:
    """One partition's saved state in the topic. See `ports.Saved`.

    Attributes:
        manifest: what belongs to it.
        strays: after `chunks` was read to its end: keys of unfinished saves.
    """

    def __init__(
        self, store: KafkaCheckpoints, at: TopicPartition, partition: Partition,
        manifest: Manifest, end: int,
    ) -> None:  # fmt: skip
        self.manifest = manifest
        self.strays: list[bytes] = []
        self._store = store
        self._at = at
        self._partition = partition
        self._end = end

    def chunks(self) -> Iterator[bytes]:
        wanted = iter(chunk_names(self.manifest, self._partition))
        prefix = manifest_key(self._partition).removesuffix(b"manifest")
        next_key = next(wanted, None)
        strays: dict[bytes, None] = {}
        for record in self._store._read(self._at, self.manifest.since, self._end):
            if record.key == next_key and record.value is not None:
                yield record.value
                next_key = next(wanted, None)
            elif record.key is not None and record.key.startswith(prefix):
                if record.value is None:
                    strays.pop(record.key, None)
                elif not record.key.endswith(b"/manifest"):
                    strays[record.key] = None
        self.strays = list(strays)
