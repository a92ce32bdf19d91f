"""One partition's lane: what becomes of its records, and where it stands.

There are two kinds: `TipsLane` reads the platform's own topic, `RekeyedLane` the internal one that
feeds the view whose key the platform's topic does not have. What follows an owner around is the
lane's saved state; the records between that and the committed offset are replayed in silence.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

import orjson

import detector
from detector.core.decision import Decision
from detector.core.decode import Decoder, Skipped
from detector.core.engine import Engine
from detector.core.event import Event, Rejected
from detector.core.fusion import Flag
from detector.core.shadow import Comparison
from detector.core.state import StateError
from detector.runtime.canary import without_canaries
from detector.runtime.flag_log import HighFlag
from detector.runtime.merge import Merge
from detector.runtime.ports import Clock, Output, Partition, Record
from detector.runtime.rekey import BatchError, Rekeyer, View, decode
from detector.runtime.tally import Tally

T = TypeVar("T")
INTERNAL_ERROR = "internal_error"


class OutputTopics(NamedTuple):
    """Where a lane's outputs go; `scores` is None when every event's scores are not written."""

    flags: str
    accounts: str
    dead_letters: str
    rekeyed: str
    scores: str | None = None


class Rules(NamedTuple):
    """What lanes judge by, and what can be another between two commits.

    Attributes:
        decoder: bytes to events.
        policy: name@hash of the pack in force, for dead letters.
        configure: makes an engine judge by them; it keeps its state.
    """

    decoder: Decoder
    policy: str
    configure: Callable[[Engine], None]


class Lane(Protocol):
    """What the loop asks of a lane.

    Attributes:
        partition: which one.
        next_offset: of the record to read next.
        newest_ms: Kafka's time stamp of the newest record scored, epoch ms; 0 before the first.
        engines: those it scores with.
        waiting, forced: see `Merge`.
    """

    partition: Partition
    next_offset: int
    newest_ms: int

    @property
    def engines(self) -> tuple[Engine, ...]: ...
    @property
    def waiting(self) -> int: ...
    @property
    def forced(self) -> int: ...

    def process(
        self, records: Sequence[Record], tally: Tally, outputs: list[Output], clock: Clock
    ) -> None:
        """Decodes and scores a batch; appends what must be written to `outputs`."""

    def promise(self, sources: int, is_idle: bool, steady_s: float) -> list[Output]:
        """What other partitions are told of this one, once a commit: events, and how far it is.

        Args:
            sources: partitions of the platform's topic.
            is_idle: whether the log's end was reached some time ago.
            steady_s: now.
        """

    def judge_by(self, rules: Rules) -> None:
        """Other rules from the next record on; nothing of the lane's state is lost."""

    def save_all(self) -> Iterator[bytes]: ...
    def save_changes(self) -> Iterator[bytes]: ...
    def load(self, chunk: bytes) -> None:
        """Takes over the next chunk of a saved state.

        Raises:
            StateError: it is of a lane that was configured otherwise, or damaged.
        """


