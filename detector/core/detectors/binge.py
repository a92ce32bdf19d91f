"""Impulsive binges (激情打赏): a session that runs away from the tipper's own sessions.

A session is a run of tips without a pause of half an hour; combos of one gift are one decision.
It is a case when its sum leaves what the tipper gives in a session or a day, is no everyday one for
the site, and something else of it runs away as well: its tempo, or recharges in between. Larger
gifts are no more than the sum says. Each further family that agrees makes it surer. A tipper
without sessions to compare with is judged against the site's sessions alone, and less sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, inf, log, sqrt

from detector.core.detectors.account import account_reasons
from detector.core.detectors.session import (
    DECISIONS_FROM,
    NO_LONG_EVENING,
    OWN_FROM,
    is_occasion,
    is_out_of_control,
    recharges,
    session_limit,
    tempo,
)
from detector.core.evidence import (
    HABIT_FROM,
    any_of,
    corroborated,
    habit_limit,
    session_spread,
    strength,
)
from detector.core.features import Features
from detector.core.population import Z_99, Typical
from detector.core.reasons import Reason
from detector.core.tipper import HOUR_MS

_AMOUNT_ALONE = 0.55  # below low as shipped: a session's sum alone is no binge
_SETTLED = 8  # sessions from which they alone say what is usual, whatever the site's are
_SITE_ALONE = 0.85  # how sure a sum without own sessions to compare with may be
_AT_LIMIT = 0.5  # strength of what only one in a hundred sessions shows
_FAMILY = 0.35  # strength from which a family says something
_BEYOND_DOUBT = 0.9  # three times the limit
_LARGER = 0.5  # of what only one in a hundred sessions of the site passes
_RAPID = log(60.0)  # mean log gap, s: a decision a minute is no long evening
_CLEARLY = 0.8  # twice the limit
_FAR = 3.0  # times what one in a hundred own sessions passes
_ENOUGH = 500  # sessions of the site, where it alone says what is usual
_HOURS_KNOWN = 2.0  # of one session, where no other is known
_OUT_OF_CONTROL = 0.8  # medium: above the site's extreme, by somebody hardly known
_LOW_AT_MOST = 0.74  # with the thresholds as shipped: a long evening
_MEDIUM_AT_MOST = 0.89  # the same: a ceremony's night, a stranger, or few sessions left by little
_TIPS_FROM = 5
_SMALL_GIFTS = 0.5  # of the usual size


class Binge:
    """Detector of `binge`.

    Families: amount and tempo; money_flow, identity, device and instrument beside them.

    Args:
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "binge"

    def __init__(self, unit: str, scale: int) -> None:
        self._unit = unit
        self._scale = scale

    def score(self, f: Features) -> float:
        if f.session_decisions < DECISIONS_FROM or f.moment.is_late:
            return 0.0
        if f.days >= HABIT_FROM and f.day_sum is not None and log(f.day_sum) <= f.day_mean:
            return 0.0  # most sessions: less than on a usual day
        amount = _amount(f)
        if amount < 0.3:
            return amount * 0.5
        support = self._support(f)
        weight = any_of(*(reason.weight for reason in support))
        score = amount * (_AMOUNT_ALONE + (1.0 - _AMOUNT_ALONE) * weight)
        families = _families(support)
        second = sorted((*families.values(), 0.0, 0.0))[-2]
        if max(families.get("tempo", 0.0), families.get("money_flow", 0.0)) < _AT_LIMIT:
            return min(score, _LOW_AT_MOST)
        if not f.sessions and f.typical_session is not None and f.typical_session.n < _ENOUGH:
            return min(score, _LOW_AT_MOST)  # of a young stream only the short ones have ended
        is_unsure = _is_unsure(f)
        if is_unsure:
            is_more_than_long = any(reason.code in NO_LONG_EVENING for reason in support)
            is_agreed = is_more_than_long and second >= _agreement(f)
            is_rapid = is_more_than_long or f.session_pace <= _RAPID
            if not (is_agreed or (is_rapid and _is_unlike_himself(f, support, families.values()))):
                return min(score, _LOW_AT_MOST)
        elif f.sessions < HABIT_FROM and is_out_of_control(f, support):
            score = max(score, _OUT_OF_CONTROL * _share_of_a_run(f))
        score = corroborated(score, second)
        is_known = f.sessions >= (_SETTLED if is_unsure else HABIT_FROM)
        if is_known and f.event.room_mode != "ceremony":
            return score
        return min(score, _MEDIUM_AT_MOST)

    def explain(self, f: Features) -> list[Reason]:
        reasons = self._amount_reasons(f) + self._support(f)
        if is_occasion(f):
            reasons.append(
                Reason("benign_occasion", "tempo", 1, None, None, "times", 0, 0.3, is_benign=True)
            )
        size = _gift_size(f)
        if size < _SMALL_GIFTS:
            usual = exp(f.sessions_mean - f.sessions_decisions_mean)
            reasons.append(
                Reason("benign_small_gifts", "amount", size * usual / self._scale,
                       usual / self._scale, None, self._unit, f.sessions, 0.3, is_benign=True)
            )  # fmt: skip
        return reasons

    def _amount_reasons(self, f: Features) -> list[Reason]:
        reasons, scale = [], self._scale
        if f.sessions >= OWN_FROM:
            limit = session_limit(f)
            reasons.append(
                Reason("session_above_own", "amount", f.session_sum / scale,
                       exp(f.sessions_mean) / scale, limit / scale, self._unit, f.sessions,
                       strength(f.session_sum / limit))
            )  # fmt: skip
        if f.days >= OWN_FROM and f.day_sum is not None and f.day_sum > f.session_sum:
            limit = _day_limit(f)
            reasons.append(
                Reason("day_above_own", "amount", f.day_sum / scale, exp(f.day_mean) / scale,
                       limit / scale, self._unit, f.days, strength(f.day_sum / limit))
            )  # fmt: skip
        hour_limit = _hour_limit(f)
        if hour_limit is not None and f.sum_hour > hour_limit:
            reasons.append(
                Reason("hour_above_own", "amount", f.sum_hour / scale, _usual_hour(f) / scale,
                       hour_limit / scale, self._unit, f.before.n,
                       strength(f.sum_hour / hour_limit))
            )  # fmt: skip
        site = f.typical_session
        if site is not None and f.session_sum >= site.high:
            reasons.append(
                Reason("session_above_site", "amount", f.session_sum / scale, site.middle / scale,
                       site.extreme / scale, self._unit, site.n,
                       strength(f.session_sum / site.extreme))
            )  # fmt: skip
        return reasons

    def _support(self, f: Features) -> list[Reason]:
        """What runs away beside the sum. At an occasion many tip fast and much: no evidence."""
        reasons = recharges(f) + account_reasons(f)
        if not is_occasion(f):
            reasons += self._rising(f) + tempo(f)
        return reasons

    def _rising(self, f: Features) -> list[Reason]:
        """Gifts larger than usual; half of it is in the session's sum already."""
        before, scale = f.before, self._scale
        rise = exp(min(f.session_level - before.mean, 30.0))
        if before.n < _TIPS_FROM or rise < 3.0:
            return []
        return [
            Reason("rising", "amount", exp(f.session_level) / scale, exp(before.mean) / scale,
                   None, self._unit, before.n, 0.5 * strength(rise / 6))
        ]  # fmt: skip


