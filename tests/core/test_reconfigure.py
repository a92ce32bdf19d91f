"""An engine that changes its rules does what a fresh one so configured would do with its state."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.engine_config import EngineConfig
from detector.core.event import Event
from detector.core.policy import Policy, parse_policy
from detector.core.shadow import Candidate
from tests import engines
from tests.core.test_shadow import EAGER, LIVE, SAME, THRESHOLDS
from tests.core.test_state import SMALL, events

Rules = tuple[EngineConfig, Policy, Candidate | None]

CONFIG = replace(engines.settings().make_engine_config(), **{**SMALL, "thresholds": THRESHOLDS})
STERN = replace(
    CONFIG, thresholds=EAGER.thresholds, child_rooms=("music",), perks=("rose",),
    school=replace(CONFIG.school, night="01:00-02:00"),
)  # fmt: skip
_EVENING = 'type = "room_count"\nfrom = "20:00"\nto = "22:00"\nlimit = 2'
_TEXT = (engines.POLICIES / "cn.toml").read_text("utf-8")
assert _EVENING in _TEXT
NO_PKS = parse_policy(
    _TEXT.replace(_EVENING, _EVENING.replace("limit = 2", "limit = 0")), "here",
    engines.currencies(),
)  # fmt: skip


def fresh(rules: Rules) -> Engine:
    config, policy, candidate = rules
    return Engine(config, policy, engines.currencies(), candidate=candidate)


def decided(of: Engine, stream: list[Event]) -> list[Any]:
    made = (of.process(event) for event in stream)
    return [
        each if isinstance(each, Skipped) else (each.to_record(), each.accounts) for each in made
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((CONFIG, LIVE, None), (STERN, LIVE, None)),
        ((CONFIG, LIVE, None), (CONFIG, NO_PKS, None)),
        ((CONFIG, LIVE, None), (CONFIG, engines.policy("cn"), SAME)),
        ((CONFIG, LIVE, SAME), (CONFIG, LIVE, EAGER)),
        ((CONFIG, LIVE, EAGER), (STERN, LIVE, None)),
    ],
    ids=[
        "thresholds and words",
        "rules of rooms",
        "a shadow comes",
        "another shadow",
        "a shadow goes",
    ],
)
def test_it_goes_on_as_a_fresh_one_that_had_loaded_its_state(before: Rules, after: Rules) -> None:
    stream = events(0)
    half = len(stream) // 2
    live = fresh(before)
    decided(live, stream[:half])
    chunks = list(live.save_all())
    loaded = fresh(after)
    for chunk in chunks:
        loaded.load(chunk)
    config, policy, candidate = after
    live.reconfigure(config, policy, engines.currencies(), candidate)
    expected = decided(loaded, stream[half:])
    assert decided(live, stream[half:]) == expected
    unchanged = fresh(before)
    decided(unchanged, stream[:half])
    assert decided(unchanged, stream[half:]) != expected, "the change must change something"


def test_what_is_saved_of_it_after_a_shadow_came_and_went_and_came_can_be_loaded() -> None:
    stream, rates = events(0), engines.currencies()
    cuts = [len(stream) * part // 5 for part in range(6)]
    live = fresh((CONFIG, LIVE, EAGER))
    chunks: list[bytes] = []
    for number, candidate in enumerate([EAGER, None, EAGER, EAGER]):
        live.reconfigure(CONFIG, LIVE, rates, candidate)
        decided(live, stream[cuts[number] : cuts[number + 1]])
        chunks += live.save_changes()
    loaded = fresh((CONFIG, LIVE, EAGER))
    for chunk in chunks:
        loaded.load(chunk)
    assert decided(loaded, stream[cuts[4] :]) == decided(live, stream[cuts[4] :])


def test_state_under_another_pseudonym_key_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    from detector.core.state import StateError

    caplog.set_level(logging.DEBUG)

    def keyed(ids: str | None) -> Engine:
        return Engine(CONFIG, LIVE, engines.currencies(), ids=ids)

    for saved, expected in (("p1_a", "p1_b"), ("p1_a", None), (None, "p1_a")):
        head = next(iter(keyed(saved).save_all()))
        with pytest.raises(StateError, match="pseudonym key: found"):
            keyed(expected).load(head)
        keyed(saved).load(head)
