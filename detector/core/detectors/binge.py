"""Impulsive binges (激情打赏): a session that runs away from the tipper's own sessions.

A session is a run of tips without a pause of half an hour; combos of one gift are one decision.
It is a case when its sum leaves what the tipper gives in a session or a day, is no everyday one for
the site, and something else of it runs away as well: its tempo, or recharges in between. Larger
gifts are no more than the sum says. Each further family that agrees makes it surer. A tipper
without sessions to compare with is judged against the site's sessions alone, and less sure.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

from detector.core.detectors.account import account_reasons
from detector.core.evidence import (
    HABIT_FROM,
    any_of,
    corroborated,
    habit_limit,
    session_spread,
    spread,
    strength,
)
from detector.core.features import Features
from detector.core.population import Z_99, Typical
from detector.core.reasons import Reason
from detector.core.tipper import HOUR_MS
from detector.core.traits import RECHARGED, Counts

_DECISIONS_FROM = 3  # a short run of high tips; one or two are single tips
_AMOUNT_ALONE = 0.55  # below low as shipped: a session's sum alone is no binge
_OWN_FROM = 2  # sessions, or days, to compare with: `spread` allows for how little two say
_SETTLED = 8  # sessions from which they alone say what is usual, whatever the site's are
_SITE_ALONE = 0.85  # how sure a sum without own sessions to compare with may be
_AT_LIMIT = 0.5  # strength of what only one in a hundred sessions shows
_FAMILY = 0.35  # strength from which a family says something
_BEYOND_DOUBT = 0.9  # three times the limit
_HOURS_KNOWN = 2.0  # of one session, where no other is known
_UNCONTROLLED = frozenset(("session_recharges", "quickening", "accelerating"))
_SIGNS = frozenset(
    ("session_tempo", "quickening", "accelerating", "rising", "room_hopping", "after_pk")
)
_SIGN_FROM = 0.25
_MANY_RECHARGES = 10  # within a session
_OUT_OF_CONTROL = 0.8  # medium: above the site's extreme, by somebody hardly known
_LOW_AT_MOST = 0.74  # with the thresholds as shipped: a long evening
_MEDIUM_AT_MOST = 0.89  # the same: a ceremony's night, a stranger, or few sessions left by little
_HANDFUL = 5.0  # decisions that are no long session for anybody
_UNKNOWN_TIPS_LIMIT = 15.0  # while neither the tipper's nor the site's sessions are known
_GAPS_FROM = 5
_TIPS_FROM = 5
_SMALL_GIFTS = 0.5  # of the usual size
_RECHARGES = 3.0  # beside the usual week's: one or two may follow an empty wallet
_MOVES = 4.0
_PK_ROUND_MS = HOUR_MS // 3  # the longest round; a ceremony's peak is no longer
_PK_AT_LEAST_MS = 60_000
_OCCASIONS = ("pk", "ceremony")

# Gaps of a steady stream are exponential: their logarithms have the mean log(mean gap) - 0.58 and
# the standard deviation 1.28. `session_pace` weighs the newest 0.3: √(0.3 / 1.7) = 0.42 of it.
_LOG_GAP_BELOW_MEAN = 0.577
_GAP_SPREAD = 1.28
_PACE_SHARE = 0.42

_NIGHT_BEFORE_HOUR = 6
_HOURS_FROM = 20  # tips before there is a profile of hours
_RARE_HOURS = 0.05  # share of a tipper's tips within three hours of the day; by chance 0.125


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
        if f.session_decisions < _DECISIONS_FROM or f.moment.is_late:
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
        is_unsure = _is_unsure(f)
        if is_unsure:
            is_uncontrolled = any(reason.code in _UNCONTROLLED for reason in support)
            if not (is_uncontrolled and second >= _agreement(f)):
                return min(score, _LOW_AT_MOST)
        elif f.sessions < HABIT_FROM and _is_out_of_control(f, support):
            score = max(score, _OUT_OF_CONTROL * _share_of_a_run(f))
        score = corroborated(score, second)
        is_known = f.sessions >= (_SETTLED if is_unsure else HABIT_FROM)
        if is_known and f.event.room_mode != "ceremony":
            return score
        return min(score, _MEDIUM_AT_MOST)

    def explain(self, f: Features) -> list[Reason]:
        reasons = self._amount_reasons(f) + self._support(f)
        if _is_occasion(f):
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
        if f.sessions >= _OWN_FROM:
            limit = _session_limit(f)
            reasons.append(
                Reason("session_above_own", "amount", f.session_sum / scale,
                       exp(f.sessions_mean) / scale, limit / scale, self._unit, f.sessions,
                       strength(f.session_sum / limit))
            )  # fmt: skip
        if f.days >= _OWN_FROM and f.day_sum is not None and f.day_sum > f.session_sum:
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
        reasons = _recharges(f) + account_reasons(f)
        if not _is_occasion(f):
            reasons += self._rising(f) + _tempo(f)
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
    elif f.sessions >= _OWN_FROM:
        own.append(f.session_sum / _session_limit(f))
    if f.days >= _OWN_FROM and f.day_sum is not None:
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
    return f.session_sum < (site.high if f.sessions >= HABIT_FROM else site.extreme)


def _agreement(f: Features) -> float:
    """Strength of a second family from which an unsure sum may be more than low."""
    if f.sessions >= _SETTLED:
        return _FAMILY
    if f.sessions >= HABIT_FROM:
        return _BEYOND_DOUBT
    hour_limit = _hour_limit(f)
    return _FAMILY if hour_limit is not None and f.sum_hour >= hour_limit else inf


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


def _session_limit(f: Features) -> float:
    """What one in a hundred of this tipper's sessions passes, minor units of the base currency."""
    usual_spread = session_spread(f.sessions, f.sessions_variance)
    return habit_limit(f.sessions_mean, Z_99, usual_spread)


