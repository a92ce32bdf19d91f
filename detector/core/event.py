"""The canonical Event: what the engine reads, and how a JSON object becomes one.

Knows the five types of event, their fields, and every reason to refuse a record. Does not know
any platform's own shapes (`mapping`) or bytes (`decode`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, get_args

from detector.core.money import AmountError, Currencies, to_minor

EventType = Literal["tip", "recharge", "payout", "refund", "room"]

Reason = Literal[
    "not_json",
    "not_object",
    "invalid_utf8",
    "record_too_large",
    "unknown_type",
    "unknown_shape",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "id_too_long",
    "amount_invalid",
    "amount_negative",
    "amount_zero",
    "amount_absurd",
    "currency_unknown",
    "time_invalid",
    "time_too_old",
    "time_in_future",
    "internal_error",
]
"""Why a record was refused. Closed: a new reason is a new metric series and a new README row."""

REASONS: tuple[str, ...] = get_args(Reason)

_HUGE = 10**1000  # a number of more digits than any id may have
OLDEST_MS = 1_262_304_000_000  # 2010-01-01T00:00:00Z: no tipping platform is older


class Rejected(Exception):
    """A record that cannot become an Event.

    Attributes:
        reason: one of `REASONS`.
        detail: where, what was found, what was expected; never an id or a message's text.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Event:
    """One event. Absent optional fields are None; absence is never evidence.

    Attributes beyond the record's own fields:
        event_time_ms: epoch milliseconds.
        amount_minor: amount in minor units of `currency`, > 0; None for `room`.
        value_minor: the same in minor units of the base currency, > 0; None for `room`.
        user_limit_*_minor: the user's own limits, in minor units of the base currency.
    """

    __slots__ = (
        "account_created_ms", "account_id", "amount_minor", "claim", "claimant_id", "currency",
        "device_id", "event_id", "event_time_ms", "gift_id", "gift_name", "guild_id",
        "instrument_holder", "instrument_id", "ip", "message", "minor_mode", "quantity",
        "real_name", "reason", "room_category", "room_event", "room_id", "room_mode",
        "streamer_id", "tipper_age", "tipper_id", "type", "user_limit_day_minor",
        "user_limit_month_minor", "user_limit_tip_minor", "value_minor", "viewers",
    )  # fmt: skip

    type: str
    event_id: str
    event_time_ms: int
    tipper_id: str | None
    streamer_id: str | None
    amount_minor: int | None
    currency: str | None
    value_minor: int | None
    room_id: str | None
    gift_id: str | None
    gift_name: str | None
    quantity: int | None
    device_id: str | None
    ip: str | None
    instrument_id: str | None
    instrument_holder: str | None
    tipper_age: int | None
    minor_mode: bool | None
    real_name: bool | None
    account_created_ms: int | None
    room_category: str | None
    viewers: int | None
    room_mode: str | None
    guild_id: str | None
    message: str | None
    user_limit_tip_minor: int | None
    user_limit_day_minor: int | None
    user_limit_month_minor: int | None
    account_id: str | None
    reason: str | None
    claim: str | None
    claimant_id: str | None
    room_event: str | None

    def __init__(self) -> None:
        self.type = "tip"
        self.tipper_id = self.streamer_id = self.amount_minor = self.currency = None
        self.value_minor = self.room_id = self.gift_id = self.gift_name = self.quantity = None
        self.device_id = self.ip = self.instrument_id = self.instrument_holder = None
        self.tipper_age = self.minor_mode = self.real_name = self.account_created_ms = None
        self.room_category = self.viewers = self.room_mode = self.guild_id = self.message = None
        self.user_limit_tip_minor = self.user_limit_day_minor = None
        self.user_limit_month_minor = self.account_id = self.reason = self.claim = None
        self.claimant_id = self.room_event = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the record.

    Attributes:
        name: its name in the JSON object.
        form: `id|text|time|amount|currency|count|age|flag|name_flag|choice`.
        meaning: one line for the schema.
        slot: the Event's attribute where it differs from `name`.
        choices: the closed set of a `choice`.
    """

    name: str
    form: str
    meaning: str
    slot: str = ""
    choices: tuple[str, ...] = ()

    @property
    def attribute(self) -> str:
        return self.slot or self.name


FIELDS: tuple[Field, ...] = (
    Field("type", "choice", "What happened; a tip when absent.", choices=get_args(EventType)),
    Field("event_id", "id", "Unique id; the same id again is a duplicate."),
    Field("event_time", "time", "When it happened: epoch ms, epoch s or RFC 3339 with an offset.",
          "event_time_ms"),
    Field("tipper_id", "id", "Account that pays."),
    Field("streamer_id", "id", "Account that receives."),
    Field("amount", "amount", "Decimal string or number > 0, in major units of `currency`.",
          "amount_minor"),
    Field("currency", "currency", "ISO 4217 code, or a virtual currency with a configured rate."),
    Field("room_id", "id", "Room or channel."),
    Field("gift_id", "id", "Gift as the platform numbers it."),
    Field("gift_name", "text", "Gift as viewers see it."),
    Field("quantity", "count", "How many of the gift in this one event."),
    Field("device_id", "id", "Device that sent it."),
    Field("ip", "id", "Address it came from."),
    Field("instrument_id", "id", "Payment instrument: card, wallet or account."),
    Field("instrument_holder", "choice", "Whose instrument it is.", choices=("self", "other")),
    Field("tipper_age", "age", "Declared or verified age in years."),
    Field("minor_mode", "flag", "Whether the account is in the platform's minor (youth) mode."),
    Field("real_name", "flag", "Whether the account is real-name verified."),
    Field("account_created_at", "time", "When the tipper's account was made.",
          "account_created_ms"),
    Field("room_category", "text", "What the room is about."),
    Field("viewers", "count", "Viewers in the room at that moment."),
    Field("room_mode", "choice", "What the room is doing.",
          choices=("normal", "pk", "ceremony", "lottery")),
    Field("guild_id", "id", "Guild (MCN) of the streamer."),
    Field("message", "text", "Words sent with it."),
    Field("user_limit_tip", "amount", "The user's own limit for one tip, in `currency`.",
          "user_limit_tip_minor"),
    Field("user_limit_day", "amount", "The user's own limit for a day, in `currency`.",
          "user_limit_day_minor"),
    Field("user_limit_month", "amount", "The user's own limit for a month, in `currency`.",
          "user_limit_month_minor"),
    Field("account_id", "id", "payout: account that receives the money."),
    Field("reason", "choice", "payout: what it is for.", choices=("withdraw", "prize", "rebate")),
    Field("claim", "choice", "refund: what is claimed.", choices=("minor", "fraud", "other")),
    Field("claimant_id", "id", "refund: who claims."),
    Field("event", "choice", "room: what happened.", "room_event",
          choices=("live_start", "live_end", "pk_start", "pk_end", "ceremony_start",
                   "ceremony_end", "lottery_open", "lottery_draw")),
)  # fmt: skip

REQUIRED: dict[str, tuple[str, ...]] = {
    "tip": ("event_id", "event_time", "tipper_id", "streamer_id", "amount", "currency"),
    "recharge": ("event_time", "tipper_id", "amount", "currency"),
    "payout": ("event_time", "streamer_id", "amount", "currency"),
    "refund": ("event_time", "tipper_id", "amount", "currency"),
    "room": ("event_time", "streamer_id", "event"),
}
"""Required fields by type.

