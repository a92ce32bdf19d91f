"""The sidecar: Kafka in, flags out, /metrics beside it, until it is asked to stop."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from detector.assembly import Assembly
from detector.edges.http import HttpServer, Probe
from detector.edges.kafka import KafkaSink, KafkaSource, connect
from detector.edges.metrics import Metrics
from detector.runtime.worker import CommitEvery, Status, Worker

T = TypeVar("T")
log = logging.getLogger(__name__)


class WallClock:
    """The real clock. See `ports.Clock`."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(slots=True)
class Service:
    """One running detector.

    Attributes:
        assembly: what it is made of.
        status: how it is doing.
        url: where /metrics is; empty before `run`.
    """

    assembly: Assembly
    status: Status = field(default_factory=Status)
    url: str = ""
    _worker: Worker | None = None
    _stopping: bool = False

    def stop(self) -> None:
        """Asks `run` to end; safe in a signal handler and from another thread."""
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()

    def run(self) -> bool:
        """Runs until `stop`.

        Returns:
            Whether everything read was written and committed.

        Raises:
            OSError: the HTTP port is taken.
            Stop: Kafka refuses.
        """
        settings = self.assembly.settings
        metrics = Metrics(self.assembly.build())
        probe = Probe(self.status, settings.ready.max_lag_s, settings.ready.stalled_after_s)
        http = HttpServer(settings.http.host, settings.http.port, metrics, probe)
        self.url = http.url
        log.info("metrics at %s/metrics", http.url)
        try:
            source = self._connect(lambda: KafkaSource(settings.kafka, settings.topics.tips))
            if source is None:
                return True
            sink = self._connect(lambda: KafkaSink(settings.kafka))
            if sink is None:
                source.close(2)
                return True
            _spare_the_collector()
            self._worker = Worker(
                source, sink, WallClock(), self.assembly.make_lane, metrics,
                CommitEvery(settings.commit.interval_ms / 1000, settings.commit.records),
                self.status,
            )  # fmt: skip
            if self._stopping:
                self._worker.stop()
            return self._worker.run()
        finally:
            http.close()

    def _connect(self, make: Callable[[], T]) -> T | None:
        def wait(why: str) -> None:
            self.status.state, self.status.detail = "unreachable", why
            self.status.turned_s = time.monotonic()
            log.warning("%s", why)

        longest_pause_s = self.assembly.settings.kafka.retry_backoff_max_ms / 1000
        return connect(make, longest_pause_s, lambda: self._stopping, wait)


def _spare_the_collector() -> None:
    """What was made at start lives as long as the process: full collections need not look at it.

    Tippers are plain bytes, which the collector does not track, so its pauses do not grow with
    them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
