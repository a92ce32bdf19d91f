"""A bounded map that forgets what has been idle, in constant time and without a clock.

It can be cut: `cut_all` takes all of it, `cut_changes` what happened since the last cut, and `load`
makes the same map of them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class Counters(NamedTuple):
    """What a map knows besides its entries: time of its last turn (epoch ms) and two totals."""

    turned_ms: int
    evicted: int
    turned_by_size: int


class Cut(Generic[V]):
    """What happened to a map up to one moment; nothing that happens later changes it.

    Replayed in order, puts and turns give the map's young and old generation exactly. After two
    turns nothing from before them is left, so a cut of everything is a cut with two turns, and no
    cut is larger than the map may be.

    Args:
        counters: those of the map at the cut.
        turns: turns taken; two stand for more.
        before_turn: entries put between the last turn and the one before it.
        after_turn: entries put since the last turn.
    """

    __slots__ = ("_after_turn", "_before_turn", "_turns", "counters")

    def __init__(
        self, counters: Counters, turns: int, before_turn: dict[str, V], after_turn: dict[str, V]
    ) -> None:
        self.counters = counters
        self._turns = turns
        self._before_turn = before_turn
        self._after_turn = after_turn

    @property
    def is_whole(self) -> bool:
        """Whether it makes the map whatever the map was before."""
        return self._turns >= 2

    def steps(self) -> Iterator[tuple[bool, dict[str, V]]]:
        """For `Generations.load`, in order: whether a turn comes first, and the entries put."""
        if self._turns:
            yield self._turns >= 2, self._before_turn
        yield self._turns >= 1, self._after_turn


class Generations(Generic[V]):
    """Map of id to value, held as a young and an old generation.

    What is used moves to the young one. When the young one holds half of `max_entries`, or
    `idle_ms` of event time have passed since the last turn, the old one is dropped whole and the
    young one grows old. So an entry lives at least `idle_ms` after its last use and at most twice
    that, unless the size limit turns the generations sooner; never are more than `max_entries`
    kept. No entry carries a list node or a time stamp: the cost an entry is the dict's own.

    From the first cut or load on it keeps a record of what changes: two dicts, which together are
    never larger than the map may be.

    >>> names = Generations(max_entries=4, idle_ms=1000)
    >>> for name in "abc":
    ...     names.put(name, name.upper(), now_ms=0)
    >>> names.get("a"), names.get("z"), len(names), names.evicted
    ('A', None, 3, 0)
    """

    __slots__ = (
        "_changed", "_changed_before_turn", "_half", "_idle_ms", "_old", "_turned_ms", "_turns",
        "_young", "evicted", "turned_by_size",
    )  # fmt: skip

    def __init__(self, max_entries: int, idle_ms: int) -> None:
        self._half = max(1, max_entries // 2)
        self._idle_ms = idle_ms
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._turned_ms = 0
        self.evicted = 0
        self.turned_by_size = 0
        self._changed: dict[str, V] | None = None  # None: nobody has asked for changes
        self._changed_before_turn: dict[str, V] = {}
        self._turns = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def get(self, key: str) -> V | None:
        """The value, or None. Reading does not keep an entry alive; `put` does."""
        value = self._young.get(key)
        return value if value is not None else self._old.get(key)

    def items(self) -> Iterator[tuple[str, V]]:
        """All entries; the map must not change meanwhile."""
        return chain(self._old.items(), self._young.items())

    def put(self, key: str, value: V, now_ms: int) -> None:
        """Sets the value.

        Args:
            key: the entry's id.
            value: never None.
            now_ms: event time, epoch ms; a time before the last turn is as good as that turn.
        """
        young = self._young
        if key not in young:
            if self._old:  # before a turn: what moves over is not evicted
                self._old.pop(key, None)
            if len(young) >= self._half:
                self._turn(now_ms)
                self.turned_by_size += 1
                young = self._young
            elif now_ms - self._turned_ms >= self._idle_ms:
                self._turn(now_ms)
                young = self._young
        young[key] = value
        changed = self._changed
        if changed is not None:
            changed[key] = value

    def cut_all(self) -> Cut[V]:
        """All of the map; costs two shallow copies."""
        cut = Cut(self.counters, 2, self._old.copy(), self._young.copy())
        self._begin_record()
        return cut

    def cut_changes(self) -> Cut[V]:
        """What happened since the last cut or load, all of the map if there was none.

        The record is handed over, not copied: the cost does not depend on its size.
        """
        if self._changed is None:
            return self.cut_all()
        cut = Cut(self.counters, self._turns, self._changed_before_turn, self._changed)
        self._begin_record()
        return cut

    def load(self, turns_first: bool, entries: dict[str, V]) -> None:
        """Replays one step of a cut.

        Where this map may hold less than the one that was cut, it does after two more turns.

        Args:
            turns_first: whether the generations turn before the entries are put.
            entries: what was put.
        """
        if turns_first:
            self._old, self._young = self._young, {}
        for key in self._old.keys() & entries.keys():
            del self._old[key]
        self._young.update(entries)
        self._begin_record()

    @property
    def counters(self) -> Counters:
        """To be set after or before the steps of a cut: loading does not count evictions."""
        return Counters(self._turned_ms, self.evicted, self.turned_by_size)

    @counters.setter
    def counters(self, counters: Counters) -> None:
        self._turned_ms, self.evicted, self.turned_by_size = counters

    def _begin_record(self) -> None:
        self._changed = {}
        self._changed_before_turn = {}
        self._turns = 0

    def _turn(self, now_ms: int) -> None:
        self.evicted += len(self._old)
        self._old = self._young
        self._young = {}
        self._turned_ms = max(now_ms, self._turned_ms)
        if self._changed is not None:
            self._changed_before_turn, self._changed = self._changed, {}
            self._turns = min(2, self._turns + 1)
