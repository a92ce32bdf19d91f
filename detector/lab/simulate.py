"""A made-up stream of tips with known cases in it. For demos, load and regression only.

What it makes is NOT evidence of accuracy: whoever writes both the cases and the detector has made
the detector find the writer's own ideas. Judge accuracy on streams that came from elsewhere.

Ordinary life (`ordinary`, `occasions`) fills the stream, cases (`cases`) are planted in it, and the
labels tell which event belongs to what. Only the standard library's `Random` decides, so the same
scenario gives the same events in every process. Memory grows with tippers and streamers, never with
events: time goes by in slices, and only what begins soon is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import orjson

from detector.lab.cases import STORIES, TRAPS, Planter
from detector.lab.occasions import CEREMONY_WEIGHT, Occasions, ceremony_night
from detector.lab.ordinary import Ordinary
from detector.lab.platform import Platform
from detector.lab.scenario import Event, Scenario, Simulated, local_hour, weekday
from detector.lab.site import Site
from detector.lab.tippers import HABIT_SHARES, HOURS

__all__ = ["STORIES", "TRAPS", "Event", "Platform", "Scenario", "Simulated", "simulate", "write"]

LONGEST_SLICE_MS, SHORTEST_SLICE_MS = 300_000, 1_000
_EVENTS_A_SLICE = 2_000  # about; a slice is held whole
_WEEK = (1.0, 0.95, 0.97, 1.0, 1.15, 1.4, 1.35)  # Monday first
_PAYOUT_HOUR = 10


def simulate(settings: Scenario) -> Iterator[Simulated]:
    """Exactly `settings.events` events in order of time, but for a few that come seconds late.

    Raises:
        ValueError: at once, when the cases asked for are unknown or do not fit.
    """
    span_ms = settings.span_ms
    slice_ms = min(
        LONGEST_SLICE_MS, max(SHORTEST_SLICE_MS, _EVENTS_A_SLICE * span_ms // settings.events)
    )
    site = Site(settings, slice_ms)
    return _run(site, Planter(site), -(-span_ms // slice_ms))


def write(settings: Scenario, events_file: BinaryIO, labels_file: BinaryIO | None = None) -> int:
    """Writes events, and labels if wanted, as JSON lines; how many events.

    The same scenario writes the same bytes.
    """
    written = 0
    for written, (event, label) in enumerate(simulate(settings), start=1):  # noqa: B007
        events_file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        if labels_file is not None and label is not None:
            labels_file.write(orjson.dumps(label, option=orjson.OPT_APPEND_NEWLINE))
    return written


def _run(site: Site, planter: Planter, slices: int) -> Iterator[Simulated]:
    """Goes through time: plans what begins in a slice, hands out what is due in it."""
    agenda, settings = site.agenda, site.settings
    life = Ordinary(site)
    occasions = Occasions(site, life)
    weights = _weights(settings, slices, agenda.slice_ms)
    weight_left = sum(weights)
    owed = 0.0
    paid_out_on = -1
    for number, weight in enumerate(weights):
        start_ms = settings.start_ms + number * agenda.slice_ms
        planned = agenda.planned
        site.advance(start_ms, start_ms + agenda.slice_ms)
        quota = agenda.room_left * weight / weight_left
        weight_left = max(weight_left - weight, 1e-9)
        planned += planter.plant()
        if site.hour == _PAYOUT_HOUR and paid_out_on != weekday(start_ms):
            paid_out_on = weekday(start_ms)
            life.payouts()
        occasions.plan(quota)
        owed += quota - (agenda.planned - planned)
        if number == slices - 1:
            owed = agenda.room_left
        owed -= life.fill(owed)
        yield from agenda.release(number)
    yield from agenda.rest()


def _weights(settings: Scenario, slices: int, slice_ms: int) -> list[float]:
    """How much of the stream begins in each slice: by hour, day of the week and ceremony."""
    hourly = [
        sum(share * hours[hour] for share, hours in zip(HABIT_SHARES, HOURS, strict=True))
        for hour in range(24)
    ]
    ceremony = ceremony_night(settings)
    weights = []
    for start_ms in range(settings.start_ms, settings.start_ms + slices * slice_ms, slice_ms):
        weight = hourly[local_hour(start_ms)] * _WEEK[weekday(start_ms)]
        if ceremony is not None and ceremony[0] <= start_ms < ceremony[1]:
            weight *= CEREMONY_WEIGHT
        weights.append(weight)
    return weights