def _day_limit(f: Features) -> float:
    """What one in a hundred of this tipper's days passes, minor units of the base currency."""
    return habit_limit(f.day_mean, Z_99, session_spread(f.days, f.day_variance))


def _decisions_limit(f: Features) -> float:
    """How many tips, combos counted once, a session of this tipper may have.

    One in a hundred of his own passes it, or one in a thousand of the site's.
    """
    if f.sessions < _OWN_FROM:
        site = f.typical_session_tips
        return _UNKNOWN_TIPS_LIMIT if site is None else max(2 * _HANDFUL, site.extreme)
    usual_spread = spread(f.sessions, f.sessions_decisions_variance, 0.5, 6, 0.25)
    return max(_HANDFUL, habit_limit(f.sessions_decisions_mean, Z_99, usual_spread))


def _tempo(f: Features) -> list[Reason]:
    """More tips, faster ones, at other hours, in more rooms, or faster ones after a PK."""
    reasons = []
    limit = _decisions_limit(f)
    many = strength(f.session_decisions / limit)
    if many >= 0.2:
        usual = exp(f.sessions_decisions_mean) if f.sessions else None
        reasons.append(
            Reason("session_tempo", "tempo", f.session_decisions, usual, limit, "tips", f.sessions,
                   many)
        )  # fmt: skip
    reasons += _quickening(f)
    pk = _after_pk(f)
    if pk >= 2.0:
        reasons.append(Reason("after_pk", "tempo", pk, 1, None, "times", 0, strength(pk / 3.0)))
    moves = f.before.session_moves
    if moves >= _MOVES / 2:
        hopping = 0.5 * strength(moves / _MOVES)  # some always do
        reasons.append(Reason("room_hopping", "tempo", moves, None, None, "times", 0, hopping))
    return reasons + _unusual_hours(f)


def _quickening(f: Features) -> list[Reason]:
    """Gaps far shorter than this tipper's usual ones, or else than the session's own so far."""
    if not f.in_order:
        return []
    before, gaps = f.before, f.session_decisions - 1
    if before.gaps >= _GAPS_FROM:
        usual_spread = spread(before.gaps, before.gap_variance, _GAP_SPREAD, 6, 0.5)
        faster = _faster(f, before.gap_mean, usual_spread)
        if faster >= 0.5:
            return [
                Reason("quickening", "tempo", exp(f.session_pace), exp(before.gap_mean), None, "s",
                       before.gaps, faster)
            ]  # fmt: skip
    elapsed_s = (f.event.event_time_ms - f.session_start_ms) / 1000
    if gaps < _GAPS_FROM or elapsed_s <= 0.0:
        return []
    mean_gap_s = max(1.0, elapsed_s / gaps)
    faster = _faster(f, log(mean_gap_s) - _LOG_GAP_BELOW_MEAN, _GAP_SPREAD)
    if faster < 0.5:
        return []
    return [
        Reason("accelerating", "tempo", exp(f.session_pace), mean_gap_s, None, "s",
               f.session_decisions, faster)
    ]  # fmt: skip


