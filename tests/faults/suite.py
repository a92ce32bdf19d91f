"""Runs scenarios, each against its reference, and says in one line how each went."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.fleet import Failed
from tests.faults.outcome import Difference, Outcome, compare
from tests.faults.run import Run, reference
from tests.faults.scenarios import Scenario
from tests.faults.stream import Stream, make_stream

SMALL_DISK_MB = 128
# Kafka allocates the indexes of each partition in full.
SMALL_FILES = {"log.index.size.max.bytes": "65536", "log.segment.bytes": str(16 * 1024 * 1024)}


NONE = Difference()


@dataclass(frozen=True)
class Report:
    """How a scenario went; prints as one line."""

    scenario: Scenario
    stream: Stream
    applied: int = 0
    exits: int = 0
    outcome: Outcome | None = None
    difference: Difference = NONE
    problem: str = ""
    took_s: float = 0.0

    @property
    def is_fine(self) -> bool:
        d = self.difference
        doubled = 0 if self.scenario.may_double else d.doubled
        return not self.problem and (d.lost, doubled, d.different) == (0, 0, 0)

    def __str__(self) -> str:
        line = f"{self.scenario.name}: {self.applied} times, {len(self.stream.records):,} records"
        if self.outcome is not None:
            line += (
                f", {self.outcome.count('flag'):,} flags, "
                f"{self.outcome.count('dead letter'):,} dead letters: {self.difference}"
            )
        if self.exits:
            line += f"; {self.exits} ended by themselves"
        line += f" ({self.took_s:.0f} s)"
        return line + (f"\n  FAILED: {self.problem}" if self.problem else "")


class Suite:
    """Runs scenarios one at a time on one cluster; references are run once for each setup.

    Args:
        cluster: running.
        folder: where logs go.
        events: simulated ones a stream.
        seed: of all random moments.
    """

    def __init__(self, cluster: Cluster, folder: Path, events: int, seed: int = 1) -> None:
        self._cluster = cluster
        self._folder = folder
        self._events = events
        self._seed = seed
        self._references: dict[str, Outcome] = {}
        self._streams: dict[tuple[int, int], Stream] = {}

    def run(self, scenario: Scenario, times: int) -> Report:
        """Runs one scenario; never raises for what the detector does wrong."""
        started_s = time.monotonic()
        stream = self._stream(self._events * scenario.longer, scenario.oversized)
        report = Report(scenario, stream)
        try:
            report = self._run(scenario, times, stream)
        except Failed as error:
            report = Report(scenario, stream, problem=str(error))
        return replace(report, took_s=time.monotonic() - started_s)

    def _run(self, scenario: Scenario, times: int, stream: Stream) -> Report:
        expected = self._reference(scenario, stream) if scenario.is_compared else None
        with (
            self._cluster_for(scenario) as cluster,
            Run(cluster, self._folder, stream, scenario.setup, self._seed) as run,
        ):
            try:
                run.start()
                scenario.fault(run, times)
                found = None if expected is None else run.finish()
            except Failed as error:
                return Report(scenario, stream, run.applied, run.fleet.exits, problem=str(error))
            finally:
                cluster.proxy.heal()
            applied, exits = run.applied, run.fleet.exits
        if found is None or expected is None:
            return Report(scenario, stream, applied, exits)
        difference = compare(found.written, expected.written)
        problem = ""
        if found.next_offsets != expected.next_offsets:
            problem = f"committed {dict(found.next_offsets)} instead of {expected.next_offsets}"
        return Report(scenario, stream, applied, exits, found, difference, problem)

    def _reference(self, scenario: Scenario, stream: Stream) -> Outcome:
        setup = replace(scenario.usual or scenario.setup, instances=1)
        name = f"{setup} {scenario.oversized} {scenario.longer}"
        if name not in self._references:
            found = reference(self._cluster, self._folder, stream, setup)
            if scenario.check and (wrong := scenario.check(stream, found)):
                raise Failed(f"the reference: {wrong}")
            self._references[name] = found
        return self._references[name]

    @contextmanager
    def _cluster_for(self, scenario: Scenario) -> Iterator[Cluster]:
        if not scenario.has_small_disk:
            yield self._cluster
            return
        with small_disk() as folder, Cluster(folder, SMALL_FILES) as cluster:
            yield cluster

    def _stream(self, events: int, oversized: int) -> Stream:
        if (events, oversized) not in self._streams:
            self._streams[events, oversized] = make_stream(events, oversized=oversized)
        return self._streams[events, oversized]


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of `SMALL_DISK_MB`, gone afterwards.

    Raises:
        OSError: this machine does not let us mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs"]
    try:
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr.strip())
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def why_no_small_disk() -> str:
    """Why a small disk cannot be had; empty where it can."""
    try:
        with small_disk():
            return ""
    except OSError as error:
        return str(error)
