"""A bounded map that forgets what has been idle, in constant time and without a clock."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Generations(Generic[V]):
    """Map of id to value, held as a young and an old generation.

    What is used moves to the young one. When the young one holds half of `max_entries`, or
    `idle_ms` of event time have passed since the last turn, the old one is dropped whole and the
    young one grows old. So an entry lives at least `idle_ms` after its last use and at most twice
    that, unless the size limit turns the generations sooner; never are more than `max_entries`
    kept. No entry carries a list node or a time stamp: the cost an entry is the dict's own.

    >>> names = Generations(max_entries=4, idle_ms=1000)
    >>> for name in "abc":
    ...     names.put(name, name.upper(), now_ms=0)
    >>> names.get("a"), names.get("z"), len(names), names.evicted
    ('A', None, 3, 0)
    """

    __slots__ = ("_half", "_idle_ms", "_old", "_turned_ms", "_young", "evicted", "turned_by_size")

    def __init__(self, max_entries: int, idle_ms: int) -> None:
        self._half = max(1, max_entries // 2)
        self._idle_ms = idle_ms
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._turned_ms = 0
        self.evicted = 0
        self.turned_by_size = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def get(self, key: str) -> V | None:
        """The value, or None. Reading does not keep an entry alive; `put` does."""
        value = self._young.get(key)
        return value if value is not None else self._old.get(key)

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

    def _turn(self, now_ms: int) -> None:
        self.evicted += len(self._old)
        self._old = self._young
        self._young = {}
        self._turned_ms = max(now_ms, self._turned_ms)
