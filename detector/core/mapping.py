"""A platform's own JSON records to canonical objects, as a mapping file tells.

Knows how to run a mapping, fast: what the file says is compiled once into small functions with
their paths already split. Does not know how the file is written (`mapping_format`), bytes
(`decode`), or what a canonical value must look like (`event`).

>>> mapping = parse_mapping('''
... name = "example"
... shape_by = "cmd"
... ignore.not_a_tip = ["CHAT"]
... [shapes.GIFT]
... skip = [{reason = "free_gift", when = {"data.coin_type" = "silver"}}]
... [shapes.GIFT.fields]
... event_id = "data.tid"
... event_time = {path = "data.timestamp", unit = "s"}
... tipper_id = "data.uid"
... streamer_id = "room_id | roomid"
... amount = {path = "data.coins", per_major = 1000}
... currency = {value = "CNY"}
... ''', "example.toml")
>>> gift = {"cmd": "GIFT", "room_id": 7, "data": {"tid": "t", "uid": "u", "coin_type": "gold",
...         "coins": 100, "timestamp": 1772380802}}
>>> tip = mapping.to_canonical(gift)
>>> tip["amount"], tip["event_time"], tip["streamer_id"]
('0.1', 1772380802000, 7)
>>> mapping.to_canonical({"cmd": "CHAT"})
Skipped(reason='not_a_tip')
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

from detector.core.decode import Skipped
from detector.core.event import REQUIRED, Rejected
from detector.core.mapping_format import (
    SKIP_REASONS,
    FieldFormat,
    Getter,
    MappingError,
    MappingFormat,
    Path,
    Record,
    ShapeFormat,
    SkipFormat,
    follow,
    one_of,
    read_format,
)

__all__ = ["SKIP_REASONS", "Mapping", "MappingError", "parse_mapping"]

Convert = Callable[[Any], Any]
"""Makes one value of another. Raises nothing but Rejected."""

_NOTHING: Record = {}
_MOST = 10**18  # beyond it, and for anything but plain integers, amounts are worked out as decimals
_EXACT = Context(prec=300)  # 40 digits times 40 digits, over 18 digits, fit in it


def parse_mapping(text: str, where: str) -> Mapping:
    """The mapping that `text` writes in TOML.

    Args:
        text: the file's text.
        where: how to call it in errors; its path, for one.

    Raises:
        MappingError: with every problem, one a line: where, what was found, what was expected.
    """
    return Mapping(read_format(text, where))


class Mapping:
    """One platform's shapes, ready to run. Made by `parse_mapping`.

    Attributes:
        name: the mapping's own name.
        makes_event_ids: whether event ids of some shape are made of several fields.
    """

    def __init__(self, written: MappingFormat) -> None:
        self.name = written.name
        ids = [shape.fields.get("event_id") for shape in written.shapes.values()]
        self.makes_event_ids = any(each and (each.join or each.digest) for each in ids)
        self._shape_by = written.shape_by
        self._kind = None if written.shape_by is None else follow(written.shape_by)
        self._shapes: dict[str | None, _Shape] = {}
        for name, shape in written.shapes.items():
            self._only = _Shape(name, shape)
            self._shapes |= dict.fromkeys((name, *shape.also), self._only)
        self._ignored: dict[str | None, Skipped] = {
            name: Skipped(reason) for reason, names in written.ignore.items() for name in names
        }

    def to_canonical(self, record: Record) -> Record | Skipped:
        """The canonical object of one record, or why the record is no tip.

        Args:
            record: the platform's JSON object; it is not changed.

        Raises:
            Rejected: `unknown_shape`, `missing_field`, `wrong_type`, `amount_invalid`,
                `time_invalid` or `time_too_old`; the detail names the platform's path.
        """
        if self._kind is None:
            return self._only.read(record)
        kind = self._kind(record)
        if kind.__class__ is not str:
            kind = _text_of(kind)
        shape = self._shapes.get(kind)
        if shape is not None:
            return shape.read(record)
        ignored = self._ignored.get(kind)
        if ignored is not None:
            return ignored
        raise Rejected("unknown_shape", self._describe(kind))

    def _describe(self, kind: str | None) -> str:
        where = "" if self._shape_by is None else self._shape_by.text
        if not kind:
            return f"{where}: expected the name of a shape of {self.name}, found nothing such"
        # A command's name helps; anything longer may be somebody's words.
        shown = kind if re.fullmatch(r"[A-Za-z0-9_.:#-]{1,64}", kind) else "another text"
        return f"{where}: expected the name of a shape of {self.name}, found {shown}"


class _Shape:
    """One shape: constants to copy, rules to skip by, and for each field how to get it.

    Most fields lie at `key` or `outer.key`. Those are read without a call each, and each `outer`
    is looked up once; the fields that need more have a getter.
    """

    __slots__ = ("_constants", "_getters", "_groups", "_rules")

    def __init__(self, name: str, written: ShapeFormat) -> None:
        self._constants: Record = {} if written.type == "tip" else {"type": written.type}
        self._rules = tuple((_rule(rule), Skipped(rule.reason)) for rule in written.skip)
        groups: dict[str, list[tuple[str, str, Convert | None, Getter | None, str]]] = {}
        getters: list[tuple[str, Getter, str]] = []
        for field, source in written.fields.items():
            if source.value is not None:
                self._constants[field] = source.value
                continue
            missing = ""
            if field in REQUIRED[written.type]:
                missing = f"{name}: {_origin(source)}: required for {field}, found nothing"
            near = _near(source)
            if near is None:
                getters.append((field, _getter(source), missing))
            else:
                outer, key, convert, rest = near
                groups.setdefault(outer, []).append((field, key, convert, rest, missing))
        self._groups = tuple((outer, tuple(steps)) for outer, steps in groups.items())
        self._getters = tuple(getters)

    def read(self, record: Record) -> Record | Skipped:
        for holds, skipped in self._rules:
            if holds(record):
                return skipped
        canonical = self._constants.copy()
        for outer, steps in self._groups:
            holder = record.get(outer) if outer else record
            if holder.__class__ is not dict:
                holder = _NOTHING
            for field, key, convert, rest, missing in steps:
                value = holder.get(key)
                if convert is not None:
                    value = convert(value)
                elif rest is not None and (value is None or value == ""):
                    value = rest(record)
                if value is not None and value != "":
                    canonical[field] = value
                elif missing:
                    raise Rejected("missing_field", missing)
        for field, get, missing in self._getters:
            value = get(record)
            if value is not None and value != "":
                canonical[field] = value
            elif missing:
                raise Rejected("missing_field", missing)
        return canonical


def _near(source: FieldFormat) -> tuple[str, str, Convert | None, Getter | None] | None:
    """Outer key, key, conversion and other places of a field that `_Shape` reads by itself."""
    path = source.path
    if path is None or source.times is not None or len(path.ways[0]) > 2:
        return None
    *outer, key = path.ways[0]
    convert, others = _convert(source), path.ways[1:]
    if (outer and key.isdecimal()) or (others and convert is not None):
        return None
    return "".join(outer), key, convert, follow(Path("", others)) if others else None


def _origin(source: FieldFormat) -> str:
    """How to name where a field comes from."""
    if source.join is not None:
        return "".join(p if isinstance(p, str) else f"{{{p.text}}}" for p in source.join)
    paths = [*(source.digest or []), *(p for p in (source.path, source.times) if p is not None)]
    return ", ".join(path.text for path in paths)


def _getter(source: FieldFormat) -> Getter:
    if source.join is not None:
        return _joined(source.join)
    if source.digest is not None:
        return _digested(source.digest)
    if source.path is None:
        raise MappingError("a field has no source")  # `read_format` has refused it
    get, convert = follow(source.path, source.absent), _convert(source)
    if source.times is not None:
        origins = (source.path.text, source.times.text)
        scaled, times = _scaled(origins, source.per_major or Decimal(1)), follow(source.times)
        return lambda record: scaled(get(record), times(record))
    return get if convert is None else lambda record: convert(get(record))


def _convert(source: FieldFormat) -> Convert | None:
    """What is done to the value at a field's path; it takes and gives None for what is absent."""
    origin = "" if source.path is None else source.path.text
    change: Convert | None = None
    if source.map is not None:
        change = _translated(source.map)
    elif source.unit is not None:
        change = _timed(source.unit, origin)
    elif source.per_major is not None:
        change = _scaled((origin,), source.per_major)
    if not source.absent:
        return change
    means_nothing = one_of(source.absent)
    if change is None:
        return lambda value: None if means_nothing(value) else value
    return lambda value: None if means_nothing(value) else change(value)


