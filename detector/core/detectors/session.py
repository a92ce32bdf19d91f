"""What a session of this tipper may come to, and signs that one runs away beside its sum: tempo,
hours, rooms and recharges.

Each is compared with the tipper's own sessions, or else with the site's or with the session so far.
"""

from __future__ import annotations

from math import exp, log, sqrt

from detector.core.evidence import habit_limit, session_spread, spread, strength
from detector.core.features import PACE_NEWEST, Features
from detector.core.population import Z_99
from detector.core.reasons import Reason
from detector.core.tipper import HOUR_MS
from detector.core.traits import RECHARGED, Counts

OWN_FROM = 1
"""Sessions, or days, to compare with: `spread` allows for how little one says."""

DECISIONS_FROM = 3
"""A short run of high tips has so many; one or two are single tips."""

NO_LONG_EVENING = frozenset(("session_recharges", "quickening", "accelerating"))
"""Signs that an evening does not have for being long."""

_AGREEING = frozenset(
    ("session_tempo", "quickening", "accelerating", "rising", "room_hopping", "after_pk")
)
_SIGN_FROM = 0.25
_MANY_RECHARGES = 10  # within a session
_HANDFUL = 5.0  # decisions that are no long session for anybody
_UNKNOWN_TIPS_LIMIT = 15.0  # while neither the tipper's nor the site's sessions are known
_GAPS_FROM = 5
_RECHARGES = 3.0  # beside the usual week's: one or two may follow an empty wallet
_MOVES = 4.0
_PK_ROUND_MS = HOUR_MS // 3  # the longest round; a ceremony's peak is no longer
_PK_AT_LEAST_MS = 60_000
_OCCASIONS = ("pk", "ceremony")

# Gaps of a steady stream are exponential: their logarithms have the mean log(mean gap) - 0.58 and
# the standard deviation 1.28; `session_pace`, which weighs the newest w, has √(w / (2 - w)) of it.
_LOG_GAP_BELOW_MEAN = 0.577
_GAP_SPREAD = 1.28
_PACE_SHARE = sqrt(PACE_NEWEST / (2.0 - PACE_NEWEST))

_NIGHT_BEFORE_HOUR = 6
_HOURS_FROM = 20  # tips before there is a profile of hours
_RARE_HOURS = 0.05  # share of a tipper's tips within three hours of the day; by chance 0.125


def session_limit(f: Features) -> float:
    """What one in a hundred of this tipper's sessions passes, minor units of the base currency."""
    usual_spread = session_spread(f.sessions, f.sessions_variance)
    return habit_limit(f.sessions_mean, Z_99, usual_spread)


def is_occasion(f: Features) -> bool:
    """A PK's round or a ceremony's peak, as long as either lasts."""
    return (
        f.event.room_mode in _OCCASIONS
        and f.event.event_time_ms - f.session_start_ms <= _PK_ROUND_MS
    )


def _decisions_limit(f: Features) -> float:
    """How many tips, combos counted once, a session of this tipper may have.

    One in a hundred of his own passes it, or one in a thousand of the site's.
    """
    if f.sessions < OWN_FROM:
        site = f.typical_session_tips
        return _UNKNOWN_TIPS_LIMIT if site is None else max(2 * _HANDFUL, site.extreme)
    usual_spread = spread(f.sessions, f.sessions_decisions_variance, 0.5, 6, 0.25)
    return max(_HANDFUL, habit_limit(f.sessions_decisions_mean, Z_99, usual_spread))


def tempo(f: Features) -> list[Reason]:
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
    if f.session_decisions - before.pk_decisions < DECISIONS_FROM:
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


def recharges(f: Features) -> list[Reason]:
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


def is_out_of_control(f: Features, support: list[Reason]) -> bool:
    """Recharges again and again, and two more signs: what nobody's ordinary evening is like."""
    if f.session_recharges < _MANY_RECHARGES:
        return False
    codes = {reason.code for reason in support if reason.weight >= _SIGN_FROM}
    return "session_recharges" in codes and len(codes & _AGREEING) >= 2