class TipsLane:
    """Scores the records of one partition of the platform's topic, in order. See `Lane`.

    Args:
        partition: which one.
        decoder: bytes to events; may be shared, it keeps no state.
        engine: the partition's own.
        rekeyers: one for each view that lives on the internal topic.
        topics: where outputs go.
        policy: name@hash of the pack in force, for dead letters.
    """

    def __init__(
        self, partition: Partition, decoder: Decoder, engine: Engine, rekeyers: Sequence[Rekeyer],
        topics: OutputTopics, policy: str,
    ) -> None:  # fmt: skip
        self.partition = partition
        self.next_offset = 0
        self.newest_ms = 0
        self._engine = engine
        self._decode = decoder.decode
        self._rekeyers = rekeyers
        self._topics = topics
        self._refuse = Refusal(partition, topics.dead_letters, policy)

    def process(
        self, records: Sequence[Record], tally: Tally, outputs: list[Output], clock: Clock
    ) -> None:
        started_s = clock.steady_s()
        decode = self._decode
        tips = without_canaries(records)
        decoded = [decode(record.value, record.timestamp) for record in tips]
        decoded_s = clock.steady_s()
        for record, event in zip(tips, decoded, strict=True):
            if isinstance(event, Event):
                try:
                    decision = self._engine.process(event)
                except Exception as error:  # one event's bug must not stop the rest
                    self._refuse(record, internal_error(error), tally, outputs)
                    continue
                if isinstance(decision, Decision):
                    for rekeyer in self._rekeyers:
                        rekeyer.add(event, record.offset)
                    self._count(decision, record, tally, outputs)
                else:
                    tally.duplicates += 1
            elif isinstance(event, Skipped):
                tally.skipped[event.reason] += 1
            else:
                self._refuse(record, event, tally, outputs)
        self.next_offset = records[-1].offset + 1
        self.newest_ms = records[-1].timestamp
        tally.decode_s += decoded_s - started_s
        tally.score_s += clock.steady_s() - decoded_s

    def promise(self, sources: int, is_idle: bool, steady_s: float) -> list[Output]:
        outputs: list[Output] = []
        for rekeyer in self._rekeyers:
            for target, batch in rekeyer.drain(sources, self.next_offset, steady_s, is_idle):
                key = rekeyer.view.encode()
                outputs.append(Output(self._topics.rekeyed, key, batch, [], target))
        return outputs

    def judge_by(self, rules: Rules) -> None:
        self._decode = rules.decoder.decode
        self._refuse.policy = rules.policy
        rules.configure(self._engine)

    def _count(
        self, decision: Decision, record: Record, tally: Tally, outputs: list[Output]
    ) -> None:
        event = decision.event
        tally.events[event.type] += 1
        tally.late += decision.is_late
        if event.type == "tip":
            tally.tips += 1
            tally.add_scores(decision.scores)
        if decision.flags:
            write_flags(decision, tally, outputs, self._topics.flags)
            tally.high += high_flags(decision, self.partition, record)
        if decision.accounts:
            write_accounts(decision, tally, outputs, self._topics.accounts)
        if decision.shadow is not None:
            write_shadow(decision.shadow, tally, outputs, self._topics.flags)
        if self._topics.scores is not None:
            key = event.tipper_id or event.streamer_id or ""
            outputs.append(
                Output(self._topics.scores, key.encode("utf-8", "surrogatepass"),
                       orjson.dumps(decision.to_record()), [])
            )  # fmt: skip

    @property
    def engines(self) -> tuple[Engine, ...]:
        return (self._engine,)

    waiting = forced = 0  # nothing waits for anything here

    def save_all(self) -> Iterator[bytes]:
        return self._save(self._engine.save_all())

    def save_changes(self) -> Iterator[bytes]:
        return self._save(self._engine.save_changes())

    def load(self, chunk: bytes) -> None:
        if chunk[:1] == _REKEYER:
            _load(_nth(self._rekeyers, chunk), chunk)
        else:
            self._engine.load(chunk[2:])

    def _save(self, engine: Iterator[bytes]) -> Iterator[bytes]:
        rekeyers = [
            b"".join(_marked(_REKEYER, number, [rekeyer.save()]))
            for number, rekeyer in enumerate(self._rekeyers)
        ]
        return chain(rekeyers, _marked(_ENGINE, 0, engine))


class RekeyedLane:
    """Scores the events that one partition of the internal topic brings. See `Lane`.

    Args:
        partition: which one.
        engines: view → an engine with that view; the key of a record says which one it is for.
        max_waiting: see `Merge`.
        topics: where outputs go.
        policy: name@hash of the pack in force, for dead letters.
    """

    def __init__(
        self, partition: Partition, engines: Mapping[View, Engine], max_waiting: int,
        topics: OutputTopics, policy: str,
    ) -> None:  # fmt: skip
        self.partition = partition
        self.next_offset = 0
        self.newest_ms = 0
        self._views = {
            view.encode(): _View(view, engine, Merge(max_waiting))
            for view, engine in engines.items()
        }
        self._topics = topics
        self._refuse = Refusal(partition, topics.dead_letters, policy)

    def process(
        self, records: Sequence[Record], tally: Tally, outputs: list[Output], clock: Clock
    ) -> None:
        started_s = clock.steady_s()
        for record in records:
            try:
                view = self._views[record.key or b""]
                view.merge.add(decode(record.value or b"", view.name))
            except (BatchError, KeyError) as error:
                self._refuse(record, Rejected("unknown_shape", str(error)), tally, outputs)
                continue
            for _, event in view.merge.release():
                tally.rekeyed += 1
                try:
                    decision = view.engine.process(event)
                except Exception as error:  # one event's bug must not stop the rest
                    self._refuse(record, internal_error(error), tally, outputs)
                    continue
                if isinstance(decision, Decision):
                    write_flags(decision, tally, outputs, self._topics.flags)
                    tally.high += high_flags(decision, self.partition, record)
                    write_accounts(decision, tally, outputs, self._topics.accounts)
                    if decision.shadow is not None:
                        write_shadow(decision.shadow, tally, outputs, self._topics.flags)
        self.next_offset = records[-1].offset + 1
        self.newest_ms = records[-1].timestamp
        tally.score_s += clock.steady_s() - started_s

    def promise(self, sources: int, is_idle: bool, steady_s: float) -> list[Output]:
        return []

    def judge_by(self, rules: Rules) -> None:
        self._refuse.policy = rules.policy
        for engine in self.engines:
            rules.configure(engine)

    @property
    def engines(self) -> tuple[Engine, ...]:
        return tuple(view.engine for view in self._views.values())

    @property
    def waiting(self) -> int:
        return sum(view.merge.waiting for view in self._views.values())

    @property
    def forced(self) -> int:
        return sum(view.merge.forced for view in self._views.values())

    def save_all(self) -> Iterator[bytes]:
        return self._save([view.engine.save_all() for view in self._views.values()])

    def save_changes(self) -> Iterator[bytes]:
        return self._save([view.engine.save_changes() for view in self._views.values()])

    def load(self, chunk: bytes) -> None:
        view = _nth(list(self._views.values()), chunk)
        if chunk[:1] == _MERGE:
            _load(view.merge, chunk)
        else:
            view.engine.load(chunk[2:])

    def _save(self, engines: list[Iterator[bytes]]) -> Iterator[bytes]:
        merges = [view.merge.save() for view in self._views.values()]
        return chain.from_iterable(
            chain(_marked(_MERGE, number, merge), _marked(_ENGINE, number, engine))
            for number, (merge, engine) in enumerate(zip(merges, engines, strict=True))
        )


