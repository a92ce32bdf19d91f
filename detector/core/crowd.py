"""A streamer's crowd: the latest tippers of one room, and which of them share what they pay with.

Holds marks of ids (`mark`), never ids, in a table of fixed size. Knows who shares a device or an
instrument with somebody else of the table, and to whom money went back; does not judge it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from detector.core.event import Event

MAX_TIPPERS = 192
"""Tippers remembered a room."""

PRIZES = ("prize", "rebate")
"""Reasons of payouts that are meant for viewers."""

_MAX_KEPT_FOR_LINKS = 96  # linked tippers that outlive the others' recency
_TRIES = 12
CARDS_FROM = 4
"""Instruments beyond the first, from which a tipper has many."""

_CARD_BITS = 61

BURSTS_FROM = 3
"""Bursts that are no chance any more."""

LARGEST = 2**61
"""Sums stop there: far above all the money there is, and still a 64-bit integer."""

# One row a tipper, of 64-bit integers.
MARK, DEVICE, INSTRUMENT, CREATED_S, FIRST_MS, LAST_MS = range(6)
TIPS, VALUE, RETURNED, ROUND, ROUND_BEFORE, PLACED_MS, CODE, CARDS, BURSTS = range(6, 15)
WIDTH = 15
_NO_ROW = array("q", (0,) * WIDTH)


def mark(identity: str | None) -> int:
    """A 32-bit mark of an id, > 0; 0 for an unknown one.

    Two ids of one table share a mark once in some million tables.

    >>> mark("t1") == mark("t1"), mark("t1") == mark("t2"), mark(None)
    (True, False, 0)
    """
    if identity is None:
        return 0
    try:
        return crc32(identity.encode()) + 1
    except (
        UnicodeEncodeError
    ):  # a lone surrogate; asking for them each time would cost as much again
        return crc32(identity.encode("utf-8", "surrogatepass")) + 1


class Tipper(NamedTuple):
    """One row of a crowd; 0 is unknown. Values in minor units of the base currency.

    `returned`: what payouts brought back. `round`, `round_before`: the latest two rounds with a
    stake of the tipper, see `rounds`. `placed_ms`: his last tip when his turn to be forgotten was
    last put off. `code`: the like gift that he sent last, 0 while none is known. `cards`: bits of
    his instruments. `bursts`: in which of the latest bursts he was, as bits.
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
    placed_ms: int
    code: int
    cards: int
    bursts: int

    @property
    def more_cards(self) -> int:
        """Different instruments beyond the first; two in sixty look like one."""
        return max(0, self.cards.bit_count() - 1)


class Users:
    """How many tippers of a crowd use each of their devices, or instruments.

    Attributes:
        counts: thing → its users.
        shared: tippers who use one that another uses too.
        excess: `shared`, less one for each thing that is shared.

    >>> devices = Users()
    >>> for device in (7, 7, 7, 8):
    ...     devices.move(0, device)
    >>> devices.shared, devices.excess, devices.is_shared(7), devices.is_shared(8)
    (3, 2, True, False)
    >>> devices.move(7, 8)
    >>> devices.shared, devices.excess, devices.is_shared(8)
    (4, 2, True)
    """

    __slots__ = ("counts", "excess", "shared")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.shared = self.excess = 0

    def move(self, before: int, now: int) -> None:
        """One tipper less uses `before`, one more uses `now`; 0 is nothing."""
        counts = self.counts
        if before:
            left = counts[before] - 1
            if left:
                counts[before] = left
                self.excess -= 1
                self.shared -= 1 if left > 1 else 2
            else:
                del counts[before]
        if now:
            count = counts.get(now, 0) + 1
            counts[now] = count
            if count > 1:
                self.excess += 1
                self.shared += 1 if count > 2 else 2

    def is_shared(self, thing: int) -> bool:
        return self.counts.get(thing, 0) > 1

    def __contains__(self, thing: object) -> bool:
        return thing in self.counts


