"""The engine of one partition: events in, decisions out, nothing else.

Its output is a pure function of its configuration and of the events, in order. It never asks the
time, never draws a random number, and shares nothing with the engine of another partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detector.core.calendar import LocalCalendar
from detector.core.cases import Cases
from detector.core.decode import Skipped
from detector.core.detectors import Detector
from detector.core.detectors.binge import Binge
from detector.core.detectors.cap import Cap
from detector.core.detectors.minor import Minor
from detector.core.detectors.outsized import Outsized
from detector.core.event import Event
from detector.core.features import Moment, compute
from detector.core.fusion import Flag, Fusion, Thresholds
from detector.core.generations import Generations
from detector.core.memory import advance, learn
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.population import Population
from detector.core.streamer import StreamerView
from detector.core.tipper import NEW_TIPPER, look_up, pack, remember, unpack

SCORED_KINDS = ("minor", "outsized", "binge", "gambling", "ring", "refund_abuse")
"""The kinds a decision has a score for, in the record's order."""

_CONFIRMED = {"minor": 0.95, "outsized": 0.6, "binge": 0.6}
"""Prior chance that a reviewer confirms a finding of score 1, until verdicts say better."""

DUPLICATE = Skipped("duplicate")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How an engine is set up; every field is in `config/detector.toml`.

    Attributes:
        zone: IANA time zone of calendar days, months and hours.
        allowed_lateness_ms: how far behind the watermark an event may be.
        duplicate_horizon_ms, duplicate_max_entries: how long, and how many, event ids are held.
        tipper_idle_ms, tipper_max_entries: the same for tippers.
        streamer_idle_ms, streamer_max_entries: the same for streamers.
        case_cool_down_ms: event time without a finding that closes a case.
        thresholds: kind → scores from which a finding is low, medium, high.
    """

    zone: str
    allowed_lateness_ms: int
    duplicate_horizon_ms: int
    duplicate_max_entries: int
    tipper_idle_ms: int
    tipper_max_entries: int
    streamer_idle_ms: int
    streamer_max_entries: int
    case_cool_down_ms: int
    thresholds: dict[str, Thresholds]


class Decision:
    """What the engine thinks of one event.

    Attributes:
        event: the event.
        scores: kind → score, 0..1; kinds that are 0 may be absent.
        flags: flags it led to, mostly none.
        is_late: it came behind the watermark by more than the allowed lateness.
    """

    __slots__ = ("event", "flags", "is_late", "scores")

    def __init__(self, event: Event, scores: dict[str, float], is_late: bool) -> None:
        self.event = event
        self.scores = scores
        self.is_late = is_late
        self.flags: list[Flag] = []

    def to_record(self) -> dict[str, Any]:
        """The decision as the contract has it."""
        scores = {kind: round(self.scores.get(kind, 0.0), 6) for kind in SCORED_KINDS}
        scores["any"] = round(overall(self.scores), 6)
        return {
            "event_id": self.event.event_id,
            "scores": scores,
            "flags": [flag.record for flag in self.flags],
        }


def overall(scores: dict[str, float]) -> float:
    """The chance, 0..1, that a reviewer would confirm some kind.

    >>> round(overall({"outsized": 1.0, "binge": 0.5}), 3)
    0.72
    """
    none = 1.0
    for kind, score in scores.items():
        none *= 1.0 - _CONFIRMED.get(kind, 0.0) * score
    return 1.0 - none


class Engine:
    """Scores the events of one partition.

    Args:
        config: how it is set up.
        policy: the pack in force.
        currencies: the base currency and its rates.

    Attributes:
        watermark_ms: the newest event time seen.
    """

    def __init__(self, config: EngineConfig, policy: Policy, currencies: Currencies) -> None:
        unit, scale = currencies.base, 10**currencies.base_decimals
        self._lateness_ms = config.allowed_lateness_ms
        self._calendar = LocalCalendar(config.zone)
        self._seen: Generations[bool] = Generations(
            config.duplicate_max_entries, config.duplicate_horizon_ms
        )
        self._tippers: Generations[bytes] = Generations(
            config.tipper_max_entries, config.tipper_idle_ms
        )
        self._streamer_view = StreamerView(
            policy, config.streamer_max_entries, config.streamer_idle_ms
        )
        self._populations: dict[str, Population] = {}
        self._cases = Cases(config.case_cool_down_ms)
        self._fusion = Fusion(policy, config.thresholds, self._cases)
        self._detectors: tuple[tuple[str, float, Detector], ...] = tuple(
            (detector.kind, self._fusion.floor.get(detector.kind, 0.5), detector)
            for detector in (
                Minor(policy, unit, scale),
                Outsized(unit, scale),
                Binge(unit, scale),
                Cap(policy, unit, scale),
            )
        )
        self.watermark_ms = 0

    def process(self, event: Event) -> Decision | Skipped:
        """Scores one event and learns from it; a repeated event id is skipped."""
        now_ms = event.event_time_ms
        if event.event_id in self._seen:
            return DUPLICATE
        if now_ms > self.watermark_ms:
            self.watermark_ms = now_ms
        self._seen.put(event.event_id, True, self.watermark_ms)
        day, minute = self._calendar.day_and_minute(now_ms)
        is_late = now_ms < self.watermark_ms - self._lateness_ms
        moment = Moment(day, minute, self._calendar.month_of(day), is_late)
        if event.type == "tip":
            return self._score_tip(event, moment)
        decision = Decision(event, {}, is_late)
        if event.type == "recharge":
            self._remember_recharge(event)
        elif event.type == "room":
            self._observe_room(decision, moment)
        return decision

    def _score_tip(self, event: Event, moment: Moment) -> Decision:
        tipper_id, population = event.tipper_id or "", self._population_of(event)
        packed = self._tippers.get(tipper_id)
        before = NEW_TIPPER if packed is None else unpack(packed)
        features = compute(event, moment, before, population)  # this tip is not in its own baseline
        scores: dict[str, float] = {}
        decision = Decision(event, scores, moment.is_late)
        for kind, floor, detector in self._detectors:
            score = detector.score(features)
            if score > 0.0:
                scores[kind] = score
                if score >= floor:
                    flag = self._fusion.flag(
                        kind, score, detector.explain(features), event, ("tipper", tipper_id),
                        moment.day, features,
                    )  # fmt: skip
                    if flag is not None:
                        decision.flags.append(flag)
        self._tippers.put(tipper_id, pack(advance(features)), self.watermark_ms)
        learn(population, features)
        return decision

    def _population_of(self, event: Event) -> Population:
        currency = event.currency or ""
        population = self._populations.get(currency)
        if population is None:
            population = self._populations[currency] = Population()
        return population

    def _remember_recharge(self, event: Event) -> None:
        """A recharge shows the tipper's devices and instruments before they pay for a tip."""
        tipper_id = event.tipper_id or ""
        packed = self._tippers.get(tipper_id)
        before = NEW_TIPPER if packed is None else unpack(packed)
        after = before._replace(
            devices=remember(
                before.devices, look_up(before.devices, event.device_id), event.event_time_ms
            ),
            instruments=remember(
                before.instruments,
                look_up(before.instruments, event.instrument_id),
                event.event_time_ms,
            ),
        )
        self._tippers.put(tipper_id, pack(after), self.watermark_ms)

    def _observe_room(self, decision: Decision, moment: Moment) -> None:
        event = decision.event
        reasons = self._streamer_view.observe(event, moment)
        if reasons:
            subject = ("streamer", event.streamer_id or "")
            flag = self._fusion.flag(
                self._streamer_view.kind, 1.0, reasons, event, subject, moment.day, None
            )
            if flag is not None:
                decision.flags.append(flag)

    def sizes(self) -> dict[str, int]:
        """Entries held, by store."""
        return {
            "tippers": len(self._tippers),
            "streamers": len(self._streamer_view.streamers),
            "event_ids": len(self._seen),
            "cases": len(self._cases),
        }

    def evictions(self) -> dict[str, int]:
        """Entries dropped since the engine began, by store."""
        return {
            "tippers": self._tippers.evicted,
            "streamers": self._streamer_view.streamers.evicted,
            "event_ids": self._seen.evicted,
            "cases": self._cases.evicted,
        }
