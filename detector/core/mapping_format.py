"""What a mapping file may say, and every way in which one can be wrong.

Knows the format of `config/mappings/*.toml` and how a path is followed. Does not know how to run a
mapping (`mapping`), or files.

A mapping has a `name`, `shape_by` (the path whose value names a record's shape), `ignore` (shapes
that are no tips, by skip reason) and `shapes`. A shape has a `type` (`tip` when absent), `also`
(more names of it), `skip` rules and `fields`. A *path* is `data.uid` or `badges.0.type` (0: first
of an array); a key with a dot is quoted, `data."a.b"`; `room_id | roomid` is the first of these
that is present. JSON null and "" are never present. A field is a path, or a table with one source
and what to do with it:

    path = "data.uid"                    the value there
    value = "CNY"                        always this
    join = "sc-{room_id}-{data.id}"      text made of several paths
    digest = ["room_id", "data.uid"]     a stable id: BLAKE2b of their texts, 24 digits
    absent = [0, "0"]                    values that mean nothing (with path)
    map = {"1" = "pk"}                   translation; a value not listed is absent
    per_major = 1000                     an amount in units of which 1000 are 1 of `currency`
    times = "data.num"                   an amount that is a unit price, and its quantity
    unit = "s"                           a time: "s", "ms", "us" or "rfc3339"

A skip rule has a `reason` of `SKIP_REASONS`. It holds when every path of `when` has (one of) the
values given, of the same JSON type, and every path of `missing` is absent; the first that holds
names the reason. Amounts that are neither scaled nor multiplied, and all other values, are left
as the record has them: `event` checks them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from detector.core.event import FIELDS, REQUIRED, EventType
from detector.core.problems import Problems, describe

SkipReason = Literal[
    "anonymous",  # nobody whose history it could be
    "combo_update",  # progress of a gift streak; its last record carries the whole
    "duplicate",  # the same event_id again
    "free_gift",  # costs no money
    "not_a_tip",  # chat, entries, ranks and the like
    "refunded",  # already given back
    "test_event",  # made by a test button, or replayed for an overlay
    "told_elsewhere",  # another record of the platform tells the same payment
]

SKIP_REASONS: tuple[str, ...] = get_args(SkipReason)
"""Why a record is no tip. Closed: a new reason is a new metric series and a new README row."""

Record = dict[str, Any]
Getter = Callable[[Record], Any]
"""Reads one thing of a record; None where it is absent. Raises nothing but Rejected."""

Values = frozenset[tuple[bool, Any]]
"""Scalars as (is it a boolean, value), so that 1 and true differ as they do in JSON."""

_FIELDS = {field.name: field for field in FIELDS if field.name != "type"}
_SEGMENT = r'(?:"[^"]+"|[^\s."|{}]+)'
_WAY = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_PATH = re.compile(rf"\s*{_WAY.pattern}\s*(?:\|\s*{_WAY.pattern}\s*)*")


class MappingError(ValueError):
    """A mapping that cannot be used; the message has one line a problem."""


@dataclass(frozen=True, slots=True)
class Path:
    """One place or several in a record.

    Attributes:
        text: as the file writes it.
        ways: the keys to follow, for each alternative; the first present wins.
    """

    text: str
    ways: tuple[tuple[str, ...], ...]


def read_path(text: Any) -> Path:
    """A path as the file writes it.

    >>> read_path('data."a.b" | list.0.id').ways
    (('data', 'a.b'), ('list', '0', 'id'))
    """
    if not isinstance(text, str) or _PATH.fullmatch(text) is None:
        raise PydanticCustomError("path", 'a path such as "data.uid" or "room_id | roomid"')
    ways = (re.findall(_SEGMENT, way) for way in _WAY.findall(text))
    return Path(text.strip(), tuple(tuple(key.strip('"') for key in way) for way in ways))


def follow(path: Path, absent: Values = frozenset()) -> Getter:
    """What gets the first present value at a path; null, "" and `absent` are not present.

    >>> follow(read_path("a.b | list.0"))({"a": 1, "list": ["x"]})
    'x'
    """
    getters = tuple(_walk(way) for way in path.ways)
    if len(getters) == 1 and not absent:
        return getters[0]
    means_nothing = one_of(absent)

    def first(record: Record) -> Any:
        for get in getters:
            value = get(record)
            if value is not None and value != "" and not means_nothing(value):
                return value
        return None

    return first


def _walk(way: tuple[str, ...]) -> Getter:
    if len(way) == 1:
        (only,) = way
        return lambda record: record.get(only)
    if len(way) == 2 and not way[1].isdecimal():
        outer, inner = way

        def nested(record: Record) -> Any:
            value = record.get(outer)
            return value.get(inner) if value.__class__ is dict else None

        return nested
    steps = tuple((key, int(key) if key.isdecimal() else -1) for key in way)

    def deep(record: Record) -> Any:
        value: Any = record
        for key, at in steps:
            if value.__class__ is dict:
                value = value.get(key)
            elif value.__class__ is list and 0 <= at < len(value):
                value = value[at]
            else:
                return None
        return value

    return deep


def one_of(values: Values) -> Callable[[Any], bool]:
    """A test whether a value is one of these, and of the same JSON type.

    >>> is_zero = one_of(frozenset({(False, 0)}))
    >>> is_zero(0), is_zero(False), is_zero("0"), is_zero([])
    (True, False, False, False)
    """
    texts = frozenset(value for _, value in values if isinstance(value, str))

    def test(value: Any) -> bool:
        if value.__class__ is str:
            return value in texts
        return value.__class__ in (int, float, bool) and (value.__class__ is bool, value) in values

    return test


def _read_per_major(value: Any) -> Decimal:
    if value.__class__ not in (int, Decimal) or not 0 < value < 10**18:
        raise PydanticCustomError("per_major", "a number > 0")
    rest = Decimal(value).as_integer_ratio()[0]
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    if rest != 1:
        raise PydanticCustomError("per_major", "a product of 2s and 5s: others never divide evenly")
    return Decimal(value)


def _read_join(value: Any) -> list[str | Path]:
    """`sc-{room_id}` as its parts: texts and, between them, paths."""
    parts = re.split(r"\{([^{}]*)\}", value) if isinstance(value, str) else []
    if len(parts) < 3 or any("{" in text or "}" in text for text in parts[::2]):
        raise PydanticCustomError("join", 'text with {paths}, such as "sc-{data.id}"')
    return [read_path(part) if at % 2 else part for at, part in enumerate(parts)]


def _read_values(value: Any) -> Values:
    values = value if isinstance(value, list) else [value]
    if not values or any(one.__class__ not in (str, int, bool, Decimal) for one in values):
        raise PydanticCustomError("values", "text, a number, true, false or a list of these")
    return frozenset((one.__class__ is bool, one) for one in values)


def _read_constant(value: Any) -> Any:
    if value.__class__ not in (str, int, bool, Decimal) or value == "":
        raise PydanticCustomError("constant", "text, a number, true or false")
    return value


def _read_field(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise PydanticCustomError("field", "a path or a table")
    return {"path": value} if isinstance(value, str) else value


_Path = Annotated[Path, BeforeValidator(read_path)]
_Values = Annotated[Values, BeforeValidator(_read_values)]
_Constant = Annotated[Any, BeforeValidator(_read_constant)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )


class FieldFormat(_Strict):
    """Where one canonical field comes from; the module's docstring tells what each key means."""

    path: _Path | None = None
    value: _Constant = None
    join: Annotated[list[str | Path], BeforeValidator(_read_join)] | None = None
    digest: Annotated[list[_Path], Field(min_length=1)] | None = None
    absent: _Values = frozenset()
    map: Annotated[dict[str, _Constant], Field(min_length=1)] | None = None
    per_major: Annotated[Decimal, BeforeValidator(_read_per_major)] | None = None
    times: _Path | None = None
    unit: Literal["s", "ms", "us", "rfc3339"] | None = None


