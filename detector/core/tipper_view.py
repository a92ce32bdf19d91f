"""The tipper view: what one payer does, and what is usual for him and for the site.

Runs on events keyed by tipper, apart from the streamer view, so that each can live on the topic
that is keyed for it. It knows tippers, the site's habits and the detectors; it does not know time
zones, repeated events or what a decision is written as.
"""

from __future__ import annotations

from collections.abc import Callable

from detector.core.claimants import Claimants
from detector.core.detectors import Detector
from detector.core.detectors.binge import Binge
from detector.core.detectors.cap import Cap
from detector.core.detectors.minor import Minor
from detector.core.detectors.outsized import Outsized
from detector.core.detectors.refund_abuse import Claim, RefundAbuse
from detector.core.event import Event
from detector.core.features import Features, Moment, compute
from detector.core.fusion import Flag, Fusion
from detector.core.generations import Generations
from detector.core.memory import advance, claim, forget_minor, learn, note_minor, recharge
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.population import Population
from detector.core.shadow import About, Shadow
from detector.core.tipper import (
    CONFIRMED_MINOR,
    DECLARED_MINOR,
    PACKED_NEW_TIPPER,
    TipperStats,
    pack,
    unpack,
)
from detector.core.trait_reader import TraitReader


class TipperView:
    """State and detectors by tipper.

    Args:
        policy: the pack in force.
        currencies: amounts are compared in minor units of the base currency.
        fusion: makes flags of findings.
        max_entries, idle_ms: how many tippers are remembered, and how long without an event.
        reader: sees what a tip is like.
        corrected: (kind, a detector's score) → the score, as verdicts have moved it.
        shadow: a candidate that judges as well; None without one.

    Attributes:
        features: of the tip observed last; None if the event observed last was none.
        tippers: tipper id → packed `TipperStats`.
        populations: currency → what is typical over its tips.
        claimants: who claimed refunds, and for which accounts.
    """

    def __init__(
        self,
        policy: Policy,
        currencies: Currencies,
        fusion: Fusion,
        max_entries: int,
        idle_ms: int,
        reader: TraitReader,
        corrected: Callable[[str, float], float],
        shadow: Shadow | None = None,
    ) -> None:
        self._corrected = corrected
        self.features: Features | None = None
        self.tippers: Generations[bytes] = Generations(max_entries, idle_ms)
        self._refund_abuse = RefundAbuse()
        self.claimants = Claimants(max(100, max_entries // 8), idle_ms)
        self.populations: dict[str, Population] = {}
        self.reconfigure(policy, currencies, fusion, reader, shadow)

    def reconfigure(
        self, policy: Policy, currencies: Currencies, fusion: Fusion, reader: TraitReader,
        shadow: Shadow | None,
    ) -> None:  # fmt: skip
        """Judges by these from now on, as `Args` of the class has them; what is known stays."""
        unit, scale = currencies.base, 10**currencies.base_decimals
        self._fusion = fusion
        self._reader = reader
        self._shadow = shadow
        self._detectors: tuple[tuple[str, float, Detector], ...] = tuple(
            (detector.kind, fusion.floor.get(detector.kind, 0.5), detector)
            for detector in (
                Minor(policy, unit, scale),
                Outsized(unit, scale),
                Binge(unit, scale),
                Cap(policy, unit, scale),
            )
        )

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
            self._remember_recharge(event, moment, now_ms)
        elif event.type == "refund":
            return self._score_claim(event, moment, now_ms)
        return {}, []

    def _score_tip(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        tipper_id, population = event.tipper_id or "", self._population_of(event)
        before = self._tipper(tipper_id)
        features = compute(event, moment, before, population)  # this tip is not in its own baseline
        self._reader.fill(features)
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
        if self._shadow is not None:
            about = About(event, ("tipper", tipper_id), moment.day, features)
            self._shadow.look_at_tip(scores, self._detectors, features, about)
        after = advance(features)
        if "minor" in scores:
            _remember_minor(after, scores["minor"], event.event_time_ms)
        self.tippers.put(tipper_id, pack(after), now_ms)
        learn(population, features)
        return scores, flags

    def confirm_minor(self, tipper_id: str, at_ms: int) -> None:
        """A reviewer has found that a minor tipped by this account, epoch ms."""
        tipper = self._tipper(tipper_id)
        note_minor(tipper, CONFIRMED_MINOR, at_ms)
        self.tippers.put(tipper_id, pack(tipper), at_ms)

    def doubt_minor(self, tipper_id: str, at_ms: int) -> None:
        """A reviewer's finding that a minor tipped by this account is taken back, epoch ms."""
        if tipper_id in self.tippers:
            tipper = self._tipper(tipper_id)
            forget_minor(tipper)
            self.tippers.put(tipper_id, pack(tipper), at_ms)

    def _score_claim(
        self, event: Event, moment: Moment, now_ms: int
    ) -> tuple[dict[str, float], list[Flag]]:
        tipper_id, tipper = event.tipper_id or "", self._tipper(event.tipper_id or "")
        accounts = 0
        if event.claimant_id is not None:
            accounts = self.claimants.add(event.claimant_id, tipper_id, now_ms)
        found = Claim(event, tipper, self._population_of(event).traits, accounts)
        detector, flags, shadow = self._refund_abuse, [], self._shadow
        kind, about = detector.kind, About(event, ("tipper", tipper_id), moment.day, {})
        score = self._corrected(kind, detector.score(found))
        if score >= self._fusion.floor.get(kind, 0.5):
            flag = self._fusion.flag(kind, score, detector.explain(found), *about)
            if flag is not None:
                flags.append(flag)
        if shadow is not None and score >= shadow.floor[kind]:
            shadow.share(kind, score, detector.explain(found), about)
        claim(tipper, event)
        self.tippers.put(tipper_id, pack(tipper), now_ms)
        return {kind: score}, flags

    def _remember_recharge(self, event: Event, moment: Moment, now_ms: int) -> None:
        tipper_id = event.tipper_id or ""
        tipper = self._tipper(tipper_id)
        recharge(tipper, event, moment)
        self.tippers.put(tipper_id, pack(tipper), now_ms)

    def _tipper(self, tipper_id: str) -> TipperStats:
        return unpack(self.tippers.get(tipper_id) or PACKED_NEW_TIPPER)

    def _population_of(self, event: Event) -> Population:
        currency = event.currency or ""
        population = self.populations.get(currency)
        if population is None:
            population = self.populations[currency] = Population()
        return population


def _remember_minor(tipper: TipperStats, score: float, at_ms: int) -> None:
    if score == 1.0:  # declared
        note_minor(tipper, DECLARED_MINOR, at_ms)
    elif score > tipper.child_peak:
        tipper.child_peak = score
