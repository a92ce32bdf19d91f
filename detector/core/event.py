"""The canonical Event: what the engine reads.

Knows the five types of event, their fields, and every reason to refuse a record. Does not know how
a JSON object becomes one (`event_reader`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

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
        marks: what the words of `message` point at, see `lexicon`; None for nothing.
    """

    __slots__ = (
        "account_created_ms", "account_id", "amount_minor", "claim", "claimant_id", "currency",
        "device_id", "event_id", "event_time_ms", "gift_id", "gift_name", "guild_id",
        "instrument_holder", "instrument_id", "ip", "marks", "message", "minor_mode", "quantity",
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
    marks: int | None
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
        self.claimant_id = self.room_event = self.marks = None


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
