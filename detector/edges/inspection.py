"""What is saved in Kafka, looked at from outside: it reads, joins no group, and writes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from detector.core.state import StateError
from detector.edges.dead_letters import stop_on_failure
from detector.edges.kafka import client_options
from detector.edges.kafka_checkpoints import KafkaCheckpoints
from detector.runtime.checkpoint import Manifest, describe, load
from detector.runtime.lane import Lane
from detector.runtime.ports import Partition, Retry, Saved, Stop
from detector.settings import ConfigError, Settings

MakeLane = Callable[[Partition, int], Lane]
"""A fresh lane, from its partition and the number of partitions of the re-keyed topic."""

_ANSWER_MS = 30_000
_ATTEMPTS = 3
_PAUSES_S = (0.1, 0.3, 0.6)


def inspect(
    settings: Settings, only: str | None = None, make_lane: MakeLane | None = None
) -> Iterator[dict[str, Any]]:
    """What is saved of each partition of the tips topic and of the re-keyed one.

    A record has `topic`, `partition`, `saved`, `committed` (the group's offset, or None) and, where
    something is saved:

        next_offset  the state stands for every record before it
        to_replay    offsets from there to `committed`, which a restart replays in silence; None if
                     the group was set back to before the state, so that a restart begins cold
        saved_at     RFC 3339; `age_s` is the time since then, in seconds
        version      of the detector that saved it
        format, saves, chunks, bytes
        entries      by store: only if it was loaded, as is `verified`, which is then True
        error        why it cannot be used; then some of the above are absent

    Args:
        settings: all settings.
        only: a single partition, as `TOPIC/N`; None for all of them.
        make_lane: makes a lane to load each state into, with all its digests checked; None to read
            manifests only.

    Raises:
        ConfigError: `only` names no partition of these topics.
        Stop: there is no tips topic, no broker answers, or it refuses.
    """
    wanted = None if only is None else _parse(settings, only)
    with stop_on_failure("reading saved state"), ExitStack() as clients:
        group = _Group(settings)
        clients.callback(group.close)
        store = KafkaCheckpoints(settings.kafka, settings.checkpoints_topic)
        clients.callback(store.close)
        widths = group.widths()
        look = _Look(group, store, widths[settings.checkpoints_topic], make_lane,
                     widths[settings.rekeyed_topic] or widths[settings.topics.tips])  # fmt: skip
        for partition in _existing(settings, widths, wanted):
            try:
                record = look.at(partition)
            except Retry as error:
                raise Stop(f"{partition}: {error}") from error
            yield record


@dataclass(slots=True)
class Summary:
    """What all records say together, for people.

    >>> summary = Summary()
    >>> summary.add({"saved": True, "bytes": 2_500_000, "age_s": 31.4, "verified": True})
    >>> summary.add({"saved": False})
    >>> print(summary)
    2 partitions: 1 with saved state (2.5 MB, oldest 31 s), 1 without, 1 verified
    """

    partitions: int = 0
    saved: int = 0
    verified: int = 0
    errors: int = 0
    bytes: int = 0
    oldest_s: float = 0.0

    def add(self, record: dict[str, Any]) -> None:
        self.partitions += 1
        self.saved += record["saved"]
        self.verified += "verified" in record
        self.errors += "error" in record
        self.bytes += record.get("bytes", 0)
        self.oldest_s = max(self.oldest_s, record.get("age_s", 0.0))

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:,.1f} MB, oldest {self.oldest_s:,.0f} s"
        parts = [
            f"{self.saved} with saved state" + (f" ({size})" if self.saved else ""),
            f"{self.partitions - self.saved} without",
        ]
        parts += [f"{self.verified} verified"] if self.verified else []
        parts += [f"{self.errors} that cannot be used"] if self.errors else []
        return f"{self.partitions} partitions: {', '.join(parts)}"


class _Look:
    """Looks at one partition after the other.

    Args:
        group: knows its offsets.
        store: where state is saved.
        width: partitions of the store; 0 while there is no such topic.
        make_lane: makes a lane to load each state into; None to read no more than the manifest.
        rekeyed_width: for `make_lane`.
    """

    def __init__(
        self, group: _Group, store: KafkaCheckpoints, width: int, make_lane: MakeLane | None,
        rekeyed_width: int,
    ) -> None:  # fmt: skip
        self._group = group
        self._store = store
        self._width = width
        self._make_lane = make_lane
        self._rekeyed_width = rekeyed_width

    def at(self, partition: Partition) -> dict[str, Any]:
        """The partition's record.

        Raises:
            Retry: the broker is away.
        """
        record: dict[str, Any] = {"topic": partition.topic, "partition": partition.partition}
        seen = None
        for _ in range(_ATTEMPTS):
            try:
                saved = self._store.find(partition) if partition.partition < self._width else None
            except StateError as error:
                committed = self._group.committed(partition)
                return {**record, "saved": True, "committed": committed, "error": str(error)}
            if saved is None:
                committed = self._group.committed(partition)
                return {**record, "saved": False, "committed": committed}
            manifest = saved.manifest
            committed = self._group.committed(partition, manifest.next_offset)
            found = self._load(partition, saved)
            if "error" not in found or manifest == seen:
                break
            seen = manifest  # a run may have replaced it, and its chunks, meanwhile
        return {**record, "saved": True, **_of(manifest, committed), **found}

    def _load(self, partition: Partition, saved: Saved) -> dict[str, Any]:
        if self._make_lane is None:
            return {}
        lane = self._make_lane(partition, self._rekeyed_width)
        try:
            load(lane, saved)
        except StateError as error:
            return {"error": str(error)}
        except (ValueError, LookupError) as error:  # no word of it: it may be damaged data
            return {"error": f"checkpoint: a chunk cannot be loaded: {type(error).__name__}"}
        entries = Counter[str]()
        for engine in lane.engines:
            entries.update(engine.sizes())
        return {"entries": dict(entries), "verified": True}


class _Group:
    """Asks for the offsets that the group has committed, and never becomes a member of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # read_uncommitted: else an instance that was killed in a transaction would be waited for
        self._consumer = KafkaConsumer(
            **client_options(settings.kafka), group_id=settings.kafka.group_id,
            enable_auto_commit=False, isolation_level="read_uncommitted",
            allow_auto_create_topics=False, metrics_enabled=False,
        )  # fmt: skip

    def widths(self) -> dict[str, int]:
        """Partitions of the tips topic and the internal ones; 0 where there is no such topic."""
        settings, there = self._settings, self._consumer.topics()
        names = (settings.topics.tips, settings.rekeyed_topic, settings.checkpoints_topic)
        return {
            name: len(self._consumer.partitions_for_topic(name) or ()) if name in there else 0
            for name in names
        }

    def committed(self, partition: Partition, next_offset: int = 0) -> int | None:
        """The offset last committed; None if there never was one.

        State becomes visible together with the offsets committed with it, but for a moment: as
        long as they are behind it, they are asked for again.

        Args:
            partition: which one.
            next_offset: what the state found before stands for.
        """
        at = TopicPartition(*partition)
        offset = self._consumer.committed(at, timeout_ms=_ANSWER_MS)
        for pause_s in _PAUSES_S:
            if offset is None or offset >= next_offset:
                break
            time.sleep(pause_s)
            offset = self._consumer.committed(at, timeout_ms=_ANSWER_MS)
        return None if offset is None else int(offset)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1_000)


