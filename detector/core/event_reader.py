"""From a canonical JSON object to an Event: what must be there, and what is still believable.

Reads the fields with `fields`. Does not know any platform's own shapes (`mapping`) or bytes
(`decode`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from detector.core.event import FIELDS, REQUIRED, Event, Rejected
from detector.core.fields import HUGE, id_from_number, reader_of, too_long
from detector.core.lexicon import Lexicon
from detector.core.money import AmountError, Currencies, to_minor

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

    Args:
        currencies: with a rate for every currency that is accepted.
        limits: what is still believable.
        lexicon: the words that messages are searched for.

    >>> reader = EventReader(Currencies("CNY", {"CNY": ("1", 2)}), EventLimits())
    >>> record = {"event_id": "e1", "event_time": 1772380802272, "tipper_id": "t1",
    ...           "streamer_id": "s1", "amount": "12.50", "currency": "CNY"}
    >>> tip = reader.read(record, received_ms=1772380803000)
    >>> tip.type, tip.amount_minor, tip.device_id
    ('tip', 1250, None)
    """

    def __init__(
        self, currencies: Currencies, limits: EventLimits, lexicon: Lexicon | None = None
    ) -> None:
        self._currencies = currencies
        self._limits = limits
        self._marks_of = (lexicon or Lexicon()).marks
        self._readers: dict[str, tuple[str, Callable[[Any], Any] | None]] = {
            field.name: (field.attribute, reader_of(field, limits.max_text_chars))
            for field in FIELDS
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
                    value = id_from_number(name, value)
                if len(value) > max_id_chars:
                    raise Rejected("id_too_long", too_long(name, value, max_id_chars))
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
        if event.message is not None:
            event.marks = self._marks_of(event.message) or None
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


def _digest(record: dict[str, Any]) -> str:
    """An id made from the record's known fields: the same record again gets the same id."""
    known = [(field.name, record.get(field.name)) for field in FIELDS]
    text = repr(
        [
            (name, value)
            for name, value in known
            if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < HUGE)
        ]
    )
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
