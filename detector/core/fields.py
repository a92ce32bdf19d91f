"""One field of a record at a time: from its JSON value to the Event's, or why not.

Knows the forms that `event.FIELDS` names. Does not know which fields an event needs, nor what an
amount is worth: `event_reader` does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from detector.core.event import OLDEST_MS, Field, Rejected

HUGE = 10**1000
"""A number of more digits than any id may have."""


def reader_of(field: Field, longest_text: int) -> Callable[[Any], Any] | None:
    """The function that reads one field's value.

    Args:
        field: which one.
        longest_text: characters kept of a text.

    Returns:
        From the JSON value to the Event's, or it raises Rejected; None for ids, which
        `EventReader.read` handles itself.
    """
    name = field.name
    if field.form == "id":
        return None
    if field.form == "text":

        def read_text(value: Any) -> str:
            if value.__class__ is not str:
                raise Rejected("wrong_type", f"{name}: expected text, found {kind_of(value)}")
            return value if len(value) <= longest_text else value[:longest_text]

        return read_text
    if field.form == "choice":
        choices = field.choices
        reason = "unknown_type" if name == "type" else "out_of_range"

        def read_choice(value: Any) -> str:
            if value.__class__ is not str:
                raise Rejected("wrong_type", f"{name}: expected text, found {kind_of(value)}")
            if value not in choices:
                raise Rejected(reason, f"{name}: expected one of {', '.join(choices)}")
            return str(value)

        return read_choice
    if field.form == "time":
        return lambda value: read_time_ms(name, value)
    if field.form == "flag":

        def read_flag(value: Any) -> bool:
            if value is True or value is False:
                return bool(value)
            raise Rejected("wrong_type", f"{name}: expected true or false, found {kind_of(value)}")

        return read_flag
    if field.form in ("count", "age"):
        highest = 150 if field.form == "age" else 2**53

        def read_count(value: Any) -> int:
            if value.__class__ is float and value.is_integer():  # neither inf nor nan is
                value = int(value)
            if value.__class__ is not int:
                raise Rejected(
                    "wrong_type", f"{name}: expected a whole number, found {kind_of(value)}"
                )
            if not 0 <= value <= highest:
                raise Rejected("out_of_range", f"{name}: expected 0 to {highest}")
            return int(value)

        return read_count
    if field.form == "currency":

        def read_currency(value: Any) -> str:
            if value.__class__ is not str:
                raise Rejected("wrong_type", f"{name}: expected text, found {kind_of(value)}")
            if len(value) > 16:
                raise Rejected("currency_unknown", "currency: expected at most 16 characters")
            return str(value)

        return read_currency
    return lambda value: value  # an amount: read later, with its currency


def read_time_ms(name: str, value: Any) -> int:
    """A point in time as epoch milliseconds.

    Numbers (and strings of digits) from 10^11 on are milliseconds, smaller ones seconds; other
    strings are RFC 3339 with an offset.

    >>> read_time_ms("event_time", 1772380802), read_time_ms("event_time", "2026-03-01T16:00:02Z")
    (1772380802000, 1772380802000)

    Raises:
        Rejected: `wrong_type`, `time_invalid`, or `time_too_old` (before 2010).
    """
    if value.__class__ is int:
        time_ms = value if value >= 100_000_000_000 else value * 1000
    elif value.__class__ is float:
        if not -1e14 < value < 1e14:
            raise Rejected("time_invalid", f"{name}: expected a finite time")
        time_ms = round(value) if value >= 100_000_000_000 else round(value * 1000)
    elif value.__class__ is str:
        if value.isdecimal() and value.isascii() and len(value) <= 17:
            return read_time_ms(name, int(value))
        time_ms = _read_rfc3339(name, value)
    else:
        raise Rejected("wrong_type", f"{name}: expected a time, found {kind_of(value)}")
    if time_ms < OLDEST_MS:
        raise Rejected("time_too_old", f"{name}: before 2010; is its unit right?")
    if time_ms > 32_503_680_000_000:  # the year 3000: a number in micro- or nanoseconds
        raise Rejected("time_invalid", f"{name}: after the year 3000; is its unit right?")
    return int(time_ms)


def _read_rfc3339(name: str, value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Rejected("time_invalid", f"{name}: expected epoch ms, epoch s or RFC 3339") from None
    if moment.tzinfo is None:
        raise Rejected("time_invalid", f"{name}: RFC 3339 needs an offset, such as Z or +08:00")
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise Rejected("time_invalid", f"{name}: out of range") from None


def id_from_number(name: str, value: Any) -> str:
    if value.__class__ is int:
        if abs(value) >= HUGE:  # Python refuses to write the longest ones as text
            raise Rejected("id_too_long", f"{name}: a number of more than 1000 digits")
        return str(value)
    raise Rejected("wrong_type", f"{name}: expected text or a whole number, found {kind_of(value)}")


def too_long(name: str, value: str, longest: int) -> str:
    return f"{name}: {len(value)} characters, expected at most {longest}"


def kind_of(value: Any) -> str:
    kinds = {
        bool: "a boolean", int: "a number", float: "a number", str: "text", list: "an array",
        dict: "an object",
    }  # fmt: skip
    return kinds.get(value.__class__, str(value.__class__.__name__))
