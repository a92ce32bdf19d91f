"""SVG elements, and axes that fit any width without a script.

Across, everything stands in percent of the width, so that a chart is as wide as its page and its
letters stay as large as the page's; down, in pixels. Colours are classes of the style sheet, which
knows the dark page and the printer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

_DAY_MS = 86_400_000
_STEPS_MS = (
    60_000, 300_000, 900_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000,
    _DAY_MS, 2 * _DAY_MS, 7 * _DAY_MS, 14 * _DAY_MS, 28 * _DAY_MS,
)  # fmt: skip


def element(name: str, *content: object, **attributes: object) -> Markup:
    """One element; `class_` gives `class`, other underscores hyphens. Everything is escaped.

    >>> element("text", "<b>", class_="label", text_anchor="end", x=percent(50))
    Markup('<text class="label" text-anchor="end" x="50%">&lt;b&gt;</text>')
    """
    stated = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(each) for each in content)
    return Markup(f"<{name}{stated}>{inner}</{name}>")  # every part is escaped


def chart(key: str, title: str, description: str, height: int, parts: Iterable[Markup]) -> Markup:
    """A whole drawing that readers of the screen hear as its title and description."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *parts,
        class_=f"chart chart-{key}",
        height=height,
        width="100%",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def percent(value: float) -> str:
    """A place across."""
    return f"{round(value, 2):g}%"


class Across(NamedTuple):
    """A linear axis across: `start` to `end`, between two percentages of the width."""

    start: float
    end: float
    left: float = 1.0
    right: float = 99.0

    def at(self, value: float) -> float:
        """Where a value is, in percent; those outside stand at the edge."""
        share = (value - self.start) / ((self.end - self.start) or 1)
        return self.left + (self.right - self.left) * min(1.0, max(0.0, share))


class Logarithmic(NamedTuple):
    """A logarithmic axis down: `least` at `bottom`, `most` at `top`, pixels from above."""

    least: float
    most: float
    top: float
    bottom: float

    def at(self, value: float) -> float:
        """Where a value is, in pixels; those outside stand at the edge."""
        low, high = math.log10(self.least), math.log10(self.most)
        share = (math.log10(max(value, self.least)) - low) / ((high - low) or 1)
        return round(self.bottom - (self.bottom - self.top) * min(1.0, share), 1)

    def ticks(self, most: int = 5) -> list[float]:
        """Powers of ten, as many as can be told apart.

        >>> Logarithmic(1, 12_000, 0, 100).ticks()
        [1.0, 10.0, 100.0, 1000.0, 10000.0]
        """
        first, last = math.ceil(math.log10(self.least)), math.floor(math.log10(self.most))
        step = max(1, -(-(last - first + 1) // most))
        return [10.0**power for power in range(first, last + 1, step)]


def logarithmic(values: Iterable[float], top: float, bottom: float) -> Logarithmic:
    """An axis that values fit on; it begins and ends at a power of ten."""
    positive = [each for each in values if each > 0] or [1.0]
    least, most = math.log10(min(positive)), math.log10(max(positive))
    low, high = math.floor(least), math.ceil(most)
    return Logarithmic(10.0**low, 10.0 ** max(high, low + 1), top, bottom)


def time_ticks(start_ms: float, end_ms: float, zone_shift_ms: float, most: int) -> Iterator[int]:
    """Round local times within a stretch, at most so many; none where it is too long for that.

    >>> list(time_ticks(10, 7_200_010, 0, 6))
    [1800000, 3600000, 5400000, 7200000]
    """
    span_ms = end_ms - start_ms
    step = next((each for each in _STEPS_MS if span_ms / each <= most), None)
    if step is None:
        step = -(-int(span_ms / most) // _DAY_MS) * _DAY_MS
    first = math.ceil((start_ms + zone_shift_ms) / step) * step
    at_ms = int(first - zone_shift_ms)
    while at_ms <= end_ms:
        yield at_ms
        at_ms += step
