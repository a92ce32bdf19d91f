"""Events as columns: how batches of them are written to Kafka and read back.

One JSON object of one array an attribute; an attribute that is None in all events is left out, so
what is written is close to what is known. Knows the form of every attribute, and refuses columns
that no writer of this package writes. Does not know what travels beside the events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, le, lt
from typing import Any

import orjson

from detector.core.event import FIELDS, REQUIRED, Event

_FORMS = {"flag": bool, "time": int, "count": int, "age": int, "amount": int}
_TYPE_OF: dict[str, type] = {field.attribute: _FORMS.get(field.form, str) for field in FIELDS}
_TYPE_OF["value_minor"] = _TYPE_OF["marks"] = int

_ATTRIBUTE_OF = {field.name: field.attribute for field in FIELDS}
_NEEDED_BY: dict[str, set[str]] = {"event_id": set(REQUIRED)}
for _type, _names in REQUIRED.items():
    for _name in _names:
        _NEEDED_BY.setdefault(_ATTRIBUTE_OF[_name], set()).add(_type)
_NEEDED_BY["value_minor"] = _NEEDED_BY["amount_minor"]

_LARGEST = 2**63 - 1  # orjson writes no larger integers
_MAX_DIGITS = 60


class BatchError(ValueError):
    """Bytes that are no batch, or one of another version. The text never holds a value."""


class EventColumns:
    """Turns events into columns and back, exactly but for the attributes left out.

    Args:
        leave_out: attributes that are not written; they are None in what is read back.

    >>> event = Event()
    >>> event.type, event.event_id, event.event_time_ms = "room", "e1", 1772380802272
    >>> event.streamer_id, event.room_event = "s1", "live_start"
    >>> columns = EventColumns().write([event])
    >>> sorted(columns)
    ['event_id', 'event_time_ms', 'room_event', 'streamer_id', 'type']
    >>> EventColumns().read(orjson.loads(orjson.dumps(columns)), count=1)[0].streamer_id
    's1'
    """

    def __init__(self, leave_out: Iterable[str] = ()) -> None:
        self._slots = tuple(slot for slot in Event.__slots__ if slot not in set(leave_out))
        self._values_of: Callable[[Event], tuple[Any, ...]] = attrgetter(*self._slots)
        self._setters: dict[str, Callable[[Event, Any], None]] = {
            slot: getattr(Event, slot).__set__ for slot in self._slots
        }

    def write(self, events: Sequence[Event]) -> dict[str, tuple[Any, ...]]:
        """Attribute → its value in every event; nothing for attributes that are always None."""
        columns = zip(*map(self._values_of, events), strict=True)
        return {
            slot: column
            for slot, column in zip(self._slots, columns, strict=False)  # no columns of no events
            if column.count(None) < len(column)
        }

    def read(self, columns: Any, count: int) -> list[Event]:
        """The events again.

        Args:
            columns: what `write` gave, after JSON.
            count: how many events there must be.

        Raises:
            BatchError: an unknown attribute, a value of another form, a column too short or long,
                or an event without what its type requires.
        """
        if type(columns) is not dict:
            raise BatchError("event: expected an object of columns")
        unknown = columns.keys() - self._setters.keys()
        if unknown:
            raise BatchError(f"event: {len(unknown)} unknown columns")
        checked = {slot: _check_column(slot, columns[slot], count) for slot in columns}
        _check_required(checked, count)
        events = [Event() for _ in range(count)]
        for slot, column in checked.items():
            deque(map(self._setters[slot], events, column), maxlen=0)  # a loop without bytecode
        return events


def dump(record: dict[str, Any]) -> bytes:
    """A record with event columns as JSON; integers beyond 64 bits are spelled as text.

    Such an integer can only be a limit a user has set: 10^15 of one currency in a weaker one.
    """
    try:
        return orjson.dumps(record)
    except TypeError:
        spelled = {
            slot: [str(value) if type(value) is int and value > _LARGEST else value
                   for value in column]
            for slot, column in record["event"].items()
        }  # fmt: skip
        return orjson.dumps({**record, "event": spelled})


def parse(data: bytes, version: int) -> dict[str, Any]:
    """The JSON object that `data` holds, if it is of this version.

    Raises:
        BatchError: it is not.
    """
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # Without its cause, which holds the whole document.
        raise BatchError(f"not JSON: line {error.lineno} column {error.colno}") from None
    if type(record) is not dict:
        raise BatchError("expected a JSON object")
    if type(record.get("v")) is not int or record["v"] != version:
        raise BatchError(f"v: expected {version}; was it written by another release?")
    return record


def whole(record: dict[str, Any], name: str, least: int, most: int) -> int:
    """A whole number in its range; BatchError if it is anything else."""
    value = record.get(name)
    if type(value) is not int or not least <= value <= most:
        raise BatchError(f"{name}: expected a whole number, {least} to {most}")
    return value


def wholes(record: dict[str, Any], name: str) -> list[int]:
    """A list of whole numbers, none negative; BatchError if it is anything else."""
    values = record.get(name)
    if type(values) is not list:
        raise BatchError(f"{name}: expected an array")
    if not set(map(type, values)) <= {int}:
        raise BatchError(f"{name}: expected whole numbers")
    if values and min(values) < 0:
        raise BatchError(f"{name}: expected none below 0")
    return values


def never_falls(numbers: Sequence[int]) -> bool:
    """Whether no number is smaller than the one before it."""
    return all(map(le, numbers, numbers[1:]))


def rises(numbers: Sequence[int]) -> bool:
    """Whether every number is larger than the one before it."""
    return all(map(lt, numbers, numbers[1:]))


def _check_column(slot: str, column: Any, count: int) -> list[Any]:
    if type(column) is not list or len(column) != count:
        raise BatchError(f"{slot}: expected an array of {count} values")
    expected = _TYPE_OF[slot]
    others = set(map(type, column)) - {expected, type(None)}
    if others == {str} and expected is int:
        return [_read_spelled(slot, value) for value in column]
    if others:
        raise BatchError(f"{slot}: expected {expected.__name__} or null")
    return column


def _read_spelled(slot: str, value: str | int | None) -> int | None:
    if not isinstance(value, str):
        return value
    if not (value.isdecimal() and value.isascii() and len(value) <= _MAX_DIGITS):
        raise BatchError(f"{slot}: expected a whole number")
    return int(value)


def _check_required(columns: dict[str, list[Any]], count: int) -> None:
    nothing = [None] * count
    types = columns.get("type", nothing)
    present = set(types)
    if not present <= REQUIRED.keys():
        raise BatchError("type: expected a type of event")
    for slot, needing in _NEEDED_BY.items():
        column = columns.get(slot, nothing)
        if not needing.isdisjoint(present) and None in column:
            missing = {kind for kind, value in zip(types, column, strict=True) if value is None}
            if not needing.isdisjoint(missing):
                raise BatchError(f"{slot}: expected a value in every event that needs it")
