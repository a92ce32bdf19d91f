"""Money as integers: currencies, their minor units, and fixed rates to one base currency.

Every amount in the engine is an integer number of minor units (fen, cents; yen and won have no
minor unit). A tip keeps the amount in its own currency and its *value*: the same amount in minor
units of the base currency, which is what histories and limits compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


class AmountError(ValueError):
    """An amount that is no amount.

    Attributes:
        reason: one of `amount_invalid|amount_negative|amount_zero|amount_absurd`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def to_minor(amount: object, decimals: int) -> int:
    """A decimal string or number in major units as integer minor units, always > 0.

    Digits finer than the currency's minor unit are rounded half to even; what rounds to nothing is
    refused as zero.

    >>> to_minor("12.50", 2), to_minor(12.5, 2), to_minor(30, 0), to_minor("0.125", 2)
    (1250, 1250, 30, 12)

    Raises:
        AmountError: not a finite number, negative, zero, or more than 10^15.
    """
    if type(amount) is str:
        whole, point, fraction = amount.partition(".")
        if whole.isdecimal() and whole.isascii() and len(whole) < 16:
            if not point:
                minor = int(whole) * 10**decimals
                return minor if minor else _refuse_zero()
            if fraction.isdecimal() and fraction.isascii() and len(fraction) <= decimals:
                minor = int(whole + fraction.ljust(decimals, "0"))
                return minor if minor else _refuse_zero()
    elif type(amount) is int and 0 < amount < 10**15:
        scale: int = 10**decimals
        return amount * scale
    return _to_minor_exact(amount, decimals)


def _to_minor_exact(amount: object, decimals: int) -> int:
    if isinstance(amount, bool) or not isinstance(amount, str | int | float | Decimal):
        raise AmountError(
            "amount_invalid", f"expected a decimal string or a number, found {_kind(amount)}"
        )
    if isinstance(amount, str) and len(amount) > 40:
        raise AmountError("amount_invalid", "expected a decimal of at most 40 characters")
    if isinstance(amount, str) and ("_" in amount or amount.split() != [amount]):
        raise AmountError("amount_invalid", "expected a decimal number")  # Decimal reads "1_000"
    try:
        # A float is read by its shortest decimal form: 0.1 means 0.1, not 0.1000000000000000055…
        exact = Decimal(repr(amount) if isinstance(amount, float) else amount)
    except InvalidOperation:
        raise AmountError("amount_invalid", "expected a decimal number") from None
    if not exact.is_finite():
        raise AmountError("amount_invalid", "expected a finite number")
    if exact < 0:
        raise AmountError("amount_negative", "expected more than 0")
    if exact > 10**15:
        raise AmountError("amount_absurd", "expected at most 10^15")
    minor = int(exact.scaleb(decimals).to_integral_value())
    return minor if minor else _refuse_zero()


def _refuse_zero() -> int:
    raise AmountError("amount_zero", "expected more than 0")


def _kind(value: object) -> str:
    names = {bool: "a boolean", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


@dataclass(frozen=True, slots=True)
class Currency:
    """One currency.

    Attributes:
        code: ISO 4217 code, or the operator's own name for a virtual coin.
        decimals: digits of the minor unit, 0 to 4.
        rate: units of the base currency that one unit of this one is worth, > 0.
        to_base: factor from minor units of this currency to minor units of the base currency.
    """

    code: str
    decimals: int
    rate: Decimal
    to_base: float


class Currencies:
    """The currencies the operator has given a fixed rate for.

    >>> rates = Currencies("CNY", {"CNY": ("1", 2), "JPY": ("0.05", 0)})
    >>> rates.value_minor(300, rates["JPY"])  # 300 yen = 15 yuan = 1,500 fen
    1500
    """

    def __init__(self, base: str, rates: dict[str, tuple[str, int]]) -> None:
        base_decimals = rates[base][1]
        self.base = base
        self.base_decimals = base_decimals
        self._known = {
            code: Currency(
                code,
                decimals,
                Decimal(rate),
                float(Decimal(rate) * Decimal(10) ** (base_decimals - decimals)),
            )
            for code, (rate, decimals) in rates.items()
        }

    def __getitem__(self, code: str) -> Currency:
        return self._known[code]

    def get(self, code: str) -> Currency | None:
        return self._known.get(code)

    def __iter__(self) -> object:
        return iter(self._known.values())

    @staticmethod
    def value_minor(amount_minor: int, currency: Currency) -> int:
        """The amount in minor units of the base currency, at least 1."""
        factor = currency.to_base
        if factor == 1.0:
            return amount_minor
        return max(1, round(amount_minor * factor))
