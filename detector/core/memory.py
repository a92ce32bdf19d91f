"""How one event changes what is remembered: of its tipper, and of the site.

Runs after a tip was scored. Robust on purpose: a tip far above the tipper's habit moves his
mean only as far as the habit's edge would, so that a single outlier, or a fraud, does not become
the new normal at once, while a lasting change does within a few dozen tips.
"""

from __future__ import annotations

from math import exp, log

from detector.core.crowd import LARGEST
from detector.core.event import Event
from detector.core.evidence import HABIT_FROM
from detector.core.features import Features, Moment, learn_mean
from detector.core.population import Population
from detector.core.tipper import (
    ADULT_AGE,
    CLAIMED_MINOR,
    CONFIRMED_MINOR,
    DAY_MS,
    DECLARED_MINOR,
    HOUR_MS,
    MOST_RECHARGES,
    NAMED,
    NEWEST_MARK,
    NOT_NAMED,
    SESSION_GAP_MS,
    WEEK_MS,
    Notes,
    TipperStats,
    remember,
)
from detector.core.traits import mask_of

_MOST = 65_535  # of what a session counts
_EDGE = 3.0  # standard deviations beyond which a value counts as if it were at the edge
_EDGE_FROM = 5  # tips before there is a habit to have an edge
_SMALLEST_SPREAD = 0.35  # in log units: about 40 %
_SITE_STEP = 3.0  # times the site's extreme, beyond which a tip says no more of the site
_PEAK_FADES_MS = 90 * DAY_MS
_ADULT_YEARS = 18
_ONE_CLAIM_HOURS = 20  # claims closer together than from one day to the next are one


