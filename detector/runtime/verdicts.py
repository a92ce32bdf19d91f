"""One lane's way through the verdict topic: every engine learns from every verdict, in its turn.

Verdicts are learned before the first record of a batch is scored, and the commit of that batch
carries a mark of it (`checkpoint`); whoever takes the partition over reads those verdicts again and
learns them at the same offsets. Knows no Kafka, and not what an engine learns.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence

from detector.core.decode import read_object
from detector.core.engine import Engine
from detector.core.event import Rejected
from detector.core.verdict import Verdict, VerdictError, read_verdict
from detector.runtime.checkpoint import Mark
from detector.runtime.lane import Refusal, Rules, internal_error
from detector.runtime.ports import Output, Partition, Record, Retry, VerdictLog
from detector.runtime.tally import Tally

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500
"""Verdicts learned before one batch, at most: what has piled up must not hold scoring up."""

MAX_VERDICT_BYTES = 65_536

_Records = list[tuple[int, Record]]


class Clerk:
    """Keeps the books of the verdict topic: one partition's learner has it, on behalf of all.

    Args:
        topic: of the verdicts.
        dead_letters: where those go that are none.
        policy: name@hash of the pack in force, for dead letters.

    Attributes:
        policy: as given; may be set anew.
    """

    def __init__(self, topic: str, dead_letters: str, policy: str) -> None:
        self.policy = policy
        self._topic = topic
        self._dead_letters = dead_letters

    def refuse(
        self, number: int, record: Record, refusal: Rejected, tally: Tally, outputs: list[Output]
    ) -> None:
        """Makes a dead letter of a record of partition `number`."""
        at = Partition(self._topic, number)
        Refusal(at, self._dead_letters, self.policy)(record, refusal, tally, outputs)


class Learner:
    """Teaches one lane's engines.

    Args:
        partition: the lane's, for log lines.
        verdicts: the topic.
        engines: the lane's.
        clerk: counts verdicts and refuses bad ones; None: another partition's does.

    Attributes:
        positions: partition of the topic → offset up to which the engines have learned.
    """

    def __init__(
        self, partition: Partition, verdicts: VerdictLog, engines: Sequence[Engine],
        clerk: Clerk | None,
    ) -> None:  # fmt: skip
        self.positions: dict[int, int] = {}
        self._partition = partition
        self._log = verdicts
        self._engines = engines
        self._clerk = clerk
        self._marked: deque[tuple[Mark, _Records]] = deque()
        self._lost = 0

    def recall(self, positions: Mapping[int, int], marks: Sequence[Mark]) -> None:
        """Goes to where a saved state stands, and reads again what it learned after that.

        Args:
            positions: of the saved state.
            marks: of what came after it.

        Raises:
            Retry: the broker is away, and there are marks.
        """
        self.positions = dict(positions)
        if not positions and not marks:
            return
        try:
            self._check_ends()
        except Retry:
            if marks:
                raise
        if marks:
            found = self._log.read(self.positions, marks[-1].positions)
            self._lose(found.lost)
            self._marked = deque(_by_mark(found.records, marks))

    def judge_by(self, rules: Rules) -> None:
        """Told when the lane is: dead letters say which pack was in force."""
        if self._clerk is not None:
            self._clerk.policy = rules.policy

    def follow(self) -> None:
        """Has what was written since fetched; it is learned before the next batch."""
        self._log.spans()

    @property
    def next_mark(self) -> int | None:
        """Before the record at this offset there is something to be learned again."""
        return self._marked[0][0].next_offset if self._marked else None

    def learn_again(self, offset: int) -> None:
        """Learns what was learned before the record at `offset` was scored, in silence."""
        while self._marked and self._marked[0][0].next_offset <= offset:
            mark, records = self._marked.popleft()
            self._teach(records, Tally(), [])
            self.positions = mark.positions

    def learn(self, room: int, tally: Tally, outputs: list[Output]) -> int:
        """Learns what has come, at most `room` offsets of it; how many there were.

        What cannot be read now is learned before another batch.
        """
        until = _advance(self.positions, self._log.spans(), min(room, MOST_AT_ONCE))
        if until is None:
            return 0
        try:
            found = self._log.read(self.positions, until)
        except Retry:
            return 0
        self._lose(found.lost)
        if self._clerk is not None:
            tally.verdicts["lost"] += self._lost
            self._lost = 0
        self._teach(found.records, tally, outputs)
        self.positions = until
        return len(found.records)

    def _teach(self, records: _Records, tally: Tally, outputs: list[Output]) -> None:
        for number, record in records:
            verdict = _read(record)
            if isinstance(verdict, Verdict):
                counted, refusal = verdict.judgement, self._show(verdict, tally)
            else:
                counted, refusal = "unreadable", verdict
            if self._clerk is not None:
                tally.verdicts[counted] += 1
                if isinstance(verdict, Verdict):
                    tally.judged[verdict.kind, verdict.outcome] += 1
                if refusal is not None:
                    self._clerk.refuse(number, record, refusal, tally, outputs)

    def _show(self, verdict: Verdict, tally: Tally) -> Rejected | None:
        """Shows it to every engine; why one of them failed."""
        refusal = None
        for engine in self._engines:
            try:
                tally.lessons += engine.learn(verdict) == "learned"
            except Exception as error:  # one verdict's bug must not stop the rest
                refusal = internal_error(error)
        return refusal

    def _check_ends(self) -> None:
        """Begins again in a log that ends before what was learned from it: it is another one."""
        ends = self._log.ends()
        for number, offset in [*self.positions.items()]:
            if ends.get(number, 0) < offset:
                log.error(
                    "%s: partition %d of the verdicts ends at %d, but %d was reached before: was "
                    "the topic deleted and made again? What it has now is learned from its start",
                    self._partition, number, ends.get(number, 0), offset,
                )  # fmt: skip
                del self.positions[number]
                self._lost += 1

    def _lose(self, lost: int) -> None:
        if lost:
            log.error(
                "%s: %d verdicts were deleted before they were learned: the retention of their "
                "topic is too short; going on with what is there", self._partition, lost,
            )  # fmt: skip
            self._lost += lost


def _by_mark(records: _Records, marks: Sequence[Mark]) -> Iterator[tuple[Mark, _Records]]:
    """Each mark with what was learned at it, in the order it was."""
    waiting: defaultdict[int, deque[Record]] = defaultdict(deque)
    for number, record in records:
        waiting[number].append(record)
    for mark in marks:
        taken: _Records = []
        for number, until in sorted(mark.positions.items()):
            queue = waiting[number]
            while queue and queue[0].offset < until:
                taken.append((number, queue.popleft()))
        yield mark, taken


def _advance(
    since: Mapping[int, int], spans: Mapping[int, tuple[int, int]], room: int
) -> dict[int, int] | None:
    """The positions up to `room` offsets on; None if nothing has come.

    >>> _advance({0: 5}, {0: (0, 9), 1: (20, 50)}, 10)
    {0: 9, 1: 26}
    >>> _advance({0: 9}, {0: (0, 9)}, 10)
    """
    until = None
    for number, (first, end) in spans.items():
        at = max(since.get(number, first), first)
        if at < end and room:
            until = dict(since) if until is None else until
            until[number] = min(end, at + room)
            room -= until[number] - at
    return until


def _read(record: Record) -> Verdict | Rejected:
    found = read_object(record.value, MAX_VERDICT_BYTES)
    if isinstance(found, Rejected):
        return found
    try:
        return read_verdict(found)
    except VerdictError as error:
        return Rejected("unknown_shape", str(error))
