"""The loop: poll, score, commit, in that order and nothing in between.

A commit never spans a poll. The group is rebalanced inside a poll, so whenever a partition leaves,
everything that was read from it is either committed or was never begun, and its state can simply
be dropped. A commit carries flags, dead letters, re-keyed events, saved state and the offsets they
stand for; with exactly-once delivery it is one transaction. It either comes about, and the loop
goes on, or it is aborted, and the partitions in it start again from their saved state. While it
can do neither, because no broker answers, nothing more is read, so memory stays bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from detector.core.state import StateError
from detector.runtime.breaker import Breaker
from detector.runtime.flag_log import FlagLog
from detector.runtime.owned import Opener, Owned
from detector.runtime.ports import (
    Aborted,
    Changes,
    Checkpoints,
    Clock,
    Membership,
    Output,
    Partition,
    Retry,
    Sink,
    Source,
    Stop,
)
from detector.runtime.reload import Gate, Reloads
from detector.runtime.status import Pace, Status
from detector.runtime.tally import Tally

log = logging.getLogger(__name__)

POLL_S = 0.1
WAIT_S = 0.5
CLOSE_S = 8.0
LOOK_EVERY_S = 2.0
OPEN_S = 5.0


class Telemetry(Protocol):
    """Where the loop says what it did; once a commit, never once an event."""

    def batch(self, tally: Tally) -> None: ...
    def stage(self, name: str, seconds: float) -> None: ...
    def committed(self, now_ms: int) -> None: ...
    def aborted(self) -> None: ...
    def opened(self, owned: Owned, seconds: float) -> None: ...
    def rebalanced(self, changes: Changes) -> None: ...
    def state(self, owned: Sequence[Owned], status: Status, now_s: float) -> None: ...


class Worker:
    """Runs all partitions that are ours.

    Args:
        source, sink, clock: the outside world.
        opener: makes a partition ready.
        checkpoints: where saved state is; None where nothing is saved.
        tips: the platform's topic.
        telemetry: where to say what was done.
        pace: how long to wait.
        breaker: stops the process when too many events fail.
        status: kept up to date.
        reloads: where other rules come from while it runs; None for none.

    Attributes:
        owned: the partitions that are ours and open.
    """

    def __init__(
        self, source: Source, sink: Sink, clock: Clock, opener: Opener,
        checkpoints: Checkpoints | None, tips: str, telemetry: Telemetry,
        pace: Pace, breaker: Breaker, status: Status, reloads: Reloads | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self._sink = sink
        self._clock = clock
        self._opener = opener
        self._checkpoints = checkpoints
        self._tips = tips
        self._telemetry = telemetry
        self._pace = pace
        self._breaker = breaker
        self._status = status
        self._gate = None if reloads is None else Gate(reloads, clock)
        self.owned: dict[Partition, Owned] = {}
        self._at_end_s: dict[Partition, float] = {}
        self._idle: set[Partition] = set()
        self._flag_log = FlagLog()
        self._began_s = 0.0
        self._looked_s = 0.0
        self._stopping = False

    def stop(self) -> None:
        """Asks the loop to end after this commit; safe in a signal handler."""
        self._stopping = True

    def run(self) -> bool:
        """Turns until `stop`, then leaves the group.

        Returns:
            Whether everything read was committed.

        Raises:
            Stop: what was wrong cannot be waited out.
        """
        is_whole = True
        try:
            while not self._stopping:
                is_whole = self.turn()
            if is_whole:
                self._save_all()
            self._status.state, self._status.detail = "stopping", "asked to stop"
            if is_whole:
                log.info("stopped: everything read is committed")
            else:
                log.warning("stopped: the last commit did not come about; it will be done again")
            return is_whole
        finally:
            self._source.close(CLOSE_S / 2)
            self._sink.close(CLOSE_S / 4)
            if self._checkpoints is not None:
                self._checkpoints.close()

    def turn(self) -> bool:
        """One poll and all that follows from it; False if asked to stop before it was committed."""
        clock = self._clock
        self._began_s = clock.steady_s()
        batches = self._source.poll(POLL_S)
        polled_s = clock.steady_s()
        # In this order: see `Source.membership`.
        membership = self._source.membership()
        self._follow(self._source.take_changes())
        if membership is None:
            self._drop(self.owned.keys(), "we are not in the group")
        tallies: list[Tally] = []
        outputs: list[Output] = []
        touched: list[Owned] = []
        for partition, records in batches.items():
            owned = self.owned.get(partition)
            if owned is None:
                continue  # not open yet: opening it goes back to where its state ends
            tally = Tally()
            owned.process(records, tally, outputs, clock)
            if tally.records or tally.replayed:  # a canary alone leaves a partition idle
                self._at_end_s.pop(partition, None)
                self._idle.discard(partition)
            tallies.append(tally)
            if not owned.is_replaying:
                touched.append(owned)
        if tallies:
            self._telemetry.stage("poll", polled_s - self._began_s)
            self._breaker.count(tallies)
        is_settled = self._source.is_settled()
        is_whole = True
        if self._gate is not None:
            self._gate.prepare(self.owned.values())
        if touched or is_settled:  # what can wait for the end of a rebalance does
            is_whole = self._commit(tallies, outputs, touched, membership)
        if self._gate is not None and is_whole:
            self._gate.pass_on(self.owned.values())
        if membership is not None and is_settled:
            self._open_missing()
        if not batches:
            for owned in self.owned.values():
                owned.follow()
        self._look()
        if is_settled and not self._source.is_behind():
            self._rest()
        return is_whole

    def _commit(
        self, tallies: list[Tally], outputs: list[Output], touched: list[Owned],
        membership: Membership | None,
    ) -> bool:  # fmt: skip
        """Commits one turn's work; False if asked to stop before it came about."""
        clock = self._clock
        saves: list[Output] = []
        offsets = {owned.lane.partition: owned.lane.next_offset for owned in touched}
        started_s = clock.steady_s()
        for partition, owned in self.owned.items():
            if owned.is_replaying:
                continue
            own = self._promise(owned)
            saved = self._save(owned)
            if own or saved:
                offsets[partition] = owned.lane.next_offset
                outputs += own
                saves += saved
        if not offsets:
            self._tell(tallies)
            return True
        saved_s = clock.steady_s()
        if saves:
            self._telemetry.stage("save", saved_s - started_s)
        try:
            self._sink.submit(outputs, saves, offsets, membership)
            give_up_s = float("inf")
            while not self._sink.wait(WAIT_S):
                self._block()
                now_s = clock.steady_s()
                if self._stopping:  # what is under way is given some seconds to come about
                    give_up_s = min(give_up_s, now_s + CLOSE_S / 2)
                if now_s >= give_up_s:
                    return False
        except Aborted as error:
            log.warning("commit aborted, starting again from the last one: %s", error)
            self._telemetry.aborted()
            self._drop(offsets, "its last commit was aborted")
            return True
        self._unblock()
        self._telemetry.stage("commit", clock.steady_s() - saved_s)
        self._telemetry.committed(clock.now_ms())
        self._tell(tallies)
        return True

    def _promise(self, owned: Owned) -> list[Output]:
        """What a partition of the platform's topic tells the internal one."""
        lane = owned.lane
        if lane.partition.topic != self._tips:
            return []
        # Ours exists, also while the client does not know how many there are.
        sources = max(self._source.partition_count(self._tips), lane.partition.partition + 1)
        return lane.promise(sources, lane.partition in self._idle, self._clock.steady_s())

    def _save(self, owned: Owned) -> list[Output]:
        checkpointer = owned.checkpointer
        if checkpointer is None or self._checkpoints is None:
            return []
        partition, store = owned.lane.partition, self._checkpoints
        saves: list[Output] = []
        try:
            saves = checkpointer.step(
                owned.lane.next_offset, self._clock.steady_s(), self._clock.now_ms(),
                lambda: store.end(partition),
            )  # fmt: skip
        except Retry as error:
            log.warning("%s: state not saved yet: %s", partition, error)
        return saves + checkpointer.write_marks()

    def _save_all(self) -> None:
        """Saves what is not saved yet, so that the next start has nothing to replay."""
        membership, until_s = self._source.membership(), self._clock.steady_s() + CLOSE_S / 2
        while membership is not None and self._clock.steady_s() < until_s:
            saves: list[Output] = []
            offsets: dict[Partition, int] = {}
            for partition, owned in self.owned.items():
                if owned.checkpointer is not None and not owned.is_replaying:
                    owned.checkpointer.hurry()
                    if saved := self._save(owned):
                        saves += saved
                        offsets[partition] = owned.lane.next_offset
            if not offsets:
                return
            try:
                self._sink.submit([], saves, offsets, membership)
                while not self._sink.wait(WAIT_S):
                    if self._clock.steady_s() >= until_s:
                        return
            except Aborted:
                return

    def _tell(self, tallies: list[Tally]) -> None:
        for tally in tallies:
            self._telemetry.batch(tally)
            self._flag_log.write(tally.high, self._clock.steady_s())

    def _follow(self, changes: Changes) -> None:
        """Acts on a rebalance. Nothing is under way, so there is nothing to write."""
        if changes:
            self._telemetry.rebalanced(changes)
            self._drop(changes.revoked | changes.lost, "it is no longer ours")

    def _drop(self, partitions: object, why: str) -> None:
        for partition in list(partitions):  # type: ignore[call-overload]
            self._at_end_s.pop(partition, None)
            self._idle.discard(partition)
            if self.owned.pop(partition, None) is not None:
                log.info("%s: its state is dropped: %s", partition, why)

    def _open_missing(self) -> None:
        """Opens what is ours and not open: newly assigned, or dropped after an aborted commit.

        The next poll must not wait for all of them: whoever does not poll leaves the group, and
        would have to load everything again.
        """
        until_s = self._clock.steady_s() + OPEN_S
        for partition in sorted(self._source.assignment() - self.owned.keys()):
            if self._stopping or self._clock.steady_s() >= until_s:
                return
            self._status.state, self._status.detail = "restoring", f"loading {partition}"
            started_s = self._status.turned_s = self._clock.steady_s()
            try:
                owned = self._opener.open(partition, self._load_on)
            except Retry as error:
                if self._stopping:
                    return
                log.warning("%s cannot be opened yet, trying again: %s", partition, error)
                return
            except StateError as error:
                raise Stop(f"{partition}: {error}") from error
            self.owned[partition] = owned
            self._telemetry.opened(owned, self._clock.steady_s() - started_s)

    def _load_on(self) -> None:
        """Between two chunks of a state that is being loaded: alive, and not asked to stop."""
        self._status.turned_s = self._clock.steady_s()
        if self._stopping:
            raise Retry("asked to stop")

    def _block(self) -> None:
        status = self._status
        if status.state != "blocked":
            log.warning("blocked: a commit is not acknowledged; nothing is read until it is")
        status.state, status.detail = "blocked", "a commit is not acknowledged"
        status.lag_records = status.lag_s = None
        status.turned_s = self._clock.steady_s()

    def _unblock(self) -> None:
        if self._status.state == "blocked":
            log.info("commits are acknowledged again; reading goes on")
            self._status.state, self._status.detail = "running", ""

    def _rest(self) -> None:
        """Waits out the commit interval: commits cost more than the few records they would hold."""
        until_s = self._began_s + self._pace.commit_interval_s
        rest_s = until_s - self._clock.steady_s()
        if rest_s > 0 and not self._stopping:
            self._clock.sleep(rest_s)

    def _look(self) -> None:
        """Every few seconds: how far behind, and is anybody there."""
        now_s = self._clock.steady_s()
        status = self._status
        status.turned_s = now_s
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        status.partitions = len(self.owned)
        try:
            self._measure_lag(status, now_s)
        except Retry as error:
            status.lag_records = status.lag_s = None
            if status.state != "unreachable":
                log.warning("no broker answers: %s", error)
            status.state, status.detail = "unreachable", str(error)
        else:
            if status.state == "unreachable":
                log.info("a broker answers again")
            replaying = sum(owned.is_replaying for owned in self.owned.values())
            is_waiting = bool(self._source.assignment() - self.owned.keys())
            if replaying or is_waiting:
                status.state, status.detail = "restoring", f"{replaying} partitions replay"
            else:
                status.state, status.detail = "running", ""
        self._telemetry.state(list(self.owned.values()), status, now_s)
        self._looked_s = self._clock.steady_s()

    def _measure_lag(self, status: Status, now_s: float) -> None:
        ends = self._source.ends()
        lag_records = 0
        ages_s: list[float] = []
        now_ms = self._clock.now_ms()
        for partition, owned in self.owned.items():
            position = self._source.position(partition)
            owned.reached(position)
            behind = max(0, ends.get(partition, position) - position)
            lag_records += behind
            newest_ms = owned.lane.newest_ms
            if behind and newest_ms:
                ages_s.append(max(0.0, (now_ms - newest_ms) / 1000))
            if behind:
                self._at_end_s.pop(partition, None)
                self._idle.discard(partition)
            elif now_s - self._at_end_s.setdefault(partition, now_s) >= self._pace.idle_after_s:
                self._idle.add(partition)
        status.lag_records = lag_records
        # Of a partition that nothing was read from yet nobody knows how old what waits is.
        status.lag_s = max(ages_s) if ages_s else None if lag_records else 0.0
