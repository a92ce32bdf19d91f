"""What each detector, and each step of the engine, costs an event: its own time, without what it
calls of the others.

Every function of a part is timed while some events are processed; what timing itself costs is
measured on a function that does nothing, and taken off. The shares are of the engine's time when
nothing is timed; what no part accounts for is shown as the rest. It knows nothing of Kafka.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any
from unittest.mock import patch

from detector.assembly import Assembly
from detector.core import room, tipper_view
from detector.core.detectors.binge import Binge
from detector.core.detectors.cap import Cap
from detector.core.detectors.gambling import Gambling
from detector.core.detectors.minor import Minor
from detector.core.detectors.outsized import Outsized
from detector.core.detectors.refund_abuse import RefundAbuse
from detector.core.detectors.ring import Ring
from detector.core.detectors.surge import Surge
from detector.core.event import Event
from detector.core.learning import Learning
from detector.core.prominence import Prominences
from detector.core.room import Room
from detector.core.trait_reader import TraitReader
from tests.bench.show import ROUNDS, show

DETECTORS: dict[str, tuple[tuple[Any, str], ...]] = {
    "minor": ((Minor, "score"), (Minor, "explain")),
    "outsized": ((Outsized, "score"), (Outsized, "explain")),
    "binge": ((Binge, "score"), (Binge, "explain")),
    "cap": ((Cap, "score"), (Cap, "explain")),
    "gambling": (
        (Gambling, "score"), (Gambling, "of_payout"), (Gambling, "explain"),
        (Gambling, "figures"), (room, "weigh"),
    ),
    "ring": ((Ring, "score"), (Ring, "explain"), (Ring, "figures"), (room, "gather")),
    "refund_abuse": ((RefundAbuse, "score"), (RefundAbuse, "explain")),
    "surge": ((Surge, "observe"),),
}  # fmt: skip
"""Kind → functions that find it: (class or module, name)."""

STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "features": ((tipper_view, "compute"), (TraitReader, "fill")),
    "tipper": ((tipper_view, "unpack"), (tipper_view, "pack"), (tipper_view, "advance")),
    "site": ((tipper_view, "learn"),),
    "room": ((Room, "add_tip"), (Room, "add_payout"), (Room, "add_room_event")),
    "prominence": ((Prominences, "add"),),
    "learning": ((Learning, "look_at"), (Learning, "judge")),
}
"""What is done for every event, whatever is looked for."""


class Stopwatch:
    """Own time and calls, by part."""

    def __init__(self) -> None:
        self.spent_s: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._within_s = 0.0  # of timed functions that the one going on has called

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time counted for a part."""

        def run(*args: Any, **named: Any) -> Any:
            before_s, self._within_s = self._within_s, 0.0
            started_s = perf_counter()
            found = function(*args, **named)
            took_s = perf_counter() - started_s
            self.spent_s[part] += took_s - self._within_s
            self.calls[part] += 1
            self._within_s = before_s + took_s
            return found

        return run


@contextmanager
def timing(stopwatch: Stopwatch) -> Iterator[None]:
    """Within it every function of every part is timed."""
    with ExitStack() as stack:
        for part, functions in (DETECTORS | STEPS).items():
            for owner, name in functions:
                run = stopwatch.timed(part, getattr(owner, name))
                stack.enter_context(patch.object(owner, name, run))
        yield


def cost_of_timing_s(calls: int = 100_000) -> float:
    """What a timed function that does nothing seems to take."""
    stopwatch = Stopwatch()
    run = stopwatch.timed("", lambda: None)
    for _ in range(calls):
        run()
    return stopwatch.spent_s[""] / calls


def costs_us(assembly: Assembly, events: list[Event]) -> tuple[float, dict[str, float]]:
    """The engine's time an event when nothing is timed, and each part's own; microseconds."""
    whole = _process_s(assembly, events)
    stopwatch, timing_s = Stopwatch(), cost_of_timing_s()
    with timing(stopwatch):
        _process_s(assembly, events)
    us = 1e6 / len(events)
    parts = {
        part: us * max(0.0, stopwatch.spent_s[part] - stopwatch.calls[part] * timing_s)
        for part in DETECTORS | STEPS
    }
    return us * whole, parts


def _process_s(assembly: Assembly, events: list[Event]) -> float:
    process = assembly.make_engine().process
    started_s = perf_counter()
    for event in events:
        process(event)
    return perf_counter() - started_s


def detectors(assembly: Assembly, values: list[bytes]) -> None:
    """Shows each part's cost an event and its share of `Engine.process`."""
    decoded = [assembly.decoder.decode(value, 4_102_444_800_000) for value in values]
    events = [each for each in decoded if isinstance(each, Event)]
    rounds = [costs_us(assembly, events) for _ in range(ROUNDS)]
    wholes = [whole for whole, _ in rounds]
    for part in DETECTORS | STEPS:
        what = "detector" if part in DETECTORS else "step"
        _show(f"{what} {part}", [parts[part] for _, parts in rounds], wholes)
    _show("the rest", [whole - sum(parts.values()) for whole, parts in rounds], wholes)


def _show(name: str, runs: list[float], wholes: list[float]) -> None:
    share = sum(runs) / sum(wholes)
    show(f"cost of {name}", "us/event", runs, f"own time; {share:.1%} of process")
