"""The tipper view: what one payer does, and what is usual for him and for the site.

Runs on events keyed by tipper, apart from the streamer view, so that each can live on the topic
that is keyed for it. It knows tippers, the site's habits and the detectors; it does not know time
zones, repeated events or what a decision is written as.
"""

from __future__ import annotations

from collections.abc import Callable

from detector.core.detectors import Detector
from detector.core.detectors.binge import Binge
from detector.core.detectors.cap import Cap
from detector.core.detectors.minor import Minor
from detector.core.detectors.outsized import Outsized
from detector.core.event import Event
from detector.core.features import Features, Moment, compute
from detector.core.fusion import Flag, Fusion
from detector.core.generations import Generations
from detector.core.memory import advance, learn
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.population import Population
from detector.core.tipper import PACKED_NEW_TIPPER, TipperStats, pack, remember, unpack


class TipperView:
    """State and detectors by tipper.

    Args:
        policy: the pack in force.
        currencies: amounts are compared in minor units of the base currency.
        fusion: makes flags of findings.
        max_entries, idle_ms: how many tippers are remembered, and how long without an event.
        corrected: (kind, a detector's score) → the score, as verdicts have moved it.

    Attributes:
        features: of the tip observed last; None if the event observed last was none.
        tippers: tipper id → packed `TipperStats`.
        populations: currency → what is typical over its tips.
    """

    def __init__(
        self,
        policy: Policy,
        currencies: Currencies,
        fusion: Fusion,
        max_entries: int,
        idle_ms: int,
        corrected: Callable[[str, float], float],
    ) -> None:
        unit, scale = currencies.base, 10**currencies.base_decimals
        self._fusion = fusion
        self._corrected = corrected
        self.features: Features | None = None
        self._detectors: tuple[tuple[str, float, Detector], ...] = tuple(
            (detector.kind, fusion.floor.get(detector.kind, 0.5), detector)
            for detector in (
                Minor(policy, unit, scale),
                Outsized(unit, scale),
                Binge(unit, scale),
                Cap(policy, unit, scale),
            )
        )
        self.tippers: Generations[bytes] = Generations(max_entries, idle_ms)
        self.populations: dict[str, Population] = {}

    types = frozenset(("tip", "recharge", "refund"))
    """Events that it reads."""

    def observe(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        """Scores an event, then learns from it.

        Args:
            event: of one of `types`.
            moment: its local time.
            now_ms: the watermark, epoch ms; what is idle is measured from it.

        Returns:
            Scores above 0 by kind, and the flags it led to.
        """
        self.features = None
        if event.type == "tip":
            return self._score_tip(event, moment, now_ms)
        if event.type == "recharge":
            self._remember_recharge(event, now_ms)
        return {}, []

    def _score_tip(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        tipper_id, population = event.tipper_id or "", self._population_of(event)
        before = self._tipper(tipper_id)
        features = compute(event, moment, before, population)  # this tip is not in its own baseline
        self.features = features
        scores: dict[str, float] = {}
        flags: list[Flag] = []
        for kind, floor, detector in self._detectors:
            score = detector.score(features)
            if score > 0.0:
                scores[kind] = score = self._corrected(kind, score)
                if score >= floor:
                    flag = self._fusion.flag(
                        kind, score, detector.explain(features), event, ("tipper", tipper_id),
                        moment.day, features,
                    )  # fmt: skip
                    if flag is not None:
                        flags.append(flag)
        self.tippers.put(tipper_id, pack(advance(features)), now_ms)
        learn(population, features)
        return scores, flags

    def _remember_recharge(self, event: Event, now_ms: int) -> None:
        """A recharge shows the tipper's devices and instruments before they pay for a tip."""
        tipper_id, at_ms = event.tipper_id or "", event.event_time_ms
        tipper = self._tipper(tipper_id)
        tipper.devices = remember(tipper.devices, event.device_id, at_ms)
        tipper.instruments = remember(tipper.instruments, event.instrument_id, at_ms)
        self.tippers.put(tipper_id, pack(tipper), now_ms)

    def _tipper(self, tipper_id: str) -> TipperStats:
        return unpack(self.tippers.get(tipper_id) or PACKED_NEW_TIPPER)

    def _population_of(self, event: Event) -> Population:
        currency = event.currency or ""
        population = self.populations.get(currency)
        if population is None:
            population = self.populations[currency] = Population()
        return population
