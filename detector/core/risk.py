"""How often each cell of events was confirmed, against what is usual: the risk of what recurs.

A cell is a place in a table (`traits.CELLS`): a streamer, a device, a bucket of amounts, a pair of
these. Of each, two sums that fade with a half-life: events seen and events confirmed. A cell's risk
is the logarithm of confirmed over expected, where expected is what the cell's events would have
at the site's own share. Both sums get the same prior (`_PRIOR`, in confirmed events), so one
confirmed case raises the risk of a quiet streamer, and hardly that of a busy one. (A standardised
ratio under a gamma prior: Clayton and Kaldor, Biometrics 43, 1987.)
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from math import log
from typing import Any
from zlib import compress, decompressobj, error

_PRIOR = 0.3
_LEAST, _MOST = -2.0, 4.0
_RENEW_AT = 1024.0
_WEIGH_EVERY_MS = 60_000


class RiskTable:
    """Faded sums of events seen and confirmed, by cell.

    Nothing is faded at each step; instead newer events count more, by a growing factor, and all
    sums are divided by it now and then.

    Args:
        places: of the table; place 0 is never counted.
        half_life_ms: event time in which an event's weight halves.

    Attributes:
        risks: place → log of confirmed over expected, -2..4; 0.0 where nothing is known. Brought
            up to date where a cell is refreshed or confirmed, not at every event.

    >>> table = RiskTable(8, half_life_ms=1000)
    >>> for _ in range(100):
    ...     table.see([1, 2], now_ms=0)
    >>> table.see([1, 3], now_ms=0)
    >>> table.confirm([1, 3], now_ms=0)
    >>> [round(risk, 1) for risk in table.risks[1:5]]
    [0.0, 0.0, 1.4, 0.0]
    """

    __slots__ = (
        "_confirmed", "_half_life_ms", "_renewed_ms", "_seen", "_weighed_ms", "_weight",
        "all_confirmed", "all_seen", "risks",
    )  # fmt: skip

    def __init__(self, places: int, half_life_ms: int) -> None:
        self._half_life_ms = half_life_ms
        self._seen = array("f", bytes(4 * places))
        self._confirmed = array("f", bytes(4 * places))
        self.risks = [0.0] * places  # whole 64ths, so that 32 bits hold them
        self.all_seen = self.all_confirmed = 0.0
        self._renewed_ms = self._weighed_ms = 0
        self._weight = 1.0

    def see(self, cells: Iterable[int], now_ms: int, stands_for: int = 1) -> None:
        """Counts an event.

        Args:
            cells: where it falls.
            now_ms: event time, epoch ms; one before the last is as good as that.
            stands_for: how many events it is counted as, where only a sample is shown.
        """
        if now_ms - self._weighed_ms >= _WEIGH_EVERY_MS:
            self._weigh(now_ms)
        weight, seen = stands_for * self._weight, self._seen
        self.all_seen += weight
        for cell in cells:
            seen[cell] += weight

    def confirm(self, cells: Iterable[int], now_ms: int) -> None:
        """Counts an event, seen before, as confirmed."""
        if now_ms - self._weighed_ms >= _WEIGH_EVERY_MS:
            self._weigh(now_ms)
        weight, confirmed = self._weight, self._confirmed
        self.all_confirmed += weight
        for cell in cells:
            confirmed[cell] += weight
        self.refresh(cells, now_ms)

    def refresh(self, cells: Iterable[int], now_ms: int) -> None:
        """Brings the risks of these cells up to date."""
        if not self.all_confirmed:
            return
        if now_ms - self._weighed_ms >= _WEIGH_EVERY_MS:
            self._weigh(now_ms)
        share = min(1.0, self.all_confirmed / self.all_seen) if self.all_seen else 1.0
        prior, seen, confirmed = _PRIOR * self._weight, self._seen, self._confirmed
        for cell in cells:
            if cell:
                risk = log((confirmed[cell] + prior) / (seen[cell] * share + prior))
                risk = _LEAST if risk < _LEAST else _MOST if risk > _MOST else risk
                self.risks[cell] = round(64.0 * risk) / 64.0

    def save(self) -> dict[str, bytes]:
        """All of it by part: three arrays, and four figures."""
        return {
            "seen": to_bytes(self._seen),
            "confirmed": to_bytes(self._confirmed),
            "risks": to_bytes(array("f", self.risks)),
            "sums": to_bytes(array("d", (self.all_seen, self.all_confirmed, self._weight))),
            "times": to_bytes(array("q", (self._renewed_ms, self._weighed_ms))),
        }

    def load(self, part: str, saved: bytes) -> None:
        """Takes over one part of `save`.

        Raises:
            ValueError: it is something else.
        """
        places = len(self.risks)
        if part == "seen":
            self._seen = from_bytes("f", saved, places)
        elif part == "confirmed":
            self._confirmed = from_bytes("f", saved, places)
        elif part == "risks":
            self.risks = list(from_bytes("f", saved, places))
        elif part == "sums":
            self.all_seen, self.all_confirmed, self._weight = from_bytes("d", saved, 3)
        elif part == "times":
            self._renewed_ms, self._weighed_ms = from_bytes("q", saved, 2)
        else:
            raise ValueError(f"risk: found part {part!r}")

    def _weigh(self, now_ms: int) -> None:
        """Sets what an event counts now; divides all sums by it when it has grown large."""
        if not self._renewed_ms:
            self._renewed_ms = now_ms
        self._weighed_ms = now_ms
        half_lives = min(200.0, (now_ms - self._renewed_ms) / self._half_life_ms)
        self._weight = 2.0**half_lives
        if self._weight > _RENEW_AT:
            factor = 1.0 / self._weight
            self._seen = array("f", [factor * each for each in self._seen])
            self._confirmed = array("f", [factor * each for each in self._confirmed])
            self.all_seen *= factor
            self.all_confirmed *= factor
            self._renewed_ms, self._weight = now_ms, 1.0


def to_bytes(values: array[Any]) -> bytes:
    """The array's items, little-endian, deflated: a table is mostly zeros."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return compress(values.tobytes(), 1)


def from_bytes(typecode: str, saved: bytes, length: int) -> array[Any]:
    """The inverse of `to_bytes`.

    Raises:
        ValueError: it is not as long as `length` items.
    """
    values: array[Any] = array(typecode)
    inflater = decompressobj()
    try:
        values.frombytes(inflater.decompress(saved, length * values.itemsize + 1))
    except error as found:
        raise ValueError(f"an array: {found}") from None
    if len(values) != length:
        raise ValueError(f"an array: found {len(values)} items, expected {length}")
    if sys.byteorder == "big":
        values.byteswap()
    return values
