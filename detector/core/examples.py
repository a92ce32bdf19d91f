"""A policy pack's own examples, run through the engine: does each rule do what its file says?

Knows how an example is judged. Does not read packs (`policy`) or files, and does not know how an
engine is set up: the caller brings one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from detector.core.decode import Skipped
from detector.core.engine import Engine
from detector.core.event import Rejected
from detector.core.event_reader import EventReader
from detector.core.policy import Rule

_RECEIVED_MS = 32_503_680_000_000  # the year 3000: no example is in the future

Reasons = list[dict[str, Any]]


def check_examples(
    where: str, rules: Iterable[Rule], make_engine: Callable[[], tuple[Engine, EventReader]]
) -> list[str]:
    """Runs each rule's `fires` and `silent`, each through an engine of its own.

    The last event of `fires` must lead to a flag with a reason of the rule, no event of `silent`
    may. What counts is what is flagged: give the engines `case_cool_down_ms = 0`, so that no
    finding stays unsaid because its case is open already.

    Args:
        where: the pack's file, for messages.
        rules: what `Policy.rules` holds.
        make_engine: a fresh engine with this pack, and a reader that knows its currency.

    Returns:
        One line for each example that does not do what it says; empty when all is well.
    """
    lines: list[str] = []
    for rule in rules:
        at = f"{where}: rules[{rule.id}]"
        lines += _check_fires(at, rule, *make_engine())
        lines += _check_silent(at, rule, *make_engine())
    return lines


def _check_fires(at: str, rule: Rule, engine: Engine, reader: EventReader) -> list[str]:
    lines: list[str] = []
    found: Reasons | str = []
    for index, record in enumerate(rule.fires):
        found = _reasons(record, engine, reader)
        if isinstance(found, str):
            lines.append(f"{at}: fires[{index}]: expected an event, found {found}")
    if not isinstance(found, str) and not _of_rule(found, rule.id):
        others = ", ".join(str(reason.get("rule") or reason["code"]) for reason in found)
        lines.append(f"{at}: fires: expected a reason of rule {rule.id}, found {others or 'none'}")
    return lines


def _check_silent(at: str, rule: Rule, engine: Engine, reader: EventReader) -> list[str]:
    lines: list[str] = []
    for index, record in enumerate(rule.silent):
        found = _reasons(record, engine, reader)
        if isinstance(found, str):
            lines.append(f"{at}: silent[{index}]: expected an event, found {found}")
        elif codes := _of_rule(found, rule.id):
            lines.append(
                f"{at}: silent[{index}]: expected no reason of rule {rule.id}, "
                f"found {', '.join(codes)}"
            )
    return lines


def _reasons(record: dict[str, Any], engine: Engine, reader: EventReader) -> Reasons | str:
    """The reasons of all flags that one example event led to; or, as text, why it is no event."""
    try:
        event = reader.read(record, _RECEIVED_MS)
    except Rejected as refusal:
        return f"{refusal.reason}: {refusal.detail}"
    decision = engine.process(event)
    if isinstance(decision, Skipped):
        return f"{decision.reason}: event_id {event.event_id!r} stands twice"
    return [reason for flag in decision.flags for reason in flag.record["reasons"]]


def _of_rule(reasons: Reasons, rule_id: str) -> list[str]:
    return [reason["code"] for reason in reasons if reason.get("rule") == rule_id]
