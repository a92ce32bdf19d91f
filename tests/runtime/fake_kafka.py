"""Kafka in memory, as far as the loop can tell: logs, transactions, one group and its offsets.

Honest about what exactly-once rests on. A transaction's records take their offsets at once, are
read only when it is committed, and hold back the reading of what lies behind them; its end takes an
offset too. A commit under the membership of an earlier generation is refused. Whoever misses that
a partition was somebody else's meanwhile has lost it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from zlib import crc32

from detector.runtime.ports import Aborted, Output, Partition, Retry

PATIENCE = 2
"""How often somebody asks for an offset in an open transaction until it has timed out."""


class Membership(NamedTuple):
    """Who commits, and in which generation of the group."""

    member: str
    generation: int


@dataclass(slots=True)
class Transaction:
    """Records written together; `offsets` are of the group, written with them."""

    state: Literal["open", "committed", "aborted"] = "open"
    partitions: set[Partition] = field(default_factory=set)
    offsets: Mapping[Partition, int] = field(default_factory=dict)
    asked: int = 0


@dataclass(slots=True)
class FakeRecord:
    """See `ports.Record`. Only a transaction's end is in an `aborted` transaction of its own."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int
    transaction: Transaction


NONE = Transaction("committed")
END = Transaction("aborted")


class Broker:
    """All that outlives a process.

    Args:
        topics: name → how many partitions.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.counts = dict(topics)
        self.logs: dict[Partition, list[FakeRecord]] = {
            Partition(topic, n): [] for topic, count in topics.items() for n in range(count)
        }
        self.starts: dict[Partition, int] = {}
        self.offsets: dict[Partition, int] = {}
        self.generation = 1
        self.commits = 0
        self._owners: dict[Partition, Membership] = {}  # with the generation it got them in
        self._open: list[Transaction] = []

    def produce(
        self, at: Partition, value: bytes | None, key: bytes | None = b"k",
        headers: Sequence[tuple[str, bytes | None]] = (), transaction: Transaction = NONE,
    ) -> None:  # fmt: skip
        """Appends one record."""
        log = self.logs[at]
        log.append(FakeRecord(len(log), key, value, headers, 1_800_000_000_000, transaction))

    def read(
        self, at: Partition, offset: int = 0, most: int = 2**62
    ) -> tuple[list[FakeRecord], int]:
        """What `read_committed` shows from an offset on, and where to read next."""
        found: list[FakeRecord] = []
        next_offset = max(offset, self.starts.get(at, 0))
        for record in self.logs[at][next_offset : self.end(at)]:
            if len(found) == most:
                break
            next_offset += 1
            if record.transaction.state == "committed":
                found.append(record)
        return found, next_offset

    def all(self, topic: str) -> list[FakeRecord]:
        """What a reader of a whole topic sees."""
        partitions = [Partition(topic, n) for n in range(self.counts[topic])]
        return [record for at in partitions for record in self.read(at)[0]]

    def end(self, at: Partition) -> int:
        """Before the first record of an open transaction: the last stable offset."""
        log = self.logs[at]
        if any(at in each.partitions for each in self._open):
            return next(r.offset for r in log if r.transaction.state == "open")
        return len(log)

    # -- the group -------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[Partition], member: str | None) -> None:
        """One rebalance: these are the member's now, or nobody's."""
        self.generation += 1
        for at in partitions:
            self._owners.pop(at, None)
            if member is not None:
                self._owners[at] = Membership(member, self.generation)

    def owned(self, member: str) -> dict[Partition, int]:
        """A member's partitions, and the generation since when each is."""
        return {at: own.generation for at, own in self._owners.items() if own.member == member}

    def committed(self, at: Partition) -> int | None:
        if self._is_waited_for(lambda transaction: at in transaction.offsets):
            raise Retry("a transaction of the last owner is still open")
        return self.offsets.get(at)

    def end_once_waited_for(self, at: Partition) -> int:
        """The end for somebody who waits for open transactions, which time out in the end."""
        self._is_waited_for(lambda transaction: at in transaction.partitions)
        return self.end(at)

    def _is_waited_for(self, is_of: Callable[[Transaction], bool]) -> bool:
        for transaction in filter(is_of, [*self._open]):
            transaction.asked += 1
            if transaction.asked > PATIENCE:
                self.finish(transaction, "aborted")
        return any(map(is_of, self._open))

    # -- transactions ----------------------------------------------------------------------------

    def begin(self, outputs: Sequence[Output], offsets: Mapping[Partition, int]) -> Transaction:
        """Writes the records of a transaction; nobody sees them yet."""
        transaction = Transaction(offsets=dict(offsets))
        for each in outputs:
            count = self.counts[each.topic]
            number = crc32(each.key or b"") % count if each.partition is None else each.partition
            at = Partition(each.topic, number)
            self.produce(at, each.value, each.key, each.headers, transaction)
            transaction.partitions.add(at)
        self._open.append(transaction)
        return transaction

    def commit(self, transaction: Transaction, membership: Membership) -> None:
        """Makes its records and offsets count, all at once.

        Raises:
            Aborted: the member is a zombie; none of them will ever count.
        """
        if membership.generation != self.generation:
            self.finish(transaction, "aborted")
            raise Aborted("the group has a new generation")
        assert transaction.offsets.keys() <= self.owned(membership.member).keys()
        self.offsets.update(transaction.offsets)
        self.finish(transaction, "committed")
        self.commits += 1

    def finish(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        transaction.state = state
        self._open.remove(transaction)
        for at in transaction.partitions:
            log = self.logs[at]
            log.append(FakeRecord(len(log), None, None, (), 0, END))