def _rule(written: SkipFormat) -> Callable[[Record], bool]:
    when = tuple((follow(path), one_of(values)) for path, values in written.when.items())
    missing = tuple(follow(path) for path in written.missing)

    def holds(record: Record) -> bool:
        for get, test in when:
            if not test(get(record)):
                return False
        for get in missing:
            value = get(record)
            if value is not None and value != "":
                return False
        return True

    return holds


def _text_of(value: Any) -> str | None:
    """Text, a number or a boolean as JSON writes it; None for anything else."""
    if value.__class__ is str:
        return str(value)
    if value is True or value is False:
        return "true" if value else "false"
    if value.__class__ is int and value.bit_length() <= 128:
        return str(value)
    return repr(value) if value.__class__ is float else None


def _texts(paths: list[Path]) -> Callable[[Record], tuple[str, ...] | None]:
    """The texts at all of these paths; None where one is absent."""
    getters = tuple((follow(path), path.text) for path in paths)

    def texts(record: Record) -> tuple[str, ...] | None:
        found = []
        for get, origin in getters:
            value = get(record)
            if value is None or value == "":
                return None
            text = _text_of(value)
            if text is None:
                raise Rejected("wrong_type", f"{origin}: expected text or a number")
            found.append(text)
        return tuple(found)

    return texts


