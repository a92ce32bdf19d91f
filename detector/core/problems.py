"""All problems of one file at once: where, what was found, what was expected."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

_SECRET = ("password", "token", "secret")

_EXPECTED = {
    "missing": "this key",
    "extra_forbidden": "no such key",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number >= {ge}",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number <= {le}",
    "literal_error": "one of {expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
}


class Problems:
    """What is wrong with one file.

    >>> problems = Problems("config/detector.toml")
    >>> problems.add("http.port", 99999, "0 to 65535")
    >>> problems.text()
    'config/detector.toml: http.port = 99999: expected 0 to 65535'
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, path: str, found: object, expected: str) -> None:
        """One problem; the value of a secret key is not shown."""
        shown = "…" if any(word in path for word in _SECRET) else shorten(found)
        self._lines.append(f"{self._where}: {path} = {shown}: expected {expected}")

    def add_line(self, path: str, sentence: str) -> None:
        """A problem that is not about one value."""
        self._lines.append(f"{self._where}: {path}: {sentence}" if path else
                           f"{self._where}: {sentence}")  # fmt: skip

    def text(self) -> str:
        return "\n".join(self._lines)


def shorten(value: object) -> str:
    """A value as TOML would write it, cut to something one line can hold; a table is not shown.

    >>> shorten(True), shorten("a"), shorten(date(2026, 4, 13)), shorten({"password": "p"})
    ('true', '"a"', '2026-04-13', '{…}')
    """
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, date | datetime | time):
        text = value.isoformat()
    elif isinstance(value, Decimal):
        text = str(value)
    elif isinstance(value, dict):
        text = "{…}" if value else "{}"
    elif isinstance(value, list):
        text = f"[{', '.join(shorten(each) for each in value[:9])}]"
    else:
        text = repr(value).replace("'", '"')
    return text if len(text) <= 60 else text[:57] + "…"


def describe(error: ValidationError, written: dict[str, Any], problems: Problems) -> None:
    """Adds each problem that pydantic found, in our words and with the file's own path."""
    for detail in error.errors(include_url=False):
        kind, context, location = detail["type"], detail.get("ctx") or {}, detail["loc"]
        template = _EXPECTED.get(kind)
        expected = template.format(**context) if template else detail["msg"]
        if location and location[-1] == "[key]":
            problems.add_line(_path(location[:-1], written), f"unknown key: expected {expected}")
            continue
        path = _path(location, written, is_missing=kind == "missing")
        if kind == "missing":
            problems.add_line(path, "is missing")
        elif kind == "union_tag_not_found":
            problems.add_line(f"{path}.{_tag_key(context)}", "is missing")
        elif kind == "union_tag_invalid":
            found = context.get("tag", "")
            expected += _did_you_mean(found, expected)
            problems.add(f"{path}.{_tag_key(context)}", found, expected)
        elif kind == "extra_forbidden":
            problems.add_line(path, "is not a known key")
        elif kind == "value_error":
            problems.add_line(path, str(context.get("error", detail["msg"])))
        elif kind == "literal_error":
            problems.add(path, detail["input"], expected + _did_you_mean(detail["input"], expected))
        else:
            problems.add(path, detail["input"], expected)


def _tag_key(context: dict[str, Any]) -> str:
    """The key that a union is told apart by; pydantic quotes it."""
    return str(context.get("discriminator", "type")).strip("'")


def _did_you_mean(found: object, expected: str) -> str:
    """`; did you mean "day"?` where the expectation names something close, else nothing."""
    close = get_close_matches(str(found), re.findall(r"'([^']*)'", expected), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _path(location: tuple[int | str, ...], written: Any, is_missing: bool = False) -> str:
    """`rules[cap-day].limit` rather than `rules.3.amount_limit.limit`.

    A step that the file does not have names a branch of a union, and is left out; except the last
    step of what is missing.
    """
    parts: list[str] = []
    here: Any = written
    for at, step in enumerate(location):
        if isinstance(step, int) and isinstance(here, list):
            here = here[step] if step < len(here) else None
            name = here.get("id") if isinstance(here, dict) else None
            parts[-1:] = [f"{parts[-1]}[{name if isinstance(name, str) else step}]"]
        elif isinstance(here, dict) and step in here:
            here = here[step]
            parts.append(str(step))
        elif is_missing and at == len(location) - 1:
            parts.append(str(step))
    return ".".join(parts)
