"""The command `backtest`: a recorded stream and its labels in, a report out."""

from __future__ import annotations

import gzip
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from tqdm import tqdm

from detector.assembly import Assembly
from detector.lab.backtest import Difference, Trial, run
from detector.lab.labels import LabelError, Labels, read_labels
from detector.lab.report import render
from detector.lab.scorecard import Names, scorecard
from detector.lab.survey import Survey, survey
from detector.settings import ConfigError


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        events, labels: JSON lines, plain or `.gz`.
        report: the HTML file to write; the JSON file is put beside it.
        show_ids: whether ids stand in the report; else digests do.
    """

    events: Path
    labels: Path
    report: Path
    show_ids: bool = False


def backtest(request: Request, assemblies: list[tuple[str, Assembly]]) -> int:
    """Scores the stream, writes the report.

    Args:
        request: what is asked for.
        assemblies: what to score with, and what to hold it against, each with its name.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: a file is not there or cannot be used.
        OSError: the report cannot be written.
    """
    _check(request)
    try:
        labels = read_labels(_lines(request.labels, "labels"), request.labels.name)
        stream = _survey(request, assemblies[0][1], labels)
    except LabelError as error:
        raise ConfigError(str(error)) from None
    trials = [
        Trial(
            name, assembly.decoder, assembly.make_engine(),
            assembly.settings.make_engine_config().thresholds, labels, stream,
        )
        for name, assembly in assemblies
    ]  # fmt: skip
    difference = Difference()
    run(_shown(_lines(request.events, "events"), stream.lines, "scoring"), trials, difference)
    card = scorecard(stream, labels, trials, difference, Names(request.show_ids))
    for trial, (_, assembly) in zip(card["trials"], assemblies, strict=True):
        trial["build"] = assembly.build()
    card["files"] = {"events": request.events.name, "labels": request.labels.name}
    request.report.write_text(render(card), "utf-8")
    beside = request.report.with_suffix(".json")
    beside.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
    _say(stream, card["trials"], request.report, beside)
    return 0


def _check(request: Request) -> None:
    if request.report.suffix not in (".html", ".htm"):
        raise ConfigError(f"--report {request.report}: expected a name that ends in .html")
    if not request.report.parent.is_dir():
        raise ConfigError(f"--report {request.report}: there is no such directory")


def _survey(request: Request, assembly: Assembly, labels: Labels) -> Survey:
    now_ms = time.time_ns() // 1_000_000
    lines = _shown(_lines(request.events, "events"), None, "reading")
    decode = assembly.decoder.decode
    try:
        return survey((decode(line.rstrip(b"\r\n"), now_ms) for line in lines), labels)
    except LabelError as error:
        raise LabelError(f"{request.labels.name} with {request.events.name}: {error}") from None


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


def _say(stream: Survey, trials: list[dict[str, object]], report: Path, beside: Path) -> None:
    for reason, count in sorted(stream.not_read.items()):
        print(f"{count:,} lines not read: {reason}", file=sys.stderr)
    if stream.unread_labels:
        print(
            f"{stream.unread_labels:,} labels are about lines that were not read", file=sys.stderr
        )
    print(f"{stream.events:,} events scored: {report} and {beside}", file=sys.stderr)