def _joined(parts: list[str | Path]) -> Getter:
    texts = _texts([part for part in parts if isinstance(part, Path)])
    frame = "".join(p.replace("%", "%%") if isinstance(p, str) else "%s" for p in parts)

    def joined(record: Record) -> str | None:
        found = texts(record)
        return None if found is None else frame % found

    return joined


def _digested(paths: list[Path]) -> Getter:
    texts = _texts(paths)

    def digested(record: Record) -> str | None:
        found = texts(record)
        if found is None:
            return None
        # A JSON array, not a joined text: no text can look like the end of another.
        return blake2b(json.dumps(found).encode(), digest_size=12).hexdigest()

    return digested


def _translated(table: dict[str, Any]) -> Convert:
    return lambda value: table.get(_text_of(value) or "")


def _timed(unit: str, origin: str) -> Convert:
    """Epoch milliseconds, as an integer; RFC 3339 stays the text it is."""
    times, over = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "rfc3339": (0, 1)}[unit]

    def timed(value: Any) -> int | str | None:
        if value is None or value == "":
            return None
        if value.__class__ is str and times and value.isdecimal() and len(value) <= 20:
            value = int(value)
        if value.__class__ is int and times:
            time_ms: int = value * times // over
        elif value.__class__ is float and times and 0 <= value < 1e20:
            time_ms = round(value * times / over)
        elif value.__class__ is str and not times:
            return value
        else:
            raise Rejected("wrong_type", f"{origin}: expected a time in {unit}")
        if time_ms < 100_000_000_000:  # from here on `event` would take it for seconds
            raise Rejected("time_too_old", f"{origin}: before 1973; is it in {unit}?")
        return time_ms

    return timed


def _scaled(origins: tuple[str, ...], per_major: Decimal) -> Callable[..., str | None]:
    """The product of one or two numbers over `per_major`: exact, as text; 100 / 1000 is "0.1"."""
    places = per_major.adjusted()
    divisor = int(per_major) if places >= 0 and per_major == 10**places else 0

    def scaled(*values: Any) -> str | None:
        product = 1
        for value in values:
            if value.__class__ is str and len(value) < 19 and value.isdecimal():
                value = int(value)
            if value.__class__ is not int or not 0 <= value < _MOST or not divisor:
                return _scaled_decimal(values, origins, per_major)
            product *= value
        whole, rest = divmod(product, divisor)
        return f"{whole}.{rest:0{places}d}".rstrip("0") if rest else str(whole)

    return scaled


def _scaled_decimal(
    values: tuple[Any, ...], origins: tuple[str, ...], per_major: Decimal
) -> str | None:
    """The same for numbers that are no plain integers, and divisors that are no power of ten."""
    product = Decimal(1)
    for value, origin in zip(values, origins, strict=True):
        if value is None or value == "":
            return None
        text = _text_of(value) or "nan"
        try:
            number = Decimal(text if len(text) <= 40 and "_" not in text else "nan")
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or abs(number.adjusted()) > 40:
            raise Rejected("amount_invalid", f"{origin}: expected a number of at most 40 digits")
        product = _EXACT.multiply(product, number)
    quotient = format(_EXACT.divide(product, per_major), "f")
    return quotient.rstrip("0").rstrip(".") if "." in quotient else quotient
