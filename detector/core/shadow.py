"""A candidate for the policy in force, on trial: it judges what that one judges, and changes
nothing.

Both see the same features and the same statistical scores. Only what a pack alone says (who is a
declared minor, limits, counts of PKs) is asked of the candidate's pack as well, and only where the
packs differ. The candidate has cases and a storm of its own, so that its flags come when they would
come if it were in force; what a reviewer has snoozed is snoozed for both.

How the two compare is counted by findings, not by flags: a finding counts with every event that
has it, whether or not it is news in its case. A case that one of them opened a tip earlier is
therefore no disagreement for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import orjson

from detector.core.cases import Cases
from detector.core.detectors import Detector
from detector.core.detectors.cap import Cap
from detector.core.detectors.minor import Minor
from detector.core.event import Event
from detector.core.features import Features, Moment
from detector.core.fusion import Flag, Fusion, Thresholds
from detector.core.generations import Counters, Generations
from detector.core.money import Currencies
from detector.core.policy import Policy
from detector.core.reasons import KINDS, Reason
from detector.core.room_counts import RoomCounts
from detector.core.storm import Storm

Agreement = Literal["agreed", "only_live", "only_shadow"]
"""Who has a finding of medium or high severity: both, or one of them."""

AGREEMENTS: tuple[Agreement, ...] = get_args(Agreement)

SHADOW_SECTIONS = frozenset({"shadow_cases", "shadow_pks"})
SHADOW_TOTAL = "shadow_storm"
"""What a saved state has of a candidate, where there was one."""

_PLAIN_FLOOR = 0.5  # for kinds without thresholds, as the views have it


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is on trial: a pack, and thresholds by statistical kind."""

    policy: Policy
    thresholds: dict[str, Thresholds]


class Comparison:
    """What the candidate says of one event.

    Attributes:
        flags: those it would have raised, each marked as a trial's.
        findings: (kind, who has it), for each kind that either of the two finds.
    """

    __slots__ = ("findings", "flags")

    def __init__(self) -> None:
        self.flags: list[Flag] = []
        self.findings: list[tuple[str, Agreement]] = []


class Finding(NamedTuple):
    """A score of one kind, 0..1, and its evidence."""

    score: float
    reasons: list[Reason]


class About(NamedTuple):
    """What a finding is about; the fields are arguments of `Fusion.flag`."""

    event: Event
    subject: tuple[str, str]
    day: int
    figures: Features | Mapping[str, float]


