"""A pupil's calendar: when school is, when a child is free, when it should be asleep.

The times are an operator's setting, not law, and they differ by place and year. What they tell is
weak and goes both ways: courts have read school hours and late night as an adult's and the time
after school as a child's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

Time = Literal["child", "adult", "either"]
"""Whose time it rather is: a child's own, one in which it is at school or asleep, or anybody's."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MAX_DAYS = 4_096


@dataclass(frozen=True, slots=True)
class SchoolTimes:
    """How the calendar is set up. Times of day are `HH:MM-HH:MM`, local, the end excluded.

    Attributes:
        days: days of the week with school, 1 for Monday to 7.
        hours: times of lessons on those days.
        after_school: a pupil's free time on those days.
        free_day: the same on all other days.
        night: time of sleep on any day.
        holidays: days without school: `MM-DD` of any year or `YYYY-MM-DD`, or two with a slash
            between first and last, over New Year where the first is later than the last.
    """

    days: tuple[int, ...]
    hours: tuple[str, ...]
    after_school: str
    free_day: str
    night: str
    holidays: tuple[str, ...]


class SchoolCalendar:
    """Whose time a local moment is.

    Raises:
        ValueError: a time or a day cannot be read.

    >>> times = SchoolTimes((1, 2, 3, 4, 5), ("08:00-11:30", "13:30-16:00"), "16:00-22:00",
    ...                     "08:00-22:00", "00:00-06:00", ("12-30/01-02",))
    >>> calendar = SchoolCalendar(times)
    >>> monday = 20_514  # 2026-03-02
    >>> [calendar.time_of(monday, hour * 60) for hour in (3, 9, 12, 17, 23)]
    ['adult', 'adult', 'either', 'child', 'either']
    >>> calendar.time_of(monday + 5, 9 * 60), calendar.time_of(monday - 60, 9 * 60)
    ('child', 'child')
    """

    def __init__(self, times: SchoolTimes) -> None:
        night = [parse_times(times.night)]
        lessons = [parse_times(each) for each in times.hours]
        self._school_day = _table(child=[parse_times(times.after_school)], adult=lessons + night)
        self._free_day = _table(child=[parse_times(times.free_day)], adult=night)
        self._weekdays = frozenset(times.days)
        self._holidays = [parse_days(each) for each in times.holidays]
        self._tables: dict[int, Sequence[Time]] = {}

    def time_of(self, day: int, minute: int) -> Time:
        """Whose time it is.

        Args:
            day: days since 1970-01-01, local.
            minute: minute of that day, 0..1439.
        """
        table = self._tables.get(day)
        if table is None:
            if len(self._tables) >= _MAX_DAYS:
                self._tables.clear()
            table = self._school_day if self.is_school_day(day) else self._free_day
            self._tables[day] = table
        return table[minute]

    def is_school_day(self, day: int) -> bool:
        """Whether there are lessons on a local day."""
        local = date.fromordinal(day + _EPOCH_ORDINAL)
        if local.isoweekday() not in self._weekdays:
            return False
        texts = (local.isoformat(), local.strftime("%m-%d"))
        for first, last in self._holidays:
            text = texts[0] if len(first) == len(texts[0]) else texts[1]
            is_within = text >= first and text <= last
            if is_within or (first > last and (text >= first or text <= last)):
                return False
        return True


def parse_times(text: str) -> tuple[int, int]:
    """First minute of the day and the one after the last of `HH:MM-HH:MM`.

    Raises:
        ValueError: it is something else.

    >>> parse_times("16:00-22:00")
    (960, 1320)
    """
    try:
        first, last = (
            int(hour) * 60 + int(minute)
            for hour, minute in (clock.split(":") for clock in text.split("-"))
        )
    except ValueError:
        raise ValueError(f'"{text}": expected times such as 16:00-22:00') from None
    if not 0 <= first < last <= 1440:
        raise ValueError(f'"{text}": expected a start before its end, within 00:00-24:00')
    return first, last


def parse_days(text: str) -> tuple[str, str]:
    """First and last day of `MM-DD`, `YYYY-MM-DD`, or two of them with a slash between.

    Raises:
        ValueError: it is something else.

    >>> parse_days("07-10/08-31"), parse_days("2026-06-19")
    (('07-10', '08-31'), ('2026-06-19', '2026-06-19'))
    """
    first, _, last = text.partition("/")
    last = last or first
    try:
        for day in (first, last):
            date.fromisoformat(day if len(day) == 10 else f"2000-{day}")
        if len(first) != len(last) or (len(first) == 10 and first > last):
            raise ValueError
    except ValueError:
        raise ValueError(f'"{text}": expected days such as 07-10/08-31 or 2026-06-19') from None
    return first, last


def _table(child: list[tuple[int, int]], adult: list[tuple[int, int]]) -> Sequence[Time]:
    times: list[Time] = ["either"] * 1440
    for first, last in child:
        times[first:last] = ["child"] * (last - first)
    for first, last in adult:
        times[first:last] = ["adult"] * (last - first)
    return tuple(times)
