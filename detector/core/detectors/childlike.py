"""A child on an adult's account, undeclared: evidence of families that no single one can carry.

Each clue compares the account's recent hours with its own earlier ones and with the site's of the
same days, so that a night-shift worker, a holiday and a new phone are what they are. Clues and
weights come from court cases and rules as reported, not from labels; a model that learns may
replace the weights, `weights` is the seam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cache
from math import exp

from detector.core import traits
from detector.core.clues import SUPPORT, Clue, families, weigh
from detector.core.evidence import strength
from detector.core.features import Features
from detector.core.reasons import Reason
from detector.core.tipper import CLAIMED_MINOR, DAY_MS, HOUR_MS, Notes
from detector.core.traits import Counts, unlike

BIAS = -3.0
"""Log odds without any evidence: the tips of few accounts are a child's."""

CLUES = (
    Clue("child_time", "tempo", 1.5, "after school and on free days, unlike itself and the site"),
    Clue("runs", "tempo", 0.8, "more tips in one sitting than this account's usual"),
    Clue("adult_time", "tempo", -1.5, "school hours and night: courts read them as an adult's"),
    Clue("new_device", "device", 1.7, "a second user of the account on a device of his own"),
    Clue("new_streamer", "content", 0.9, "watches others than the account did"),
    Clue("other_genre", "content", 0.6, "watches something else than the account did"),
    Clue("child_room", "content", 1.4, "rooms that children watch (Guo Sai 2025: content browsed)"),
    Clue("child_words", "content", 3.4, "school, homework, New Year's money (Hengqin 2024)"),
    Clue("adult_words", "content", -2.5, "adult chat: claims were rejected for it"),
    Clue("other_holder", "instrument", 1.9, "the instrument is a parent's"),
    Clue("recharges", "instrument", 2.4, "many small top-ups, each spent at once (Hengqin 2024)"),
    Clue("spending", "amount", 1.3, "a week far above the account's own weeks"),
    Clue("known_minor", "feedback", 2.4, "known or claimed to be a minor's before (Beijing 4th)"),
)
"""What the model reads, in the order of its values."""

_OF_THE_HOUR = traits.CHILD_WORDS | traits.RECHARGED
"""What was said or paid within the hour colours all of it; other traits are a tip's own."""

_WORTH_A_LOOK = -0.4  # log odds: a chance of 0.4, well below any threshold
_CHILDS = frozenset(
    ("child_time", "new_device", "child_room", "child_words", "other_holder", "known_minor")
)
"""What points at a child or a second user, and not at a mood."""
_SECOND = frozenset(("new_device", "child_words", "other_holder", "recharges", "known_minor"))
"""What an adult with another mood would hardly show: two of them, or it is not high."""
_LOW_AT_MOST, _MEDIUM_AT_MOST = 0.7, 0.89  # with the thresholds as shipped
_SILENT = 0.5
_STRONG = 1.3  # log odds of a family that needs only one other beside it
_CONVINCING = 2.0  # nats: a child has the account for few hours, and no clue is enough alone
_AN_HOUR_OF_WORDS = 0.38  # at most; full in the third hour
_SMALL_CHANGE = 0.1  # share of the week's recharges
_MANY_RECHARGES = 10.0  # a week: fifty a month and more (Hengqin 2024)
_HOURS_FOR_HIGH = 10  # with tips; fewer are no life that could have changed
_OLDER_LIFE_MS = 21 * DAY_MS
_KNOWN_FADES_HOURS = 180 * 24
_BENIGN_FROM = 0.4


