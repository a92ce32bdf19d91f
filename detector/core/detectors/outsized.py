"""Sky-high tips (天价打赏): far above what the tipper, his peers and the site give.

Two shapes. A single tip is judged against the tipper's own tips first, against those of the same
standing second; an account without a history only against the site. A sustained one (the shape of
embezzled money: weeks of tips far above everybody's, or above the own) is judged by the tipper's
week against the site's weeks, or by his days against his own, and only while it is new for this
tipper: a whale with a long, steady history is no case. The tips of the streamer's room are not
known here.

Amounts have heavy tails, so amount alone is never high, and one comparison alone never medium.
Where a custom explains why a tip is unlike the tipper's others (a number of affection, a combo of
ordinary gifts, a ceremony, a membership), his own history says nothing, and one comparison is left.
"""

from __future__ import annotations

from math import exp, sqrt

from detector.core.detectors.account import account_reasons, is_new_account
from detector.core.evidence import HABIT_FROM, any_of, corroborated, habit_limit, strength
from detector.core.features import OWN_DAYS_FROM, Features
from detector.core.population import Typical
from detector.core.reasons import Reason
from detector.core.tipper import DAY_MS

# How sure one comparison alone may be, with the thresholds as shipped. Own habits are left by all
# sooner or later: nothing. The site's extreme passed by somebody unknown: low.
_OWN_ALONE = 0.55
_ONE_COMPARISON = 0.7
_OUT_OF_PROPORTION, _KNOWN_FROM = 0.2, 8  # more: ten times the own limit, known by so many tips
_TWO_COMPARISONS = 0.8  # far beyond the own habit, and the site's extreme: whoever the peers are
_BEYOND_DOUBT = 0.9  # three times the limit
_MEDIUM_AT_MOST = 0.89
_NEW_ACCOUNT = 0.9  # by a new account, which is a family of its own: more
_OWN_MAXIMUM_FROM_MS, _OWN_MAXIMUM_COUNTS_MS = 7 * DAY_MS, 90 * DAY_MS
_STEADY_MS = 7 * DAY_MS
_STEADY_TIMES = 5
_COMBO_FROM = 10
_OWN_FROM = 2  # tips to compare one with: `spread` allows for how little two say
_MODEST = 3.0  # times the site's extreme: as much as a number of affection explains in anybody
_AT_A_CEREMONY = 10.0  # times it: a ceremony explains the largest gift of a year, no fortune
_LOVE_NUMBERS = frozenset({"52", "521", "1314", "131452", "5201314", "52013", "5211314"})

_HEAVY_DAYS = 4.0  # more than one long weekend's
_IS_NEW_AT = 1.5  # times the rate of the last two months; 60 days of one rate give 1.6
_IS_QUITE_NEW_AT = 3.5  # two and a half weeks of a rate unlike that before
_ROSE_FROM, _ROSE_TO = 1.2, 2.0  # times the shift of a rate that is steady since first seen
_YOUNG_MS = 60 * DAY_MS
_OWN_HEAVY_FROM, _OWN_HEAVY_DAYS = 2.5, 2.0  # three of them score 0.69, four 0.8
_OWN_WEEKS = 4.0  # times a week of usual days
_OFFICE_SHARE = 45 / 168  # of the hours of a week
_RECHARGES_FROM = 2.5  # decayed: three within a few days


