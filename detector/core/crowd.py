"""A streamer's crowd: the latest tippers of one room, and which of them share what they pay with.

Holds marks of ids (`mark`), never ids, in a table of fixed size. Knows who shares a device or an
instrument with somebody else of the table, and to whom money went back; does not judge it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from detector.core.event import Event

MAX_TIPPERS = 224
"""Tippers remembered a room; the one seen longest ago makes room, linked ones last."""

_MAX_KEPT_FOR_LINKS = 96  # linked tippers that outlive the others' recency
_TRIES = 6
_LARGEST = 2**61  # sums stop there, far above all the money there is

# One row a tipper, of 64-bit integers.
MARK, DEVICE, INSTRUMENT, CREATED_S, FIRST_MS, LAST_MS = range(6)
TIPS, VALUE, RETURNED, ROUND, ROUND_BEFORE = range(6, 11)
WIDTH = 11


def mark(identity: str | None) -> int:
    """A 32-bit mark of an id, > 0; 0 for an unknown one.

    Two ids of one table share a mark once in some million tables.

    >>> mark("t1") == mark("t1"), mark("t1") == mark("t2"), mark(None)
    (True, False, 0)
    """
    if identity is None:
        return 0
    return crc32(identity.encode("utf-8", "surrogatepass")) + 1


class Tipper(NamedTuple):
    """One row of a crowd; 0 is unknown. Values in minor units of the base currency.

    `returned`: what payouts brought back. `round`, `round_before`: the latest two rounds with a
    stake of the tipper, see `rounds`.
    """

    mark: int
    device: int
    instrument: int
    created_s: int
    first_ms: int
    last_ms: int
    tips: int
    value: int
    returned: int
    round: int
    round_before: int


class Crowd:
    """The latest tippers of one room.

    Attributes:
        rows: `WIDTH` integers a tipper; the columns are the constants above.

    >>> crowd, tip = Crowd(), Event()
    >>> tip.event_time_ms, tip.value_minor, tip.device_id = 1772380802272, 500, "d1"
    >>> for tip.tipper_id in ("t1", "t2", "t1"):
    ...     at = crowd.add(tip)
    >>> len(crowd), crowd.is_linked(at), crowd.rows[at + TIPS], crowd.rows[at + VALUE]
    (2, True, 2, 1000)
    """

    __slots__ = ("_devices", "_instruments", "_places", "rows")

    def __init__(self) -> None:
        self.rows = array("q")
        self._places: dict[int, int] = {}  # mark -> where its row begins, oldest first
        self._devices: dict[int, int] = {}  # mark -> tippers who last used it
        self._instruments: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Tipper]:
        """The tippers, the one seen longest ago first."""
        rows = self.rows
        for at in self._places.values():
            yield Tipper._make(rows[at : at + WIDTH])

    def add(self, event: Event) -> int:
        """Enters a tip; where its tipper's row begins."""
        tipper, rows, at_ms = mark(event.tipper_id), self.rows, event.event_time_ms
        at = self._places.pop(tipper, -1)
        if at < 0:
            at = self._new_row(tipper, at_ms)
        self._places[tipper] = at
        if event.device_id is not None:
            device = mark(event.device_id)
            if rows[at + DEVICE] != device:
                _move(self._devices, rows[at + DEVICE], device)
                rows[at + DEVICE] = device
        if event.instrument_id is not None:
            instrument = mark(event.instrument_id)
            if rows[at + INSTRUMENT] != instrument:
                _move(self._instruments, rows[at + INSTRUMENT], instrument)
                rows[at + INSTRUMENT] = instrument
        if event.account_created_ms is not None:
            rows[at + CREATED_S] = event.account_created_ms // 1000
        if at_ms > rows[at + LAST_MS]:
            rows[at + LAST_MS] = at_ms
        rows[at + TIPS] += 1
        rows[at + VALUE] = min(_LARGEST, rows[at + VALUE] + (event.value_minor or 0))
        return at

    def give_back(self, event: Event) -> int:
        """Enters a payout; where the row of the tipper who got it begins, -1 if nobody's here.

        A payout is a tipper's if the account is his, or the instrument one that he paid with.
        """
        at = self._places.get(mark(event.account_id), -1)
        if at < 0 and event.instrument_id is not None:
            instrument = mark(event.instrument_id)
            if instrument in self._instruments:
                at = self._place_of_instrument(instrument)
        if at >= 0:
            rows = self.rows
            rows[at + RETURNED] = min(_LARGEST, rows[at + RETURNED] + (event.value_minor or 0))
        return at

    def is_linked(self, at: int) -> bool:
        """Whether the tipper of this row shares his device or instrument with another."""
        rows = self.rows
        return (
            self._devices.get(rows[at + DEVICE], 0) > 1
            or self._instruments.get(rows[at + INSTRUMENT], 0) > 1
        )

    def rounds_of(self, at: int) -> tuple[int, int]:
        """The latest rounds with a stake of the tipper of this row, newest first; 0 for none."""
        return self.rows[at + ROUND], self.rows[at + ROUND_BEFORE]

    def is_among_latest(self, at: int, share: float) -> bool:
        """Whether the tipper of this row is one of this share of the crowd who tipped last."""
        latest = max(1, int(share * len(self._places)))
        return at in islice(reversed(self._places.values()), latest)

    def shares_device(self, device: int) -> bool:
        return self._devices.get(device, 0) > 1

    def shares_instrument(self, instrument: int) -> bool:
        return self._instruments.get(instrument, 0) > 1

    def save(self) -> bytes:
        """The rows, the tipper seen longest ago first."""
        rows = self.rows
        ordered = array("q")
        for at in self._places.values():
            ordered += rows[at : at + WIDTH]
        return ordered.tobytes()

    @classmethod
    def load(cls, saved: bytes) -> Crowd:
        """The inverse of `save`.

        Raises:
            ValueError: it is something else.
        """
        crowd = cls()
        crowd.rows.frombytes(saved)
        if len(crowd.rows) % WIDTH or len(crowd.rows) > MAX_TIPPERS * WIDTH:
            raise ValueError(f"a crowd: found {len(saved)} bytes, expected rows of {WIDTH * 8}")
        for at in range(0, len(crowd.rows), WIDTH):
            crowd._places[crowd.rows[at]] = at
            _move(crowd._devices, 0, crowd.rows[at + DEVICE])
            _move(crowd._instruments, 0, crowd.rows[at + INSTRUMENT])
        return crowd

    def _place_of_instrument(self, instrument: int) -> int:
        """The tipper seen last of those who paid with it."""
        found = -1
        for at in self._places.values():
            if self.rows[at + INSTRUMENT] == instrument:
                found = at
        return found

    def _new_row(self, tipper: int, at_ms: int) -> int:
        rows = self.rows
        if len(self._places) < MAX_TIPPERS:
            at = len(rows)
            rows.extend((0,) * WIDTH)
        else:
            at = self._forget_one()
            for column in range(WIDTH):
                rows[at + column] = 0
        rows[at + MARK] = tipper
        rows[at + FIRST_MS] = rows[at + LAST_MS] = at_ms
        return at

    def _forget_one(self) -> int:
        """Drops the tipper seen longest ago, linked ones after others; where his row was."""
        places, rows = self._places, self.rows
        linked = sum(n for n in self._devices.values() if n > 1)
        for _ in range(_TRIES if linked <= _MAX_KEPT_FOR_LINKS else 0):
            oldest = next(iter(places))
            if not (self.is_linked(places[oldest]) or rows[places[oldest] + RETURNED]):
                break
            places[oldest] = places.pop(oldest)
        at = places.pop(next(iter(places)))
        _move(self._devices, rows[at + DEVICE], 0)
        _move(self._instruments, rows[at + INSTRUMENT], 0)
        return at


def _move(users: dict[int, int], before: int, now: int) -> None:
    """One tipper less uses `before`, one more uses `now`; 0 is nothing."""
    if before:
        left = users[before] - 1
        if left:
            users[before] = left
        else:
            del users[before]
    if now:
        users[now] = users.get(now, 0) + 1
