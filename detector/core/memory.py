"""How one tip changes what is remembered: of its tipper, and of the site.

Runs after the tip was scored. Robust on purpose: a tip far above the tipper's habit moves his
mean only as far as the habit's edge would, so that a single outlier, or a fraud, does not become
the new normal at once, while a lasting change does within a few dozen tips.
"""

from __future__ import annotations

from math import log

from detector.core.features import Features, learn_mean
from detector.core.population import Population
from detector.core.tipper import TipperStats, remember

_EDGE = 3.0  # standard deviations beyond which a value counts as if it were at the edge
_EDGE_FROM = 5  # tips before there is a habit to have an edge
_SMALLEST_SPREAD = 0.35  # in log units: about 40 %


def advance(f: Features) -> TipperStats:
    """The tipper after this tip."""
    before, event = f.before, f.event
    n, mean, variance = learn_mean(before.n, before.mean, before.variance, _at_most_edge(f))
    gaps, gap_mean, gap_variance = before.gaps, before.gap_mean, before.gap_variance
    if f.gap_s is not None and not f.is_new_session and not f.is_combo:
        gaps, gap_mean, gap_variance = learn_mean(
            gaps, gap_mean, gap_variance, log(max(1.0, f.gap_s))
        )
    is_newest = f.in_order
    at_ms = event.event_time_ms
    is_largest = f.value >= before.max_value
    return TipperStats(
        n,
        min(before.first_ms, at_ms) if before.n else at_ms,
        at_ms if is_newest else before.last_ms,
        f.value if is_newest else before.last_value,
        mean,
        variance,
        f.value if is_largest else before.max_value,
        at_ms if is_largest else before.max_ms,
        f.sum_hour,
        f.sum_day,
        f.sum_week,
        f.sum_60d,
        f.moment.day if f.day_sum is not None else before.day,
        before.day_sum if f.day_sum is None else f.day_sum,
        f.moment.month if f.month_sum is not None else before.month,
        before.month_sum if f.month_sum is None else f.month_sum,
        f.days,
        f.day_mean,
        f.day_variance,
        gaps,
        gap_mean,
        gap_variance,
        f.session_start_ms,
        f.session_sum,
        f.session_decisions,
        f.session_pace,
        f.session_level,
        f.sessions,
        f.sessions_mean,
        f.sessions_variance,
        f.sessions_decisions_mean,
        f.sessions_decisions_variance,
        _count_hour(before.hours, f.moment.minute // 60),
        remember(before.devices, f.device, at_ms),
        remember(before.instruments, f.instrument, at_ms),
        remember(before.streamers, f.streamer, at_ms),
    )


def learn(population: Population, f: Features) -> None:
    """Adds the tip, and the session it ended, to the site's habits."""
    population.tips.add(f.log_value)
    population.weeks.add(log(f.sum_week))
    if f.is_new_session and f.before.n:
        population.sessions.add(log(f.before.session_sum))


def _at_most_edge(f: Features) -> float:
    before = f.before
    if before.n < _EDGE_FROM:
        return f.log_value
    spread: float = max(before.variance**0.5, _SMALLEST_SPREAD)
    return min(f.log_value, before.mean + _EDGE * spread)


def _count_hour(hours: bytes, hour: int) -> bytes:
    """The hour-of-day profile with one more tip; all hours are halved when one is full."""
    counts = bytearray(hours)
    if counts[hour] == 255:
        counts = bytearray(count >> 1 for count in counts)
    counts[hour] += 1
    return bytes(counts)
