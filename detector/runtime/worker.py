"""The loop: poll, score, write, commit.

At least once: flags and dead letters are acknowledged before the offsets of the records that led
to them are committed. While they cannot be written, nothing more is read: the partitions are
paused, so memory stays bounded, and polls go on, so the group does not give the member up.

A rebalance is acted on between polls, never in the client's callback: the state of a partition
that is no longer ours is dropped after what it produced has been written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from detector.runtime.lane import Lane
from detector.runtime.ports import Changes, Clock, Output, Partition, Retry, Sink, Source
from detector.runtime.tally import Tally

log = logging.getLogger(__name__)

POLL_S = 0.1
FLUSH_S = 1.0
CLOSE_S = 8.0
LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class CommitEvery:
    """When to commit: whichever comes first."""

    interval_s: float
    records: int


@dataclass(slots=True)
class Status:
    """How the loop is doing, for `/healthz` and `/readyz`; written by the loop only.

    Attributes:
        state: what it is at: `starting`, `running`, `blocked` (outputs cannot be written),
            `unreachable` (no broker answers), `stopping`.
        detail: one sentence about that.
        turned_s: steady time of the last turn.
        partitions: how many are assigned.
        lag_records, lag_s: how far behind; None while unknown.
    """

    state: str = "starting"
    detail: str = "not connected yet"
    turned_s: float = 0.0
    partitions: int = 0
    lag_records: int | None = None
    lag_s: float | None = None


class Telemetry(Protocol):
    """Where the loop says what it did; once a batch, never once an event."""

    def batch(self, tally: Tally, decode_s: float, score_s: float) -> None: ...
    def stage(self, name: str, seconds: float) -> None: ...
    def committed(self, now_ms: int) -> None: ...
    def rebalanced(self, changes: Changes) -> None: ...
    def state(self, lanes: list[Lane], status: Status) -> None: ...


class Worker:
    """Runs the lanes of all assigned partitions.

    Args:
        source, sink, clock: the outside world.
        make_lane: a new lane for a partition.
        telemetry: where to say what was done.
        commit_every: how often.
        status: kept up to date.
    """

    def __init__(
        self, source: Source, sink: Sink, clock: Clock, make_lane: Callable[[Partition], Lane],
        telemetry: Telemetry, commit_every: CommitEvery, status: Status,
    ) -> None:  # fmt: skip
        self._source = source
        self._sink = sink
        self._clock = clock
        self._make_lane = make_lane
        self._telemetry = telemetry
        self._commit_every = commit_every
        self._status = status
        self._lanes: dict[Partition, Lane] = {}
        self._uncommitted: dict[Partition, int] = {}
        self._uncommitted_records = 0
        self._committed_s = clock.steady_s()
        self._looked_s = 0.0
        self._is_blocked = False
        self._stopping = False

    def stop(self) -> None:
        """Asks the loop to end after this batch; safe in a signal handler."""
        self._stopping = True

    def run(self) -> bool:
        """Turns until `stop`; then writes, commits and leaves the group.

        Returns:
            Whether everything read was written and committed.

        Raises:
            Stop: what was wrong cannot be waited out.
        """
        try:
            while not self._stopping:
                self.turn()
            return self._finish()
        finally:
            self._source.close(CLOSE_S / 2)
            self._sink.close(CLOSE_S / 4)

    def turn(self) -> None:
        """One poll and all that follows from it."""
        clock = self._clock
        started_s = clock.steady_s()
        batches = self._source.poll(POLL_S)
        polled_s = clock.steady_s()
        changes = self._source.take_changes()
        if changes:
            self._follow(changes)
        outputs: list[Output] = []
        for partition, records in batches.items():
            lane = self._lanes.get(partition)
            if lane is None:  # an assignment the listener has not told of yet
                lane = self._open(partition)
            tally = Tally()
            decode_s, score_s = lane.process(records, tally, outputs, clock)
            self._uncommitted[partition] = lane.next_offset or 0
            self._uncommitted_records += len(records)
            self._telemetry.batch(tally, decode_s, score_s)
        if batches:
            self._telemetry.stage("poll", polled_s - started_s)
        if outputs:
            self._sink.send(outputs)
        if self._is_commit_due():
            self.commit()
        self._look()

    def commit(self) -> bool:
        """Writes what is outstanding, then commits; False if it must be tried again."""
        clock = self._clock
        started_s = clock.steady_s()
        if not self._sink.flush(FLUSH_S):
            self._block("outputs are not acknowledged; reading is paused until they are")
            return False
        flushed_s = clock.steady_s()
        self._telemetry.stage("write", flushed_s - started_s)
        try:
            self._source.commit(self._uncommitted)
        except Retry as error:
            self._committed_s = clock.steady_s()  # try again after the interval, not at once
            log.warning("offsets not committed, trying again: %s", error)
            return False
        self._committed_s = clock.steady_s()
        self._telemetry.stage("commit", self._committed_s - flushed_s)
        self._telemetry.committed(clock.now_ms())
        self._uncommitted = {}
        self._uncommitted_records = 0
        self._unblock()
        return True

    def _is_commit_due(self) -> bool:
        if not self._uncommitted:
            return False
        return (
            self._is_blocked
            or self._uncommitted_records >= self._commit_every.records
            or self._clock.steady_s() - self._committed_s >= self._commit_every.interval_s
        )

    def _follow(self, changes: Changes) -> None:
        """Acts on a rebalance: writes what leaving partitions produced, drops their state."""
        self._telemetry.rebalanced(changes)
        for partition in changes.lost:
            self._uncommitted.pop(partition, None)
        if changes.revoked & self._uncommitted.keys():
            self.commit()
        for partition in changes.lost | changes.revoked:
            self._uncommitted.pop(partition, None)
            if self._lanes.pop(partition, None) is not None:
                log.info("%s is no longer ours: its state is dropped", partition)
        for partition in sorted(changes.assigned):
            if partition not in self._lanes:
                self._open(partition)
        if self._is_blocked:
            self._source.pause()  # partitions that have just come are not paused yet

    def _open(self, partition: Partition) -> Lane:
        lane = self._lanes[partition] = self._make_lane(partition)
        log.warning("%s is ours: cold start, what is usual has to be learned anew", partition)
        return lane

    def _block(self, why: str) -> None:
        if not self._is_blocked:
            self._is_blocked = True
            log.warning("blocked: %s", why)
        self._source.pause()

    def _unblock(self) -> None:
        if self._is_blocked:
            self._is_blocked = False
            log.info("outputs are acknowledged again; reading goes on")
            self._source.resume()

    def _look(self) -> None:
        """Every few seconds: how far behind, and is anybody there."""
        now_s = self._clock.steady_s()
        status = self._status
        status.turned_s = now_s
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        status.partitions = len(self._lanes)
        try:
            self._measure_lag(status)
        except Retry as error:
            status.lag_records = status.lag_s = None
            if status.state != "unreachable":
                log.warning("no broker answers: %s", error)
            status.state, status.detail = "unreachable", str(error)
        else:
            if status.state == "unreachable":
                log.info("a broker answers again")
            status.state = "blocked" if self._is_blocked else "running"
            status.detail = "outputs are not acknowledged" if self._is_blocked else ""
        self._telemetry.state(list(self._lanes.values()), status)
        self._looked_s = self._clock.steady_s()

    def _measure_lag(self, status: Status) -> None:
        ends = self._source.ends()
        lag_records = 0
        lag_s: float | None = 0.0
        now_ms = self._clock.now_ms()
        for partition, lane in self._lanes.items():
            position = self._source.position(partition)
            behind = max(0, ends.get(partition, position) - position)
            lag_records += behind
            if behind and not lane.last_event_ms:
                lag_s = None  # nothing was scored yet: how old what waits is, nobody knows
            elif behind and lag_s is not None:
                lag_s = max(lag_s, (now_ms - lane.last_event_ms) / 1000)
        status.lag_records = lag_records
        status.lag_s = lag_s

    def _finish(self) -> bool:
        """Writes and commits what is left, within a bounded time."""
        self._status.state, self._status.detail = "stopping", "asked to stop"
        deadline_s = self._clock.steady_s() + CLOSE_S / 2
        while self._uncommitted:
            if self.commit():
                break
            if self._clock.steady_s() >= deadline_s:
                log.warning(
                    "stopped with %d records not committed: they will be read again",
                    self._uncommitted_records,
                )
                return False
            self._clock.sleep(0.1)
        log.info("stopped: everything read is written and committed")
        return True
