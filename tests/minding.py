"""An engine that shows what it has learned, and when: nothing learned goes without a trace.

Every verdict changes a number that all later scores and flags carry, so that one verdict more or
less, another order, or another moment shows in everything that follows. Run as a program, this file
is `tip-detector` with such engines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain

import detector.assembly
from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.core.decode import Skipped
from detector.core.engine import VIEWS, Engine
from detector.core.event import Event
from detector.core.learning import Outcome
from detector.core.state import CHUNK_BYTES
from detector.core.verdict import Verdict

_MARK = b"MINDING "


class MindingEngine(Engine):
    """See above.

    Attributes:
        learned: what it has learned, as a digest; empty for nothing.
    """

    learned = b""

    def learn(self, verdict: Verdict) -> Outcome:
        told = f"{verdict.flag_id} {verdict.event_id} {verdict.judgement}".encode()
        self.learned = blake2b(self.learned + told, digest_size=8).digest()
        return "unknown" if verdict.features is None else "learned"

    def process(self, event: Event) -> Decision | Skipped:
        decision = super().process(event)
        if isinstance(decision, Decision):
            decision.scores["binge"] = int.from_bytes(self.learned) / 2**64
            for flag in decision.flags:
                flag.record["learned"] = self.learned.hex()
        return decision

    def save_all(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        return chain([_MARK + self.learned], super().save_all(chunk_bytes))

    def save_changes(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        return chain([_MARK + self.learned], super().save_changes(chunk_bytes))

    def load(self, chunk: bytes) -> None:
        if chunk.startswith(_MARK):
            self.learned = chunk.removeprefix(_MARK)
        else:
            super().load(chunk)


class MindingAssembly(Assembly):
    """A configuration whose engines are `MindingEngine`s."""

    def make_engine(self, views: frozenset[str] = VIEWS, dedupe: bool = True) -> Engine:
        return MindingEngine(self._engine_config, self.policy, self.currencies, views, dedupe)


if __name__ == "__main__":
    from detector.cli import main

    detector.assembly.Engine = MindingEngine  # type: ignore[misc, attr-defined]
    sys.exit(main(sys.argv[1:]))
