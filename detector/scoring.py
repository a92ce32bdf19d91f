"""The command `score`: a line in, a line out, no Kafka; with a state directory, from run to run.

What a crash means where state is kept: a save is made only after the decisions on all lines that it
stands for were written (and, if standard output is a file, are on the disk). So after a crash no
decision is missing for the lines of the last save; decisions on lines after it may have been
written, and come again, with the same `flag_id`s, when input goes on from there.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import orjson
from tqdm import tqdm

from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.core.decode import Decoder, Skipped
from detector.core.engine import Engine
from detector.core.event import Event, Rejected
from detector.core.verdict import Verdict
from detector.edges.state_dir import KeptState, StateDir

SAVE_EVERY_LINES = 100_000
"""Lines between saves: what a crash costs at most, some seconds of scoring."""


def score(
    assembly: Assembly, events: BinaryIO, decisions: BinaryIO, state: Path | None = None,
    save_every_lines: int = SAVE_EVERY_LINES, verdicts: Sequence[Verdict] = (),
) -> int:  # fmt: skip
    """Scores line by line until the input ends; with `state`, also until SIGTERM or SIGINT.

    Args:
        assembly: what to score with.
        events: one record a line.
        decisions: one line for each, in order.
        state: a directory where state is kept from run to run; None to begin and end without any.
        save_every_lines: how often state is saved, besides at the end.
        verdicts: to learn from, by the time they were decided: each before the first line after
            the event clock has passed that time. State knows those it has learned from.

    Returns:
        The exit code: 0, or 130 after SIGINT.

    Raises:
        ConfigError: the state cannot be used, or another process uses it.
        OSError: reading, writing or saving failed.
    """
    scorer = _Scorer(assembly.decoder, assembly.make_engine(), verdicts)
    if state is None:
        for number, line in enumerate(_shown(events), 1):
            decisions.write(scorer.decide(number, line))
        decisions.flush()
        return 0
    with StateDir(state) as directory:
        kept = KeptState(directory, scorer.engine)
        before = kept.next_offset
        _say(f"{state}: state of {before:,} lines loaded" if before else f"{state}: a fresh start")
        interruption, number = Interruption(), 0
        for number, line in enumerate(interruption.until(_shown(events)), 1):
            decisions.write(scorer.decide(number, line))
            if number % save_every_lines == 0:
                _settle(decisions)
                kept.save(before + number)
        _settle(decisions)
        kept.save(before + number)
        _say(f"{state}: state of {before + number:,} lines saved")
    return interruption.exit_code


class Interruption:
    """SIGTERM or SIGINT, which end the input between two lines.

    One that comes while a line is worked on is noted, one that comes while a line is waited for
    ends the waiting. The second of them acts as if there were none of this.

    Attributes:
        exit_code: 0, or 130 after SIGINT.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._has_come = self._is_waiting = False
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._handle)

    def until(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines until it comes; one that was read but not yet handed out is dropped."""
        upcoming = iter(lines)
        while (line := self._next(upcoming)) is not None:
            yield line

    def _next(self, lines: Iterator[bytes]) -> bytes | None:
        try:
            self._is_waiting = True  # before the question: no signal can slip in between
            line = None if self._has_come else next(lines, None)
            self._is_waiting = False
        except _WaitingEnded:
            return None
        return line

    def _handle(self, number: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.exit_code = 130 if number == signal.SIGINT else 0
        self._has_come = True
        if self._is_waiting:
            raise _WaitingEnded


class _WaitingEnded(BaseException):
    """A signal came while a line was waited for."""


class _Scorer:
    """Makes each line the line that is written for it."""

    def __init__(self, decoder: Decoder, engine: Engine, verdicts: Sequence[Verdict]) -> None:
        self.engine = engine
        self._verdicts = deque(verdicts)
        self._decode = decoder.decode
        self._received_ms = time.time_ns() // 1_000_000

    def decide(self, number: int, line: bytes) -> bytes:
        self._learn()
        decoded = self._decode(line.rstrip(b"\r\n"), self._received_ms)
        outcome = self.engine.process(decoded) if isinstance(decoded, Event) else decoded
        return orjson.dumps(_to_record(number, outcome)) + b"\n"

    def _learn(self) -> None:
        """Applies the verdicts whose time has come."""
        engine, verdicts = self.engine, self._verdicts
        while verdicts and verdicts[0].decided_ms <= engine.watermark_ms:
            engine.learn(verdicts.popleft())


def _to_record(number: int, outcome: Decision | Skipped | Rejected) -> dict[str, Any]:
    if isinstance(outcome, Decision):
        return outcome.to_record()
    if isinstance(outcome, Skipped):
        return {"line": number, "skipped": outcome.reason}
    return {"line": number, "rejected": outcome.reason, "detail": outcome.detail}


def _shown(events: BinaryIO) -> Iterable[bytes]:
    """The lines, with a progress bar on standard error where somebody watches."""
    is_watched = sys.stderr.isatty() and not events.isatty()
    shown: Iterable[bytes] = tqdm(events, unit=" events", unit_scale=True, disable=not is_watched)
    return shown


def _settle(decisions: BinaryIO) -> None:
    """Nothing written is left with us; a file is on the disk."""
    decisions.flush()
    try:
        os.fsync(decisions.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe or a terminal
            raise


def _say(text: str) -> None:
    print(text, file=sys.stderr)
