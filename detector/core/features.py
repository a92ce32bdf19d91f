"""What is known about one tip at the moment it is scored.

The contract of every feature: the tip at hand is not in its own baseline (`before`, `typical_*`);
running totals (`day_sum`, `session_sum`, …) do include it, since a limit is passed by the tip that
passes it. What cannot be known is None and is no evidence.
"""

from __future__ import annotations

from math import exp, log

from detector.core.event import Event
from detector.core.evidence import HABIT_FROM, tip_spread
from detector.core.population import Population, Typical
from detector.core.school import Time
from detector.core.tipper import (
    COMBO_GAP_MS,
    DAY_MS,
    HOUR_MS,
    MOST_RECHARGES,
    SESSION_GAP_MS,
    WEEK_MS,
    Known,
    TipperStats,
    look_up,
)
from detector.core.traits import SiteTraits

_60_DAYS_MS = 60 * DAY_MS
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
_FAR_ABOVE = log(10.0)  # a payday is three to eight usual days
_HABIT_GROWS = log(10.0)  # by a day, or a session, at most
PACE_NEWEST = 1 / 16
"""What the newest gap of a session weighs in its pace, at least."""

OWN_DAYS_FROM = 3
"""Days before a tipper's own say what is far above them."""


class Moment:
    """When an event is, for the rules that ask for local time.

    Attributes:
        day: days since 1970-01-01 in the configured zone.
        minute: minute of the local day, 0..1439.
        month: months since year 0 of the local day.
        time: whose time of the day it rather is, by the school calendar.
        is_late: behind the partition's watermark by more than the allowed lateness.
    """

    __slots__ = ("day", "is_late", "minute", "month", "time")

    def __init__(
        self, day: int, minute: int, month: int, is_late: bool, time: Time = "either"
    ) -> None:
        self.day = day
        self.minute = minute
        self.month = month
        self.is_late = is_late
        self.time = time

    @property
    def is_office_hour(self) -> bool:
        """Monday to Friday, 9 to 18 o'clock.

        >>> Moment(0, 10 * 60, 23_640, False).is_office_hour  # 1970-01-01, a Thursday
        True
        >>> Moment(2, 10 * 60, 23_640, False).is_office_hour
        False
        """
        return (self.day + _EPOCH_WEEKDAY) % 7 < 5 and 540 <= self.minute < 1080