class _View(NamedTuple):
    """One view on the internal topic."""

    name: View
    engine: Engine
    merge: Merge


_ENGINE, _REKEYER, _MERGE = b"E", b"R", b"M"
"""What a lane's chunk is of; a byte with its number among those of its sort follows."""


def _nth(parts: Sequence[T], chunk: bytes) -> T:
    """The part that a chunk is of."""
    if len(chunk) < 2 or chunk[1] >= len(parts):
        raise StateError(
            f"checkpoint: it has more than the {len(parts)} re-keyed views of now: was "
            "topics.tips_key changed? Start with another kafka.group_id"
        )
    return parts[chunk[1]]


def _load(part: Merge | Rekeyer, chunk: bytes) -> None:
    try:
        part.load(chunk[2:])
    except BatchError as error:
        raise StateError(f"checkpoint: {error}") from error


def _marked(sort: bytes, number: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    mark = sort + bytes([number])
    return (mark + chunk for chunk in chunks)


def write_flags(decision: Decision, tally: Tally, outputs: list[Output], topic: str) -> None:
    """Counts a decision's flags and appends them to what must be written."""
    for flag in decision.flags:
        tally.flags[flag.kind, flag.severity] += 1
        tally.cases[flag.kind, flag.step] += 1
        tally.unpaged += flag.record.get("paged") is False
        if flag.pages:
            tally.paging[flag.kind, flag.basis] += 1
        outputs.append(_flag_output(flag, topic))


def high_flags(decision: Decision, partition: Partition, record: Record) -> Iterator[HighFlag]:
    """A decision's high flags, with the record that led to it."""
    return (
        HighFlag(flag.record, partition, record.offset)
        for flag in decision.flags
        if flag.severity == "high"
    )


def write_shadow(comparison: Comparison, tally: Tally, outputs: list[Output], topic: str) -> None:
    """Counts how a candidate compares, and appends its flags, which count as nobody's."""
    tally.shadow.update(comparison.findings)
    outputs.extend(_flag_output(flag, topic) for flag in comparison.flags)


def _flag_output(flag: Flag, topic: str) -> Output:
    key = flag.subject_id.encode("utf-8", "surrogatepass")
    return Output(topic, key, orjson.dumps(flag.record), [])


def write_accounts(decision: Decision, tally: Tally, outputs: list[Output], topic: str) -> None:
    """Counts the credit records that changed with a decision, and appends them likewise."""
    for record in decision.accounts:
        subject = record["subject"]
        tally.accounts[subject["type"], record["tier"]] += 1
        key = subject["id"].encode("utf-8", "surrogatepass")
        outputs.append(Output(topic, key, orjson.dumps(record), []))


class Refusal:
    """Turns records of one partition into dead letters: as they came, with why and where from.

    Args:
        partition: theirs.
        topic: of the dead letters.
        policy: name@hash of the pack in force.

    Attributes:
        policy: as given; may be set anew.
    """

    def __init__(self, partition: Partition, topic: str, policy: str) -> None:
        self.policy = policy
        self._partition = partition
        self._topic = topic

    def __call__(
        self, record: Record, refusal: Rejected, tally: Tally, outputs: list[Output]
    ) -> None:
        """Counts the record and appends its dead letter to what must be written."""
        tally.dead_letters[refusal.reason] += 1
        headers = [
            *((name, value or b"") for name, value in record.headers),  # the producer takes no null
            ("reason", refusal.reason.encode()),
            ("detail", refusal.detail.encode("utf-8", "replace")),
            ("topic", self._partition.topic.encode()),
            ("partition", str(self._partition.partition).encode()),
            ("offset", str(record.offset).encode()),
            ("version", detector.__version__.encode()),
            ("policy", self.policy.encode()),
        ]
        # Kafka's producer takes no record without both key and value.
        key = b"" if record.key is None and record.value is None else record.key
        outputs.append(Output(self._topic, key, record.value, headers))


def internal_error(error: Exception) -> Rejected:
    """Where the program failed; never the error's own text, which may hold an id."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return Rejected(INTERNAL_ERROR, f"{type(error).__name__} in {at.name}, line {at.lineno}")