def _amount(f: Features) -> float:
    """How far the session's sum, or the day's, is above the tipper's own and the site's.

    A sum of which one tip is more than half is no run of tips: that tip is another kind's case.
    Nor is a long evening of gifts smaller than the tipper's usual ones.
    """
    site = f.typical_session
    above_site = 0.0 if site is None else strength(f.session_sum / site.extreme)
    own = []
    hour_limit = _hour_limit(f)
    if hour_limit is not None:
        own.append(f.sum_hour / hour_limit)  # a long session is more than two short ones anyway
    elif f.sessions >= OWN_FROM:
        own.append(f.session_sum / session_limit(f))
    if f.days >= OWN_FROM and f.day_sum is not None:
        own.append(f.day_sum / _day_limit(f))
    amount = _SITE_ALONE * above_site
    if own:
        amount = max(amount, strength(max(own)) * (0.8 + 0.2 * above_site))
    if site is not None:
        amount *= _noticeable(f.session_sum, site)
    return amount * _share_of_a_run(f) * (0.5 + 0.5 * min(1.0, _gift_size(f)))


def _share_of_a_run(f: Features) -> float:
    """0..1: 0 where the session is one tip, 1 where its largest is half of it or less."""
    return min(1.0, 2.0 * (1.0 - f.session_max / f.session_sum))


