"""The traits of one event: what a model of verdicts looks at, generic on purpose.

Two sorts. `MEASURES` are numbers, each about -1..1, 0 where unknown; amounts and times mostly in
relation to the tipper and the site. Cells say where the event falls: `ID_CELLS` who and what it
names, `SHAPE_CELLS` which bucket of amount or hour, and pairs of these. A cell is a place in a
table of `TABLE` places, so that any number of gifts or categories fits; rare ones may share a
place. Place 0 stands for unknown and never counts. Knows nothing of verdicts.

Runs for every tip: one pass, no calls that could be spared.
"""

from __future__ import annotations

from math import log
from zlib import crc32

from detector.core.event import Event
from detector.core.features import Features, Moment
from detector.core.tipper import DAY_MS, mark_of

TABLE = 1 << 16
"""Places of a table of cells; two bytes hold one."""

MEASURES = (
    "amount", "above_own", "above_maximum", "above_site", "quick", "busy", "session_above_own",
    "day_above_tip", "odd_hour", "unknown_tipper", "young_account", "new_device", "new_instrument",
    "new_streamer", "other_holder", "quantity",
)  # fmt: skip

ID_CELLS = ("streamer", "tipper", "device", "instrument", "gift", "ip")
SHAPE_CELLS = (
    "amount", "hour", "own", "pace", "novelty", "setting", "amount_hour", "amount_novelty",
    "pace_amount", "own_hour", "category", "category_hour", "category_amount",
)  # fmt: skip
CELLS = ID_CELLS + SHAPE_CELLS

# Where each sort of shape begins in its table. Buckets: 64 of amount, 24 or 8 of the hour, 16 of
# own habit, 32 of pace, 64 of novelty and of setting, 512 of the category.
_HOUR, _OWN, _PACE, _NOVELTY, _SETTING = 64, 96, 112, 144, 208
_AMOUNT_HOUR, _AMOUNT_NOVELTY, _PACE_AMOUNT, _OWN_HOUR = 512, 1024, 5120, 7168
_CATEGORY, _CATEGORY_HOUR, _CATEGORY_AMOUNT = 7680, 8192, 12288

_SPREAD_PRIOR, _SPREAD_PRIOR_N = 0.64, 4.0  # variance of log amounts, and what it is worth
_OWN_FROM = 3
_HOURS_FROM = 8
_FIRST_TIP = 33  # a novelty of its own


class Codes(dict[str | None, int]):
    """A number for a text, 1..2³²-1 and the same everywhere; 0 for None.

    >>> Codes()["rose"], Codes()[None]
    (2587067636, 0)
    """

    _AT_MOST = 50_000

    def __init__(self) -> None:
        super().__init__({None: 0})

    def __missing__(self, text: str) -> int:
        if len(self) >= self._AT_MOST:
            self.clear()  # only for speed: what is asked for again comes back
            self[None] = 0
        code = self[text] = crc32(text.encode("utf-8", "surrogatepass")) or 1
        return code


def id_cells(event: Event, codes: Codes) -> list[int]:
    """The cells of what the event names, in the order of `ID_CELLS`.

    The same text as two of them gives two cells.
    """
    tipper_id = event.tipper_id
    tipper = crc32(tipper_id.encode("utf-8", "surrogatepass")) if tipper_id else 0
    device, instrument = codes[event.device_id], codes[event.instrument_id]
    gift, ip = codes[event.gift_id], codes[event.ip]
    return [
        codes[event.streamer_id] & 0xFFFF,
        tipper and (tipper ^ 0x9E37) & 0xFFFF,
        device and (device ^ 0x79B1) & 0xFFFF,
        instrument and (instrument ^ 0x85EB) & 0xFFFF,
        gift and (gift ^ 0xCA6B) & 0xFFFF,
        ip and (ip ^ 0xC2B2) & 0xFFFF,
    ]


