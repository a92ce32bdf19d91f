"""Sky-high tips (天价打赏): far above what the tipper gives, and above what the site sees.

Two shapes. A single tip is judged against the tipper's own tips first and the site's second; an
account without a history only against the site. A sustained one (the shape of embezzled money,
DOMAIN: months of tips far above peers) is judged by the tipper's week against the site's weeks,
and only while it is new for this tipper: a whale with a long, steady history is no case.
"""

from __future__ import annotations

from math import exp

from detector.core.evidence import habit_limit, spread, strength
from detector.core.features import Features
from detector.core.reasons import Reason
from detector.core.tipper import DAY_MS

_OWN_FROM = 3  # tips before there is a habit to compare with
_OWN_DEVIATIONS = 4.0
_OWN_MAXIMUM_COUNTS_MS = 90 * DAY_MS
_NEW_ACCOUNT_MS = 7 * DAY_MS
_STEADY_MS = 7 * DAY_MS
_COMBO_FROM = 10
_BENIGN_AT_MOST = 0.65  # low at most, with the thresholds as shipped
_LOVE_NUMBERS = frozenset({"52", "521", "1314", "131452", "5201314", "52013", "5211314"})


class Outsized:
    """Detector of `outsized`. Families: amount; identity, device and instrument beside it.

    Args:
        unit: code of the base currency.
        scale: minor units of the base currency in one of it.
    """

    kind = "outsized"

    def __init__(self, unit: str, scale: int) -> None:
        self._unit = unit
        self._scale = scale

    def score(self, f: Features) -> float:
        single = self._single(f)
        if single > _BENIGN_AT_MOST and (self._is_love_number(f) or _is_combo(f)):
            single = _BENIGN_AT_MOST
        sustained = self._sustained(f)
        return single if single >= sustained else sustained

    def explain(self, f: Features) -> list[Reason]:
        reasons = self._sustained_reasons(f) if self._sustained(f) >= 0.4 else []
        if self._single(f) >= 0.4:
            reasons += self._single_reasons(f)
        reasons += account_reasons(f)
        if self._is_love_number(f) and f.streamer is not None:
            reasons.append(
                Reason("benign_love_number", "content", f.value / self._scale, None, None,
                       self._unit, f.streamer.times, 0.3, is_benign=True)
            )  # fmt: skip
        if _is_combo(f):
            quantity = float(f.event.quantity or 0)
            reasons.append(
                Reason("benign_combo", "amount", quantity, None, None, "times", f.before.n, 0.3,
                       is_benign=True)
            )  # fmt: skip
        return reasons

    def _single(self, f: Features) -> float:
        own = self._above_own(f)
        site = f.typical_tip
        if site is None:
            return 0.6 * own if own is not None else 0.0
        above_site = strength(f.value / site.extreme)
        if own is None:
            is_new = f.account_age_ms is not None and f.account_age_ms < _NEW_ACCOUNT_MS
            return above_site if is_new else 0.7 * above_site
        score = own * (0.6 + 0.4 * above_site)
        return score if f.value >= site.high else score * f.value / site.high

    def _above_own(self, f: Features) -> float | None:
        return strength(f.value / _own_limit(f)) if f.before.n >= _OWN_FROM else None

    def _sustained(self, f: Features) -> float:
        site = f.typical_week
        if site is None or f.days < 2 or f.sum_week < site.extreme:
            return 0.0
        # At a steady rate both sums, each over its own time constant, are the same per day.
        shift = (f.sum_week / 7) / (f.sum_60d / 60)
        novelty = min(1.0, max(0.0, (shift - 2.0) / 3.0))
        return 0.8 * novelty * strength(f.sum_week / (2 * site.extreme))

    def _is_love_number(self, f: Features) -> bool:
        known = f.streamer
        return (
            known is not None
            and known.times >= 5
            and f.before.n >= 10
            and f.event.event_time_ms - known.first_ms >= _STEADY_MS
            and str(f.value).strip("0") in _LOVE_NUMBERS
        )

    def _single_reasons(self, f: Features) -> list[Reason]:
        reasons = []
        before, scale = f.before, self._scale
        own = self._above_own(f)
        if own is not None and own >= 0.3:
            reasons.append(
                Reason("above_own_history", "amount", f.value / scale, exp(before.mean) / scale,
                       _own_limit(f) / scale, self._unit, before.n, own)
            )  # fmt: skip
        elif own is None:
            reasons.append(
                Reason("first_tips", "amount", f.value / scale, None, None, self._unit,
                       before.n, 0.5)
            )  # fmt: skip
        site = f.typical_tip
        if site is not None and f.value >= site.high:
            reasons.append(
                Reason("above_site", "amount", f.value / scale, site.middle / scale,
                       site.extreme / scale, self._unit, site.n, strength(f.value / site.extreme))
            )  # fmt: skip
        return reasons

    def _sustained_reasons(self, f: Features) -> list[Reason]:
        site, scale = f.typical_week, self._scale
        if site is None:
            return []
        usual = 7 * (f.sum_60d - f.sum_week) / 53
        return [
            Reason("sustained_week", "amount", f.sum_week / scale, max(0.0, usual) / scale,
                   site.extreme / scale, self._unit, f.before.n,
                   strength(f.sum_week / (2 * site.extreme)))
        ]  # fmt: skip


def _is_combo(f: Features) -> bool:
    """Many of a gift that is ordinary by itself (66, 99), and no more than the site knows."""
    quantity, site = f.event.quantity, f.typical_tip
    if quantity is None or quantity < _COMBO_FROM or f.before.n < _OWN_FROM or site is None:
        return False
    return f.value <= 2 * site.extreme and f.value / quantity <= exp(f.before.mean) * 3


def _own_limit(f: Features) -> float:
    """What this tipper may tip before it is unlike him, minor units of the base currency."""
    before = f.before
    limit = habit_limit(
        before.mean, _OWN_DEVIATIONS, spread(before.n, before.variance, 0.8, 8, 0.35)
    )
    largest = 2.0 * before.max_value
    if largest > limit and f.event.event_time_ms - before.max_ms < _OWN_MAXIMUM_COUNTS_MS:
        return largest
    return limit


def account_reasons(f: Features) -> list[Reason]:
    """What the account, its device and its instrument add to evidence of another family."""
    reasons = []
    age_ms = f.account_age_ms
    if age_ms is not None and age_ms < _NEW_ACCOUNT_MS:
        days = age_ms / DAY_MS
        reasons.append(Reason("new_account", "identity", days, None, 7, "days", 0, 0.4))
    device, instrument = f.device, f.instrument
    if device is not None and device.times == 0 and device.others:
        reasons.append(Reason("new_device", "device", 1, None, None, "times", device.others, 0.4))
    if instrument is not None and instrument.times == 0 and instrument.others:
        reasons.append(
            Reason("new_instrument", "instrument", 1, None, None, "times", instrument.others, 0.4)
        )
    if f.event.instrument_holder == "other":
        reasons.append(Reason("other_holder", "instrument", 1, None, None, "times", 0, 0.4))
    return reasons
