"""What the loop needs from the outside world, and the errors it understands.

Each port says who calls it and what it may do. `edges.kafka` has the real ones; tests have small
ones in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


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
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Output(NamedTuple):
    """One record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Changes:
    """What a rebalance did since the last look.

    Attributes:
        assigned: partitions that are ours now.
        revoked: partitions that were ours; their offsets may still be committed.
        lost: partitions that were taken from us; nothing may be committed for them.
    """

    assigned: set[Partition] = field(default_factory=set)
    revoked: set[Partition] = field(default_factory=set)
    lost: set[Partition] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.assigned or self.revoked or self.lost)


class Retry(Exception):
    """It did not work this time; nothing was lost, and the same call may work later."""


class Stop(Exception):
    """It will not work; the process must end and somebody must look."""


class Source(Protocol):
    """Where records come from. Called from the loop's thread only."""

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[Record]]:
        """The next records, by partition and in order; empty when there are none in time.

        Raises:
            Stop: not allowed, or misconfigured.
        """

    def take_changes(self) -> Changes:
        """What changed in the assignment since the last call; asked after each poll."""

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Commits the offset of the next record to read, for each partition.

        Raises:
            Retry: the group is rebalancing or the broker is away.
            Stop: not allowed.
        """

    def pause(self) -> None:
        """Polls keep the membership alive from here on but return no records."""

    def resume(self) -> None:
        """Undoes `pause`."""

    def position(self, partition: Partition) -> int:
        """The offset of the next record to be read from an assigned partition."""

    def ends(self) -> Mapping[Partition, int]:
        """The end offset of each assigned partition.

        Raises:
            Retry: the broker is away.
        """

    def close(self, timeout_s: float) -> None:
        """Leaves the group."""


class Sink(Protocol):
    """Where outputs go. Called from the loop's thread only."""

    def send(self, outputs: Sequence[Output]) -> None:
        """Takes outputs over; they are on their way, not yet there."""

    def flush(self, timeout_s: float) -> bool:
        """Waits until everything taken over is acknowledged; False if time ran out before.

        Raises:
            Stop: something can never be written, such as for want of permission.
        """

    def close(self, timeout_s: float) -> None:
        """Gives back what it holds."""


class Clock(Protocol):
    """The wall clock and a steady one: the loop's, never the engine's."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""

    def steady_s(self) -> float:
        """Seconds on a clock that never jumps."""

    def sleep(self, seconds: float) -> None: ...
