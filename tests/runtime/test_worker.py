"""The loop with ports in memory: what is written before what is committed, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import pytest

from detector.assembly import Assembly
from detector.edges.metrics import Metrics
from detector.runtime.ports import Changes, Output, Partition, Record, Retry
from detector.runtime.worker import CommitEvery, Status, Worker

ZERO = Partition("tips", 0)


@dataclass
class FakeRecord:
    offset: int
    value: bytes | None
    timestamp: int = 1_800_000_000_000
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class FakeSource:
    batches: list[Mapping[Partition, Sequence[Record]]]
    changes: list[Changes] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    fail_commits: int = 0
    committed: dict[Partition, int] = field(default_factory=dict)
    is_paused: bool = False
    end_offsets: dict[Partition, int] = field(default_factory=dict)

    def poll(self, timeout_s: float) -> Mapping[Partition, Sequence[Record]]:
        return {} if self.is_paused or not self.batches else self.batches.pop(0)

    def take_changes(self) -> Changes:
        return self.changes.pop(0) if self.changes else Changes()

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        if self.fail_commits:
            self.fail_commits -= 1
            raise Retry("rebalancing")
        self.journal.append("commit")
        self.committed.update(next_offsets)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def position(self, partition: Partition) -> int:
        return 0

    def ends(self) -> Mapping[Partition, int]:
        return dict(self.end_offsets)

    def close(self, timeout_s: float) -> None:
        self.journal.append("close")


@dataclass
class FakeSink:
    journal: list[str]
    refuse: int = 0
    sent: list[Output] = field(default_factory=list)

    def send(self, outputs: Sequence[Output]) -> None:
        self.sent.extend(outputs)

    def flush(self, timeout_s: float) -> bool:
        if self.refuse:
            self.refuse -= 1
            return False
        self.journal.append("flush")
        return True

    def close(self, timeout_s: float) -> None: ...


@dataclass
class FakeClock:
    s: float = 100.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def steady_s(self) -> float:
        self.s += 0.3
        return self.s

    def sleep(self, seconds: float) -> None:
        self.s += seconds


def minor_tip(number: int) -> FakeRecord:
    record = {
        "event_id": f"e{number}", "event_time": 1_772_380_802_272 + number, "tipper_id": "t",
        "streamer_id": "s", "amount": "1", "currency": "CNY", "tipper_age": 12,
    }  # fmt: skip
    return FakeRecord(number, orjson.dumps(record))


def loop(
    source: FakeSource, sink: FakeSink, status: Status | None = None
) -> tuple[Worker, Metrics]:
    assembly = Assembly.load(None)
    metrics = Metrics(assembly.build())
    return (
        Worker(source, sink, FakeClock(), assembly.make_lane, metrics, CommitEvery(0.2, 5000),
               status or Status()),
        metrics,
    )  # fmt: skip


def test_flags_are_acknowledged_before_offsets_are_committed() -> None:
    source = FakeSource([{ZERO: [minor_tip(1), minor_tip(2)]}])
    sink = FakeSink(source.journal)
    worker, _ = loop(source, sink)
    worker.turn()
    assert source.journal == ["flush", "commit"]
    assert source.committed == {ZERO: 3}
    assert len(sink.sent) == 2


def test_while_outputs_are_not_acknowledged_nothing_more_is_read_or_committed() -> None:
    source = FakeSource([{ZERO: [minor_tip(1)]}, {ZERO: [minor_tip(2)]}])
    sink = FakeSink(source.journal, refuse=2)
    worker, _ = loop(source, sink)
    worker.turn()
    worker.turn()
    assert (source.is_paused, source.committed, len(sink.sent)) == (True, {}, 1)
    worker.turn()
    assert (source.is_paused, source.committed) == (False, {ZERO: 2})
    worker.turn()
    assert source.committed == {ZERO: 3}


def test_a_commit_that_fails_in_a_rebalance_is_tried_again() -> None:
    source = FakeSource([{ZERO: [minor_tip(1)]}], fail_commits=1)
    worker, _ = loop(source, FakeSink(source.journal))
    worker.turn()
    assert source.committed == {}
    worker.turn()
    assert source.committed == {ZERO: 2}


def test_what_a_revoked_partition_produced_is_committed_and_its_state_is_dropped() -> None:
    source = FakeSource(
        [{ZERO: [minor_tip(1)]}, {}, {ZERO: [minor_tip(1)]}],
        [Changes(assigned={ZERO}), Changes(revoked={ZERO}), Changes(assigned={ZERO})],
        fail_commits=1,
    )
    sink = FakeSink(source.journal)
    worker, _ = loop(source, sink)
    worker.turn()
    worker.turn()
    assert source.committed == {ZERO: 2}
    worker.turn()  # ours again: the same event is no duplicate to a fresh engine
    assert [orjson.loads(each.value or b"")["event_id"] for each in sink.sent] == ["e1", "e1"]


def test_nothing_is_committed_for_a_lost_partition() -> None:
    source = FakeSource(
        [{ZERO: [minor_tip(1)]}, {}], [Changes(assigned={ZERO}), Changes(lost={ZERO})],
        fail_commits=1,
    )  # fmt: skip
    worker, _ = loop(source, FakeSink(source.journal))
    worker.turn()
    worker.turn()
    worker.turn()
    assert source.committed == {}


def test_stop_commits_what_is_left_and_leaves_the_group() -> None:
    source = FakeSource([{ZERO: [minor_tip(1)]}], fail_commits=1)
    worker, _ = loop(source, FakeSink(source.journal))
    worker.turn()
    worker.stop()
    assert worker.run()
    assert source.journal[-2:] == ["commit", "close"]


def test_a_stop_that_cannot_write_says_so_within_bounds() -> None:
    source = FakeSource([{ZERO: [minor_tip(1)]}])
    worker, _ = loop(source, FakeSink(source.journal, refuse=10_000))
    worker.turn()
    worker.stop()
    assert not worker.run()
    assert source.committed == {}


@pytest.mark.parametrize("value", [b"", b"{}", None])
def test_a_dead_letter_keeps_key_bytes_and_headers(value: bytes | None) -> None:
    record = FakeRecord(7, value, headers=[("trace", b"1")])
    source = FakeSource([{ZERO: [record]}])
    sink = FakeSink(source.journal)
    worker, _ = loop(source, sink)
    worker.turn()
    (letter,) = sink.sent
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["trace"]) == (b"k", value, b"1")
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"tips", b"0", b"7")
    assert headers["reason"] and headers["version"] and headers["policy"].startswith(b"cn@")


def test_the_lag_is_unknown_until_something_was_scored_and_its_age_after_that() -> None:
    source = FakeSource(
        [{}, {ZERO: [minor_tip(1)]}], [Changes(assigned={ZERO})], end_offsets={ZERO: 10}
    )
    status = Status()
    worker, _ = loop(source, FakeSink(source.journal), status)
    worker.turn()
    assert (status.lag_records, status.lag_s) == (10, None)
    for _ in range(8):
        worker.turn()
    assert status.lag_records == 10
    assert status.lag_s is not None
