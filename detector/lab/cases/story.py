"""What a story is: one shape of a case or of a trap, told as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from detector.lab.scenario import Event
from detector.lab.site import Site

AFTER_SCHOOL = (12, 16, 17, 18, 19, 20, 21, 22, 22, 23)
WAKING = (*range(9, 24), 0)
EVENING = (18, 19, 20, 21, 22)
OFFICE = (9, 10, 11, 14, 15, 16)


@dataclass(frozen=True, slots=True)
class Story:
    """One shape of a case, or of something innocent that looks like one.

    Attributes:
        name: of the shape; it becomes part of the case's name.
        tell: yields the events of one case beginning at a moment. What it yields long after the
            stream's end is dropped.
        most: the most events it yields; more are cut off.
        window: between which parts of the stream it may begin, 0 to 1. A story that needs a
            history begins late.
        hours: of the day at which it begins, in Shanghai; empty for any.
        on_workdays: whether it begins on Monday to Friday.
        subject: whose case it is, read from each event that tells; others follow the last that did.
        scenery: types of event that get no label.
        innocent: type of event → the trap it is, inside a case: a parent's true claim, say.
    """

    name: str
    tell: Callable[[Site, Random, int], Iterator[Event]]
    most: int
    window: tuple[float, float] = (0.4, 0.93)
    hours: tuple[int, ...] = ()
    on_workdays: bool = False
    subject: str = "tipper"
    scenery: frozenset[str] = frozenset(("room",))
    innocent: Mapping[str, str] = field(default_factory=dict)
