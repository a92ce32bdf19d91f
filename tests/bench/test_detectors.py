"""Of the figures by detector: that no kind is forgotten and nothing stays timed."""

from __future__ import annotations

import orjson

from detector.assembly import Assembly
from detector.core.event import Event
from detector.core.reasons import KINDS
from detector.lab.simulate import Scenario, simulate
from tests.bench.detectors import DETECTORS, STEPS, Stopwatch, costs_us


def test_every_kind_of_flag_has_a_detector_whose_cost_is_shown() -> None:
    assert set(KINDS) <= DETECTORS.keys()


def test_each_step_of_a_tip_is_timed_and_only_while_asked_for() -> None:
    assembly = Assembly.load(None)
    values = [orjson.dumps(each.event) for each in simulate(Scenario(events=3000))]
    decoded = [assembly.decoder.decode(value, 4_102_444_800_000) for value in values]
    events = [each for each in decoded if isinstance(each, Event)]
    before = [getattr(*each) for functions in DETECTORS.values() for each in functions]
    whole, parts = costs_us(assembly, events)
    assert all(parts[part] > 0.0 for part in ("minor", "outsized", "binge", "cap", *STEPS))
    assert sum(parts.values()) < 2 * whole
    assert [getattr(*each) for functions in DETECTORS.values() for each in functions] == before


def test_a_part_is_not_charged_for_the_time_of_a_part_it_calls() -> None:
    stopwatch = Stopwatch()
    inner = stopwatch.timed("inner", lambda: sum(range(200_000)))
    stopwatch.timed("outer", lambda: inner())()
    assert stopwatch.calls == {"inner": 1, "outer": 1}
    assert stopwatch.spent_s["outer"] < stopwatch.spent_s["inner"]
