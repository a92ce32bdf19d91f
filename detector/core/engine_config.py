"""How an engine is set up, as its settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from detector.core.account import CreditRules
from detector.core.cases import Snooze
from detector.core.fusion import Thresholds
from detector.core.learning import LearningConfig
from detector.core.school import SchoolTimes


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
        case_max_age_ms: event time after which a case is closed in any case.
        snooze_ms: how long a subject is left alone after a false positive.
        storm_flags, storm_window_ms: how many high flags that page, within which event time, are no
            storm yet.
        credit: what cases cost an account, and how it recovers.
        thresholds: kind → scores from which a finding is low, medium, high.
        school: a pupil's times.
        child_rooms, perks: words of room categories that children watch, and of gifts that come
            with lasting rights or goods.
        learning: how it learns from verdicts.
        standing_snoozes: see `Cases.standing`.
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
    case_max_age_ms: int
    snooze_ms: int
    storm_flags: int
    storm_window_ms: int
    credit: CreditRules
    thresholds: dict[str, Thresholds]
    school: SchoolTimes
    child_rooms: tuple[str, ...]
    perks: tuple[str, ...]
    learning: LearningConfig
    standing_snoozes: Mapping[str, Snooze] = field(default_factory=dict)
