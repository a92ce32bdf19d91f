"""When other rules take over: between two commits, and right after a save where that can be had.

Knows when a change of rules does least harm. Does not know what the rules are, nor where they come
from: whoever offers them has checked them.

Everything scored before the change is committed before it. What a crash after it would replay is
another matter: records since the last save would be replayed in silence under the new rules, and
open cases that the old ones had not. So the state is saved with the commit that the change follows.
A large state, whose save takes several commits, is not waited for longer than `PATIENCE_S`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Protocol

from detector.runtime.lane import Rules
from detector.runtime.owned import Owned
from detector.runtime.ports import Clock

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""Longest time between an offer and its taking over, unless a partition replays or no commit comes
about."""


class Reloads(Protocol):
    """Offers rules. Called from the loop's thread only."""

    def waiting(self) -> Rules | None:
        """Checked rules that are not in force yet, the newest; asked every turn."""

    def applied(self, rules: Rules) -> None:
        """These, the last that `waiting` gave, are in force in every open partition; those that
        are opened later must have them."""


class Gate:
    """Lets offered rules take over.

    Args:
        reloads: who offers.
        clock: for the patience.
    """

    def __init__(self, reloads: Reloads, clock: Clock) -> None:
        self._reloads = reloads
        self._clock = clock
        self._since_s: float | None = None

    def prepare(self, all_owned: Collection[Owned]) -> None:
        """Before a commit: makes a save of every partition due, if rules wait."""
        if self._reloads.waiting() is None:
            self._since_s = None
            return
        if self._since_s is None:
            self._since_s = self._clock.steady_s()
        for owned in all_owned:
            if owned.checkpointer is not None and not owned.checkpointer.is_complete:
                owned.checkpointer.hurry()

    def pass_on(self, all_owned: Collection[Owned]) -> None:
        """After a commit: lets rules that wait take over, if now is the time."""
        rules = self._reloads.waiting()
        # Rules that came after `prepare` wait for the next turn.
        if rules is None or self._since_s is None or any(each.is_replaying for each in all_owned):
            return
        unsaved = sum(
            each.checkpointer is not None and not each.checkpointer.is_complete
            for each in all_owned
        )
        if unsaved and self._clock.steady_s() - self._since_s < PATIENCE_S:
            return
        if unsaved:
            log.warning(
                "the configuration changes before the state of %d partitions is saved: after a "
                "crash, records since their last save would be replayed under the new one", unsaved,
            )  # fmt: skip
        for owned in all_owned:
            owned.judge_by(rules)
        self._since_s = None
        self._reloads.applied(rules)
