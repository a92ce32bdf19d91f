"""Policy packs: rules with a number, a source and an action, read from declarative files.

Knows what a rule may say and what it means for one event. Does not read files.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from detector.core.event import Event
from detector.core.features import Features
from detector.core.money import AmountError, Currencies, to_minor
from detector.core.problems import Problems, describe
from detector.core.reasons import Action, Severity

Money = Annotated[Decimal, Field(gt=0)]
StatisticalKind = Literal["minor", "outsized", "binge", "gambling", "ring", "refund_abuse"]
Basis = Literal["law", "guideline", "analogue", "operator"]


def _read_clock(value: str) -> str:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", value) is None:
        raise PydanticCustomError("clock", 'a time of day, "00:00" to "24:00"')
    return value


Clock = Annotated[str, AfterValidator(_read_clock)]


class PolicyError(ValueError):
    """A pack that cannot be used; the message has one line a problem."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rule(_Strict):
    """What every rule says.

    Attributes:
        id: unique in the pack; it stands on every reason the rule gives.
        basis: `law` (binding text), `guideline` (self-regulation, guidance), `analogue` (a rule of
            a neighbouring field, borrowed and said so), `operator` (a number that the operator
            chose; no law gives it).
        source: where the rule and its number come from.
        confidence: how well the source was read: R its own wording, S a summary, none for operator.
        fires, silent: sequences of canonical events; the last of `fires` must lead to a reason of
            this rule, none of `silent` may.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")]
    basis: Basis
    source: Annotated[str, Field(min_length=10)]
    confidence: Literal["R", "S", "operator"]
    severity: Severity
    action: Action
    fires: Annotated[list[dict[str, Any]], Field(min_length=1)]
    silent: Annotated[list[dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_no_law_for_an_operators_number(self) -> _Rule:
        if (self.basis == "operator") != (self.confidence == "operator"):
            raise ValueError(
                f'basis = "{self.basis}" and confidence = "{self.confidence}": '
                'expected both or neither to be "operator"'
            )
        return self


class _Ages(_Strict):
    """Declared ages from `age_from` (years, included) to `age_below` (excluded)."""

    age_from: Annotated[int, Field(ge=0, le=149)] = 0
    age_below: Annotated[int, Field(ge=1, le=150)]

    @model_validator(mode="after")
    def _is_a_band(self) -> _Ages:
        if self.age_from >= self.age_below:
            raise ValueError(
                f"age_from = {self.age_from}: must be below age_below = {self.age_below}"
            )
        return self

    def covers(self, age: int | None) -> bool:
        return age is not None and self.age_from <= age < self.age_below


class DeclaredMinor(_Rule, _Ages):
    """Tips by declared minors of an age band; with `minor_mode`, by accounts in minor mode too."""

    type: Literal["declared_minor"]
    minor_mode: bool = True


class _Hours(_Strict):
    """From `from` (included) to `to` (excluded), local time; over midnight where `from` > `to`."""

    starts: Annotated[Clock, Field(alias="from")]
    ends: Annotated[Clock, Field(alias="to")]

    @model_validator(mode="after")
    def _is_a_span(self) -> _Hours:
        if minute_of(self.starts) % 1440 == minute_of(self.ends):
            raise ValueError(f'from = "{self.starts}": must differ from to = "{self.ends}"')
        return self


class MinorModeHours(_Rule, _Hours):
    """Use in minor mode within hours when services to minors have ended."""

    type: Literal["minor_mode_hours"]


class MinorBand(_Rule, _Ages):
    """Spending of declared minors of an age band over `limit` per tip or month."""

    type: Literal["minor_band"]
    per: Literal["tip", "month"]
    limit: Money


class AmountLimit(_Rule):
    """A tipper's limit per tip, local day or local month; a reminder at `remind_at` of it."""

    type: Literal["amount_limit"]
    per: Literal["tip", "day", "month"]
    limit: Money
    remind_at: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _has_a_total_to_remind_of(self) -> AmountLimit:
        if self.per == "tip" and self.remind_at is not None:
            raise ValueError("remind_at: a limit per tip has no running total to remind of")
        return self


