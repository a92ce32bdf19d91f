"""Writes `tests/golden/state-VERSION.txt`: python -m tests.core.write_state, once a version.

A file that exists is never written again: a state that was saved once must load forever.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.core.engine import Engine
from detector.core.event_reader import EventReader
from detector.core.state import VERSION
from tests.engines import RECEIVED_MS, engine, settings

FOLDER = Path(__file__).resolve().parents[1] / "golden"
START_MS = 1_772_452_800_000  # 2026-03-02T20:00+08:00
MINUTE_MS = 60_000


def tip(number: int, at_ms: int, tipper_id: str, **fields: Any) -> dict[str, Any]:
    """A tip as a canonical record."""
    return {
        "event_id": f"e{number}", "event_time": at_ms, "tipper_id": tipper_id, "streamer_id": "s1",
        "amount": str(1 + number % 60), "currency": "CNY", **fields,
    }  # fmt: skip


def pk(number: int, at_ms: int) -> dict[str, Any]:
    """A PK started in the room of s1."""
    return {
        "event_id": f"p{number}", "type": "room", "event": "pk_start", "event_time": at_ms,
        "streamer_id": "s1",
    }  # fmt: skip


def history() -> Iterator[dict[str, Any]]:
    """Enough tips for a site to have habits, a tipper of declared age 12, and two PKs."""
    for number in range(600):
        yield tip(number, START_MS + number * 1_000, f"t{number % 7}", device_id="d1")
    for number in range(600, 603):
        yield tip(number, START_MS + number * 1_000, "young", tipper_age=12)
        if number < 602:
            yield pk(number, START_MS + number * 1_000)


def small_engine() -> tuple[Engine, EventReader]:
    """One that remembers little, so that the file is small."""
    learning = replace(
        settings().make_engine_config().learning, event_max_entries=20, background_max_entries=20
    )
    return engine("cn", duplicate_max_entries=20, allowed_lateness_ms=60_000, learning=learning)


def fresh() -> Engine:
    return small_engine()[0]


def chunks() -> Iterator[bytes]:
    """A save of everything in the midst of it, then one of what changed until its end."""
    saved, reader = small_engine()
    for number, record in enumerate(history()):
        if number == 603:
            yield from saved.save_all()
        saved.process(reader.read(record, RECEIVED_MS))
    yield from saved.save_changes()


if __name__ == "__main__":
    with (FOLDER / f"state-{VERSION}.txt").open("x", encoding="ascii") as file:
        file.writelines(b64encode(chunk).decode("ascii") + "\n" for chunk in chunks())