class Features:
    """One tip, its tipper's past and the site's habits.

    Attributes:
        event, moment: the tip and its local time.
        before: the tipper without this tip.
        value, log_value: amount in minor units of the base currency, and its logarithm.
        in_order: not late and not before the tipper's last tip: tempo can be told.
        gap_s: seconds since the tipper's last tip; None for the first or out of order.
        is_combo: the same gift to the same streamer within seconds: no new decision, unless only
            one tip in a hundred of the site is as large.
        is_new_session: the pause before it ended a session (or it is the first tip).
        sum_hour, sum_day, sum_week, sum_60d: decayed sums with this tip.
        day_sum, month_sum: exact sums of the local day and month with this tip; None for a late
            tip of an earlier day, whose sum is no longer held.
        days, day_mean, day_variance: the tipper's ended active days, log sums.
        session_sum, session_decisions, session_start_ms: the session with this tip.
        combo_sum: this tip and those it is a combo with; session_max: the largest such sum of the
            session.
        session_pace: mean log gap of the session (s), of about its latest thirty; 0 if unknown.
        session_level: mean log value of the session, newest weighted most.
        sessions, sessions_mean, sessions_variance, sessions_decisions_mean,
        sessions_decisions_variance: the tipper's ended sessions.
        session_recharges: recharges since the session began, those that led to it included.
        since_recharge_s: seconds since the last recharge; None if none was seen, or out of order.
        recharges_week, recharged_week, other_recharges_week, office_recharges_week: decayed count
            and sum of recharges, and count of those with an instrument of another holder and in
            office hours; 0 if none was seen.
        traits: what this tip is like, a mask of `traits`; 0 where nobody looked.
        genre: a mark of the room's category; 0 if not said.
        is_new_hour: whether the hour of the clock has no tip of this tipper yet.
        is_perk: whether it buys lasting rights or goods.
        habits: the packed counts of traits with this tip.
        site_traits: how common each trait is on the site.
        account_age_ms: since the account was made; None if the event does not say.
        own_spread: standard deviation of the tipper's log tips, `before.n` considered.
        heavy_days: decayed count of ended days on which he gave a seventh of the site's extreme
            week or more; or of its large one, and ten times his own usual day.
        tip_surprise: standard deviations that a tip may leave its tipper's habit by, here.
        standing, typical_peers: who his peers are, and their tips; -1 and None while unknown.
        device, instrument, streamer: how this tipper knows them; None if not said.
        typical_tip, typical_week, typical_session, typical_session_tips: the site; None while too
            little is known.
    """

    __slots__ = (
        "account_age_ms", "before", "combo_sum", "day_mean", "day_sum", "day_variance", "days",
        "event", "gap_s", "genre", "habits", "heavy_days", "in_order", "is_combo", "is_new_hour",
        "is_new_session", "is_perk", "log_value", "moment", "month_sum", "own_spread",
        "session_decisions", "session_level", "session_max", "session_pace", "session_recharges",
        "session_start_ms", "session_sum", "sessions", "sessions_decisions_mean",
        "sessions_decisions_variance", "sessions_mean", "sessions_variance", "site_traits",
        "standing", "sum_60d", "sum_day", "sum_hour", "sum_week", "tip_surprise", "traits",
        "typical_peers", "typical_session", "typical_session_tips", "typical_tip", "typical_week",
        "value",
    )  # fmt: skip

    event: Event
    moment: Moment
    before: TipperStats
    value: int
    log_value: float
    in_order: bool
    gap_s: float | None
    is_combo: bool
    is_new_session: bool
    sum_hour: float
    sum_day: float
    sum_week: float
    sum_60d: float
    day_sum: int | None
    month_sum: int | None
    days: int
    day_mean: float
    day_variance: float
    session_sum: int
    session_decisions: int
    session_start_ms: int
    combo_sum: int
    session_max: int
    session_pace: float
    session_level: float
    session_recharges: int
    sessions: int
    sessions_mean: float
    sessions_variance: float
    sessions_decisions_mean: float
    sessions_decisions_variance: float
    traits: int
    habits: bytes
    genre: int
    is_new_hour: bool
    is_perk: bool
    site_traits: SiteTraits
    account_age_ms: int | None
    own_spread: float
    heavy_days: float
    tip_surprise: float
    standing: int
    typical_peers: Typical | None
    typical_tip: Typical | None
    typical_week: Typical | None
    typical_session: Typical | None
    typical_session_tips: Typical | None

    # Asked for few tips, so they are looked up only then.

    @property
    def device(self) -> Known | None:
        return look_up(self.before.devices, self.event.device_id)

    @property
    def instrument(self) -> Known | None:
        return look_up(self.before.instruments, self.event.instrument_id)

    @property
    def streamer(self) -> Known | None:
        return look_up(self.before.streamers, self.event.streamer_id)

    @property
    def since_recharge_s(self) -> float | None:
        elapsed_ms = self.event.event_time_ms - self.before.recharge_ms
        return elapsed_ms / 1000 if self.before.recharge_ms and elapsed_ms >= 0 else None

    @property
    def recharges_week(self) -> float:
        return self.before.recharges_week * self._since_recharge_decay()

    @property
    def recharged_week(self) -> float:
        return self.before.recharged_week * self._since_recharge_decay()

    @property
    def office_recharges_week(self) -> float:
        return self.before.office_recharges_week * self._since_recharge_decay()

    @property
    def other_recharges_week(self) -> float:
        return self.before.other_recharges_week * self._since_recharge_decay()

    def _since_recharge_decay(self) -> float:
        elapsed_ms = self.event.event_time_ms - self.before.recharge_ms
        return exp(-elapsed_ms / WEEK_MS) if elapsed_ms > 0 else 1.0


