"""Refund claims that contradict the account's life: "my child did it" of an adult's own tips.

Asked when a claim arrives, about the tipper. A claim of minority is weighed against the hours,
words, age and habits of the account; any claim against who else the claimant claims for. What
looks like a child's use before the claim speaks for the claim: most first claims are honest, and
an honest parent must not be accused. A finding is for a person to read, never a refusal.
"""

from __future__ import annotations

from detector.core import traits
from detector.core.clues import Clue, weigh
from detector.core.event import Event
from detector.core.evidence import any_of, strength
from detector.core.reasons import Reason
from detector.core.tipper import (
    ADULT_AGE,
    CONFIRMED_MINOR,
    DAY_MS,
    DECLARED_MINOR,
    HOUR_MS,
    Notes,
    TipperStats,
)
from detector.core.traits import Counts, SiteTraits, unlike

BIAS = -3.0
"""Log odds without any evidence: most claims are honest."""

CLUES = (
    Clue("adult_hours", "tempo", 5.0, "200 of 683 top-ups in school hours and 0-6 (Zhang)"),
    Clue("adult_life", "identity", 1.5, "a long, even life as an adult's account"),
    Clue("one_device", "device", 0.8, "one device and the holder's own instrument all along"),
    Clue("adult_age", "identity", 0.4, "age verified as an adult's: weak, the parent's may be"),
    Clue("adult_words", "content", 3.0, "adult chat throughout (2020 Su 08 Min Zhong 3261)"),
    Clue("no_break", "identity", 1.2, "all of it is claimed, and nowhere did the user change"),
    Clue("perks", "money_flow", 3.0, "monthly 舰长 for the gifts that come with it, then a claim"),
    Clue("claimant", "identity", 5.4, "one minor or guardian over several accounts"),
    Clue(
        "claimed_before", "feedback", 6.0, "claims again and again, tips in between: its own doing"
    ),
    Clue("named_late", "identity", 1.8, "real name added just before the claim"),
    Clue("childlike", "content", -4.0, "the account did look like a child's: the claim fits"),
)
"""What the model reads, in the order of its values."""

_OF_MINORS = frozenset(clue.name for clue in CLUES) - {"claimant", "claimed_before", "perks"}
_ADULT_SHARE = 0.25
_MOST_OF_IT = 0.5  # of the decayed sum of 60 days
_ASKS_FOR_IT = 0.6
_LIFE_DAYS, _LIFE_HOURS = 60.0, 25.0
_SOME_WORDS = 0.65  # of the weight of words while it is open whether they came with claimed tips
_NEARLY_ALL = 0.6  # of the decayed sum of 60 days; less leaves an adult's part
_BREAK_HOURS = 10.0  # hours of tips that would show another user
_PERK_COUNTS_HOURS = 35 * 24
_NAMED_COUNTS_HOURS = 7 * 24
_DECLARED_FADES_MS = 365 * DAY_MS
_SIBLINGS = 1.5  # accounts beside the first that are half a proof: a family has two children
_CLAIMS = 1.3  # on days apart, with tips in between, that are half a proof
_MEDIUM_AT_MOST = 0.89  # with the thresholds as shipped


class Claim:
    """One refund claim and what was known before it.

    Attributes:
        event: the claim.
        tipper: the account before it.
        site_traits: how common each trait is on the site.
        accounts: accounts that this claimant has claimed for, this one included; 0 if the claim
            does not say who claims.
    """

    __slots__ = ("accounts", "counts", "event", "notes", "site_traits", "tipper")

    def __init__(
        self, event: Event, tipper: TipperStats, site_traits: SiteTraits, accounts: int
    ) -> None:
        self.event = event
        self.tipper = tipper
        self.site_traits = site_traits
        self.accounts = accounts
        self.counts = Counts.of(tipper.traits)
        self.notes = Notes.of(tipper.notes)


