"""Impulsive binges (激情打赏): a session that runs away from the tipper's own sessions.

A session is a run of tips without a pause of half an hour. It is a case when both its sum and its
tempo leave the tipper's habit; combos of one gift are one decision, not many. A tipper without
sessions to compare with is judged against the site's sessions alone, and less sure.
"""

from __future__ import annotations

from math import exp

from detector.core.detectors.outsized import account_reasons
from detector.core.evidence import any_of, habit_limit, spread, strength
from detector.core.features import Features
from detector.core.reasons import Reason
from detector.core.tipper import HOUR_MS

_DECISIONS_FROM = 5  # fewer are a few gifts, not a binge
_SESSIONS_FROM = 3
_GAPS_FROM = 5
_TIPS_FROM = 5
_SUM_DEVIATIONS = 2.5
_DECISIONS_DEVIATIONS = 2.5
_OCCASION_MS = HOUR_MS // 3  # a PK's last minutes, a ceremony's peak
_OCCASIONS = ("pk", "ceremony")


class Binge:
    """Detector of `binge`. Families: amount and tempo; device and instrument beside them.

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
        site = f.typical_session
        above_site = 0.0 if site is None else strength(f.session_sum / site.extreme)
        if f.sessions >= _SESSIONS_FROM:
            amount = strength(f.session_sum / _sum_limit(f)) * (0.8 + 0.2 * above_site)
        else:
            amount = 0.7 * above_site
        if site is not None and f.session_sum < site.high:
            amount *= f.session_sum / site.high
        if amount < 0.05:
            return amount * 0.5
        score = amount * (0.5 + 0.5 * any_of(_tempo(f), _quickening(f)))
        return score * 0.75 if _is_occasion(f) else score

    def explain(self, f: Features) -> list[Reason]:
        reasons = self._amount_reasons(f) + self._tempo_reasons(f) + account_reasons(f)
        if _is_occasion(f):
            reasons.append(
                Reason("benign_occasion", "tempo", 1, None, None, "times", 0, 0.3, is_benign=True)
            )
        return reasons

    def _amount_reasons(self, f: Features) -> list[Reason]:
        reasons, scale, before = [], self._scale, f.before
        if f.sessions >= _SESSIONS_FROM:
            limit = _sum_limit(f)
            reasons.append(
                Reason("session_above_own", "amount", f.session_sum / scale,
                       exp(f.sessions_mean) / scale, limit / scale, self._unit, f.sessions,
                       strength(f.session_sum / limit))
            )  # fmt: skip
        site = f.typical_session
        if site is not None and f.session_sum >= site.high:
            reasons.append(
                Reason("session_above_site", "amount", f.session_sum / scale, site.middle / scale,
                       site.extreme / scale, self._unit, site.n,
                       strength(f.session_sum / site.extreme))
            )  # fmt: skip
        rise = exp(min(f.session_level - before.mean, 30.0))
        if before.n >= _TIPS_FROM and rise >= 3.0:
            reasons.append(
                Reason("rising", "amount", exp(f.session_level) / scale, exp(before.mean) / scale,
                       None, self._unit, before.n, strength(rise / 6))
            )  # fmt: skip
        return reasons

    def _tempo_reasons(self, f: Features) -> list[Reason]:
        reasons = []
        tempo, quickening = _tempo(f), _quickening(f)
        if tempo >= 0.5:
            usual = exp(f.sessions_decisions_mean) if f.sessions else None
            reasons.append(
                Reason("session_tempo", "tempo", f.session_decisions, usual, _decisions_limit(f),
                       "tips", f.sessions, tempo)
            )  # fmt: skip
        if quickening >= 0.5:
            reasons.append(
                Reason("quickening", "tempo", exp(f.session_pace), exp(f.before.gap_mean), None,
                       "s", f.before.gaps, quickening)
            )  # fmt: skip
        return reasons


def _sum_limit(f: Features) -> float:
    """What a session of this tipper may come to, minor units of the base currency."""
    n = f.sessions
    return habit_limit(
        f.sessions_mean, _SUM_DEVIATIONS, spread(n, f.sessions_variance, 0.9, 6, 0.4)
    )


def _decisions_limit(f: Features) -> float:
    """How many tips, combos counted once, a session of this tipper may have."""
    n = f.sessions
    if n < _SESSIONS_FROM:
        return 15.0
    limit = habit_limit(
        f.sessions_decisions_mean,
        _DECISIONS_DEVIATIONS,
        spread(n, f.sessions_decisions_variance, 0.5, 6, 0.25),
    )
    return max(8.0, limit)


def _tempo(f: Features) -> float:
    return strength(f.session_decisions / _decisions_limit(f))


def _quickening(f: Features) -> float:
    """Gaps far shorter than this tipper's usual ones within a session."""
    if f.before.gaps < _GAPS_FROM:
        return 0.0
    return strength(exp(f.before.gap_mean - f.session_pace) / 4.0)


def _is_occasion(f: Features) -> bool:
    return (
        f.event.room_mode in _OCCASIONS
        and f.event.event_time_ms - f.session_start_ms <= _OCCASION_MS
    )
