"""Verdicts from a file, one JSON object a line."""

from __future__ import annotations

from pathlib import Path

import orjson

from detector.core.verdict import Verdict, VerdictError, read_verdict

_LINES_SHOWN = 20


def read_verdicts(path: Path) -> list[Verdict]:
    """The verdicts by the time they were decided; the order of the lines does not matter.

    Empty lines are skipped.

    Raises:
        VerdictError: with the first lines that are no verdicts, and what is wrong with them.
        OSError: the file cannot be read.
    """
    verdicts: list[Verdict] = []
    problems: list[str] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                verdicts.append(read_verdict(orjson.loads(line)))
            except orjson.JSONDecodeError as error:
                problems.append(f"{path}: line {number}: no JSON: {error}")
            except VerdictError as error:
                problems.append(f"{path}: line {number}: {error}")
    if len(problems) > _LINES_SHOWN:
        problems[_LINES_SHOWN:] = [f"{path}: … and {len(problems) - _LINES_SHOWN:,} more lines"]
    if problems:
        raise VerdictError("\n".join(problems))
    return sorted(verdicts, key=_order)


def _order(verdict: Verdict) -> tuple[int, str, str, str, str, str]:
    return (
        verdict.decided_ms, verdict.event_id or "", verdict.flag_id or "", verdict.kind,
        verdict.reviewer, verdict.judgement,
    )  # fmt: skip