class RefundAbuse:
    """Detector of `refund_abuse`; like the others, but asked of a claim."""

    kind = "refund_abuse"

    def __init__(self) -> None:
        self.weights = tuple(clue.weight for clue in CLUES)
        self.bias = BIAS

    def score(self, claim: Claim) -> float:
        """The chance, 0..1, that a reviewer finds the claim abusive."""
        values = evidence(claim)
        score = weigh(self.bias, self.weights, values)
        families = {
            clue.family
            for clue, value in zip(CLUES, values, strict=True)
            if clue.weight > 0.0 and value >= 0.35
        }
        return score if len(families) >= 2 else min(score, _MEDIUM_AT_MOST)

    def explain(self, claim: Claim) -> list[Reason]:
        """Every clue that counts; what speaks for the claim is marked benign."""
        reasons = []
        for clue, value in zip(CLUES, evidence(claim), strict=True):
            if abs(clue.weight) * value >= 0.25:
                observed, unit, n = _figures(clue.name, claim)
                is_benign = clue.weight < 0.0
                reasons.append(
                    Reason(f"refund_{clue.name}", clue.family, observed, None, None, unit, n,
                           value, is_benign=is_benign)
                )  # fmt: skip
        return reasons


def evidence(claim: Claim) -> tuple[float, ...]:
    """The values of `CLUES` for one claim, 0..1 each; 0 where nothing can be known."""
    child = _childlike(claim)
    values = {
        "adult_hours": _adult_hours(claim),
        "adult_life": _adult_life(claim) * (1.0 - child),
        "one_device": _one_device(claim),
        "adult_age": 1.0 if claim.notes.facts & ADULT_AGE else 0.0,
        "adult_words": _adult_words(claim),
        "no_break": _no_break(claim, child),
        "perks": _perks(claim),
        "claimant": strength((claim.accounts - 1.0) / _SIBLINGS) if claim.accounts > 1 else 0.0,
        "claimed_before": strength(claim.notes.claims / _CLAIMS),
        "named_late": _named_late(claim),
        "childlike": child,
    }
    is_of_minor = claim.event.claim == "minor"
    return tuple(
        values[clue.name] if is_of_minor or clue.name not in _OF_MINORS else 0.0 for clue in CLUES
    )


def _adult_hours(claim: Claim) -> float:
    """The share of hours in which a child is at school or asleep, lately and ever.

    Both, since an account is used by two: the parent's own tips by day say nothing of the child's
    in the evening. A claim for most of what the account gave asks for that of the day as well.
    """
    counts = claim.counts
    lately = counts.recent_share(traits.ADULT_TIME) if counts.recent[0] >= 1.0 else 1.0
    share = min(lately, counts.count(traits.ADULT_TIME) / (counts.hours + 2.0))
    adult = strength(share / _ADULT_SHARE)
    return any_of(adult, _ASKS_FOR_IT * adult * _claimed_share(claim))


def _claimed_share(claim: Claim) -> float:
    """How surely the claim is for most of what the account gave of late, 0..1."""
    tipper, claimed = claim.tipper, claim.event.value_minor or 0
    return strength(claimed / (_MOST_OF_IT * tipper.sum_60d)) if tipper.n else 0.0


def _claims_all(claim: Claim) -> float:
    """0..1: how nearly the claim leaves nothing that an adult would have given of late."""
    tipper, claimed = claim.tipper, claim.event.value_minor or 0
    if not tipper.n:
        return 0.0
    return min(1.0, max(0.0, (claimed / tipper.sum_60d - _NEARLY_ALL) / (1.0 - _NEARLY_ALL)))


def _adult_words(claim: Claim) -> float:
    """Adult words, and most where the tips that they came with are claimed as a child's."""
    words = strength(claim.counts.count(traits.ADULT_WORDS) / 1.5)
    return words * (_SOME_WORDS + (1.0 - _SOME_WORDS) * _claims_all(claim))