class SkipFormat(_Strict):
    """When a record of a shape is no tip, and why."""

    reason: SkipReason
    when: dict[_Path, _Values] = {}
    missing: list[_Path] = []


class ShapeFormat(_Strict):
    """How one shape of record becomes one type of event."""

    type: EventType = "tip"
    also: list[str] = []
    skip: list[SkipFormat] = []
    fields: dict[str, Annotated[FieldFormat, BeforeValidator(_read_field)]]


class MappingFormat(_Strict):
    """A whole mapping."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    shape_by: _Path | None = None
    ignore: dict[SkipReason, list[str]] = {}
    shapes: dict[str, ShapeFormat]


def read_format(text: str, where: str) -> MappingFormat:
    """The mapping that `text` writes in TOML; `where` names it in errors.

    Raises:
        MappingError: with every problem: where, what was found, what was expected.
    """
    problems = Problems(where)
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{where}: not TOML: {error}") from None
    try:
        read = MappingFormat.model_validate(raw)
    except ValidationError as error:
        describe(error, raw, problems)
    for path, sentence in _contradictions(raw):
        problems.add_line(path, sentence)
    if problems:
        raise MappingError(problems.text())
    return read


def _table(raw: Any, key: str) -> dict[str, Any]:
    """A table within another; empty where there is none, which pydantic has reported."""
    value = raw.get(key) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}


def _contradictions(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong between keys. Works on any table, so that all problems come at once."""
    shapes = _table(raw, "shapes")
    if "shape_by" not in raw and (len(shapes) > 1 or "ignore" in raw):
        yield "shape_by", "is missing: it tells the shapes apart"
    if raw.get("shapes") == {}:
        yield "shapes", "expected at least one shape"
    lists = {f"ignore.{reason}": names for reason, names in _table(raw, "ignore").items()}
    lists |= {f"shapes.{name}.also": _table(shapes, name).get("also") for name in shapes}
    told = set(shapes)
    for path, names in lists.items():
        for name in [n for n in names if isinstance(n, str)] if isinstance(names, list) else []:
            if name in told:
                yield path, f"{name} stands in another list or is a shape"
            told.add(name)
    for name, shape in shapes.items():
        if not isinstance(shape, dict):
            continue
        rules = shape.get("skip", [])
        for at, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, dict) and not rule.get("when") and not rule.get("missing"):
                yield f"shapes.{name}.skip[{at}]", "expected paths in when or missing"
        fields = _table(shape, "fields")
        for field, source in fields.items():
            for key, sentence in _contradictions_in(field, source):
                yield f"shapes.{name}.fields.{field}{key}", sentence
        kind = shape.get("type", "tip")
        for field in REQUIRED.get(kind, ()) if isinstance(kind, str) else ():
            if "fields" in shape and field not in fields:
                yield f"shapes.{name}.fields.{field}", f"is missing: a {kind} needs it"


