"""A partition that is ours: its lane, its saved state, and the silent replay between the two."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detector.core.state import StateError
from detector.runtime.checkpoint import (
    Checkpointer,
    Manifest,
    Mark,
    SaveEvery,
    chunk_names,
    load,
)
from detector.runtime.lane import Lane, Rules
from detector.runtime.ports import Checkpoints, Clock, Output, Partition, Record, Source, Stop
from detector.runtime.tally import Tally
from detector.runtime.verdicts import MOST_AT_ONCE, Learner

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Owned:
    """A partition, ready to be read.

    Attributes:
        lane: scores its records.
        checkpointer: saves the lane's state; None where nothing is saved.
        silent_until: records before this offset only rebuild state: what came of them was
            committed before.
        is_cold: it began with an empty state although the group had read from it before.
        learner: teaches the lane's engines; None where verdicts are not read.
    """

    lane: Lane
    checkpointer: Checkpointer | None
    silent_until: int
    is_cold: bool = False
    learner: Learner | None = None

    def process(
        self, records: Sequence[Record], tally: Tally, outputs: list[Output], clock: Clock
    ) -> None:
        """Learns what verdicts have come, then scores a batch; before `silent_until` in silence.

        Raises:
            Stop: the log begins again. What is passed on would be taken for repeated.
        """
        if records[0].offset < self.lane.next_offset:
            raise Stop(
                f"{self.lane.partition}: offset {records[0].offset} came after "
                f"{self.lane.next_offset - 1}: was the topic deleted and made again?"
            )
        at = 0
        while at < len(records):
            offset = records[at].offset
            is_silent = offset < self.silent_until
            self._learn(offset, is_silent, tally, outputs)
            end = self._end_of_run(records, at) if is_silent else len(records)
            run = records if end - at == len(records) else records[at:end]
            if is_silent:
                self.lane.process(run, Tally(), [], clock)
                self.lane.promise(1, False, clock.steady_s())  # what it would have passed on
                tally.replayed += len(run)
            else:
                self.lane.process(run, tally, outputs, clock)
            at = end
        if self.checkpointer is not None:
            self.checkpointer.count(len(records))

    def _end_of_run(self, records: Sequence[Record], at: int) -> int:
        """Up to where to go on in silence: its end, or until something is to be learned again."""
        stop = self.silent_until
        if self.learner is not None and self.learner.next_mark is not None:
            stop = min(stop, self.learner.next_mark)
        return bisect_left(records, stop, at, key=lambda record: record.offset)

    def _learn(self, offset: int, is_silent: bool, tally: Tally, outputs: list[Output]) -> None:
        """Learns what belongs before the record at `offset`: again, or for the first time.

        New verdicts wait for a first complete save: until there is a manifest, no mark of them
        could be written.
        """
        learner, checkpointer = self.learner, self.checkpointer
        if learner is None:
            return
        learner.learn_again(offset)
        if is_silent or (checkpointer is not None and checkpointer.manifest is None):
            return
        room = MOST_AT_ONCE if checkpointer is None else checkpointer.room
        before = learner.positions
        learned = learner.learn(room, tally, outputs)
        if checkpointer is not None and learner.positions is not before:
            checkpointer.mark(Mark(offset, learner.positions), learned)

    def reached(self, position: int) -> None:
        """Told how far has been read: what is left of a replay may be no records at all.

        The ends of transactions take offsets, and a group can be set to behind one.
        """
        if self.lane.next_offset < self.silent_until <= position:
            self.lane.next_offset = self.silent_until
            if self.learner is not None:
                self.learner.learn_again(self.silent_until)

    def follow(self) -> None:
        """Told while nothing comes: verdicts are to be at hand when something does."""
        if self.learner is not None:
            self.learner.follow()

    def judge_by(self, rules: Rules) -> None:
        """Other rules from the next record on."""
        self.lane.judge_by(rules)
        if self.learner is not None:
            self.learner.judge_by(rules)

    @property
    def is_replaying(self) -> bool:
        return self.lane.next_offset < self.silent_until


class Opener:
    """Makes a partition ready: loads what was saved of it and goes to where that ends.

    Args:
        source: is sent to the right offset.
        checkpoints: where saved state is; None where nothing is saved.
        make_lane: a fresh lane.
        topic: the store's, for what will be saved.
        every: how often it will be.
        clock: for log lines and the first save.
        make_learner: what teaches a lane; None where verdicts are not read.
    """

    def __init__(
        self, source: Source, checkpoints: Checkpoints | None,
        make_lane: Callable[[Partition], Lane], topic: str, every: SaveEvery, clock: Clock,
        make_learner: Callable[[Lane], Learner] | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self._checkpoints = checkpoints
        self._make_lane = make_lane
        self._topic = topic
        self._every = every
        self._clock = clock
        self._make_learner = make_learner

    def open(self, partition: Partition, on_progress: Callable[[], None]) -> Owned:
        """The partition with its state.

        Args:
            partition: one that is assigned.
            on_progress: called often while a state is loaded, which may take minutes.

        Raises:
            Retry: the broker is away, the last owner's transaction is still open, or `on_progress`
                raised it.
            StateError: the saved state cannot be used.
            Stop: not allowed.
        """
        committed = self._source.committed(partition)
        store = self._checkpoints
        saved = None if store is None else store.find(partition)
        lane = self._make_lane(partition)
        self._check_end(partition, max(committed or 0, saved.manifest.next_offset if saved else 0))
        if store is None or saved is None:
            return self._begin_cold(lane, committed, [], "nothing was ever saved")
        manifest = saved.manifest
        if committed is not None and manifest.next_offset > committed:
            why = (
                f"the saved state stands for offset {manifest.next_offset}, ahead of the group's "
                f"{committed}: the group was set back"
            )
            return self._begin_cold(lane, committed, chunk_names(manifest, partition), why)
        started_s = self._clock.steady_s()
        load(lane, saved, on_progress)
        lane.next_offset = manifest.next_offset
        silent_until = manifest.next_offset if committed is None else committed
        # What was learned after the offset that the group was set back to is learned anew.
        manifest = manifest.before(silent_until)
        learner = self._teach(lane, manifest)
        self._go_to(lane, silent_until)
        log.info(
            "%s is ours: state of offset %d loaded in %.1f s, %d records to replay",
            partition, manifest.next_offset, self._clock.steady_s() - started_s,
            max(0, silent_until - lane.next_offset),
        )  # fmt: skip
        checkpointer = Checkpointer(
            partition, lane, self._topic, self._every, store.end(partition), manifest,
            saved.strays, self._clock.steady_s(),
        )  # fmt: skip
        return Owned(lane, checkpointer, silent_until, learner=learner)

    def _teach(self, lane: Lane, manifest: Manifest | None) -> Learner | None:
        """What teaches the lane, at the place where its saved state ends."""
        if self._make_learner is None:
            return None
        learner = self._make_learner(lane)
        if manifest is not None:
            learner.recall(manifest.positions, manifest.marks)
        return learner

    def _begin_cold(
        self, lane: Lane, committed: int | None, garbage: list[bytes], why: str
    ) -> Owned:
        """An empty state, saved at once: who takes over later begins where this one does."""
        partition = lane.partition
        lane.next_offset = self._source.origin(partition) if committed is None else committed
        self._go_to(lane, lane.next_offset)
        is_cold = committed is not None and lane.next_offset > 0
        if is_cold:
            log.warning("%s is ours: cold start, what is usual has to be learned anew: %s",
                        partition, why)  # fmt: skip
        else:
            log.info("%s is ours: a fresh start at offset %d", partition, lane.next_offset)
        checkpointer = None
        if self._checkpoints is not None:
            end = self._checkpoints.end(partition)
            checkpointer = Checkpointer(
                partition, lane, self._topic, self._every, end, None, garbage,
                self._clock.steady_s(),
            )  # fmt: skip
            checkpointer.begin(lane.next_offset, self._clock.steady_s(), lambda: end)
        return Owned(lane, checkpointer, lane.next_offset, is_cold, self._teach(lane, None))

    def _check_end(self, partition: Partition, reached: int) -> None:
        """Refuses a log that ends before what was read from it: its offsets mean other records."""
        end = self._source.ends().get(partition, reached)
        if end < reached:
            raise StateError(
                f"its log ends at offset {end}, but {reached} was reached before: was the topic "
                "deleted and made again? Start with another kafka.group_id, which has internal "
                "topics of its own"
            )

    def _go_to(self, lane: Lane, silent_until: int) -> None:
        """Reads on from where the lane's state ends, or from the oldest record there still is."""
        partition = lane.partition
        start = self._source.start(partition)
        unreplayed = min(start, silent_until) - lane.next_offset
        unread = start - max(lane.next_offset, silent_until)
        if unreplayed > 0:
            log.warning(
                "%s: %d records were deleted before they were replayed: what they taught is "
                "forgotten; save more often than the topic's retention", partition, unreplayed,
            )  # fmt: skip
        if unread > 0:
            log.error(
                "%s: %d records were deleted before they were read: the topic's retention is "
                "shorter than the lag", partition, unread,
            )  # fmt: skip
        lane.next_offset = max(lane.next_offset, start)
        self._source.seek(partition, lane.next_offset)
