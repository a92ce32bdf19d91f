"""Stops the process when too many events fail inside it."""

from __future__ import annotations

from collections.abc import Iterable

from detector.runtime.lane import INTERNAL_ERROR
from detector.runtime.ports import Stop
from detector.runtime.tally import Tally

_FEWEST = 10


class Breaker:
    """Counts events dead-lettered as `internal_error` among the last records.

    A few are a bug that one event met; many are a bug that all will meet, and then it is better to
    stop, with the offsets not committed, than to turn the stream into dead letters.

    Args:
        max_share: of records, 0..1, that may fail; it trips above that, and never below 10 events.
        records: over how many records the share is taken.

    >>> breaker, tally = Breaker(max_share=0.01, records=1000), Tally()
    >>> tally.dead_letters[INTERNAL_ERROR] = 9
    >>> breaker.count([tally])
    >>> breaker.count([tally])
    Traceback (most recent call last):
    detector.runtime.ports.Stop: 18 of the last 18 records failed inside the detector ...
    """

    def __init__(self, max_share: float, records: int) -> None:
        self._max_share = max_share
        self._window = records
        self._records = 0
        self._failed = 0

    def count(self, tallies: Iterable[Tally]) -> None:
        """Adds one turn's tallies.

        Raises:
            Stop: the share is over the limit.
        """
        for tally in tallies:
            self._records += tally.records + tally.rekeyed
            self._failed += tally.dead_letters[INTERNAL_ERROR]
        if self._failed >= _FEWEST and self._failed > self._max_share * self._records:
            raise Stop(
                f"{self._failed} of the last {self._records} records failed inside the detector "
                "(reason internal_error): nothing of this batch was committed; see the log for "
                "where, and dead-letters list for which"
            )
        if self._records >= self._window:
            self._records //= 2
            self._failed //= 2