class ChildLike:
    """Model of a tip by an undeclared minor.

    Args:
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
        weights: of `CLUES`, in their order.
        bias: log odds without evidence.
    """

    def __init__(
        self, unit: str, scale: int, weights: Sequence[float] | None = None, bias: float = BIAS
    ) -> None:
        self._unit = unit
        self._scale = scale
        self.weights = tuple(clue.weight for clue in CLUES) if weights is None else tuple(weights)
        self.bias = bias
        by_name = dict(zip((clue.name for clue in CLUES), self.weights, strict=True))
        self._runs, self._spending = by_name["runs"], by_name["spending"]
        self._feedback, self._moods = by_name["known_minor"], self._runs + self._spending
        self._for = [
            (_TRAITS[name], weight)
            for name, weight in sorted(by_name.items(), key=lambda each: -each[1])
            if name in _TRAITS and weight > 0.0
        ]
        self._most = _most_by_mask(self.weights, bias + self._moods)

    def score(self, f: Features) -> float:
        """The chance, 0..1; held down where too few families speak."""
        if f.moment.is_late or self._at_most(f) < _WORTH_A_LOOK:
            return 0.0
        values = evidence(f)
        score = weigh(self.bias, self.weights, values)
        if score < _SILENT:
            return score
        speaking = families(CLUES, self.weights, values)
        if all(weight * value < SUPPORT for weight, value in self._of(values, _CHILDS)):
            return min(score, _SILENT)  # anybody's splurge
        if not speaking.keys() - {"tempo", "amount"}:
            return min(score, _SILENT)  # anybody's hours
        if len(speaking) < 2:
            return min(score, _LOW_AT_MOST)
        if len(speaking) == 2 and min(speaking.values()) < _STRONG:
            return min(score, _MEDIUM_AT_MOST)
        if sum(weight * value >= SUPPORT for weight, value in self._of(values, _SECOND)) < 2:
            return min(score, _MEDIUM_AT_MOST)
        if Counts.of(f.habits).hours < _HOURS_FOR_HIGH:
            return min(score, _MEDIUM_AT_MOST)
        return score

    def _at_most(self, f: Features) -> float:
        """Log odds that the tip cannot pass, told by what costs little: most tips go no further."""
        mask = f.traits | traits.mask_of(f.habits) & _OF_THE_HOUR
        most = self._most[mask] + self._feedback * _known_minor(f)
        if most < _WORTH_A_LOOK:
            return most
        most += self._runs * _runs(f) + self._spending * _spending(f) - self._moods
        if most < _WORTH_A_LOOK:
            return most
        counts = Counts.of(f.habits)
        for trait, weight in self._for:
            if mask & trait:
                most -= weight * (1.0 - _unlike(f, counts, mask, trait))
                if most < _WORTH_A_LOOK:
                    break
        return most

    def _of(self, values: Sequence[float], names: Set[str]) -> Iterator[tuple[float, float]]:
        """Weights and values of the clues with these names."""
        for clue, weight, value in zip(CLUES, self.weights, values, strict=True):
            if clue.name in names:
                yield weight, value

    def explain(self, f: Features) -> list[Reason]:
        """Every clue that counts, and the benign explanations that were checked."""
        values = dict(zip((clue.name for clue in CLUES), evidence(f), strict=True))
        counts = Counts.of(f.habits)
        reasons = []
        for clue in CLUES:
            value = values[clue.name]
            if clue.weight > 0.0 and clue.weight * value >= 0.25:
                reasons.append(self._reason(clue, value, f, counts))
        for name in ("adult_time", "adult_words"):
            if values[name] >= _BENIGN_FROM:
                trait = _TRAITS[name]
                reasons.append(
                    Reason(f"benign_{name}", _FAMILIES[name], counts.recent_share(trait), None,
                           None, "share", counts.hours, values[name], is_benign=True)
                )  # fmt: skip
        device = f.device
        if device is not None and device.times and not values["new_device"]:
            reasons.append(
                Reason("benign_same_device", "device", float(device.times), None, None, "times",
                       device.others, 0.4, is_benign=True)
            )  # fmt: skip
        return reasons

    def _reason(self, clue: Clue, value: float, f: Features, counts: Counts) -> Reason:
        code, family, scale = f"minor_{clue.name}", clue.family, self._scale
        trait = _TRAITS.get(clue.name)
        if trait is not None:
            usual = counts.earlier_share(trait, f.site_traits.share(trait))
            observed = counts.recent_share(trait)
            return Reason(code, family, observed, usual, None, "share", counts.hours, value)
        if clue.name == "spending":
            usual = _usual_week(f) or 0.0
            return Reason(code, family, f.sum_week / scale, usual / scale, None, self._unit,
                          f.before.n, value)  # fmt: skip
        if clue.name == "runs":
            return Reason(code, family, f.session_decisions, _usual_run(f), None, "tips",
                          f.sessions, value)  # fmt: skip
        notes = Notes.of(f.before.notes)
        days = (f.event.event_time_ms / HOUR_MS - notes.minor_hour) / 24
        return Reason(code, family, max(0.0, days) if notes.minor_hour else 0.0, None, None,
                      "days", notes.claims, value)  # fmt: skip


_TRAITS = {
    "child_time": traits.CHILD_TIME, "adult_time": traits.ADULT_TIME,
    "new_device": traits.NEW_DEVICE, "new_streamer": traits.NEW_STREAMER,
    "other_genre": traits.OTHER_GENRE, "child_room": traits.CHILD_ROOM,
    "child_words": traits.CHILD_WORDS, "adult_words": traits.ADULT_WORDS,
    "other_holder": traits.OTHER_HOLDER, "recharges": traits.RECHARGED,
}  # fmt: skip
_ALL_LIFE = {
    traits.CHILD_TIME: 0.4, traits.CHILD_ROOM: 0.4, traits.CHILD_WORDS: 0.8,
    traits.OTHER_HOLDER: 0.5, traits.RECHARGED: 0.5,
}  # fmt: skip
"""What a trait is worth where the account was never otherwise, and only the site is."""

_FAMILIES = {clue.name: clue.family for clue in CLUES}