class Crowd:
    """The latest tippers of one room.

    Attributes:
        rows: `WIDTH` integers a tipper; the columns are the constants above.
        devices, instruments: those that each tipper used last.

    >>> crowd, tip = Crowd(), Event()
    >>> tip.event_time_ms, tip.value_minor, tip.device_id = 1772380802272, 500, "d1"
    >>> for tip.tipper_id in ("t1", "t2", "t1"):
    ...     at = crowd.add(tip)
    >>> len(crowd), crowd.is_linked(at), crowd.rows[at + TIPS], crowd.rows[at + VALUE]
    (2, True, 2, 1000)
    """

    __slots__ = ("_places", "devices", "instruments", "rows")

    def __init__(self) -> None:
        self.rows = array("q")
        self._places: dict[int, int] = {}  # mark -> where its row begins, next to go first
        self.devices = Users()
        self.instruments = Users()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Tipper]:
        """The tippers, the next to be forgotten first."""
        rows = self.rows
        for at in self._places.values():
            yield Tipper._make(rows[at : at + WIDTH])

    def add(self, event: Event) -> int:
        """Enters a tip; where its tipper's row begins."""
        rows, at_ms = self.rows, event.event_time_ms
        tipper = mark(event.tipper_id)
        at = self._places.get(tipper, -1)
        if at < 0:
            at = self._new_row(tipper, at_ms)
        elif at_ms > rows[at + LAST_MS]:
            rows[at + LAST_MS] = at_ms
        if event.device_id is not None:
            device = mark(event.device_id)
            if rows[at + DEVICE] != device:
                self.devices.move(rows[at + DEVICE], device)
                rows[at + DEVICE] = device
        if event.instrument_id is not None:
            instrument = mark(event.instrument_id)
            if rows[at + INSTRUMENT] != instrument:
                rows[at + CARDS] |= 1 << instrument % _CARD_BITS
                self.instruments.move(rows[at + INSTRUMENT], instrument)
                rows[at + INSTRUMENT] = instrument
        if event.account_created_ms is not None:
            rows[at + CREATED_S] = event.account_created_ms // 1000
        rows[at + TIPS] += 1
        value = rows[at + VALUE] + (event.value_minor or 0)
        rows[at + VALUE] = value if value < LARGEST else LARGEST
        return at

    def payee_of(self, event: Event) -> int:
        """Where the row of the tipper who got a payout begins, -1 if nobody's here.

        A payout is a tipper's if the account is his, or the instrument one that he paid with.
        """
        at = self._places.get(mark(event.account_id), -1)
        if at < 0 and event.instrument_id is not None:
            instrument = mark(event.instrument_id)
            if instrument in self.instruments:
                at = self._place_of_instrument(instrument)
        return at

    def credit(self, at: int, value: int) -> None:
        """Notes what came back to the tipper of this row, minor units of the base currency."""
        self.rows[at + RETURNED] = min(LARGEST, self.rows[at + RETURNED] + value)

    def is_linked(self, at: int) -> bool:
        """Whether the tipper of this row shares his device or instrument with another."""
        rows = self.rows
        return (
            self.devices.counts.get(rows[at + DEVICE], 0) > 1
            or self.instruments.counts.get(rows[at + INSTRUMENT], 0) > 1
        )

    def is_watched(self, at: int) -> bool:
        """Whether a ring could be behind the tipper of this row, linked or not: he was paid, pays
        with many cards, or is in many bursts."""
        rows = self.rows
        bursts = rows[at + BURSTS]
        return (
            rows[at + RETURNED] > 0
            or (bursts > 0 and bursts.bit_count() >= BURSTS_FROM)
            or rows[at + CARDS].bit_count() > CARDS_FROM
        )

    def mark_at(self, at: int) -> int:
        """The mark of the tipper of this row."""
        return self.rows[at + MARK]

    def note_burst(self, marks: set[int], bit: int) -> None:
        """Notes in which rows' bits a burst of these tippers is; it stands where an old one did."""
        rows = self.rows
        for mark_, at in self._places.items():
            if mark_ in marks:
                rows[at + BURSTS] |= bit
            elif rows[at + BURSTS]:
                rows[at + BURSTS] &= ~bit

    def rounds_of(self, at: int) -> tuple[int, int]:
        """The latest rounds with a stake of the tipper of this row, newest first; 0 for none."""
        return self.rows[at + ROUND], self.rows[at + ROUND_BEFORE]

    def is_among_latest(self, at: int, share: float) -> bool:
        """Whether the tipper of this row is one of this share of the crowd who tipped last."""
        return self._later(at) < max(1, int(share * len(self._places)))

    def later_than(self, at: int) -> float:
        """Share of the others of the crowd who have tipped since the tipper of this row did."""
        return self._later(at) / max(1, len(self._places) - 1)

    def _later(self, at: int) -> int:
        rows = self.rows
        last_ms = rows[at + LAST_MS]
        return sum(rows[other + LAST_MS] > last_ms for other in self._places.values())

    def save(self) -> bytes:
        """The rows, the next to be forgotten first."""
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
            crowd.devices.move(0, crowd.rows[at + DEVICE])
            crowd.instruments.move(0, crowd.rows[at + INSTRUMENT])
        return crowd

    def _place_of_instrument(self, instrument: int) -> int:
        """The tipper seen last of those who paid with it."""
        rows = self.rows
        users = [at for at in self._places.values() if rows[at + INSTRUMENT] == instrument]
        return max(users, key=lambda at: (rows[at + LAST_MS], rows[at + MARK]))

    def _new_row(self, tipper: int, at_ms: int) -> int:
        rows = self.rows
        if len(self._places) < MAX_TIPPERS:
            at = len(rows)
            rows.extend(_NO_ROW)
        else:
            at = self._forget_one()
            rows[at : at + WIDTH] = _NO_ROW
        self._places[tipper] = at
        rows[at + MARK] = tipper
        rows[at + FIRST_MS] = rows[at + LAST_MS] = rows[at + PLACED_MS] = at_ms
        return at

    def _forget_one(self) -> int:
        """Drops a tipper; where his row was.

        The one placed longest ago goes, unless he tipped since (a second chance, as the CLOCK page
        replacement has it: close to dropping the one seen longest ago, at no cost a tip), or is
        linked, as long as not too many are.
        """
        places, rows = self._places, self.rows
        linked = self.devices.shared + self.instruments.shared
        for _ in range(_TRIES):
            oldest = next(iter(places))
            at = places[oldest]
            has_tipped = rows[at + LAST_MS] > rows[at + PLACED_MS]
            if not has_tipped and (
                linked > _MAX_KEPT_FOR_LINKS or not (self.is_linked(at) or rows[at + RETURNED])
            ):
                break
            rows[at + PLACED_MS] = rows[at + LAST_MS]
            places[oldest] = places.pop(oldest)
        at = places.pop(next(iter(places)))
        self.devices.move(rows[at + DEVICE], 0)
        self.instruments.move(rows[at + INSTRUMENT], 0)
        return at