def compute(event: Event, moment: Moment, before: TipperStats, population: Population) -> Features:
    """The features of one tip; changes nothing."""
    f = Features()
    value = event.value_minor or 0
    f.event, f.moment, f.before, f.value, f.log_value = event, moment, before, value, log(value)
    elapsed_ms = event.event_time_ms - before.last_ms
    f.in_order = not moment.is_late and (elapsed_ms >= 0 or not before.n)
    f.own_spread = tip_spread(before.n, before.variance) if before.n else 0.0
    f.typical_tip = population.tips.typical
    f.typical_week = population.weeks.typical
    f.typical_session = population.sessions.typical
    f.typical_session_tips = population.session_tips.typical
    f.tip_surprise = population.tip_surprise.limit
    _add_sums(f, elapsed_ms)
    _add_session(f, elapsed_ms)
    f.account_age_ms = (
        None
        if event.account_created_ms is None
        else max(0, event.event_time_ms - event.account_created_ms)
    )
    f.traits, f.habits, f.site_traits = 0, before.traits, population.traits
    f.genre, f.is_new_hour, f.is_perk = 0, False, False
    f.standing = population.standing(f.account_age_ms, f.sum_60d - value)
    f.typical_peers = population.peers_of(f.standing)
    return f


def _add_sums(f: Features, elapsed_ms: int) -> None:
    before, value, day = f.before, f.value, f.moment.day
    if elapsed_ms >= 0:
        f.sum_hour = before.sum_hour * exp(-elapsed_ms / HOUR_MS) + value
        f.sum_day = before.sum_day * exp(-elapsed_ms / DAY_MS) + value
        f.sum_week = before.sum_week * exp(-elapsed_ms / WEEK_MS) + value
        f.sum_60d = before.sum_60d * exp(-elapsed_ms / _60_DAYS_MS) + value
    else:  # the tip is worth less by now; the sums stay where they are in time
        f.sum_hour = before.sum_hour + value * exp(elapsed_ms / HOUR_MS)
        f.sum_day = before.sum_day + value * exp(elapsed_ms / DAY_MS)
        f.sum_week = before.sum_week + value
        f.sum_60d = before.sum_60d + value
    f.days, f.day_mean, f.day_variance = before.days, before.day_mean, before.day_variance
    f.heavy_days = before.heavy_days
    if day == before.day:
        f.day_sum = before.day_sum + value
    elif day > before.day or not before.n:
        f.day_sum = value
        if before.n:
            log_sum = log(before.day_sum)
            if before.days >= HABIT_FROM:  # a day out of all proportion is no habit yet
                log_sum = min(log_sum, before.day_mean + _HABIT_GROWS)
            f.days, f.day_mean, f.day_variance = learn_mean(
                before.days, before.day_mean, before.day_variance, log_sum
            )
            is_heavy = f.typical_week is not None and _is_heavy(before, f.typical_week)
            f.heavy_days = before.heavy_days * exp(-max(0, elapsed_ms) / _60_DAYS_MS) + is_heavy
    else:
        f.day_sum = None
    month = f.moment.month
    if month == before.month:
        f.month_sum = before.month_sum + value
    else:
        f.month_sum = value if month > before.month or not before.n else None


def _is_heavy(before: TipperStats, week: Typical) -> bool:
    """Whether the day that ended was a seventh of a week that is extreme for the site.

    Or of one that is large for it, if it was far above this tipper's own days as well.
    """
    daily = before.day_sum * 7
    if daily < week.high or daily >= week.extreme:
        return daily >= week.extreme
    return before.days >= OWN_DAYS_FROM and log(before.day_sum) > before.day_mean + _FAR_ABOVE


