"""What is remembered of one tipper, and how one tip changes it.

A tipper is one immutable `bytes` value: a packed `TipperStats`. That keeps an active tipper at a
few hundred bytes, out of the garbage collector's sight, and makes a consistent copy of the whole
state a shallow copy of a dict. All times are event times, all amounts minor units of the base
currency; `*_log*` are natural logarithms of such amounts.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from detector.core import traits

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
SESSION_GAP_MS = HOUR_MS // 2
"""A pause longer than this ends a session."""

COMBO_GAP_MS = 3_000
"""The same gift to the same streamer again within this time is one combo, not one more decision."""

DECLARED_MINOR, CONFIRMED_MINOR, CLAIMED_MINOR, ADULT_AGE, NAMED, NOT_NAMED = 1, 2, 4, 8, 16, 32
"""Once said of an account: a minor's, by an event, a reviewer, a refund claim; an adult's age; with
and without a real name. Bits of `Notes.facts`."""

_NOTES = struct.Struct("<BIIIBBI")


class Notes(NamedTuple):
    """What was said or done once, and is asked for seldom.

    Attributes:
        facts: bits as `DECLARED_MINOR`; the first byte of the packed notes.
        minor_hour: hours since 1970 when it was last known to be a minor's; 0 for never, as below.
        named_hour: when it was given a real name after it had been without.
        perk_hour, perks: when it last bought a perk, and how many, up to 255.
        claims: refunds claimed on days apart, up to 255: claims of one day are one.
        claim_hour: when the latest was claimed.
    """

    facts: int
    minor_hour: int
    named_hour: int
    perk_hour: int
    perks: int
    claims: int
    claim_hour: int

    @classmethod
    def of(cls, packed: bytes) -> Notes:
        """The inverse of `pack`."""
        return cls._make(_NOTES.unpack(packed))

    def pack(self) -> bytes:
        """As bytes.

        >>> Notes.of(Notes(1, 2, 3, 4, 5, 6, 7).pack())
        Notes(facts=1, minor_hour=2, named_hour=3, perk_hour=4, perks=5, claims=6, claim_hour=7)
        """
        return _NOTES.pack(*self)


MOST_RECHARGES = 65_535
"""Recharges of one session are counted up to this."""

_KNOWN = struct.Struct("<4sQ")  # crc32 of the id; first seen ms and, above 48 bits, times seen
_ONCE = 1 << 48
_MOST_TIMES = 65_535 * _ONCE
NEWEST_MARK = slice(-_KNOWN.size, 4 - _KNOWN.size)
_MAX_KNOWN = 4
_ROOM_FOR_NEWEST = (_MAX_KNOWN - 1) * _KNOWN.size


class TipperStats:
    """One tipper before the tip at hand.

    `n` tips since `first_ms`; `mean`, `variance` of log value (newest weigh at least 1/64);
    `max_value` and when; `sum_*`: exponentially decayed sums at `last_ms`; `day_sum`, `month_sum`
    exact for the local `day`, `month`; `days`, `day_mean`, `day_variance`: active days ended and
    the log of their sums; `gap_*`: log seconds between tips of a session; `session_*`: the session
    `last_ms` belongs to, of which `session_decisions` leaves combos out and `session_pace` is the
    mean log gap weighted to the newest; `sessions_*`: sessions ended, log sums and log decisions;
    `hours`: tips by hour of the day, a byte each; `devices`, `instruments`, `streamers`: what
    `remember` keeps of them.

    `recharge_ms`: the last recharge, 0 if there was none; `recharges_week`, `recharged_week` and
    `other_recharges_week`: decayed count, sum, and count of those by another holder's instrument,
    at `recharge_ms`; `recharges_waiting`: recharges since the last tip; `session_recharges`: those
    of the session, up to the last tip; `balance`: what is left of all recharges seen, at least 0.

    `traits`: hours with a tip by what they were like, see `traits`; `genre`: a mark of the room
    category it mostly tips in, 0 if unknown, and by how many hours `genre_lead` it leads;
    `child_peak`: the most that its tips looked like a child's, 0..1, fading over months; `notes`:
    packed `Notes`.

    `heavy_days`: decayed count of days on which he gave a seventh of the site's extreme week or
    more, or of its large one and ten times his own usual day; `office_recharges_week`: those of
    `recharges_week` made in office hours. Of the session:
    `combo_sum`, its last tip with those it is a combo with; `session_max`, the largest of these;
    `session_moves` from one streamer to another; and what it came to at its last tip within a PK:
    `pk_ms` (0: none), `pk_sum`, `pk_decisions`.

    Made by `unpack` only; a plain class, since it is filled and read for every tip.
    """

    __slots__ = (
        "balance", "child_peak", "combo_sum", "day", "day_mean", "day_sum", "day_variance", "days",
        "devices", "first_ms", "gap_mean", "gap_variance", "gaps", "genre", "genre_lead",
        "heavy_days", "hours", "instruments", "last_ms", "last_value", "max_ms", "max_value",
        "mean", "month", "month_sum", "n", "notes", "office_recharges_week", "other_recharges_week",
        "pk_decisions", "pk_ms", "pk_sum", "recharge_ms", "recharged_week", "recharges_waiting",
        "recharges_week", "session_decisions", "session_level", "session_max", "session_moves",
        "session_pace", "session_recharges", "session_start_ms", "session_sum", "sessions",
        "sessions_decisions_mean", "sessions_decisions_variance", "sessions_mean",
        "sessions_variance", "streamers", "sum_60d", "sum_day", "sum_hour", "sum_week", "traits",
        "variance",
    )  # fmt: skip

    n: int
    first_ms: int
    last_ms: int
    last_value: int
    mean: float
    variance: float
    max_value: int
    max_ms: int
    sum_hour: float
    sum_day: float
    sum_week: float
    sum_60d: float
    day: int
    day_sum: int
    month: int
    month_sum: int
    days: int
    day_mean: float
    day_variance: float
    gaps: int
    gap_mean: float
    gap_variance: float
    session_start_ms: int
    session_sum: int
    session_decisions: int
    session_pace: float
    session_level: float
    sessions: int
    sessions_mean: float
    sessions_variance: float
    sessions_decisions_mean: float
    sessions_decisions_variance: float
    recharge_ms: int
    recharges_week: float
    recharged_week: float
    other_recharges_week: float
    recharges_waiting: int
    session_recharges: int
    balance: int
    traits: bytes
    genre: int
    genre_lead: int
    child_peak: float
    notes: bytes
    heavy_days: float
    office_recharges_week: float
    combo_sum: int
    session_max: int
    session_moves: int
    pk_ms: int
    pk_sum: int
    pk_decisions: int
    hours: bytes
    devices: bytes
    instruments: bytes
    streamers: bytes


_HEAD = struct.Struct(
    "<"
    "Iqqq" "dd" "qq"  # n, first, last, last value; mean, variance; maximum and when
    "dddd" "iqiq"  # decayed sums; day and month
    "Idd" "Idd"  # days; gaps
    "qqIdd" "Idddd"  # the session; sessions
    "qfff" "HHq"  # recharges; those of the session, and what is left
    f"{traits.SIZE}s" "HBe"  # traits of its hours; the genre; likeness to a child's
    f"{_NOTES.size}s"
    "ff" "qqHqqH"  # heavy days, office recharges; combo, largest, moves, the last PK of the session
    "24s" "BBB"  # hours; lengths of the three lists
)  # fmt: skip


def pack(t: TipperStats) -> bytes:
    """The tipper as bytes: a fixed head, then what is known of devices, instruments, streamers."""
    head = _HEAD.pack(
        t.n, t.first_ms, t.last_ms, t.last_value, t.mean, t.variance, t.max_value, t.max_ms,
        t.sum_hour, t.sum_day, t.sum_week, t.sum_60d, t.day, t.day_sum, t.month, t.month_sum,
        t.days, t.day_mean, t.day_variance, t.gaps, t.gap_mean, t.gap_variance,
        t.session_start_ms, t.session_sum, t.session_decisions, t.session_pace, t.session_level,
        t.sessions, t.sessions_mean, t.sessions_variance,
        t.sessions_decisions_mean, t.sessions_decisions_variance,
        t.recharge_ms, t.recharges_week, t.recharged_week, t.other_recharges_week,
        t.recharges_waiting, t.session_recharges, t.balance,
        t.traits, t.genre, t.genre_lead, t.child_peak, t.notes,
        t.heavy_days, t.office_recharges_week, t.combo_sum, t.session_max, t.session_moves,
        t.pk_ms, t.pk_sum, t.pk_decisions,
        t.hours, len(t.devices), len(t.instruments), len(t.streamers),
    )  # fmt: skip
    return head + t.devices + t.instruments + t.streamers


def unpack(packed: bytes) -> TipperStats:
    """The inverse of `pack`."""
    t = TipperStats()
    (
        t.n, t.first_ms, t.last_ms, t.last_value, t.mean, t.variance, t.max_value, t.max_ms,
        t.sum_hour, t.sum_day, t.sum_week, t.sum_60d, t.day, t.day_sum, t.month, t.month_sum,
        t.days, t.day_mean, t.day_variance, t.gaps, t.gap_mean, t.gap_variance,
        t.session_start_ms, t.session_sum, t.session_decisions, t.session_pace, t.session_level,
        t.sessions, t.sessions_mean, t.sessions_variance,
        t.sessions_decisions_mean, t.sessions_decisions_variance,
        t.recharge_ms, t.recharges_week, t.recharged_week, t.other_recharges_week,
        t.recharges_waiting, t.session_recharges, t.balance,
        t.traits, t.genre, t.genre_lead, t.child_peak, t.notes,
        t.heavy_days, t.office_recharges_week, t.combo_sum, t.session_max, t.session_moves,
        t.pk_ms, t.pk_sum, t.pk_decisions,
        t.hours, devices, instruments, _,
    ) = _HEAD.unpack_from(packed)  # fmt: skip
    to_instruments = _HEAD.size + devices
    to_streamers = to_instruments + instruments
    t.devices = packed[_HEAD.size : to_instruments]
    t.instruments = packed[to_instruments:to_streamers]
    t.streamers = packed[to_streamers:]
    return t


PACKED_NEW_TIPPER = bytes(_HEAD.size)
NEW_TIPPER = unpack(PACKED_NEW_TIPPER)
"""Nobody's tips yet: every figure is 0, nothing is known."""