def traits_of(
    event: Event, moment: Moment, f: Features | None, codes: Codes
) -> tuple[list[float], list[int]]:
    """The measures and the shapes of an event, in the order of `MEASURES` and `SHAPE_CELLS`.

    Args:
        event, moment: the event and its local time.
        f: the tip's features; None where there are none: what the event says itself is left.
        codes: numbers for texts.
    """
    hour = moment.minute // 60
    if f is None:
        log_value = log(event.value_minor) if event.value_minor else 0.0
        measures, own, pace, novelty = [0.0] * len(MEASURES), 0, 0, 0
        measures[0] = log_value / 8.0 - 1.0
    else:
        log_value = f.log_value
        measures, own, pace, novelty = _measures(event, f, hour)
    amount = int(2.0 * log_value) & 63  # buckets of a factor 1.65
    part_of_day = hour // 3
    category = codes[event.room_category]
    setting = 7 * codes[event.room_mode] + 3 * codes[event.instrument_holder]
    shapes = [
        amount,
        _HOUR + hour,
        own and _OWN + own,
        pace and _PACE + pace,
        novelty and _NOVELTY + novelty,
        _SETTING + (setting + codes[event.currency]) % 64,
        _AMOUNT_HOUR + 8 * amount + part_of_day,
        novelty and _AMOUNT_NOVELTY + 64 * amount + novelty,
        pace and _PACE_AMOUNT + 32 * amount + (pace & 31),
        own and _OWN_HOUR + 8 * own + part_of_day,
    ]
    if category:
        category &= 511
        shapes += (
            _CATEGORY + category,
            _CATEGORY_HOUR + 8 * category + part_of_day,
            _CATEGORY_AMOUNT + 64 * category + amount,
        )
    else:
        shapes += (0, 0, 0)
    return measures, shapes


def _measures(event: Event, f: Features, hour: int) -> tuple[list[float], int, int, int]:
    """Numbers of `MEASURES`, and buckets of own habit, of pace and of novelty (0: unknown)."""
    before, log_value, value = f.before, f.log_value, f.value
    n = before.n
    above_own = above_maximum = odd_hour = session_above_own = quick = 0.0
    own = pace = 0
    if n >= _OWN_FROM:
        variance = (n * before.variance + _SPREAD_PRIOR * _SPREAD_PRIOR_N) / (n + _SPREAD_PRIOR_N)
        above_own = (log_value - before.mean) / (4.0 * variance**0.5)
        above_own = -1.0 if above_own < -1.0 else 1.0 if above_own > 1.0 else above_own
        own = int(4.0 * above_own + 5.5)
        above_maximum = log(value / before.max_value) / 8.0
        if n >= _HOURS_FROM:
            hours = before.hours
            near = hours[hour - 1] + hours[hour] + hours[hour - 23]
            odd_hour = 1.0 - 8.0 * near / n if 8 * near < n else 0.0
        if f.sessions >= _OWN_FROM:
            session_above_own = (log(f.session_sum) - f.sessions_mean) / 8.0
    gap_s = f.gap_s
    if gap_s is not None:
        log_gap = log(1.0 + gap_s)
        quick = 1.0 - log_gap / 14.0
        pace = 1 + int(log_gap)
    site, age_ms, quantity = f.typical_tip, f.account_age_ms, event.quantity
    new_device = _is_new(before.devices, event.device_id)
    new_instrument = _is_new(before.instruments, event.instrument_id)
    new_streamer = _is_new(before.streamers, event.streamer_id)
    is_others = event.instrument_holder == "other"
    is_young = age_ms is not None and age_ms < 7 * DAY_MS
    novelty = _FIRST_TIP if not n else (
        1 + new_device + 2 * new_instrument + 4 * new_streamer + 8 * is_young + 16 * is_others
    )  # fmt: skip
    measures = [
        log_value / 8.0 - 1.0,
        above_own,
        above_maximum,
        0.0 if site is None else log(value / site.extreme) / 8.0,
        quick,
        log(f.session_decisions) / 8.0,
        session_above_own,
        log(f.sum_day / value) / 8.0,
        odd_hour,
        1.0 / (1 + n),
        0.0 if age_ms is None else 1.0 / (1.0 + age_ms / (7 * DAY_MS)),
        1.0 if new_device else 0.0,
        1.0 if new_instrument else 0.0,
        1.0 if new_streamer else 0.0,
        1.0 if is_others else 0.0,
        0.0 if quantity is None else log(1 + quantity) / 8.0,
    ]
    return measures, own, pace, novelty


def _is_new(known: bytes, identity: str | None) -> bool:
    """Whether others are known, by `tipper.remember`, and this one is not."""
    return bool(known) and identity is not None and mark_of(identity) not in known