def _add_session(f: Features, elapsed_ms: int) -> None:
    before, event = f.before, f.event
    f.is_new_session = not before.n or (f.in_order and elapsed_ms > SESSION_GAP_MS)
    f.sessions = before.sessions
    f.sessions_mean, f.sessions_variance = before.sessions_mean, before.sessions_variance
    f.sessions_decisions_mean = before.sessions_decisions_mean
    f.sessions_decisions_variance = before.sessions_decisions_variance
    if f.is_new_session:
        is_led_to = event.event_time_ms - before.recharge_ms <= SESSION_GAP_MS
        f.session_recharges = before.recharges_waiting if is_led_to else 0
        f.gap_s = elapsed_ms / 1000 if before.n else None
        f.is_combo = False
        f.session_start_ms, f.session_sum, f.session_decisions = event.event_time_ms, f.value, 1
        f.session_pace, f.session_level = 0.0, f.log_value
        f.combo_sum = f.session_max = f.value
        if before.n:
            log_sum = log(before.session_sum)
            if before.sessions >= HABIT_FROM:
                log_sum = min(log_sum, before.sessions_mean + _HABIT_GROWS)
            f.sessions, f.sessions_mean, f.sessions_variance = learn_mean(
                before.sessions, before.sessions_mean, before.sessions_variance, log_sum
            )
            _, f.sessions_decisions_mean, f.sessions_decisions_variance = learn_mean(
                before.sessions,
                before.sessions_decisions_mean,
                before.sessions_decisions_variance,
                log(before.session_decisions),
            )
        return
    f.session_start_ms = before.session_start_ms
    f.session_recharges = min(MOST_RECHARGES, before.session_recharges + before.recharges_waiting)
    f.session_pace, f.session_level = before.session_pace, before.session_level
    if f.moment.is_late:  # which session it belonged to is no longer known
        f.gap_s, f.is_combo = None, False
        f.session_sum, f.session_decisions = before.session_sum, before.session_decisions
        f.combo_sum, f.session_max = before.combo_sum, before.session_max
        return
    f.gap_s = elapsed_ms / 1000 if f.in_order else None
    f.is_combo = is_combo = (
        f.in_order
        and elapsed_ms <= COMBO_GAP_MS
        and f.value == before.last_value
        and (f.typical_tip is None or f.value < f.typical_tip.high)
    )
    f.session_sum = before.session_sum + f.value
    f.combo_sum = combo_sum = before.combo_sum + f.value if is_combo else f.value
    f.session_max = combo_sum if combo_sum > before.session_max else before.session_max
    f.session_decisions = decisions = before.session_decisions + (not is_combo)
    if not is_combo:
        f.session_level += 0.3 * (f.log_value - f.session_level)
        if f.in_order:
            log_gap = log(max(1.0, elapsed_ms / 1000))
            pace = before.session_pace
            newest = max(PACE_NEWEST, 1.0 / max(1, decisions - 1))
            f.session_pace = pace + newest * (log_gap - pace)


def learn_mean(
    n: int, mean: float, variance: float, value: float, slowest: float = 1 / 64
) -> tuple[int, float, float]:
    """One step of a running mean and variance that forgets slowly.

    The weight of the newest value is 1/(n+1) until that falls to `slowest`, then `slowest`: the
    plain mean and population variance at first, exponentially weighted ones later. Incremental
    form (West 1979; Finch 2009), which stays exact at large offsets where E[x²]-E[x]² does not.

    >>> step = (0, 0.0, 0.0)
    >>> for x in (1e9 + 1, 1e9 + 2, 1e9 + 3):
    ...     step = learn_mean(*step, x)
    >>> step[0], step[1] - 1e9, round(step[2], 6)
    (3, 2.0, 0.666667)
    """
    weight = 1 / (n + 1)
    if weight < slowest:
        weight = slowest
    delta = value - mean
    return n + 1, mean + weight * delta, (1 - weight) * (variance + weight * delta * delta)
