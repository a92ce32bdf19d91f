"""Local days, months and minutes of one time zone, cheap enough to ask for every event."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_SLOT_MS = 900_000  # every offset change of the tz database falls on a quarter of an hour
_DAY_MS = 86_400_000
_MAX_SLOTS = 4_096
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class LocalCalendar:
    """Calendar of one zone.

    >>> shanghai = LocalCalendar("Asia/Shanghai")
    >>> day, minute = shanghai.day_and_minute(1_772_380_802_272)  # 2026-03-02 00:00:02 +08:00
    >>> day, minute, shanghai.month_of(day)
    (20514, 0, 24314)
    """

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self._offsets_ms: dict[int, int] = {}
        self._months: dict[int, int] = {}

    def day_and_minute(self, time_ms: int) -> tuple[int, int]:
        """(days since 1970-01-01, minute of the day 0..1439), both local."""
        slot = time_ms // _SLOT_MS
        offset_ms = self._offsets_ms.get(slot)
        if offset_ms is None:
            offset_ms = self._look_up_offset_ms(slot)
        day, in_day_ms = divmod(time_ms + offset_ms, _DAY_MS)
        return day, in_day_ms // 60_000

    def month_of(self, day: int) -> int:
        """Months since year 0 of a local day: year * 12 + month - 1."""
        month = self._months.get(day)
        if month is None:
            if len(self._months) >= _MAX_SLOTS:
                self._months.clear()
            local = date.fromordinal(day + _EPOCH_ORDINAL)
            month = self._months[day] = local.year * 12 + local.month - 1
        return month

    def _look_up_offset_ms(self, slot: int) -> int:
        if len(self._offsets_ms) >= _MAX_SLOTS:
            self._offsets_ms.clear()
        moment = datetime.fromtimestamp(slot * _SLOT_MS / 1000, UTC).astimezone(self.zone)
        offset_ms = round((moment.utcoffset() or timedelta()).total_seconds() * 1000)
        self._offsets_ms[slot] = offset_ms
        return offset_ms