def _no_break(claim: Claim, child: float) -> float:
    """All is claimed, and in many hours no trait of a child or a second user was ever seen."""
    hours = strength(claim.counts.hours / _BREAK_HOURS)
    return _claims_all(claim) * hours * (1.0 - child) ** 2


def _adult_life(claim: Claim) -> float:
    tipper, event = claim.tipper, claim.event
    if not tipper.n:
        return 0.0
    since_ms = tipper.first_ms
    if event.account_created_ms is not None:  # it may have lived before it was seen
        since_ms = min(since_ms, event.account_created_ms)
    days = (event.event_time_ms - since_ms) / DAY_MS
    return strength(days / _LIFE_DAYS) * strength(claim.counts.hours / _LIFE_HOURS)


def _one_device(claim: Claim) -> float:
    tipper, counts = claim.tipper, claim.counts
    if not tipper.devices or counts.count(traits.OTHER_HOLDER):
        return 0.0
    is_one = not counts.count(traits.NEW_DEVICE) and len(tipper.devices) == _ONE_KNOWN
    return strength(counts.hours / 20.0) if is_one else 0.0


_ONE_KNOWN = 12  # bytes that `tipper.remember` keeps of one


def _perks(claim: Claim) -> float:
    """Perks bought again and again, the last not long before the claim."""
    if not claim.notes.perks or _hours_since(claim, claim.notes.perk_hour) > _PERK_COUNTS_HOURS:
        return 0.0
    return strength(claim.notes.perks / 2.0)


def _named_late(claim: Claim) -> float:
    hour = claim.notes.named_hour
    return 1.0 if hour and _hours_since(claim, hour) <= _NAMED_COUNTS_HOURS else 0.0


def _childlike(claim: Claim) -> float:
    """How much the account looked like a child's, or was known to be."""
    tipper, counts, site = claim.tipper, claim.counts, claim.site_traits
    if claim.notes.facts & (DECLARED_MINOR | CONFIRMED_MINOR):
        since_ms = HOUR_MS * _hours_since(claim, claim.notes.minor_hour)
        if since_ms <= _DECLARED_FADES_MS:
            return 1.0
    if not counts.hours:
        return 0.0
    return any_of(
        tipper.child_peak,
        *(
            worth * unlike(counts, trait, site.shift(trait, earlier))
            for trait, worth in _CHILDS
            for earlier in (counts.earlier_share(trait, site.share(trait)),)
        ),
    )


_CHILDS = (
    (traits.CHILD_TIME, 0.6), (traits.CHILD_WORDS, 0.9), (traits.NEW_DEVICE, 0.5),
    (traits.OTHER_HOLDER, 0.5), (traits.CHILD_ROOM, 0.6),
)  # fmt: skip


def _hours_since(claim: Claim, hour: int) -> float:
    return max(0.0, claim.event.event_time_ms / HOUR_MS - hour)


def _figures(name: str, claim: Claim) -> tuple[float, str, int]:
    """What was observed, its unit and how much it rests on."""
    tipper, counts = claim.tipper, claim.counts
    if name == "adult_hours":
        return counts.share(traits.ADULT_TIME), "share", counts.hours
    if name == "adult_life":
        return (claim.event.event_time_ms - tipper.first_ms) / DAY_MS, "days", tipper.n
    if name == "no_break":
        return 1.0, "times", counts.hours
    if name == "adult_words":
        return counts.count(traits.ADULT_WORDS), "times", counts.hours
    if name == "perks":
        return claim.notes.perks, "times", tipper.n
    if name == "claimant":
        return claim.accounts, "times", 0
    if name == "claimed_before":
        return claim.notes.claims, "times", 0
    if name == "named_late":
        return _hours_since(claim, claim.notes.named_hour) / 24, "days", 0
    if name == "childlike":
        return _childlike(claim), "share", counts.hours
    return 1.0, "times", tipper.n
