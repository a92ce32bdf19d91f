"""Whether a made-up platform tells what a case could be known by.

A ring on a site that tells neither devices nor payouts is some people who tip: no detector, and no
reviewer, could know better, so missing it is no fault. What each story needs is what its kind is
said to need, and no more: one piece of it is enough, however faint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detector.lab.scenario import local_hour, weekday

KNOWN_BY: Mapping[str, frozenset[str]] = {
    "minor": frozenset(
        ("tipper_age", "minor_mode", "device_id", "instrument_holder", "message", "recharge",
         "room_category")
    ),
    "gambling": frozenset(("payout", "message", "room")),
    "ring": frozenset(("payout", "device_id", "instrument_id")),
    "refund_abuse-agent": frozenset(("claimant_id",)),
    "refund_abuse-perks": frozenset(("gift_id", "gift_name")),
    "refund_abuse-fake_minor": frozenset(("message", "adult hours")),
}  # fmt: skip
"""Kind, or story, → fields and types of event of which one must be told. Others are known by
amounts and times, which every platform tells."""

_ADULT_HOURS_FROM = 3  # tips in school hours and at night before there is a share of them


def is_told(kind: str, story: str, events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of these events tells what a case of the story is known by.

    Args:
        kind: of the case.
        story: the case's name without its number.
        events: as the platform tells them: the case's own; for a claim, all of the account's.

    >>> is_told("ring", "ring-shills", [{"type": "tip", "amount": "1", "ip": "100.64.0.1"}])
    False
    >>> is_told("ring", "ring-shills", [{"type": "tip"}, {"type": "payout"}])
    True
    >>> is_told("binge", "binge-late", [{"type": "tip"}])
    True
    """
    wanted = KNOWN_BY.get(story, KNOWN_BY.get(kind))
    if wanted is None:
        return True
    adult_hours = 0
    for event in events:
        if event["type"] in wanted or not wanted.isdisjoint(event):
            return True
        if "adult hours" in wanted and event["type"] == "tip":
            adult_hours += _is_adult_hour(event["event_time"])
    return adult_hours >= _ADULT_HOURS_FROM


def _is_adult_hour(at_ms: int) -> bool:
    hour = local_hour(at_ms)
    return hour < 6 or (weekday(at_ms) < 5 and (8 <= hour < 12 or 14 <= hour < 17))