def advance(f: Features) -> TipperStats:
    """The tipper after this tip."""
    before, event, after = f.before, f.event, TipperStats()
    at_ms = event.event_time_ms
    after.n, after.mean, after.variance = learn_mean(
        before.n, before.mean, before.variance, _at_most_edge(f)
    )
    after.first_ms = min(before.first_ms, at_ms) if before.n else at_ms
    if f.in_order:
        after.last_ms, after.last_value = at_ms, f.value
    else:
        after.last_ms, after.last_value = before.last_ms, before.last_value
    if f.value >= before.max_value:
        after.max_value, after.max_ms = f.value, at_ms
    else:
        after.max_value, after.max_ms = before.max_value, before.max_ms
    _advance_sums(after, f)
    _advance_sessions(after, f)
    _advance_recharges(after, f)
    _advance_traits(after, f)
    after.hours = _count_hour(before.hours, f.moment.minute // 60)
    after.devices = remember(before.devices, event.device_id, at_ms)
    after.instruments = remember(before.instruments, event.instrument_id, at_ms)
    after.streamers = remember(before.streamers, event.streamer_id, at_ms)
    _advance_rooms(after, f)
    return after


def recharge(tipper: TipperStats, event: Event, moment: Moment) -> None:
    """Adds a recharge to a tipper who nobody else holds.

    It shows his devices and instruments before they pay for a tip.
    """
    at_ms, value = event.event_time_ms, event.value_minor or 0
    tipper.devices = remember(tipper.devices, event.device_id, at_ms)
    tipper.instruments = remember(tipper.instruments, event.instrument_id, at_ms)
    elapsed_ms = at_ms - tipper.recharge_ms
    waiting = tipper.recharges_waiting if elapsed_ms <= SESSION_GAP_MS else 0
    tipper.recharges_waiting = min(MOST_RECHARGES, waiting + 1)
    weight = 1.0
    if elapsed_ms >= 0:
        decay = exp(-elapsed_ms / WEEK_MS)
        tipper.recharges_week *= decay
        tipper.recharged_week *= decay
        tipper.other_recharges_week *= decay
        tipper.office_recharges_week *= decay
        tipper.recharge_ms = at_ms
    else:  # it is worth less by now; the sums stay where they are in time
        weight = exp(elapsed_ms / WEEK_MS)
    tipper.recharges_week += weight
    tipper.recharged_week += weight * value
    if event.instrument_holder == "other":
        tipper.other_recharges_week += weight
    if moment.is_office_hour:
        tipper.office_recharges_week += weight
    tipper.balance = min(LARGEST, tipper.balance + value)
    tipper.notes = _with_facts(tipper.notes, event)


def learn(population: Population, f: Features) -> None:
    """Adds the tip, and the session it ended, to the site's habits."""
    before = f.before
    population.tips.add(_at_most_of_site(f))
    if f.moment.day > before.day or not before.n:
        population.weeks.add(log(f.sum_week))
    population.add_to_peers(f.standing, f.log_value)
    if before.n >= HABIT_FROM:
        population.tip_surprise.add((f.log_value - before.mean) / f.own_spread)
    if f.is_new_session and before.n:
        population.sessions.add(log(before.session_sum))
        population.session_tips.add(log(before.session_decisions))
    if before.n and f.is_new_hour:
        population.traits.add(before.day, mask_of(before.traits))


def note_minor(tipper: TipperStats, fact: int, at_ms: int) -> None:
    """Remembers that the account was known to be a minor's.

    Args:
        tipper: held by nobody else.
        fact: `DECLARED_MINOR` or `CONFIRMED_MINOR`.
        at_ms: when, epoch ms.
    """
    notes = Notes.of(tipper.notes)
    tipper.notes = notes._replace(
        facts=notes.facts | fact, minor_hour=max(notes.minor_hour, at_ms // HOUR_MS)
    ).pack()


def forget_minor(tipper: TipperStats) -> None:
    """Takes back that a reviewer confirmed a minor; what the account itself declared stays."""
    notes = Notes.of(tipper.notes)
    facts = notes.facts & ~CONFIRMED_MINOR
    minor_hour = notes.minor_hour if facts & DECLARED_MINOR else 0
    tipper.notes = notes._replace(facts=facts, minor_hour=minor_hour).pack()


def claim(tipper: TipperStats, event: Event) -> None:
    """Adds a refund claim to a tipper who nobody else holds.

    Who claims from each of his streamers within a day has claimed once.
    """
    notes = Notes.of(_with_facts(tipper.notes, event))
    hour = event.event_time_ms // HOUR_MS
    is_another = not notes.claim_hour or hour - notes.claim_hour >= _ONE_CLAIM_HOURS
    claimed = CLAIMED_MINOR if event.claim == "minor" else 0
    tipper.notes = notes._replace(
        facts=notes.facts | claimed,
        claims=min(255, notes.claims + is_another),
        claim_hour=max(notes.claim_hour, hour),
    ).pack()


def _advance_sums(after: TipperStats, f: Features) -> None:
    before = f.before
    after.sum_hour, after.sum_day = f.sum_hour, f.sum_day
    after.sum_week, after.sum_60d = f.sum_week, f.sum_60d
    if f.day_sum is None:
        after.day, after.day_sum = before.day, before.day_sum
    else:
        after.day, after.day_sum = f.moment.day, min(LARGEST, f.day_sum)
    if f.month_sum is None:
        after.month, after.month_sum = before.month, before.month_sum
    else:
        after.month, after.month_sum = f.moment.month, min(LARGEST, f.month_sum)
    after.days, after.day_mean, after.day_variance = f.days, f.day_mean, f.day_variance
    after.heavy_days = f.heavy_days


def _advance_sessions(after: TipperStats, f: Features) -> None:
    before = f.before
    after.gaps, after.gap_mean, after.gap_variance = (
        (before.gaps, before.gap_mean, before.gap_variance)
        if f.gap_s is None or f.is_new_session or f.is_combo
        else learn_mean(before.gaps, before.gap_mean, before.gap_variance, log(max(1.0, f.gap_s)))
    )
    after.session_start_ms, after.session_sum = f.session_start_ms, min(LARGEST, f.session_sum)
    after.session_decisions = f.session_decisions
    after.combo_sum = min(LARGEST, f.combo_sum)
    after.session_max = min(LARGEST, f.session_max)
    after.session_pace, after.session_level = f.session_pace, f.session_level
    after.sessions = f.sessions
    after.sessions_mean, after.sessions_variance = f.sessions_mean, f.sessions_variance
    after.sessions_decisions_mean = f.sessions_decisions_mean
    after.sessions_decisions_variance = f.sessions_decisions_variance


def _advance_rooms(after: TipperStats, f: Features) -> None:
    """After `streamers`: where the session has been, and what it came to within a PK."""
    before = f.before
    if f.is_new_session:
        after.session_moves = after.pk_ms = after.pk_sum = after.pk_decisions = 0
    else:
        has_moved = after.streamers[NEWEST_MARK] != before.streamers[NEWEST_MARK]
        after.session_moves = min(before.session_moves + has_moved, _MOST)
        after.pk_ms, after.pk_sum = before.pk_ms, before.pk_sum
        after.pk_decisions = before.pk_decisions
    if f.event.room_mode == "pk" and f.in_order:
        after.pk_ms, after.pk_sum = f.event.event_time_ms, after.session_sum
        after.pk_decisions = min(f.session_decisions, _MOST)


def _advance_recharges(after: TipperStats, f: Features) -> None:
    before = f.before
    after.recharge_ms, after.recharges_week = before.recharge_ms, before.recharges_week
    after.recharged_week = before.recharged_week
    after.other_recharges_week = before.other_recharges_week
    after.office_recharges_week = before.office_recharges_week
    after.recharges_waiting, after.session_recharges = 0, f.session_recharges
    left = before.balance - f.value
    after.balance = left if left > 0 else 0


def _advance_traits(after: TipperStats, f: Features) -> None:
    before, event = f.before, f.event
    after.traits = f.habits
    after.genre, after.genre_lead = before.genre, before.genre_lead
    if f.genre and f.is_new_hour:  # the majority's mark (Boyer and Moore)
        if f.genre == before.genre:
            after.genre_lead = min(255, before.genre_lead + 1)
        elif before.genre_lead:
            after.genre_lead = before.genre_lead - 1
        else:
            after.genre, after.genre_lead = f.genre, 1
    after.child_peak = before.child_peak
    if before.child_peak and f.in_order:
        after.child_peak *= exp((before.last_ms - event.event_time_ms) / _PEAK_FADES_MS)
    after.notes = _with_facts(before.notes, event)
    if f.is_perk:
        notes, hour = Notes.of(after.notes), event.event_time_ms // HOUR_MS
        after.notes = notes._replace(
            perk_hour=max(hour, notes.perk_hour), perks=min(255, notes.perks + 1)
        ).pack()


def _with_facts(packed: bytes, event: Event) -> bytes:
    """The packed notes with what an event says of the account."""
    said = 0
    if event.tipper_age is not None and event.tipper_age >= _ADULT_YEARS:
        said = ADULT_AGE
    if event.real_name is not None:
        said |= NAMED if event.real_name else NOT_NAMED
    if not said & ~packed[0]:
        return packed
    notes = Notes.of(packed)
    named_hour = notes.named_hour
    if said & NAMED and notes.facts & (NAMED | NOT_NAMED) == NOT_NAMED:
        named_hour = event.event_time_ms // HOUR_MS
    return notes._replace(facts=notes.facts | said, named_hour=named_hour).pack()


def _at_most_edge(f: Features) -> float:
    before, log_value = f.before, f.log_value
    if before.n < _EDGE_FROM or log_value <= before.mean + _EDGE * _SMALLEST_SPREAD:
        return log_value
    spread: float = max(before.variance**0.5, _SMALLEST_SPREAD)
    return min(log_value, before.mean + _EDGE * spread)


def _at_most_of_site(f: Features) -> float:
    """A tip as the site's habits see it: far above its extreme it counts as if nearer to it.

    On a young site a few frauds are more than one in a thousand, and would hide the next one. Where
    the site has changed, its extreme still grows, by steps.
    """
    site = f.typical_tip
    if site is None or f.value <= _SITE_STEP * site.extreme:
        return f.log_value
    return log(_SITE_STEP * site.extreme)


def _count_hour(hours: bytes, hour: int) -> bytes:
    """The hour-of-day profile with one more tip; all hours are halved when one is full."""
    if hours[hour] == 255:
        hours = bytes(count >> 1 for count in hours)
    return hours[:hour] + (hours[hour] + 1).to_bytes(1, "little") + hours[hour + 1 :]