def _parse(settings: Settings, only: str) -> Partition:
    topic, _, number = only.rpartition("/")
    tips, rekeyed = settings.topics.tips, settings.rekeyed_topic
    if topic not in (tips, rekeyed) or not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"--partition {only}: expected {tips}/N or {rekeyed}/N")
    return Partition(topic, int(number))


def _existing(
    settings: Settings, widths: dict[str, int], wanted: Partition | None
) -> list[Partition]:
    tips, rekeyed = settings.topics.tips, settings.rekeyed_topic
    if not widths[tips]:
        raise Stop(f"{tips}: no such topic; `tip-detector topics create` makes it")
    if wanted is None:
        return [Partition(topic, at) for topic in (tips, rekeyed) for at in range(widths[topic])]
    if wanted.partition >= widths[wanted.topic]:
        raise Stop(f"{wanted}: no such partition; {wanted.topic} has {widths[wanted.topic]}")
    return [wanted]


def _of(manifest: Manifest, committed: int | None) -> dict[str, Any]:
    facts = describe(manifest)
    saved_at_ms = facts.pop("saved_at_ms")
    next_offset = facts.pop("next_offset")
    return {
        "next_offset": next_offset,
        "committed": committed,
        "to_replay": _to_replay(next_offset, committed),
        "saved_at": _rfc3339(saved_at_ms),
        "age_s": round(max(0.0, time.time() - saved_at_ms / 1000), 1),
        **facts,
    }


def _to_replay(next_offset: int, committed: int | None) -> int | None:
    """
    >>> _to_replay(90, 100), _to_replay(90, None), _to_replay(90, 80)
    (10, 0, None)
    """
    if committed is None:
        return 0
    return committed - next_offset if committed >= next_offset else None


def _rfc3339(time_ms: int) -> str:
    """
    >>> _rfc3339(1_776_000_000_000)
    '2026-04-12T13:20:00.000Z'
    """
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
