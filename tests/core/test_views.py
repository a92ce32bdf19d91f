"""An engine can look at payers, at receivers, or at both; what it sees of one does not change."""

from __future__ import annotations

from typing import Any

import pytest

from detector.core.decision import DUPLICATE, Decision
from detector.core.engine import VIEWS, Engine
from tests.core.write_state import START_MS, history, pk, tip
from tests.engines import RECEIVED_MS, engine


def stream() -> list[dict[str, Any]]:
    return [*history(), pk(900, START_MS + 700_000), pk(901, START_MS + 701_000)]


def run(views: frozenset[str]) -> tuple[Engine, list[Decision]]:
    tested, reader = engine("cn", views)
    decisions = [tested.process(reader.read(record, RECEIVED_MS)) for record in stream()]
    assert all(isinstance(decision, Decision) for decision in decisions)
    return tested, decisions  # type: ignore[return-value]


def flags(decisions: list[Decision], subject_type: str) -> list[dict[str, Any]]:
    found = [flag.record for decision in decisions for flag in decision.flags]
    return [record for record in found if record["subject"]["type"] == subject_type]


def test_each_view_gives_the_flags_it_gives_beside_the_other() -> None:
    _, both = run(VIEWS)
    for view in VIEWS:
        alone, decisions = run(frozenset((view,)))
        assert flags(decisions, view) == flags(both, view) != []
        assert sum(len(decision.flags) for decision in decisions) == len(flags(both, view))
        assert alone.watermark_ms == START_MS + 701_000
        assert alone.sizes()["event_ids"] == len(stream())


def test_without_the_tipper_view_no_tip_is_scored_or_remembered() -> None:
    tested, decisions = run(frozenset(("streamer",)))
    assert {kind for decision in decisions for kind in decision.scores} <= {"gambling", "ring"}
    assert (tested.sizes()["tippers"], tested.sizes()["streamers"]) == (0, 1)


def test_without_the_streamer_view_no_room_is_remembered() -> None:
    tested, _ = run(frozenset(("tipper",)))
    assert (tested.sizes()["tippers"], tested.sizes()["streamers"]) == (8, 0)


def test_a_view_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found \['room'\], expected some of \['streamer', 'tip"):
        engine("cn", frozenset(("room",)))


def test_an_event_that_raised_can_be_processed_again() -> None:
    tested, reader = engine("cn")
    event = reader.read(tip(1, START_MS, "t1"), RECEIVED_MS)
    value_minor, event.value_minor = event.value_minor, None
    with pytest.raises(ValueError, match="math domain"):
        tested.process(event)
    event.value_minor = value_minor
    assert isinstance(tested.process(event), Decision)
    assert tested.process(event) is DUPLICATE


def test_an_engine_that_does_not_look_for_repeats_scores_them_and_holds_no_ids() -> None:
    tested, reader = engine("cn", dedupe=False)
    event = reader.read(tip(1, START_MS, "t1"), RECEIVED_MS)
    assert isinstance(tested.process(event), Decision)
    assert isinstance(tested.process(event), Decision)
    assert tested.sizes()["event_ids"] == 0