def _is_unsure(f: Features) -> bool:
    """Whether the sum is large for the tipper alone, and not for the site.

    Where hardly any own sessions are known, larger than all but one of a thousand is asked for.
    """
    site = f.typical_session
    if site is None:
        return True
    hour_limit = _hour_limit(f)
    if hour_limit is not None:
        return f.sum_hour < hour_limit or f.session_sum < site.high
    if f.sessions >= HABIT_FROM:
        return f.session_sum < site.high
    is_far = f.sessions >= OWN_FROM and f.session_sum >= _FAR * session_limit(f)
    return f.session_sum < (min(site.extreme, _FAR * site.high) if is_far else site.extreme)


def _agreement(f: Features) -> float:
    """Strength of a second family from which an unsure sum may be more than low."""
    if f.sessions >= _SETTLED:
        return _FAMILY
    if f.sessions >= HABIT_FROM:
        return _BEYOND_DOUBT
    hour_limit = _hour_limit(f)
    return _FAMILY if hour_limit is not None and f.sum_hour >= hour_limit else inf


def _is_unlike_himself(f: Features, support: list[Reason], strengths: Iterable[float]) -> bool:
    """Whether a sum that the site knows is so far above the own sessions that it is enough.

    It is among the site's larger ones, no matter of small change, and its tempo, or what was paid
    in, is as far out; of two own sessions, out of all control.
    """
    site = f.typical_session
    if site is None or f.sessions <= OWN_FROM or f.session_sum < _LARGER * site.high:
        return False
    if f.session_sum < _FAR * session_limit(f):
        return False
    if f.sessions < HABIT_FROM:
        return is_out_of_control(f, support)
    return any_of(*strengths) >= _CLEARLY


def _hour_limit(f: Features) -> float | None:
    """What one in a hundred hours of this session passes, minor units of the base currency.

    A session that lasts all night has its own hours to be compared with; None where it is short, or
    where sessions are known.
    """
    if f.sessions >= HABIT_FROM or not f.in_order:
        return None
    hours = (f.event.event_time_ms - f.session_start_ms) / HOUR_MS
    if hours < _HOURS_KNOWN:
        return None
    return habit_limit(log(max(1.0, _usual_hour(f))), Z_99, session_spread(int(hours), 0.81))


def _usual_hour(f: Features) -> float:
    """The session's sum an hour before the latest one, minor units of the base currency."""
    hours = (f.event.event_time_ms - f.session_start_ms) / HOUR_MS
    return max(0.0, f.session_sum - f.sum_hour) / max(1.0, hours - 1.0)


def _families(support: list[Reason]) -> dict[str, float]:
    """How strongly each family but amount speaks, 0..1."""
    families: dict[str, float] = {}
    for reason in support:
        if reason.family != "amount":
            families[reason.family] = any_of(families.get(reason.family, 0.0), reason.weight)
    return families


def _noticeable(session_sum: float, site: Typical) -> float:
    """0..1: how far a sum is from everyday ones on the site.

    The own sessions count first: a modest account that runs away is modest still. So only what is
    below the middle between an everyday session and a large one, in logarithms, is made light of.
    """
    return min(1.0, session_sum / sqrt(site.middle * site.high))


def _gift_size(f: Features) -> float:
    """The session's mean tip, combos taken as one, as a multiple of that of the own sessions."""
    if f.sessions < HABIT_FROM:
        return 1.0
    usual = exp(f.sessions_mean - f.sessions_decisions_mean)
    return f.session_sum / f.session_decisions / usual


def _day_limit(f: Features) -> float:
    """What one in a hundred of this tipper's days passes, minor units of the base currency."""
    return habit_limit(f.day_mean, Z_99, session_spread(f.days, f.day_variance))
