"""What the account, its device and its instrument add to evidence of another family."""

from __future__ import annotations

from detector.core.features import Features
from detector.core.reasons import Reason
from detector.core.tipper import DAY_MS

_NEW_ACCOUNT_DAYS = 7
_SOME = 0.4  # counts as a family of its own, and is little by itself: most of it is ordinary life


def is_new_account(f: Features) -> bool:
    """Whether the account was made within the week; False where the event does not say."""
    return f.account_age_ms is not None and f.account_age_ms < _NEW_ACCOUNT_DAYS * DAY_MS


def account_reasons(f: Features) -> list[Reason]:
    """One reason each; none where the event does not say."""
    reasons = []
    if is_new_account(f):
        days = (f.account_age_ms or 0) / DAY_MS
        reasons.append(
            Reason("new_account", "identity", days, None, _NEW_ACCOUNT_DAYS, "days", 0, _SOME)
        )
    device, instrument = f.device, f.instrument
    if device is not None and device.times == 0 and device.others:
        reasons.append(Reason("new_device", "device", 1, None, None, "times", device.others, _SOME))
    if instrument is not None and instrument.times == 0 and instrument.others:
        reasons.append(
            Reason("new_instrument", "instrument", 1, None, None, "times", instrument.others, _SOME)
        )
    if f.event.instrument_holder == "other":
        reasons.append(Reason("other_holder", "instrument", 1, None, None, "times", 0, _SOME))
    return reasons
