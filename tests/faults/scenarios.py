"""The table of scenarios: what is done, how often, to what, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from tests.faults import faults
from tests.faults.outcome import Outcome
from tests.faults.run import Run, Setup
from tests.faults.stream import Stream
from tests.faults.wrapped import POISON_ONE_IN, is_poisonous

Fault = Callable[[Run, int], None]
Check = Callable[[Stream, Outcome], str]
"""What the reference itself must show; gives what is wrong with it, or nothing."""

POISON = ("tests.faults.wrapped", "poison")
CLOCK = ("tests.faults.wrapped", "clock")
POISON_SHARE = 200


@dataclass(frozen=True)
class Scenario:
    """One line of the table.

    Attributes:
        name: as `--only` takes it and the report prints it.
        fault: what is done.
        times: how often, and how often in the bounded suite (0: not in it).
        setup: how the detectors are started.
        usual: how those of the reference are, where it is not the same.
        longer: how many times as long its stream is.
        oversized: records that are larger than the dead-letter topic takes.
        may_double: whether flags may come twice.
        is_compared: whether outputs are compared at all.
        check: asked about the reference.
        has_small_disk: whether the broker's disk is a small one of its own.
    """

    name: str
    fault: Fault
    times: tuple[int, int]
    setup: Setup = field(default_factory=Setup)
    usual: Setup | None = None
    longer: int = 1
    oversized: int = 0
    may_double: bool = False
    is_compared: bool = True
    check: Check | None = None
    has_small_disk: bool = False


def poison_is_told(stream: Stream, outcome: Outcome) -> str:
    """Each poisonous tip must be a dead letter with reason `internal_error`, and nothing else."""
    poisonous, at = set(), stream.by_offset()
    for value in at.values():
        if (event := _tip(value)) and is_poisonous(event["event_id"], POISON_SHARE):
            poisonous.add(event["event_id"])
    told = set()
    for (what, source), content in outcome.written:
        if what == "dead letter" and orjson.loads(content)["reason"] == "internal_error":
            partition, offset = source.split("@")
            event = _tip(at[int(partition), int(offset)])
            told.add(event["event_id"] if event else source)
    if told != poisonous or not told:
        return f"{len(poisonous)} tips are poisonous, {len(told & poisonous)} are told as such"
    return ""


def _tip(value: bytes) -> dict[str, str] | None:
    try:
        event = orjson.loads(value)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("type", "tip") == "tip" else None


ONE, TWO, FOUR = Setup(), Setup(instances=2), Setup(instances=4)
SMALL_STATE = Setup(
    settings={"ENGINE__DUPLICATE_MAX_ENTRIES": "5000", "ENGINE__TIPPER_MAX_ENTRIES": "5000"}
)
POISONED = Setup(module=POISON, variables={POISON_ONE_IN: str(POISON_SHARE)})
BREAKING = Setup(
    module=POISON, variables={POISON_ONE_IN: "2"},
    settings={"BREAKER__MAX_SHARE": "0.1", "BREAKER__RECORDS": "200"},
)  # fmt: skip
ROOMY, TIGHT = Setup(), Setup(dead_letter_bytes=300_000)
KEYED_BY_NEITHER = Setup(instances=2, settings={"TOPICS__TIPS_KEY": "other"})
AT_LEAST_ONCE = Setup(settings={"DELIVERY": "at_least_once"})

EVENTS = 20_000
"""Simulated ones of a stream in the long form."""

SCENARIOS: Sequence[Scenario] = (
    Scenario("kill -9", faults.kill, (60, 3), ONE),
    Scenario("kill -9 of one of two", faults.kill, (40, 2), TWO),
    Scenario("shared by four", faults.nothing, (2, 1), FOUR, ONE),
    Scenario("kill -9, keyed by neither", faults.kill, (10, 0), KEYED_BY_NEITHER),
    Scenario("zombie", faults.zombie, (10, 1), TWO),
    Scenario("broker kill -9", faults.broker_kill, (6, 1), ONE),
    Scenario("broker frozen", faults.broker_freeze, (12, 0), TWO),
    Scenario("slow network", faults.slow_network, (10, 0), ONE),
    Scenario("black hole", faults.black_hole(4.0), (6, 1), ONE),
    Scenario("black hole past the request timeout", faults.black_hole(35.0), (2, 0), ONE),
    Scenario("connections reset", faults.resets, (40, 0), TWO),
    Scenario("rebalances", faults.rebalances, (24, 3), TWO),
    Scenario("dead letters over the limit", faults.kill, (4, 0), TIGHT, ROOMY, oversized=4),
    Scenario("full disk", faults.full_disk, (3, 0), ONE, has_small_disk=True),
    Scenario("clock jumps", faults.nothing, (4, 0), Setup(module=CLOCK), ONE),
    Scenario("poisonous events", faults.kill, (4, 1), POISONED, check=poison_is_told),
    Scenario("too many poisonous events", faults.breaker, (1, 1), BREAKING, is_compared=False),
    Scenario("overload", faults.overload, (1, 0), SMALL_STATE, longer=5),
    Scenario("at least once, kill -9", faults.kill, (20, 0), AT_LEAST_ONCE, may_double=True),
)