def _faster(f: Features, usual_log_gap: float, gap_spread: float) -> float:
    """0.5 where one in a hundred sessions is as fast; few gaps say little."""
    pace_spread = gap_spread * max(_PACE_SHARE, max(1, f.session_decisions - 1) ** -0.5)
    deviations = (usual_log_gap - f.session_pace) / pace_spread
    return strength(deviations / Z_99) if deviations > 0.0 else 0.0


def _after_pk(f: Features) -> float:
    """Money a minute since the session's last PK, as a multiple of that up to it; 0 if unknown.

    Tipping peaks within a PK; who speeds up after it plays for something lost. Which side lost is
    not in a tip.
    """
    before, event = f.before, f.event
    if not before.pk_ms or event.room_mode == "pk" or f.is_new_session:
        return 0.0
    if f.session_decisions - before.pk_decisions < _DECISIONS_FROM:
        return 0.0
    up_to_ms = max(_PK_AT_LEAST_MS, before.pk_ms - f.session_start_ms)
    since_ms = max(_PK_AT_LEAST_MS, event.event_time_ms - before.pk_ms)
    return (f.session_sum - before.pk_sum) / since_ms * up_to_ms / before.pk_sum


def _unusual_hours(f: Features) -> list[Reason]:
    """Night, at hours at which this tipper hardly ever tips; weak, since hours cut both ways."""
    hour = f.moment.minute // 60
    if hour >= _NIGHT_BEFORE_HOUR:
        return []
    hours = f.before.hours
    session = f.session_decisions - 1  # those of this session are in the profile already
    known = sum(hours) - session
    if known < _HOURS_FROM:
        return []
    near = hours[hour - 1] + hours[hour] + hours[(hour + 1) % 24] - session
    share = (max(0, near) + 1) / (known + 8)  # three hours of 24 are one of eight
    if share >= _RARE_HOURS:
        return []
    return [Reason("unusual_hours", "tempo", share, 0.125, None, "share", known, 0.4)]


def _recharges(f: Features) -> list[Reason]:
    """Recharges within the session, beyond what this tipper needs in a week."""
    count = f.session_recharges
    if count < 2:
        return []
    usual = max(0.0, f.recharges_week - count)
    limit = _RECHARGES + usual
    weight = (1.0 - _pays_as_he_goes(f)) * strength(count / limit)
    if weight < 0.1:
        return []
    return [Reason("session_recharges", "money_flow", count, usual, limit, "times", 0, weight)]


def _pays_as_he_goes(f: Features) -> float:
    """Share of the earlier hours in which a recharge led to a tip: then more tips need more."""
    counts = Counts.of(f.before.traits)
    session_hours = f.event.event_time_ms // HOUR_MS - f.session_start_ms // HOUR_MS + 1
    hours, with_it = counts.hours - session_hours, counts.count(RECHARGED) - session_hours
    return with_it / (hours + 2.0) if with_it > 0 else 0.0


def _is_out_of_control(f: Features, support: list[Reason]) -> bool:
    """Recharges again and again, and two more signs: what nobody's ordinary evening is like."""
    if f.session_recharges < _MANY_RECHARGES:
        return False
    codes = {reason.code for reason in support if reason.weight >= _SIGN_FROM}
    return "session_recharges" in codes and len(codes & _SIGNS) >= 2


def _is_occasion(f: Features) -> bool:
    """A PK's round or a ceremony's peak, as long as either lasts."""
    return (
        f.event.room_mode in _OCCASIONS
        and f.event.event_time_ms - f.session_start_ms <= _PK_ROUND_MS
    )
