"""`tip-detector run` in a world gone wrong: `python -m tests.faults.wrapped clock|poison`.

clock: the wall clock jumps by up to an hour, forward and back, about twice a second.
poison: scoring a binge raises for one event in POISON_ONE_IN, chosen by the event's id.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from random import Random
from zlib import crc32

from detector.cli import main
from detector.core.detectors.binge import Binge
from detector.core.features import Features

JUMP_S = 3600
POISON_ONE_IN = "POISON_ONE_IN"


def is_poisonous(event_id: str, one_in: int) -> bool:
    """Whether scoring this event raises; the examples of a policy pack are never poisonous."""
    return event_id.startswith("sim-") and crc32(event_id.encode()) % one_in == 0


def jumping(read: Callable[[], int], steady: Callable[[], float] = time.monotonic) -> int:
    """The nanoseconds that `read` gives, off by a jump that changes twice a second."""
    jump_s = Random(int(steady() * 2)).uniform(-JUMP_S, JUMP_S)
    return read() + int(jump_s * 1e9)


def break_clock() -> None:
    """Lets `time.time` and `time.time_ns` jump; monotonic time goes on as it must."""
    read = time.time_ns
    time.time_ns = lambda: jumping(read)
    time.time = lambda: jumping(read) / 1e9


def poison_scoring(one_in: int) -> None:
    """Lets `Binge.score` raise for some events."""
    score = Binge.score

    def poisoned(self: Binge, f: Features) -> float:
        if is_poisonous(f.event.event_id, one_in):
            raise ZeroDivisionError("a poisonous event")
        return score(self, f)

    Binge.score = poisoned  # type: ignore[method-assign]


if __name__ == "__main__":
    if sys.argv[1] == "clock":
        break_clock()
    else:
        poison_scoring(int(os.environ[POISON_ONE_IN]))
    sys.exit(main(["run"]))
