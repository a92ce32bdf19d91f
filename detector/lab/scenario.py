"""What a made-up stream is asked to be, and what comes out of it.

Knows the settings (`Scenario`), the pieces handed out (`Simulated`) and Shanghai's clock. It does
not know how tippers, streamers or cases behave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from detector.lab.platform import Platform

Event = dict[str, Any]
"""A canonical event as JSON takes it; amounts are decimal strings, times epoch milliseconds."""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
SHANGHAI_OFFSET_MS = 8 * HOUR_MS  # no daylight saving since 1991
START_MS = 1_772_380_800_000  # Monday 2026-03-02T00:00+08:00

USUAL_TRAPS = (
    "pk_finish",
    "ceremony",
    "lottery",
    "birthday",
    "whale",
    "guard",
    "combo",
    "family_device",
    "shared_network",
    "night_shift",
)
"""Innocent things of ordinary life that look like a case."""

DEFAULT_CASES_PER_10K: Mapping[str, float] = {
    "minor": 2.0,
    "outsized": 3.0,
    "binge": 2.0,
    "gambling": 0.6,
    "ring": 1.0,
    "refund_abuse": 1.0,
}


class Simulated(NamedTuple):
    """One event of the stream, with its label when it belongs to a planted case or to a known trap.

    A label is `{"event_id", "kind", "case", "subject": {"type", "id"}, "trap"}`. For a planted case
    `kind` is set and `trap` is None; for a trap it is the other way round. `case` groups the events
    of one story.
    """

    event: Event
    label: dict[str, Any] | None


class Tag(NamedTuple):
    """What an event is part of, before it has an id."""

    kind: str | None
    case: str
    subject_type: str
    subject_id: str
    trap: str | None = None

    def label(self, event_id: str) -> dict[str, Any]:
        return {
            "event_id": event_id,
            "kind": self.kind,
            "case": self.case,
            "subject": {"type": self.subject_type, "id": self.subject_id},
            "trap": self.trap,
        }


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of what to make. The same scenario always gives the same events, byte for byte.

    Attributes:
        seed: any integer.
        events: exactly how many come out: tips, recharges, payouts, refunds and room events.
        days: the time they cover; the last sessions may end a little after it.
        start_ms: epoch milliseconds of the first moment.
        tippers: accounts that exist or arrive; follows from `events` when left out.
        streamers: rooms; follows from `events` when left out.
        cases: exact numbers of planted cases by kind.
        cases_per_10k: cases by kind in 10,000 events, when `cases` is left out.
        traps_per_10k: planted traps of each sort in 10,000 events; those of ordinary life come too.
        platform: what is told of it all.
        jitter_s: the most that an event may come late behind a newer one.
        prefix: how every `event_id` begins; the seed follows it.
    """

    seed: int = 1
    events: int = 10_000
    days: float = 14.0
    start_ms: int = START_MS
    tippers: int | None = None
    streamers: int | None = None
    cases: Mapping[str, int] | None = None
    cases_per_10k: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_CASES_PER_10K))
    traps_per_10k: float = 0.6
    platform: Platform = field(default_factory=Platform)
    jitter_s: float = 3.0
    prefix: str = "sim"

    def __post_init__(self) -> None:
        problems = [
            f"{name} = {value!r}: must be {expected}"
            for name, value, expected, is_fine in (
                ("events", self.events, "at least 1", self.events >= 1),
                ("days", self.days, "above 0, at most 3,660", 0 < self.days <= 3_660),
                ("tippers", self.tippers, "1 to 100,000,000", 1 <= self.tipper_count() <= 10**8),
                ("streamers", self.streamers, "1 to 100,000", 1 <= self.streamer_count() <= 10**5),
                ("jitter_s", self.jitter_s, "0 to 3,600 seconds", 0 <= self.jitter_s <= 3_600),
                ("traps_per_10k", self.traps_per_10k, "0 or more", self.traps_per_10k >= 0),
                ("start_ms", self.start_ms, "epoch milliseconds", self.start_ms >= 10**11),
            )
            if not is_fine
        ]
        problems += [
            f"cases of {kind!r} = {wanted!r}: must be 0 or more"
            for kind, wanted in {**self.cases_per_10k, **(self.cases or {})}.items()
            if wanted < 0
        ]
        if problems:
            raise ValueError("scenario: " + "; ".join(problems))

    def tipper_count(self) -> int:
        return max(50, self.events // 12) if self.tippers is None else self.tippers

    def streamer_count(self) -> int:
        if self.streamers is None:
            return max(2, min(2_000, self.events // 500))
        return self.streamers

    def case_counts(self) -> dict[str, int]:
        """How many cases of each kind to plant."""
        if self.cases is not None:
            return dict(self.cases)
        return {
            kind: round(rate * self.events / 10_000) for kind, rate in self.cases_per_10k.items()
        }

    def trap_count(self) -> int:
        """How many traps of each sort to plant."""
        return round(self.traps_per_10k * self.events / 10_000)

    @property
    def span_ms(self) -> int:
        return max(1, round(self.days * DAY_MS))

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.span_ms


def local_hour(time_ms: int) -> int:
    """The hour of the day in Shanghai, 0 to 23."""
    return (time_ms + SHANGHAI_OFFSET_MS) % DAY_MS // HOUR_MS


def local_midnight(time_ms: int) -> int:
    """The start of that day in Shanghai, as epoch milliseconds."""
    return time_ms - (time_ms + SHANGHAI_OFFSET_MS) % DAY_MS


def weekday(time_ms: int) -> int:
    """The day of the week in Shanghai: Monday is 0, Sunday is 6."""
    return ((time_ms + SHANGHAI_OFFSET_MS) // DAY_MS + 3) % 7


def scrambled(number: int, multiplier: int = 2_654_435_761) -> int:
    """Another 32-bit number for each 32-bit number, so that an id tells nothing about its order."""
    return (number * multiplier + 0x9E37) & 0xFFFF_FFFF