class Shadow:
    """The candidate beside the policy in force, in one engine.

    Args:
        live: makes the flags of the policy in force.
        own: makes the candidate's, with cases and a storm that are nobody else's.
        currencies: amounts are compared in minor units of the base currency.
        pks: streamer id → PKs as `RoomCounts` counts them; its values never change.
        moved: (kind, a detector's score) → the score, as verdicts have moved it.

    Attributes:
        floor: kind → score from which a finding is worth to be explained to one of the two.
    """

    def __init__(
        self, live: Fusion, own: Fusion, currencies: Currencies,
        pks: Generations[dict[str, tuple[int, int]]], moved: Callable[[str, float], float],
    ) -> None:  # fmt: skip
        self._live = live
        self._own = own
        self._moved = moved
        self.pks = pks
        self._comparison = Comparison()
        self.floor = {
            kind: min(each.floor.get(kind, _PLAIN_FLOOR) for each in (live, own)) for kind in KINDS
        }
        self._is_same_pack = own.policy.digest == live.policy.digest
        unit, scale = currencies.base, 10**currencies.base_decimals
        self._minor = Minor(own.policy, unit, scale)
        self._cap = Cap(own.policy, unit, scale)
        self._counts = RoomCounts(own.policy)

    @property
    def cases(self) -> Cases:
        """The candidate's."""
        return self._own.cases

    @property
    def storm(self) -> Storm:
        """The candidate's."""
        return self._own.storm

    def begin(self) -> Comparison:
        """Turns to the next event; what the views then show fills the comparison."""
        self._comparison = Comparison()
        return self._comparison

    def share(self, kind: str, score: float, reasons: list[Reason], about: About) -> None:
        """Judges a finding that is the same for both."""
        finding = Finding(score, reasons)
        self._compare(kind, finding, finding, about)

    def look_at_tip(
        self, scores: Mapping[str, float], detectors: Sequence[tuple[str, float, Detector]],
        f: Features, about: About,
    ) -> None:  # fmt: skip
        """Judges a tip.

        Args:
            scores: of the policy in force, by kind; those that are 0 may be absent.
            detectors: its detectors: kind, floor, detector.
            f: the tip's features.
            about: what a finding is about.
        """
        for kind, floor, detector in detectors:
            score = scores.get(kind, 0.0)
            if self._is_same_pack or kind not in ("minor", "cap"):
                if score >= self.floor[kind]:
                    self.share(kind, score, detector.explain(f), about)
                continue
            of_pack: Detector = self._cap if kind == "cap" else self._minor
            own_score = self._cap_score(f) if kind == "cap" else self._minor_score(f, score)
            self._compare(
                kind,
                Finding(score, detector.explain(f)) if score >= floor else None,
                Finding(own_score, of_pack.explain(f))
                if own_score >= self._own.floor.get(kind, _PLAIN_FLOOR)
                else None,
                about,
            )

    def look_at_room(self, broken: list[Reason], moment: Moment, about: About) -> None:
        """Judges a `room` event.

        Args:
            broken: reasons of the rules in force that it breaks.
            moment: its local time.
            about: what a finding is about.
        """
        own = broken if self._is_same_pack else self._count(about.event, moment)
        self._compare(
            "cap", Finding(1.0, broken) if broken else None, Finding(1.0, own) if own else None,
            about,
        )  # fmt: skip

    def forget(self) -> None:
        """Begins anew: a state was saved without a candidate."""
        for entries in (self.cases.open, self.pks):
            for _ in range(2):
                entries.load(True, {})
            entries.counters = Counters(0, 0, 0)
        self.storm.clear()

    def _compare(self, kind: str, live: Finding | None, own: Finding | None, about: About) -> None:
        is_lives = live is not None and self._live.is_grave(kind, *live)
        is_own = own is not None and self._own.is_grave(kind, *own)
        if is_lives or is_own:
            who: Agreement = (
                "agreed" if is_lives and is_own else "only_live" if is_lives else "only_shadow"
            )
            self._comparison.findings.append((kind, who))
        if own is not None:
            flag = self._own.flag(kind, own.score, own.reasons, *about)
            if flag is not None:
                self._comparison.flags.append(flag)

    def _minor_score(self, f: Features, live_score: float) -> float:
        if self._minor.is_declared(f):
            return 1.0
        if live_score < 1.0:
            return live_score
        return self._moved("minor", self._minor.undeclared.score(f))  # declared for the other pack

    def _cap_score(self, f: Features) -> float:
        return self._moved("cap", self._cap.score(f))

    def _count(self, event: Event, moment: Moment) -> list[Reason]:
        streamer_id = event.streamer_id or ""
        before = self.pks.get(streamer_id) or {}
        pks = {rule: count for rule, count in before.items() if rule in self._counts.ids}
        reasons = self._counts.add(pks, event, moment)
        if pks != before:
            self.pks.put(streamer_id, pks, event.event_time_ms)
        return reasons


def save_pks(pks: dict[str, tuple[int, int]]) -> bytes:
    """Counts of PKs as JSON."""
    return orjson.dumps(pks)


def load_pks(saved: bytes) -> dict[str, tuple[int, int]]:
    """The inverse of `save_pks`.

    Raises:
        ValueError, TypeError, AttributeError: it is something else.

    >>> load_pks(save_pks({"night_pks": (20514, 3)}))
    {'night_pks': (20514, 3)}
    """
    return {rule: (int(day), int(count)) for rule, (day, count) in orjson.loads(saved).items()}
