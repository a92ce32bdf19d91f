"""The console's own metrics: what waits for reviewers, and how they decide.

Knows the registry of the console's process. What the detector measures is in `edges.metrics`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from detector.core.reasons import KINDS, SEVERITIES
from detector.core.verdict import Judgement
from detector.edges.metrics import Spec, make_metric

_DECISION_SECONDS = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 86_400.0, 3 * 86_400.0, 7 * 86_400.0)

CONSOLE_METRICS: tuple[Spec, ...] = (
    Spec("console_open_cases", "gauge",
         "Cases that wait for a reviewer: open, not snoozed, of no trial. A rise: more come than "
         "are decided.", (("kind", KINDS), ("severity", SEVERITIES))),
    Spec("console_oldest_open_case_seconds", "gauge",
         "Time since the first flag of the oldest case that waits; 0 without one.",
         (("kind", KINDS),)),
    Spec("console_decisions_total", "counter",
         "Verdicts given here; unclear ones among them that took another back.",
         (("verdict", get_args(Judgement)),)),
    Spec("console_decision_seconds", "histogram",
         "Time from a case's first flag until a verdict given here. A shift to the right: cases "
         "wait longer.", (), _DECISION_SECONDS),
    Spec("console_lag_records", "gauge",
         "Records of the topics that are not in the database yet; NaN while unknown. A rise: what "
         "reviewers see is old."),
    Spec("console_rebuilds_total", "counter",
         "Times that a topic, or all of them, had to be read from the start."),
    Spec("console_refused_logins_total", "counter",
         "Requests with a wrong password or token. A rise: somebody guesses."),
)  # fmt: skip
"""Every metric of the console's process."""


class ConsoleMetrics:
    """The registry, and what is counted."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._by_name = {spec.name: make_metric(spec, self._registry) for spec in CONSOLE_METRICS}

    def rebuilt(self) -> None:
        """A topic is read from its start, though it was read before."""
        self._by_name["console_rebuilds_total"].inc()

    def decided(self, judgement: str, waited_s: float) -> None:
        """A reviewer gave a verdict, so long after the case's first flag."""
        self._by_name["console_decisions_total"].labels(judgement).inc()
        self._by_name["console_decision_seconds"].observe(max(0.0, waited_s))

    def refused_login(self) -> None:
        """Somebody came with a wrong password or token."""
        self._by_name["console_refused_logins_total"].inc()

    def exposition(
        self, open_cases: Mapping[tuple[str, int], tuple[int, int]], lag_records: int | None
    ) -> bytes:
        """The text that Prometheus scrapes.

        Args:
            open_cases: (kind, rank) → (how many, arrival of the oldest in epoch ms).
            lag_records: None while unknown.
        """
        now_ms = time.time() * 1000
        oldest: dict[str, int] = {}
        for (kind, _), (_, arrived_ms) in open_cases.items():
            oldest[kind] = min(oldest.get(kind, arrived_ms), arrived_ms)
        for kind, (rank, severity) in product(KINDS, enumerate(SEVERITIES)):
            count, _ = open_cases.get((kind, rank), (0, 0))
            self._by_name["console_open_cases"].labels(kind, severity).set(count)
        for kind in KINDS:
            age_s = max(0.0, (now_ms - oldest[kind]) / 1000) if kind in oldest else 0.0
            self._by_name["console_oldest_open_case_seconds"].labels(kind).set(age_s)
        lag = float("nan") if lag_records is None else lag_records
        self._by_name["console_lag_records"].set(lag)
        return generate_latest(self._registry)