class Outsized:
    """Detector of `outsized`.

    Families: amount; identity, device, instrument and money_flow beside it.

    Args:
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "outsized"

    def __init__(self, unit: str, scale: int) -> None:
        self._unit = unit
        self._scale = scale

    def score(self, f: Features) -> float:
        score = max(_single(f), _sustained(f), _above_own_weeks(f))
        if score < 0.3:
            return score
        support = _support(f)
        score = corroborated(score, any_of(*(reason.weight for reason in support)))
        if all(reason.family == "identity" for reason in support):  # nothing but its youth
            return min(score, _MEDIUM_AT_MOST)
        return score

    def explain(self, f: Features) -> list[Reason]:
        is_sustained = max(_sustained(f), _above_own_weeks(f)) >= 0.4
        reasons = self._sustained_reasons(f) if is_sustained else []
        if _single(f) >= 0.4:
            reasons += self._single_reasons(f)
        return reasons + _support(f) + self._customs(f)

    def _single_reasons(self, f: Features) -> list[Reason]:
        reasons = []
        before, value, scale = f.before, f.value / self._scale, self._scale
        own = _above_own(f)
        if own is None:
            reasons.append(
                Reason("first_tips", "amount", value, None, None, self._unit, before.n, 0.5)
            )
        elif own >= 0.3:
            reasons.append(
                Reason("above_own_history", "amount", value, exp(before.mean) / scale,
                       _own_limit(f) / scale, self._unit, before.n, own)
            )  # fmt: skip
        for code, typical in (("above_peers", f.typical_peers), ("above_site", f.typical_tip)):
            if typical is not None and f.value >= typical.high:
                reasons.append(
                    Reason(code, "amount", value, typical.middle / scale, typical.extreme / scale,
                           self._unit, typical.n, strength(f.value / typical.extreme))
                )  # fmt: skip
        return reasons

    def _sustained_reasons(self, f: Features) -> list[Reason]:
        site, scale = f.typical_week, self._scale
        if site is None:
            return []
        usual = 7 * (f.sum_60d - f.sum_week) / 53
        limit = site.extreme if f.sum_week >= site.extreme else site.high
        reasons = [
            Reason("sustained_week", "amount", f.sum_week / scale, max(0.0, usual) / scale,
                   limit / scale, self._unit, f.before.n, strength(f.sum_week / limit))
        ]  # fmt: skip
        if f.heavy_days >= 2.0:
            reasons.append(
                Reason("heavy_days", "amount", f.heavy_days, None, None, "days", f.days,
                       strength(f.heavy_days / _HEAVY_DAYS))
            )  # fmt: skip
        return reasons

    def _customs(self, f: Features) -> list[Reason]:
        customs = []
        if _is_love_number(f) and f.streamer is not None:
            customs.append(
                Reason("benign_love_number", "content", f.value / self._scale, None, None,
                       self._unit, f.streamer.times, 0.3, is_benign=True)
            )  # fmt: skip
        if _is_combo(f):
            customs.append(
                Reason("benign_combo", "amount", float(f.event.quantity or 0), None, None, "times",
                       f.before.n, 0.3, is_benign=True)
            )  # fmt: skip
        if _is_ceremony(f):
            customs.append(
                Reason("benign_occasion", "tempo", 1, None, None, "times", 0, 0.3, is_benign=True)
            )
        return customs


def _single(f: Features) -> float:
    if f.before.n >= _OWN_FROM and f.log_value <= f.before.mean and not _is_first_sitting(f):
        return 0.0  # most tips: no larger than usual
    own, site = _above_own(f), f.typical_tip
    if site is None:
        return _OWN_ALONE * own if own is not None else 0.0
    above = strength(f.value / _peers_limit(f, site))
    again = _again(f, site) * strength(f.value / site.extreme)  # one sitting makes no great giver
    if own is None:
        return max(again, (_NEW_ACCOUNT if is_new_account(f) else _ONE_COMPARISON) * above)
    alone = _OWN_ALONE
    if f.before.n >= _KNOWN_FROM and (f.event.quantity or 1) < _COMBO_FROM:
        alone += _OUT_OF_PROPORTION * strength(f.value / (10.0 * _own_limit(f)))
    score = max(again, own * (alone + (1.0 - alone) * above))
    if f.value < site.high:
        return score * f.value / site.high
    if own >= _BEYOND_DOUBT and f.value >= site.extreme:
        score = max(score, _TWO_COMPARISONS)
    is_custom = _is_love_number(f) or _is_combo(f) or _is_ceremony(f) or _is_membership(f)
    return min(score, _ONE_COMPARISON * above) if is_custom else score


def _again(f: Features, site: Typical) -> float:
    """How surely the first tips of an account are sky-high, of those above the site's extreme.

    One could be a gift for once; a second and third at once make a session that the site has not
    seen either. What was given within the same sitting is no habit to compare with.
    """
    sessions = f.typical_session
    if sessions is None or f.before.n < 1 or not _is_first_sitting(f) or f.is_new_session:
        return 0.0
    is_run = min(1.0, 2.0 * (1.0 - f.session_max / f.session_sum))
    more = is_run * strength(f.session_sum / max(sessions.extreme, site.extreme))
    return _ONE_COMPARISON + (1.0 - _ONE_COMPARISON) * more


def _is_first_sitting(f: Features) -> bool:
    """Whether the account was seen first within this session."""
    before = f.before
    return before.n > 0 and not f.sessions and before.first_ms >= f.session_start_ms


def _above_own(f: Features) -> float | None:
    return strength(f.value / _own_limit(f)) if f.before.n >= _OWN_FROM else None


def _own_limit(f: Features) -> float:
    """What this tipper may tip before it is unlike him, minor units of the base currency."""
    before = f.before
    limit = habit_limit(before.mean, f.tip_surprise, f.own_spread)
    largest = 2.0 * before.max_value
    age_ms = f.event.event_time_ms - before.max_ms
    # What was the largest only lately may be the step before on a stair: no habit yet.
    if largest > limit and _OWN_MAXIMUM_FROM_MS <= age_ms < _OWN_MAXIMUM_COUNTS_MS:
        return largest
    return limit


def _peers_limit(f: Features, site: Typical) -> float:
    """What peers and the site may tip, minor units of the base currency.

    Half way between the two, in logarithms: to give more than one's peers once is ordinary, and
    among those who give much there are always some who give far more.
    """
    peers = f.typical_peers
    return site.extreme if peers is None else sqrt(peers.extreme * site.extreme)


def _sustained(f: Features) -> float:
    """Weeks far above the site's, as long as they are new for the tipper, by many days' tips.

    New means a rise that was seen, or an account that is young. Of somebody who has given so much
    since he was first seen it is not known whether it is new: one comparison, with the site, is
    left.
    """
    site = f.typical_week
    if site is None or f.heavy_days < 1.0 or f.sum_week < site.extreme:
        return 0.0
    # At a steady rate both sums, each over its own time constant, are the same per day.
    shift = (f.sum_week / 7) / (f.sum_60d / 60)
    novelty = _share_of(shift, _IS_NEW_AT, _IS_QUITE_NEW_AT)
    lasting = 0.3 + 0.7 * strength(f.heavy_days / _HEAVY_DAYS)
    score = novelty * lasting * strength(f.sum_week / (2 * site.extreme))
    if f.account_age_ms is not None and f.account_age_ms < _YOUNG_MS:
        return score
    known_days = max(1.0, (f.event.event_time_ms - f.before.first_ms) / DAY_MS)
    steady = (1 - exp(-known_days / 7)) / (1 - exp(-known_days / 60))
    rise = _share_of(shift / steady, _ROSE_FROM, _ROSE_TO)
    return score * (_ONE_COMPARISON + (1.0 - _ONE_COMPARISON) * rise)


def _above_own_weeks(f: Features) -> float:
    """Several days far above the tipper's own, in a week that is large for the site.

    The case's accountant lived on 2,500 a month: what great tippers give every week is no measure
    of such a one. Several days, since a payday or a binge is one or two; and a week many times one
    in which he would have given his usual day's sum on every day.
    """
    site = f.typical_week
    if site is None or f.heavy_days < _OWN_HEAVY_FROM or f.days - f.heavy_days < OWN_DAYS_FROM:
        return 0.0
    # At a steady rate both sums, each over its own time constant, are the same per day.
    novelty = _share_of((f.sum_week / 7) / (f.sum_60d / 60), _IS_NEW_AT, _IS_QUITE_NEW_AT)
    own = strength(f.sum_week / (_OWN_WEEKS * 7 * exp(f.day_mean)))
    lasting = strength(f.heavy_days / _OWN_HEAVY_DAYS)
    return novelty * own * lasting * min(1.0, f.sum_week / site.high)


def _share_of(value: float, zero: float, one: float) -> float:
    """Where a value lies between what counts for nothing and what counts in full, 0..1."""
    return min(1.0, max(0.0, (value - zero) / (one - zero)))


def _support(f: Features) -> list[Reason]:
    """Evidence of other families than amount."""
    reasons = account_reasons(f)
    recharges = f.recharges_week
    if f.heavy_days >= 2.0 and recharges >= _RECHARGES_FROM:
        # Money of an employer is recharged while at work: more often than the hours would have it.
        office = min(recharges, f.office_recharges_week)
        expected = recharges * _OFFICE_SHARE
        deviations = (office - expected) / sqrt(expected * (1 - _OFFICE_SHARE))
        if deviations >= 2.0:
            reasons.append(
                Reason("office_recharges", "money_flow", office, expected, None, "times",
                       round(recharges), min(0.6, strength(deviations / 3.0)))
            )  # fmt: skip
    return reasons


def _is_love_number(f: Features) -> bool:
    """520, 1314 and the like, as amount or number of gifts.

    From a steady supporter whatever it comes to; from others as long as it is not far above what
    the site sees.
    """
    event = f.event
    written = (f.value, event.amount_minor, event.quantity)
    if not any(str(figure).strip("0") in _LOVE_NUMBERS for figure in written):
        return False
    known, site = f.streamer, f.typical_tip
    if site is not None and f.value <= _MODEST * site.extreme:
        return True
    return (
        known is not None
        and known.times >= _STEADY_TIMES
        and f.before.n >= 2 * _STEADY_TIMES
        and event.event_time_ms - known.first_ms >= _STEADY_MS
    )


def _is_combo(f: Features) -> bool:
    """Many of a gift that is ordinary by itself (66, 99), and no more than the site knows."""
    quantity, site = f.event.quantity, f.typical_tip
    if quantity is None or quantity < _COMBO_FROM or f.before.n < HABIT_FROM or site is None:
        return False
    return f.value <= 2 * site.extreme and f.value / quantity <= exp(f.before.mean) * 3


def _is_membership(f: Features) -> bool:
    """A price for lasting rights that others pay as well: small givers buy them too."""
    site = f.typical_tip
    return f.is_perk and site is not None and f.value <= _MODEST * site.extreme


def _is_ceremony(f: Features) -> bool:
    """A ceremony, and a streamer whom he supports; a reason to give, as much as one gives then.

    No proof of innocence: the night of more than 20 million of the Pudong case was a ceremony.
    """
    site = f.typical_tip
    if f.event.room_mode != "ceremony" or site is None or f.value > _AT_A_CEREMONY * site.extreme:
        return False
    known = f.streamer
    return known is not None and known.times >= _STEADY_TIMES