An event other than a tip that has no `event_id` gets a digest of itself.
"""

_SLOT_OF = {field.name: field.attribute for field in FIELDS}


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What is still believable.

    Attributes:
        max_id_chars: longest id, characters.
        max_text_chars: longest message, gift name or category kept; longer text is cut.
        max_value_minor: largest amount, minor units of the base currency.
        max_future_skew_ms: how far `event_time` may lie after the record was received.
    """

    max_id_chars: int = 128
    max_text_chars: int = 500
    max_value_minor: int = 1_000_000_000
    max_future_skew_ms: int = 300_000


class EventReader:
    """Turns canonical JSON objects into Events.

    >>> reader = EventReader(Currencies("CNY", {"CNY": ("1", 2)}), EventLimits())
    >>> record = {"event_id": "e1", "event_time": 1772380802272, "tipper_id": "t1",
    ...           "streamer_id": "s1", "amount": "12.50", "currency": "CNY"}
    >>> tip = reader.read(record, received_ms=1772380803000)
    >>> tip.type, tip.amount_minor, tip.device_id
    ('tip', 1250, None)
    """

    def __init__(self, currencies: Currencies, limits: EventLimits) -> None:
        self._currencies = currencies
        self._limits = limits
        self._readers: dict[str, tuple[str, Callable[[Any], Any] | None]] = {
            field.name: (field.attribute, self._reader_of(field)) for field in FIELDS
        }

    def read(self, record: dict[str, Any], received_ms: int) -> Event:
        """The record as an Event.

        Args:
            record: a canonical JSON object; it is not changed.
            received_ms: when the record reached us, epoch ms; the future is measured from it.

        Raises:
            Rejected: with a reason of `REASONS`.
        """
        event = Event()
        readers = self._readers
        max_id_chars = self._limits.max_id_chars
        for name, value in record.items():
            entry = readers.get(name)
            if entry is None or value is None or value == "":
                continue
            slot, read = entry
            if read is None:  # an id: the common case, kept free of a call
                if value.__class__ is not str:
                    value = _id_from_number(name, value)
                if len(value) > max_id_chars:
                    raise Rejected("id_too_long", _too_long(name, value, max_id_chars))
                setattr(event, slot, value)
            else:
                setattr(event, slot, read(value))
        self._complete(event, record, received_ms)
        return event

    def _complete(self, event: Event, record: dict[str, Any], received_ms: int) -> None:
        """Checks what is required of the event's type and computes what needs two fields."""
        for name in REQUIRED[event.type]:
            if getattr(event, _SLOT_OF[name], None) is None:
                raise Rejected("missing_field", f"{event.type}: {name}: required, found nothing")
        if event.event_time_ms > received_ms + self._limits.max_future_skew_ms:
            ahead_s = (event.event_time_ms - received_ms) // 1000
            allowed_s = self._limits.max_future_skew_ms // 1000
            raise Rejected(
                "time_in_future",
                f"event_time: {ahead_s} s after it was received, allowed are {allowed_s} s",
            )
        if event.type == "room":  # it has no amounts: whatever the record says is not read
            event.amount_minor = event.user_limit_tip_minor = None
            event.user_limit_day_minor = event.user_limit_month_minor = None
        else:
            self._read_amounts(event)
        if getattr(event, "event_id", None) is None:
            event.event_id = _digest(record)

    def _read_amounts(self, event: Event) -> None:
        currency = None if event.currency is None else self._currencies.get(event.currency)
        if currency is None:
            raise Rejected("currency_unknown", "currency: no rate is configured for it")
        try:
            amount_minor = to_minor(event.amount_minor, currency.decimals)
        except AmountError as error:
            raise Rejected(error.reason, f"amount: {error}") from None
        value_minor = self._currencies.value_minor(amount_minor, currency)
        if value_minor > self._limits.max_value_minor:
            raise Rejected(
                "amount_absurd",
                f"amount: {value_minor} minor units of the base currency, "
                f"expected at most {self._limits.max_value_minor}",
            )
        event.amount_minor = amount_minor
        event.value_minor = value_minor
        for slot in ("user_limit_tip_minor", "user_limit_day_minor", "user_limit_month_minor"):
            limit = getattr(event, slot)
            if limit is not None:
                try:
                    minor = to_minor(limit, currency.decimals)
                except AmountError as error:
                    raise Rejected(error.reason, f"{slot[:-6]}: {error}") from None
                setattr(event, slot, self._currencies.value_minor(minor, currency))

    def _reader_of(self, field: Field) -> Callable[[Any], Any] | None:
        """The function that reads one field; None for ids, which `read` handles itself."""
        name = field.name
        if field.form == "id":
            return None
        if field.form == "text":
            longest = self._limits.max_text_chars

            def read_text(value: Any) -> str:
                if value.__class__ is not str:
                    raise Rejected("wrong_type", f"{name}: expected text, found {_kind(value)}")
                return value if len(value) <= longest else value[:longest]

            return read_text
        if field.form == "choice":
            choices = field.choices
            reason = "unknown_type" if name == "type" else "out_of_range"

            def read_choice(value: Any) -> str:
                if value.__class__ is not str:
                    raise Rejected("wrong_type", f"{name}: expected text, found {_kind(value)}")
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
                raise Rejected(
                    "wrong_type", f"{name}: expected true or false, found {_kind(value)}"
                )

            return read_flag
        if field.form in ("count", "age"):
            highest = 150 if field.form == "age" else 2**53

            def read_count(value: Any) -> int:
                if value.__class__ is float and value.is_integer():  # neither inf nor nan is
                    value = int(value)
                if value.__class__ is not int:
                    raise Rejected(
                        "wrong_type", f"{name}: expected a whole number, found {_kind(value)}"
                    )
                if not 0 <= value <= highest:
                    raise Rejected("out_of_range", f"{name}: expected 0 to {highest}")
                return int(value)

            return read_count
        if field.form == "currency":

            def read_currency(value: Any) -> str:
                if value.__class__ is not str:
                    raise Rejected("wrong_type", f"{name}: expected text, found {_kind(value)}")
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
        raise Rejected("wrong_type", f"{name}: expected a time, found {_kind(value)}")
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


def _id_from_number(name: str, value: Any) -> str:
    if value.__class__ is int:
        if abs(value) >= _HUGE:  # Python refuses to write the longest ones as text
            raise Rejected("id_too_long", f"{name}: a number of more than 1000 digits")
        return str(value)
    raise Rejected("wrong_type", f"{name}: expected text or a whole number, found {_kind(value)}")


def _too_long(name: str, value: str, longest: int) -> str:
    return f"{name}: {len(value)} characters, expected at most {longest}"


def _kind(value: Any) -> str:
    kinds = {
        bool: "a boolean", int: "a number", float: "a number", str: "text", list: "an array",
        dict: "an object",
    }  # fmt: skip
    return kinds.get(value.__class__, str(value.__class__.__name__))


def _digest(record: dict[str, Any]) -> str:
    """An id made from the record's known fields: the same record again gets the same id."""
    known = [(field.name, record.get(field.name)) for field in FIELDS]
    text = repr(
        [
            (name, value)
            for name, value in known
            if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _HUGE)
        ]
    )
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
