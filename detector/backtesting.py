"""The command `backtest`: a recorded stream and its labels in, a report out."""

from __future__ import annotations

import gzip
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
from tqdm import tqdm

from detector.assembly import Assembly
from detector.core.decode import Skipped
from detector.core.event import Event, Rejected
from detector.core.verdict import Verdict
from detector.edges.verdict_file import read_verdicts
from detector.lab.backtest import Difference, Feed, Trial, run
from detector.lab.labels import LabelError, read_labels
from detector.lab.report import render
from detector.lab.scorecard import Names, scorecard
from detector.lab.survey import StreamError, Survey, survey
from detector.settings import ConfigError


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        events, labels: JSON lines, plain or `.gz`.
        report: the HTML file to write; the JSON file is put beside it.
        show_ids: whether ids stand in the report; else digests do.
        verdicts: JSON lines of what every engine learns from as it goes; None for nothing.
    """

    events: Path
    labels: Path
    report: Path
    show_ids: bool = False
    verdicts: Path | None = None

    @property
    def beside(self) -> Path:
        """The JSON file."""
        return self.report.with_suffix(".json")


def backtest(request: Request, assemblies: list[tuple[str, Assembly]]) -> int:
    """Scores the stream, writes the report.

    Args:
        request: what is asked for.
        assemblies: what to score with, and what to hold it against, each with its name.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: a file is not there or cannot be used.
        VerdictError: a line is no verdict.
        OSError: the report cannot be written.
    """
    _check(request)
    received_ms = time.time_ns() // 1_000_000
    decoders = [partial(_decode, assembly, received_ms) for _, assembly in assemblies]
    try:
        pseudonyms = assemblies[0][1].pseudonyms
        labels = read_labels(
            _lines(request.labels, "labels"), str if pseudonyms is None else pseudonyms.once
        )
        lines = _shown(_lines(request.events, "events"), None, "reading")
        stream = survey(map(decoders[0], lines), labels)
    except LabelError as error:
        raise ConfigError(f"--labels {request.labels}: {error}") from None
    except StreamError as error:
        raise ConfigError(f"--events {request.events}: {error}") from None
    verdicts = _verdicts(request.verdicts)
    trials = []
    for decode, (name, assembly) in zip(decoders, assemblies, strict=True):
        engine = assembly.make_engine()
        thresholds = assembly.settings.make_engine_config().thresholds
        feed = Feed(verdicts, engine.learn)
        trials.append(Trial(name, decode, engine, thresholds, labels, stream, verdicts=feed))
    difference = Difference()
    run(_shown(_lines(request.events, "events"), stream.lines, "scoring"), trials, difference)
    card = scorecard(stream, labels, trials, difference, Names(request.show_ids))
    for trial, (_, assembly) in zip(card["trials"], assemblies, strict=True):
        trial["build"] = assembly.build()
    card["files"] = {
        "events": request.events.name, "labels": request.labels.name,
        "verdicts": None if request.verdicts is None else request.verdicts.name,
    }  # fmt: skip
    request.report.write_text(render(card), "utf-8")
    request.beside.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
    _say(stream, request)
    return 0


def _check(request: Request) -> None:
    if request.report.suffix not in (".html", ".htm"):
        raise ConfigError(f"--report {request.report}: expected a name that ends in .html")
    if not request.report.parent.is_dir():
        raise ConfigError(f"--report {request.report}: there is no such directory")
    for option, path in (("--events", request.events), ("--labels", request.labels)):
        if path.resolve() in (request.report.resolve(), request.beside.resolve()):
            raise ConfigError(f"--report {request.report}: would overwrite {option} {path}")


def _decode(assembly: Assembly, received_ms: int, line: bytes) -> Event | Rejected | Skipped:
    return assembly.decoder.decode(line.rstrip(b"\r\n"), received_ms)


def _verdicts(path: Path | None) -> list[Verdict]:
    try:
        return [] if path is None else read_verdicts(path)
    except OSError as error:
        raise ConfigError(f"--verdicts {path}: {error.strerror}") from None


def _lines(path: Path, option: str) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--{option} {path}: {reason}") from None


def _shown(lines: Iterator[bytes], total: int | None, what: str) -> Iterator[bytes]:
    """The lines, with a progress bar on standard error where somebody watches."""
    is_watched = sys.stderr.isatty()
    yield from tqdm(lines, what, total, unit=" lines", unit_scale=True, disable=not is_watched)


def _say(stream: Survey, request: Request) -> None:
    for reason, count in sorted(stream.not_read.items()):
        print(f"{count:,} lines not read: {reason}", file=sys.stderr)
    if stream.unread_labels:
        print(f"{stream.unread_labels:,} labels are about lines not read", file=sys.stderr)
    print(
        f"{stream.events:,} events scored: {request.report} and {request.beside}", file=sys.stderr
    )