def checked(packed: bytes) -> bytes:
    """The same bytes, if they are as long as the head says.

    Raises:
        ValueError: they are not what `pack` gives.

    >>> checked(pack(NEW_TIPPER)[:-1])
    Traceback (most recent call last):
    ValueError: a tipper: found 404 bytes, expected 405 or more
    """
    if len(packed) < _HEAD.size:
        raise ValueError(f"a tipper: found {len(packed)} bytes, expected {_HEAD.size} or more")
    expected = _HEAD.size + sum(packed[_HEAD.size - 3 : _HEAD.size])
    if len(packed) != expected:
        raise ValueError(f"a tipper: found {len(packed)} bytes, expected {expected}")
    return packed


class Known(NamedTuple):
    """What is known of a device, an instrument or a streamer of one tipper.

    First seen at `first_ms` and `times` times since (0: never; counted to 65,535); `others` are
    remembered besides it.
    """

    first_ms: int
    times: int
    others: int


def look_up(known: bytes, identity: str | None) -> Known | None:
    """How long and how often the tipper has used it; None where the event does not say which.

    Only the last four are remembered.

    >>> look_up(remember(b"", "d1", now_ms=1000), "d1"), look_up(b"", "d1"), look_up(b"", None)
    (Known(first_ms=1000, times=1, others=0), Known(first_ms=0, times=0, others=0), None)
    """
    if identity is None:
        return None
    at = _find(known, mark_of(identity))
    others = len(known) // _KNOWN.size
    if at < 0:
        return Known(0, 0, others)
    _, seen = _KNOWN.unpack_from(known, at)
    return Known(seen % _ONCE, seen // _ONCE, others - 1)


def appeared_ms(known: bytes, identity: str | None) -> int | None:
    """When one of several was first used, 0 for never; None if there are no others, or not said.

    >>> known = remember(remember(b"", "d1", now_ms=1000), "d2", now_ms=2000)
    >>> [appeared_ms(known, identity) for identity in ("d2", "d3", None)]
    [2000, 0, None]
    """
    if identity is None or not known:
        return None
    mark = mark_of(identity)
    if known[NEWEST_MARK] == mark:
        if len(known) == _KNOWN.size:
            return None
        return int.from_bytes(known[-8:-2], "little")
    at = _find(known, mark)
    if at < 0:
        return 0
    return None if len(known) == _KNOWN.size else int.from_bytes(known[at + 4 : at + 10], "little")


def count_newer(known: bytes, since_ms: int) -> int:
    """How many of those that are remembered were first used then or later.

    >>> known = remember(remember(b"", "d1", now_ms=1000), "d2", now_ms=2000)
    >>> count_newer(known, 1000), count_newer(known, 1001), count_newer(b"", 0)
    (2, 1, 0)
    """
    return sum(seen % _ONCE >= since_ms for _, seen in _KNOWN.iter_unpack(known))


def remember(known: bytes, identity: str | None, now_ms: int) -> bytes:
    """`known` with one more use of it, as the newest; the one used longest ago makes room.

    >>> known = b""
    >>> for now_ms, device in enumerate(["d1", "d2", "d3", "d4", "d5", "d2"]):
    ...     known = remember(known, device, now_ms)
    >>> look_up(known, "d1"), look_up(known, "d2")
    (Known(first_ms=0, times=0, others=4), Known(first_ms=1, times=2, others=3))
    """
    if identity is None:
        return known
    mark = mark_of(identity)
    if known[NEWEST_MARK] == mark:  # mostly it is the same one again
        times = known[-2] + 256 * known[-1]
        return known if times == 65_535 else known[:-2] + (times + 1).to_bytes(2, "little")
    at = _find(known, mark)
    if at < 0:
        return known[-_ROOM_FOR_NEWEST:] + _KNOWN.pack(mark, now_ms + _ONCE)
    _, seen = _KNOWN.unpack_from(known, at)
    if seen < _MOST_TIMES:
        seen += _ONCE
    return known[:at] + known[at + _KNOWN.size :] + _KNOWN.pack(mark, seen)


@lru_cache(maxsize=8_192)  # one event asks for each of its ids several times
def mark_of(identity: str) -> bytes:
    """The four bytes by which `remember` knows an id."""
    return crc32(identity.encode()).to_bytes(4, "little")


def _find(known: bytes, mark: bytes) -> int:
    """Where the entry with this mark begins; -1 if there is none."""
    at = known.find(mark)
    while at > 0 and at % _KNOWN.size:  # other bytes that happen to look like it
        at = known.find(mark, at + 1)
    return at