_GOES_WITH = {
    "absent": (),
    "map": ("id", "text", "currency", "choice", "flag", "name_flag", "count", "age"),
    "per_major": ("amount",),
    "times": ("amount",),
    "unit": ("time",),
}
"""What may be done with the value at a path, and with which forms of field; () is all of them."""


def _contradictions_in(name: str, source: Any) -> Iterator[tuple[str, str]]:
    field = _FIELDS.get(name)
    if field is None:
        near = get_close_matches(name, _FIELDS, 1)
        yield "", "is no field of an event" + (f"; did you mean {near[0]}?" if near else "")
        return
    if not isinstance(source, str | dict):
        return
    source = _read_field(source)
    given = [key for key in ("path", "value", "join", "digest") if key in source]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield "", f"expected one of path, value, join, digest, found {found}"
        return
    for key, forms in _GOES_WITH.items():
        if key in source and given != ["path"]:
            yield f".{key}", f"goes with path, not with {given[0]}"
        elif key in source and forms and field.form not in forms:
            yield f".{key}", f"is for fields of form {'|'.join(forms)}, found {field.form}"
    if field.form == "time" and given == ["path"] and "unit" not in source:
        yield ".unit", "is missing: expected s, ms, us or rfc3339"
    for value in (source.get("value"), *_table(source, "map").values()):
        if field.choices and value is not None and value not in field.choices:
            yield "", f'"{value}" is none of {", ".join(field.choices)}'
