"""The sidecar: Kafka in, flags out, /metrics beside it, until it is asked to stop."""

from __future__ import annotations

import gc
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from prometheus_client import ProcessCollector

from detector.assembly import Assembly
from detector.edges.alert_sender import make_alert_sender
from detector.edges.canary import Canary
from detector.edges.http import HttpServer, Probe
from detector.edges.kafka import connect
from detector.edges.kafka_checkpoints import KafkaCheckpoints
from detector.edges.kafka_sink import AtLeastOnceSink, ExactlyOnceSink
from detector.edges.kafka_source import KafkaSource
from detector.edges.kafka_verdicts import KafkaVerdicts
from detector.edges.metrics import Metrics
from detector.edges.topics import ensure_own_topics
from detector.reloading import Reloader
from detector.runtime.breaker import Breaker
from detector.runtime.checkpoint import SaveEvery
from detector.runtime.owned import Opener
from detector.runtime.ports import Sink
from detector.runtime.status import Pace, Status
from detector.runtime.worker import Worker

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


class Companion(Protocol):
    """A thread beside the loop, which neither waits for it nor is needed by it."""

    def start(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Service:
    """One running detector.

    Attributes:
        assembly: what it is made of at the start.
        config: the operator's file it comes from; None for the defaults alone.
        status: how it is doing.
        url: where /metrics is; empty before `run`.
    """

    assembly: Assembly
    config: Path | None = None
    status: Status = field(default_factory=Status)
    url: str = ""
    _worker: Worker | None = None
    _verdicts: KafkaVerdicts | None = None
    _reloader: Reloader | None = None
    _is_reload_asked: bool = False
    _stopping: bool = False

    def stop(self) -> None:
        """Asks `run` to end; safe in a signal handler and from another thread."""
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()

    def reload(self) -> None:
        """Asks for the configuration to be read again; safe in a signal handler."""
        self._is_reload_asked = True  # before there is a reloader to ask
        if self._reloader is not None:
            self._reloader.ask()

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
        ProcessCollector(registry=metrics.registry)
        probe = Probe(self.status, settings.ready.max_lag_s, settings.ready.stalled_after_s)
        http = HttpServer(settings.http, metrics, probe)
        self.url = http.url
        log.info("metrics at %s/metrics", http.url)
        self._reloader = reloader = Reloader(self.assembly, self.config, metrics, self.status)
        if self._is_reload_asked:
            reloader.ask()
        companions = self._make_companions(metrics)
        try:
            for each in companions:
                each.start()
            worker = self.make_worker(metrics)
            if worker is None:
                return True
            _spare_the_collector()
            self._worker = worker
            if self._stopping:
                worker.stop()
            return worker.run()
        finally:
            for each in companions:
                each.close()
            reloader.close()
            http.close()
            if self._verdicts is not None:
                self._verdicts.close()

    def _make_companions(self, metrics: Metrics) -> list[Companion]:
        """What runs beside the loop, as far as it is switched on."""
        settings = self.assembly.settings
        companions: list[Companion] = []
        if settings.alertmanager.urls:
            companions.append(make_alert_sender(settings, metrics))
        if settings.canary.interval_s:
            companions.append(
                Canary(settings.kafka, settings.topics.tips, settings.canary, metrics)
            )
        return companions

    def make_worker(self, metrics: Metrics) -> Worker | None:
        """The loop and its clients; None if asked to stop before a broker answered."""
        settings = self.assembly.settings
        widths = self._ensure_topics()
        partitions = widths.get(settings.rekeyed_topic, 0)
        source = self._connect(lambda: KafkaSource(
            settings.kafka, widths, settings.commit.records, internal=(settings.rekeyed_topic,)
        ))  # fmt: skip
        if source is None:
            return None
        sink = self._connect(lambda: self._make_sink(source))
        store = settings.checkpoint.enabled and sink is not None
        checkpoints = (
            self._connect(lambda: KafkaCheckpoints(settings.kafka, settings.checkpoints_topic))
            if store else None
        )  # fmt: skip
        verdicts = self._connect(lambda: KafkaVerdicts(settings.kafka, settings.topics.verdicts))
        if sink is None or (store and checkpoints is None) or verdicts is None:
            source.close(2)
            return None
        self._verdicts = verdicts
        clock = WallClock()
        opener = Opener(
            source, checkpoints,
            lambda partition: self._in_force.make_lane(partition, partitions),
            settings.checkpoints_topic,
            SaveEvery(settings.checkpoint.interval_s, settings.checkpoint.records), clock,
            lambda lane: self._in_force.make_learner(lane, verdicts),
        )  # fmt: skip
        return Worker(
            source, sink, clock, opener, checkpoints, settings.topics.tips, metrics,
            Pace(settings.commit.interval_ms / 1000, settings.merge.idle_after_s),
            Breaker(settings.breaker.max_share, settings.breaker.records), self.status,
            self._reloader,
        )  # fmt: skip

    @property
    def _in_force(self) -> Assembly:
        return self.assembly if self._reloader is None else self._reloader.in_force

    def _ensure_topics(self) -> dict[str, int]:
        """Partitions by topic; waits until there is a tips topic. Empty: asked to stop."""
        while not self._stopping:
            widths = self._connect(lambda: ensure_own_topics(self.assembly.settings))
            if widths:
                return widths
            self._wait(f"there is no topic {self.assembly.settings.topics.tips} yet")
            time.sleep(1)
        return {}

    def _make_sink(self, source: KafkaSource) -> Sink:
        settings = self.assembly.settings
        if settings.delivery == "at_least_once":
            return AtLeastOnceSink(settings.kafka, source)
        instance_id = settings.kafka.instance_id or uuid.uuid4().hex
        return ExactlyOnceSink(settings.kafka, f"{settings.kafka.group_id}-{instance_id}")

    def _wait(self, why: str) -> None:
        self.status.state, self.status.detail = "unreachable", why
        self.status.turned_s = time.monotonic()
        log.warning("%s", why)

    def _connect(self, make: Callable[[], T]) -> T | None:
        longest_pause_s = self.assembly.settings.kafka.retry_backoff_max_ms / 1000
        return connect(make, longest_pause_s, lambda: self._stopping, self._wait)


def _spare_the_collector() -> None:
    """What was made at start lives as long as the process: full collections need not look at it.

    Tippers are plain bytes, which the collector does not track, so its pauses do not grow with
    them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