class UserLimit(_Rule):
    """The limits that users set for themselves, where the events carry them."""

    type: Literal["user_limit"]


class RoomCount(_Rule, _Hours):
    """How many PKs a room may start within the hours of one day."""

    type: Literal["room_count"]
    limit: Annotated[int, Field(ge=0, le=1000)]


Rule = Annotated[
    DeclaredMinor | MinorModeHours | MinorBand | AmountLimit | UserLimit | RoomCount,
    Field(discriminator="type"),
]


class SeverityActions(_Strict):
    """What to do about a statistical finding, by severity."""

    low: Action
    medium: Action
    high: Action


class PackFile(_Strict):
    """A pack as it is written."""

    pack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
    version: Annotated[str, Field(min_length=1, max_length=40)]
    title: str
    currency: str
    actions: dict[StatisticalKind, SeverityActions]
    rules: list[Rule]

    @model_validator(mode="after")
    def _names_each_rule_once(self) -> PackFile:
        ids = [rule.id for rule in self.rules]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"rules: id {', '.join(twice)}: stands more than once")
        return self


class Policy:
    """A pack ready for use: limits as integers of the base currency, clocks as minutes.

    Attributes:
        name, version, digest: what a flag says of the pack; the digest is of the file's text.
        rules: all rules, as written.
        limit_minor: rule id → limit in minor units of the base currency.
    """

    def __init__(self, file: PackFile, text: str, currencies: Currencies) -> None:
        self.name = file.pack
        self.version = file.version
        self.digest = blake2b(text.encode(), digest_size=8).hexdigest()
        self.rules = tuple(file.rules)
        self.actions = file.actions
        currency = currencies[file.currency]
        self.limit_minor = {
            rule.id: currencies.value_minor(to_minor(rule.limit, currency.decimals), currency)
            for rule in file.rules
            if isinstance(rule, AmountLimit | MinorBand)
        }

    def of_type(self, rule_type: type[Any]) -> tuple[Any, ...]:
        """The rules of one type, in the file's order."""
        return tuple(rule for rule in self.rules if isinstance(rule, rule_type))


def parse_policy(text: str, where: str, currencies: Currencies) -> Policy:
    """A pack from its TOML text.

    Args:
        text: the file's whole text.
        where: the file's name, for messages.
        currencies: must have a rate for the pack's currency.

    Raises:
        PolicyError: with every problem found, one a line: where, what was found, what is expected.
    """
    problems = Problems(where)
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not TOML: {error}") from None
    try:
        file = PackFile.model_validate(written)
    except ValidationError as error:
        describe(error, written, problems)
        raise PolicyError(problems.text()) from None
    currency = currencies.get(file.currency)
    if currency is None:
        problems.add("currency", file.currency, "a currency with a rate under [currencies]")
        raise PolicyError(problems.text())
    for rule in file.rules:
        if isinstance(rule, AmountLimit | MinorBand):
            try:
                to_minor(rule.limit, currency.decimals)
            except AmountError as error:
                found = f"{rule.limit} {file.currency}"
                problems.add_line(f"rules[{rule.id}].limit", f"{found}: {error}")
    if problems:
        raise PolicyError(problems.text())
    return Policy(file, text, currencies)


def minute_of(clock: str) -> int:
    """Minutes since midnight of `HH:MM`.

    >>> minute_of("20:30")
    1230
    """
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def is_within(minute: int, starts: int, ends: int) -> bool:
    """Whether a minute of the day lies in [starts, ends), over midnight where starts > ends.

    >>> is_within(23 * 60, 22 * 60, 6 * 60), is_within(12 * 60, 22 * 60, 6 * 60)
    (True, False)
    """
    if starts <= ends:
        return starts <= minute < ends
    return minute >= starts or minute < ends


def is_declared_minor(event: Event, rule: DeclaredMinor) -> bool:
    """Whether the event itself declares a minor in the sense of the rule."""
    return rule.covers(event.tipper_age) or (rule.minor_mode and event.minor_mode is True)


def total_minor(f: Features, per: str) -> int | None:
    """The tip itself, or the running total of its day or month; None where not held any more."""
    if per == "tip":
        return f.value
    return f.day_sum if per == "day" else f.month_sum
