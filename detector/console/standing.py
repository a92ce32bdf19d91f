"""Where a case stands, from what reviewers did to it and what was found since.

Pure: the order in which flags and decisions were read makes no difference, only when they were
written; so the same topics always lead to the same queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from detector.console.model import State

_SETTLING = ("confirmed", "false_positive")
_VERDICTS = (*_SETTLING, "unclear")


class Ranks(NamedTuple):
    """When a case was first of medium, of high severity, by the broker's clock; None: never."""

    medium_ms: int | None
    high_ms: int | None

    def at(self, ms: int) -> int:
        """Its gravest severity until a time, as in `SEVERITIES`.

        >>> [Ranks(100, 200).at(ms) for ms in (50, 100, 250)]
        [0, 1, 2]
        """
        if self.high_ms is not None and self.high_ms <= ms:
            return 2
        return 1 if self.medium_ms is not None and self.medium_ms <= ms else 0


class Standing(NamedTuple):
    """Where it stands; the owner's name is empty where nobody is."""

    state: State
    is_unclear: bool
    owner: str
    until_ms: int | None


def standing(decisions: Iterable[Any], ranks: Ranks, rank: int, now_ms: int) -> Standing:
    """Where a case stands.

    A settled or snoozed case is open again once it is graver than it was then. An undo takes back
    the last verdict that was not taken back yet, and what it ended with it. A verdict that could
    not settle the case marks it.

    Args:
        decisions: rows of `schema.decisions` of the case, in any order.
        ranks: when it worsened.
        rank: its gravest severity now.
        now_ms: epoch ms; snoozes that ended before are over.

    >>> from types import SimpleNamespace as Row
    >>> def act(name, ms): return Row(act=name, arrived_ms=ms, decision_id=name, until_ms=9, to="b")
    >>> never = Ranks(None, None)
    >>> standing([act("confirmed", 1), act("undo", 2)], never, 0, 5).state
    'open'
    >>> standing([act("false_positive", 1)], Ranks(0, 3), 2, 5).state  # it became high after it
    'open'
    >>> standing([act("snooze", 1), act("hand_over", 2)], never, 0, 5)
    Standing(state='snoozed', is_unclear=False, owner='b', until_ms=9)
    """
    verdicts: list[Any] = []
    snooze: Any = None
    owner = ""
    for each in sorted(decisions, key=lambda row: (row.arrived_ms, row.decision_id)):
        if each.act in _VERDICTS:
            verdicts.append(each)
            snooze = None
        elif each.act == "undo":
            if verdicts:
                verdicts.pop()
        elif each.act == "hand_over":
            owner = each.to
        else:
            snooze = each if each.act == "snooze" else None
    last = verdicts[-1] if verdicts else None
    is_unclear = last is not None and last.act == "unclear"
    if last is not None and last.act in _SETTLING and rank <= ranks.at(last.arrived_ms):
        return Standing(last.act, False, owner, None)
    is_snoozed = snooze is not None and now_ms < (snooze.until_ms or 0)
    if is_snoozed and rank <= ranks.at(snooze.arrived_ms):
        return Standing("snoozed", is_unclear, owner, snooze.until_ms)
    return Standing("open", is_unclear, owner, None)
