"""What is remembered of one tipper, and how one tip changes it.

A tipper is one immutable `bytes` value: a packed `TipperStats`. That keeps an active tipper at a
few hundred bytes, out of the garbage collector's sight, and makes a consistent copy of the whole
state a shallow copy of a dict. All times are event times, all amounts minor units of the base
currency; `*_log*` are natural logarithms of such amounts.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SESSION_GAP_MS = HOUR_MS // 2
"""A pause longer than this ends a session."""

COMBO_GAP_MS = 3_000
"""The same gift to the same streamer again within this time is one combo, not one more decision."""

_MAX_KNOWN = 4
_KNOWN = struct.Struct("<Iqq")  # crc32 of the id, first seen ms, times seen


class TipperStats(NamedTuple):
    """One tipper before the tip at hand.

    `n` tips since `first_ms`; `mean`, `variance` of log value (newest weigh at least 1/64);
    `max_value` and when; `sum_*`: exponentially decayed sums at `last_ms`; `day_sum`, `month_sum`
    exact for the local `day`, `month`; `days`, `day_mean`, `day_variance`: active days ended and
    the log of their sums; `gap_*`: log seconds between tips of a session; `session_*`: the session
    `last_ms` belongs to, of which `session_decisions` leaves combos out and `session_pace` is the
    mean log gap weighted to the newest; `sessions_*`: sessions ended, log sums and log decisions.
    """

    n: int = 0
    first_ms: int = 0
    last_ms: int = 0
    last_value: int = 0
    mean: float = 0.0
    variance: float = 0.0
    max_value: int = 0
    max_ms: int = 0
    sum_hour: float = 0.0
    sum_day: float = 0.0
    sum_week: float = 0.0
    sum_60d: float = 0.0
    day: int = 0
    day_sum: int = 0
    month: int = 0
    month_sum: int = 0
    days: int = 0
    day_mean: float = 0.0
    day_variance: float = 0.0
    gaps: int = 0
    gap_mean: float = 0.0
    gap_variance: float = 0.0
    session_start_ms: int = 0
    session_sum: int = 0
    session_decisions: int = 0
    session_pace: float = 0.0
    session_level: float = 0.0
    sessions: int = 0
    sessions_mean: float = 0.0
    sessions_variance: float = 0.0
    sessions_decisions_mean: float = 0.0
    sessions_decisions_variance: float = 0.0
    hours: bytes = bytes(24)
    devices: bytes = b""
    instruments: bytes = b""
    streamers: bytes = b""


NEW_TIPPER = TipperStats()

_HEAD = struct.Struct(
    "<"
    "Iqqq" "dd" "qq"  # n, first, last, last value; mean, variance; maximum and when
    "dddd" "iqiq"  # decayed sums; day and month
    "Idd" "Idd"  # days; gaps
    "qqIdd" "Idddd"  # the session; sessions
    "24s" "BBB"  # hours; lengths of the three lists
)  # fmt: skip


def pack(stats: TipperStats) -> bytes:
    """The tipper as bytes: a fixed head, then what is known of devices, instruments, streamers."""
    devices, instruments, streamers = stats[-3:]
    head = _HEAD.pack(*stats[:-3], len(devices), len(instruments), len(streamers))
    return head + devices + instruments + streamers


def unpack(packed: bytes) -> TipperStats:
    """The inverse of `pack`."""
    head = _HEAD.unpack_from(packed)
    at = _HEAD.size
    to_instruments = at + head[-3]
    to_streamers = to_instruments + head[-2]
    return TipperStats._make(
        (
            *head[:-3],
            packed[at:to_instruments],
            packed[to_instruments:to_streamers],
            packed[to_streamers:],
        )
    )


def checked(packed: bytes) -> bytes:
    """The same bytes, if they are as long as the head says.

    Raises:
        ValueError: they are not what `pack` gives.

    >>> checked(pack(NEW_TIPPER)[:-1])
    Traceback (most recent call last):
    ValueError: a tipper: found 254 bytes, expected 255 or more
    """
    if len(packed) < _HEAD.size:
        raise ValueError(f"a tipper: found {len(packed)} bytes, expected {_HEAD.size} or more")
    expected = _HEAD.size + sum(packed[_HEAD.size - 3 : _HEAD.size])
    if len(packed) != expected:
        raise ValueError(f"a tipper: found {len(packed)} bytes, expected {expected}")
    return packed


class Known(NamedTuple):
    """What is known of a device, an instrument or a streamer of one tipper.

    `mark` stands for its id; it was first seen at `first_ms` and `times` times since (0: never);
    `others` are remembered besides it.
    """

    mark: int
    first_ms: int
    times: int
    others: int


def look_up(known: bytes, identity: str | None) -> Known | None:
    """How long and how often the tipper has used it; None where the event does not say which.

    Only the last four are remembered.
    """
    if identity is None:
        return None
    mark = crc32(identity.encode())
    others = len(known) // _KNOWN.size
    for other, first_ms, times in _KNOWN.iter_unpack(known):
        if other == mark:
            return Known(mark, first_ms, times, others - 1)
    return Known(mark, 0, 0, others)


def remember(known: bytes, found: Known | None, now_ms: int) -> bytes:
    """`known` with one more use of what `look_up` found; the one used longest ago makes room."""
    if found is None:
        return known
    mark, first_ms, times, others = found
    newest = _KNOWN.pack(mark, first_ms if times else now_ms, times + 1)
    if not others:
        return newest
    rest = [entry for entry in _KNOWN.iter_unpack(known) if entry[0] != mark]
    return b"".join(_KNOWN.pack(*entry) for entry in rest[1 - _MAX_KNOWN :]) + newest
