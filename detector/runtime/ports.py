"""What the loop needs from the outside world, and the errors it understands.

Each port says who calls it and what it may do. `edges.kafka` has the real ones; tests have small
ones in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from detector.runtime.checkpoint import Manifest


class Partition(NamedTuple):
    """A partition of a topic; prints as it stands in logs: `tips[3]`."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Record(Protocol):
    """One record as it was read."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # epoch ms
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Output(NamedTuple):
    """One record to be written; the key picks the partition where `partition` is None."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None = None


@dataclass(slots=True)
class Changes:
    """What a rebalance did since the last look.

    Attributes:
        assigned: partitions that are ours now.
        revoked: partitions that were ours.
        lost: partitions that were taken from us without being asked for.
    """

    assigned: set[Partition] = field(default_factory=set)
    revoked: set[Partition] = field(default_factory=set)
    lost: set[Partition] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.assigned or self.revoked or self.lost)


class Retry(Exception):
    """It did not work this time; nothing was lost, and the same call may work later."""


class Aborted(Exception):
    """Nothing of the commit came about; state built on it is void, and the next commit may work."""


class Stop(Exception):
    """It will not work; the process must end and somebody must look."""


Membership = Any
"""A member's id and generation in its group, by which the broker tells it from a zombie."""


class Source(Protocol):
    """Where records come from. Called from the loop's thread only."""

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[Record]]:
        """The next records, by partition and in order; empty when there are none in time.

        Raises:
            Stop: not allowed, or misconfigured.
        """

    def membership(self) -> Membership | None:
        """Who we are in the group; None while we are nobody.

        Asked after a poll and before `take_changes`: what is committed under an answer from before
        a change is then refused by the broker, never taken for the new owner's.
        """

    def is_settled(self) -> bool:
        """Whether no rebalance is under way that we know of."""

    def take_changes(self) -> Changes:
        """What changed in the assignment since the last call."""

    def assignment(self) -> set[Partition]:
        """The partitions that are ours."""

    def committed(self, partition: Partition) -> int | None:
        """The offset the group has committed; None if it never has.

        Raises:
            Retry: the broker is away, or a transaction of the last owner is still open.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """The next poll reads an assigned partition from here.

        Raises:
            Retry: it is no longer assigned.
        """

    def position(self, partition: Partition) -> int:
        """The offset of the next record to be read from an assigned partition.

        Raises:
            Retry: the broker is away.
        """

    def origin(self, partition: Partition) -> int:
        """Where a group begins that has committed nothing: the log's start or end, as configured.

        Raises:
            Retry: the broker is away.
        """

    def start(self, partition: Partition) -> int:
        """The oldest offset that an assigned partition still has.

        Raises:
            Retry: the broker is away.
        """

    def ends(self) -> Mapping[Partition, int]:
        """The end offset of each assigned partition.

        Raises:
            Retry: the broker is away.
        """

    def is_behind(self) -> bool:
        """Whether more than a few records wait, as of the broker's last answer; asks nobody."""

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, as far as is known; 0 if that is nothing."""

    def close(self, timeout_s: float) -> None:
        """Leaves the group."""


class Sink(Protocol):
    """Where outputs go, a commit at a time. Called from the loop's thread only."""

    def submit(
        self, outputs: Sequence[Output], saves: Sequence[Output],
        next_offsets: Mapping[Partition, int], membership: Membership,
    ) -> None:  # fmt: skip
        """Begins one commit: outputs, saved state, and the offsets they stand for.

        `next_offsets` names every partition that anything submitted belongs to.
        """

    def wait(self, timeout_s: float) -> bool:
        """Whether the commit has come about; False: not yet, wait again.

        Raises:
            Aborted: it never will, and nothing of it shows (at least once: something may).
            Stop: not allowed, or the same would fail again.
        """

    def close(self, timeout_s: float) -> None:
        """Gives back what it holds; a commit under way is given up."""


class Saved(Protocol):
    """The saved state of one partition, as found in the store.

    Attributes:
        manifest: what belongs to it.
        strays: after `chunks` was read to its end: keys of saves that were left unfinished.
    """

    @property
    def manifest(self) -> Manifest: ...
    @property
    def strays(self) -> list[bytes]: ...

    def chunks(self) -> Iterator[bytes]:
        """The chunks of all its saves, in order.

        Raises:
            Retry: the broker is away.
            StateError: something is missing or damaged.
        """


class Checkpoints(Protocol):
    """Where saved state is read from. Called from the loop's thread only."""

    def find(self, partition: Partition) -> Saved | None:
        """The newest saved state of a partition; None if nothing was ever saved.

        Raises:
            Retry: the broker is away, or a transaction in the store is still open.
            StateError: of an unknown format.
        """

    def end(self, partition: Partition) -> int:
        """An offset of the store that lies before anything saved from now on.

        Raises:
            Retry: the broker is away.
        """

    def close(self) -> None:
        """Gives back what it holds."""


class Found(NamedTuple):
    """Records of the verdict log, by partition and offset, each with its partition.

    Attributes:
        records: those there are.
        lost: how many offsets are gone: retention was faster, or the topic was made anew.
    """

    records: list[tuple[int, Record]]
    lost: int = 0


class VerdictLog(Protocol):
    """Where reviewers' verdicts are read from. Called from the loop's thread only."""

    def spans(self) -> Mapping[int, tuple[int, int]]:
        """Partition → (its oldest offset, the offset to be read next), as far as is known.

        Asked before every batch, and while none comes: never waits for long, and knows nothing
        while the topic is absent.
        """

    def ends(self) -> Mapping[int, int]:
        """The end offset of each partition there is, as the broker says now.

        Raises:
            Retry: the broker is away.
        """

    def read(self, since: Mapping[int, int], until: Mapping[int, int]) -> Found:
        """The records between two positions; a partition that `since` lacks is read from its start.

        Raises:
            Retry: the broker is away.
        """

    def close(self) -> None:
        """Gives back what it holds."""


class Clock(Protocol):
    """The wall clock and a steady one: the loop's, never the engine's."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""

    def steady_s(self) -> float:
        """Seconds on a clock that never jumps."""

    def sleep(self, seconds: float) -> None: ...
