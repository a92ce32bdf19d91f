"""Logs: one event a line, JSON when not on a terminal."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

import orjson


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, and the error if any."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["error"] = "".join(traceback.format_exception(record.exc_info[1]))
        return orjson.dumps(entry).decode()


class RepeatFilter(logging.Filter):
    """Lets a message of a client library through once in `every_s`; says how many it held back.

    A broker that is away makes its client repeat itself many times a second.
    """

    def __init__(self, every_s: float = 30.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kafka") or record.levelno < logging.WARNING:
            return True
        key = (record.name, str(record.msg))
        since, held = self._last.get(key, (0.0, 0))
        if record.created - since < self._every_s:
            self._last[key] = (since, held + 1)
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (record.created, 0)
        if held:
            record.msg = f"{record.msg} (and {held} more like it)"
        return True


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sends logs to `stream` (standard error).

    Args:
        level: `debug|info|warning|error`.
        form: `json`, `text`, or `auto`: text on a terminal.
        stream: where to; standard error when None.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    if form == "text" or (form == "auto" and stream.isatty()):
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    else:
        handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The client's own info lines are about its protocol, not about the stream.
    logging.getLogger("kafka").setLevel("INFO" if level == "debug" else "WARNING")
