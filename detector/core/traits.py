"""The traits of one tip: what a model of verdicts looks at, generic on purpose.

Two sorts. `MEASURES` are numbers, each about -1..1, 0 where unknown; amounts and times only in
relation to the tipper and the site. `CELLS` say where the tip falls: who receives it, which bucket
of amount or hour, and pairs of these. A cell is a place in a table of `TABLE` places, found by
hashing, so that any number of gifts or categories fits; place 0 stands for unknown and never
counts. Knows nothing of verdicts.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple
from zlib import crc32

from detector.core.event import Event
from detector.core.features import Features, Moment
from detector.core.tipper import DAY_MS, is_new

TABLE_BITS = 16
TABLE = 1 << TABLE_BITS
"""Places of the table of cells."""

MEASURES = (
    "amount", "above_own", "above_maximum", "above_site", "quick", "busy", "session_above_own",
    "day_above_tip", "odd_hour", "unknown_tipper", "young_account", "new_device", "new_instrument",
    "new_streamer", "other_holder", "quantity",
)  # fmt: skip

ID_CELLS = ("streamer", "tipper", "device", "instrument", "gift", "ip")
_SHAPE_CELLS = (
    "category", "amount", "hour", "own", "pace", "novelty", "setting",
    "category_amount", "category_hour", "amount_hour", "amount_novelty", "pace_amount",
    "own_hour",
)  # fmt: skip
CELLS = ID_CELLS + _SHAPE_CELLS

_SPREAD_PRIOR, _SPREAD_PRIOR_N = 0.64, 4.0  # variance of log amounts, and what it is worth
_MASK = TABLE - 1


class Traits(NamedTuple):
    """Measures and cells in the order of `MEASURES` and `CELLS`."""

    measures: list[float]
    cells: list[int]


def traits_of(event: Event, moment: Moment, f: Features | None, codes: Codes) -> Traits:
    """The traits of an event; without `f` only those that it carries itself."""
    value = event.value_minor or 0
    log_value = log(value) if value else 0.0
    amount = int(2.0 * log_value)  # buckets of a factor 1.65
    hour = moment.minute // 60
    if f is None:
        measures, own, pace, novelty = [0.0] * len(MEASURES), 0, 0, 0
        measures[0] = _bounded((log_value - 8.0) / 8.0)
    else:
        measures, own, pace, novelty = _measures(event, f, hour)
    category = codes.of(event.room_category)
    mode, holder = codes.of(event.room_mode), codes.of(event.instrument_holder)
    setting = mode * 31 + holder * 7 + codes.of(event.currency)
    return Traits(
        measures,
        [
            *id_cells(event, codes),
            _place(7, category),
            _place(8, amount),
            _place(9, hour + 1),
            _place(10, own),
            _place(11, pace),
            _place(12, novelty),
            _place(13, setting),
            _place(14, category and category * 64 + amount),
            _place(15, category and category * 8 + hour // 3),
            _place(16, amount and amount * 8 + hour // 3 + 1),
            _place(17, novelty and amount * 64 + novelty),
            _place(18, pace and amount * 16 + pace),
            _place(19, own and own * 8 + hour // 3),
        ],
    )


class Codes:
    """A number for a text, the same everywhere; remembers the most recent ones, to be quick."""

    __slots__ = ("_known",)

    _AT_MOST = 20_000

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, text: str | None) -> int:
        """1 or more; 0 for None.

        >>> Codes().of("rose"), Codes().of(None)
        (1262088593, 0)
        """
        if text is None:
            return 0
        code = self._known.get(text)
        if code is None:
            if len(self._known) >= self._AT_MOST:
                self._known.clear()
            code = self._known[text] = crc32(text.encode("utf-8", "surrogatepass")) or 1
        return code


def id_cells(event: Event, codes: Codes) -> list[int]:
    """The cells of what the event names, in the order of `ID_CELLS`."""
    return [
        _place(1, codes.of(event.streamer_id)),
        _place(2, codes.of(event.tipper_id)),
        _place(3, codes.of(event.device_id)),
        _place(4, codes.of(event.instrument_id)),
        _place(5, codes.of(event.gift_id)),
        _place(6, codes.of(event.ip)),
    ]


def _place(salt: int, code: int) -> int:
    """Where a cell is in the table: 1 or more; 0 for an unknown one (Fibonacci hashing)."""
    if not code:
        return 0
    return (((code + salt * 0x85EBCA6B) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 48) or 1


def _measures(event: Event, f: Features, hour: int) -> tuple[list[float], int, int, int]:
    """Numbers of `MEASURES`, and buckets of own habit, of pace and of novelty (0: unknown)."""
    before, log_value = f.before, f.log_value
    n = before.n
    above_own = above_maximum = odd_hour = session_above_own = 0.0
    own = pace = 0
    if n >= 3:
        variance = (n * before.variance + _SPREAD_PRIOR * _SPREAD_PRIOR_N) / (n + _SPREAD_PRIOR_N)
        deviations = (log_value - before.mean) / variance**0.5
        above_own = _bounded(deviations / 4.0)
        own = int(4.0 * above_own + 5.5)
        above_maximum = _bounded(log(f.value / before.max_value) / 4.0)
        hours = before.hours
        near = hours[hour - 1] + hours[hour] + hours[(hour + 1) % 24]
        odd_hour = max(0.0, 1.0 - 8.0 * near / n) if n >= 8 else 0.0
    if f.sessions >= 3:
        session_above_own = _bounded((log(f.session_sum) - f.sessions_mean) / 4.0)
    gap_s, quick = f.gap_s, 0.0
    if gap_s is not None:
        log_gap = log(1.0 + gap_s)
        quick = max(0.0, 1.0 - log_gap / 14.0)
        pace = 1 + int(log_gap)
    site = f.typical_tip
    age_ms = f.account_age_ms
    new_device = is_new(before.devices, event.device_id)
    new_instrument = is_new(before.instruments, event.instrument_id)
    new_streamer = is_new(before.streamers, event.streamer_id)
    is_others = event.instrument_holder == "other"
    is_young = age_ms is not None and age_ms < 7 * DAY_MS
    novelty = 1 + new_device + 2 * new_instrument + 4 * new_streamer + 8 * is_young
    measures = [
        _bounded((log_value - 8.0) / 8.0),
        above_own,
        above_maximum,
        0.0 if site is None else _bounded(log(f.value / site.extreme) / 4.0),
        quick,
        log(f.session_decisions) / 4.0,
        session_above_own,
        _bounded(log(f.sum_day / f.value) / 4.0),
        odd_hour,
        1.0 / (1 + n),
        0.0 if age_ms is None else 1.0 / (1.0 + age_ms / (7 * DAY_MS)),
        float(new_device),
        float(new_instrument),
        float(new_streamer),
        float(is_others),
        0.0 if event.quantity is None else _bounded(log(1 + event.quantity) / 6.0),
    ]
    return measures, own, pace, novelty if n else 32


def _bounded(value: float) -> float:
    return -1.0 if value < -1.0 else 1.0 if value > 1.0 else value
