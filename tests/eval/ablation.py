"""What each family of evidence is worth: the same streams without the fields it is read from.

A platform that does not tell a family's fields, or whose events of a type are not told, is the
least intrusive seam: the detector is the shipped one, and sees less. Amounts and tempo cannot be
left out so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from detector.lab.platform import Platform


def _without(*fields: str, events: tuple[str, ...] = ()) -> Platform:
    return Platform(dict.fromkeys(fields, 1.0), frozenset(events))


FAMILIES: Mapping[str, Platform] = {
    "identity": _without("tipper_age", "minor_mode", "real_name", "account_created_at"),
    "device": _without("device_id", "ip"),
    "instrument": _without("instrument_id", "instrument_holder"),
    "money flow": _without(events=("payout", "recharge")),
    "claims": _without("claimant_id", events=("refund",)),
    "content": _without("message", "room_category", "gift_id", "gift_name"),
    "room": _without("viewers", "room_mode", "guild_id", events=("room",)),
}
"""By family of evidence: a platform that tells all but that."""


def blinded(events: Iterable[Mapping[str, Any]], platform: Platform) -> Iterator[dict[str, Any]]:
    """The events as such a platform tells them; the originals stay as they are.

    >>> list(blinded([{"type": "tip", "tipper_id": "t1", "ip": "a"}], FAMILIES["device"]))
    [{'type': 'tip', 'tipper_id': 't1'}]
    """
    for event in events:
        if event["type"] not in platform.silent:
            told = dict(event)
            platform.tell(told)
            yield told
