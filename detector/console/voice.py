"""How words, figures and times are told to one reader: in a language, and in a zone.

Knows how many digits help and how long ago something was. Does not know what is told.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from detector.console.model import LANGUAGES, Language
from detector.console.words import WORDS
from detector.core.reasons import UNITS

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_BARE = ("", "share", "times")
"""Units of plain numbers; what is counted in `times` is said by the sentence beside it."""


class Voice:
    """Tells things to one reader.

    Args:
        language: of words.
        zone: IANA name of the zone of times.

    Attributes:
        other: the language that is not spoken here.
        colon, comma: as they are written, with the gap after them.
        zone_label: the zone with its distance from UTC, as of `now_ms`.

    >>> Voice("zh", "Asia/Shanghai").name("kind", "minor")
    '未成年人打赏'
    >>> Voice("en", "UTC")("page_of", page=2, pages=3)
    'Page 2 of 3'
    """

    def __init__(self, language: Language, zone: str, now_ms: int = 0) -> None:
        self.language = language
        self.other: Language = LANGUAGES[1 - LANGUAGES.index(language)]
        self.colon, self.comma = (": ", ", ") if language == "en" else ("：", "，")
        self._index = LANGUAGES.index(language)
        self._zone = ZoneInfo(zone)
        self.zone_label = f"{zone} (UTC{_offset(self._local(now_ms))})"

    def __call__(self, key: str, **figures: object) -> str:
        """The words of a key, filled in.

        Raises:
            KeyError: there are none.
        """
        words = WORDS[key][self._index]
        return words.format(**figures) if figures else words

    def name(self, group: str, value: str) -> str:
        """What a value of the topics is called; the value itself where it has no name."""
        found = WORDS.get(f"{group}.{value}")
        return value if found is None else found[self._index]

    def figure(self, value: float | None, unit: str = "") -> str:
        """A number with its unit: at most three digits behind the first, shares in percent.

        >>> Voice("en", "UTC").figure(5200, "CNY"), Voice("zh", "UTC").figure(0.363, "share")
        ('5,200 CNY', '36.3%')
        >>> Voice("en", "UTC").figure(1, "days"), Voice("en", "UTC").figure(None, "CNY")
        ('1 day', '–')
        """
        if value is None:
            return "–"
        if unit == "share":
            return f"{value * 100:,.0f}%" if abs(value) >= 1 else f"{value * 100:.3g}%"
        if unit == "hour":
            return f"{int(value):02}:{round(value % 1 * 60):02}"
        digits = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
        name = "" if unit in _BARE else UNITS.get(unit, (unit, unit))[self._index]
        if value == 1 and len(name) > 1:
            name = name.removesuffix("s")
        gap = " " if self.language == "en" or name.isascii() else ""
        return f"{digits}{gap}{name}" if name else digits

    def money(self, value: float | None, currency: str) -> str:
        """An exact amount in major units.

        >>> Voice("en", "UTC").money(1234.5, "CNY"), Voice("zh", "UTC").money(520, "CNY")
        ('1,234.50 CNY', '520元')
        """
        if value is None:
            return "–"
        digits = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
        name = UNITS.get(currency, (currency, currency))[self._index]
        return f"{digits} {name}" if name.isascii() else f"{digits}{name}"

    def time(self, ms: int) -> str:
        """To the second.

        >>> Voice("en", "Asia/Shanghai").time(1772380802272)
        '2026-03-02 00:00:02'
        """
        return f"{self._local(ms):%Y-%m-%d %H:%M:%S}"

    def brief(self, ms: int) -> str:
        """To the minute, without the year."""
        return f"{self._local(ms):%m-%d %H:%M}"

    def clock(self, ms: int) -> str:
        """The hour and minute alone."""
        return f"{self._local(ms):%H:%M}"

    def date(self, ms: int) -> str:
        """The month and day alone."""
        return f"{self._local(ms):%m-%d}"

    def stretch(self, since_ms: int, until_ms: int) -> str:
        """From a minute to another; the day of the second only where it is another day.

        >>> Voice("en", "UTC").stretch(0, 3_600_000), Voice("en", "UTC").stretch(0, 86_400_000)
        ('01-01 00:00 – 01:00', '01-01 00:00 – 01-02 00:00')
        """
        is_one_day = self.date(since_ms) == self.date(until_ms)
        end = self.clock(until_ms) if is_one_day else self.brief(until_ms)
        return f"{self.brief(since_ms)} – {end}"

    def machine(self, ms: int) -> str:
        """For the attribute `datetime`: RFC 3339 with the zone's offset."""
        return self._local(ms).isoformat(timespec="seconds")

    def field(self, ms: int | None) -> str:
        """For a field of the type `datetime-local`; empty for None."""
        return "" if ms is None else f"{self._local(ms):%Y-%m-%dT%H:%M}"

    def shift_ms(self, ms: int) -> int:
        """How far local time is ahead of UTC then."""
        ahead = self._local(ms).utcoffset()
        return 0 if ahead is None else round(ahead.total_seconds() * 1000)

    def span(self, ms: int) -> str:
        """A stretch of time, roughly.

        >>> voice = Voice("en", "UTC")
        >>> voice.span(59_000), voice.span(3 * 3_600_000 + 60_000), voice.span(50 * 3_600_000)
        ('< 1 min', '3 h 1 min', '2 d 2 h')
        """
        day, hour, minute = ("d", "h", "min") if self.language == "en" else ("天", "小时", "分钟")
        gap = " " if self.language == "en" else ""
        if ms < _MINUTE_MS:
            return f"< 1 {minute}"
        parts = [(ms // _DAY_MS, day), (ms % _DAY_MS // _HOUR_MS, hour)]
        if ms < _DAY_MS:
            parts = [parts[1], (ms % _HOUR_MS // _MINUTE_MS, minute)]
        return gap.join(f"{count}{gap}{name}" for count, name in parts if count)

    def _local(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, self._zone)


def _offset(local: datetime) -> str:
    """Such as `+08:00`."""
    found = f"{local:%z}"
    return f"{found[:3]}:{found[3:]}"