def evidence(f: Features) -> tuple[float, ...]:
    """The values of `CLUES` for one tip, 0..1 each; 0 where nothing can be known."""
    counts = Counts.of(f.habits)
    mask = f.traits | counts.mask & _OF_THE_HOUR
    return (
        _unlike(f, counts, mask, traits.CHILD_TIME),
        _runs(f),
        max(counts.recent_share(traits.ADULT_TIME), 0.5 if mask & traits.ADULT_TIME else 0.0),
        _unlike(f, counts, mask, traits.NEW_DEVICE),
        _unlike(f, counts, mask, traits.NEW_STREAMER),
        _unlike(f, counts, mask, traits.OTHER_GENRE),
        _unlike(f, counts, mask, traits.CHILD_ROOM),
        _child_words(f, counts, mask),
        unlike(counts, traits.ADULT_WORDS, f.site_traits.share(traits.ADULT_WORDS)),
        _unlike(f, counts, mask, traits.OTHER_HOLDER),
        _recharges(f, counts, mask),
        _spending(f),
        _known_minor(f),
    )


def _unlike(f: Features, counts: Counts, mask: int, trait: int) -> float:
    """How surely a trait of this tip sets the recent hours apart."""
    if not mask & trait:
        return 0.0
    site, change = f.site_traits.share(trait), 0.0
    # A card or an hour may be an adult's custom; a child's words are no custom of an account's.
    if trait == traits.CHILD_WORDS or not counts.was_always(trait):
        earlier = counts.earlier_share(trait, site)
        change = unlike(counts, trait, f.site_traits.shift(trait, earlier), _CONVINCING)
    all_life = _ALL_LIFE.get(trait)
    if all_life is None:
        return change
    return max(change, all_life * unlike(counts, trait, site, _CONVINCING))


def _child_words(f: Features, counts: Counts, mask: int) -> float:
    """A child's words: said in one hour of a life they may be anybody's, hour after hour hardly."""
    words = _unlike(f, counts, mask, traits.CHILD_WORDS)
    return min(words, _AN_HOUR_OF_WORDS * counts.count(traits.CHILD_WORDS))


def _recharges(f: Features, counts: Counts, mask: int) -> float:
    """Many recharges in a week, followed by tips within minutes that leave next to nothing."""
    many = f.recharges_week
    if not mask & traits.RECHARGED or many < 2.0:
        return 0.0
    left = max(0, f.before.balance - f.value)
    # Small change adds up where much is paid in: what is left is compared with all of the week's.
    is_spent = left <= max(0.25 / many, _SMALL_CHANGE) * f.recharged_week
    change = _unlike(f, counts, mask, traits.RECHARGED) * strength(many / 5.0)
    # So many are unlike a grown-up, whoever else uses the account in between, unless all pay so.
    alike = (1.0 - f.site_traits.share(traits.RECHARGED)) * strength(many / _MANY_RECHARGES)
    if counts.was_always(traits.RECHARGED):
        alike *= _ALL_LIFE[traits.RECHARGED]
    if f.typical_session is not None:  # nor is a top-up small that few spend in an evening
        alike *= 1.0 - strength(f.recharged_week / many / f.typical_session.high)
    return max(change, alike) * (1.0 if is_spent else 0.6)


def _spending(f: Features) -> float:
    """A week far above the account's own, and not small for the site; above the site's if new."""
    usual, site = _usual_week(f), f.typical_week
    if usual is None:
        return 0.0 if site is None else 0.7 * strength(f.sum_week / site.high)
    above = strength(f.sum_week / (4.0 * max(usual, 1.0)))
    return above if site is None else above * strength(4.0 * f.sum_week / site.middle)


def _usual_week(f: Features) -> float | None:
    """A week's tips before this week, minor units; None while the account's life is too short."""
    life_ms = f.event.event_time_ms - f.before.first_ms
    if not f.before.n or life_ms < _OLDER_LIFE_MS:
        return None
    # Both sums are decayed, so at a steady rate the older one holds 60 - 7 days' worth, or less.
    held_days = 60.0 * (1.0 - exp(-life_ms / (60 * DAY_MS))) - 7.0
    return 7.0 * max(0.0, f.sum_60d - f.sum_week) / held_days


def _usual_run(f: Features) -> float | None:
    return exp(f.sessions_decisions_mean) if f.sessions >= 3 else None


def _runs(f: Features) -> float:
    usual = _usual_run(f)
    return 0.0 if usual is None else strength(f.session_decisions / (4.0 * max(usual, 2.0)))


def _known_minor(f: Features) -> float:
    if not f.before.notes[0]:  # no fact is known
        return 0.0
    notes, known = Notes.of(f.before.notes), 0.0
    if notes.minor_hour:
        elapsed = max(0.0, f.event.event_time_ms / HOUR_MS - notes.minor_hour)
        known = exp(-elapsed / _KNOWN_FADES_HOURS)
    return max(known, 0.6) if notes.facts & CLAIMED_MINOR else known


@cache
def _most_by_mask(weights: tuple[float, ...], base: float) -> list[float]:
    """The highest log odds that hours of a mask of traits can come to, by mask."""
    by_name = dict(zip((clue.name for clue in CLUES), weights, strict=True))
    return [
        base + sum(max(0.0, by_name[name]) for name, trait in _TRAITS.items() if mask & trait)
        for mask in range(1 << len(traits.NAMES))
    ]
