"""Line plots as inline SVG: no script, no outside style; colours come from the page's style sheet.

Knows how to draw; does not know what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 380, 250
_PLAIN = 'fill="none" stroke="currentColor"'
"""How a line looks where the page's style sheet does not reach into the drawing."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 34, 40


class Series(NamedTuple):
    """One line.

    Attributes:
        label: what the legend calls it.
        style: a class of the page's style sheet, such as `s1`.
        points: x of 0 to 1, and y; None leaves a gap.
    """

    label: str
    style: str
    points: Sequence[tuple[float, float | None]]


class Mark(NamedTuple):
    """A vertical line at `x`, of 0 to 1, with a word at its top."""

    label: str
    x: float


def line_plot(
    name: str, title: str, description: str, series: Sequence[Series],
    marks: Sequence[Mark] = (), is_log: bool = False,
) -> str:  # fmt: skip
    """A plot over 0 to 1.

    Args:
        name: unique in the page; ids are made from it.
        title, description: what a screen reader says; the title is also shown.
        series: the lines.
        marks: vertical lines.
        is_log: whether y is logarithmic, and ends where the data do; else it is 0 to 1. Then points
            at 0 or below are not shown.
    """
    scale = _log_scale(series) if is_log else _Scale([(step / 4, step / 4) for step in range(5)])
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="11" '
        f'aria-labelledby="{escape(name)}-t {escape(name)}-d">',
        f'<title id="{escape(name)}-t">{escape(title)}</title>',
        f'<desc id="{escape(name)}-d">{escape(description)}</desc>',
        f'<text class="heading" x="{_LEFT}" y="13">{escape(title)}</text>',
    ]
    for value, height in scale.ticks:
        y = _y(height)
        parts.append(
            '<line class="grid" stroke="silver" '
            f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{value:g}</text>'
        )
    parts += [
        f'<text class="tick" x="{_x(step / 4)}" y="{HEIGHT - _BOTTOM + 15}" '
        f'text-anchor="middle">{step / 4:g}</text>'
        for step in range(5)
    ]
    parts.append(
        f'<text class="tick" x="{_x(0.5)}" y="{HEIGHT - _BOTTOM + 31}" '
        'text-anchor="middle">threshold</text>'
    )
    for mark in marks:
        x = _x(mark.x)
        parts.append(
            '<line class="mark" stroke="gray" '
            f'x1="{x}" x2="{x}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" x="{x}" y="{_TOP - 4}" text-anchor="middle">'
            f"{escape(mark.label)}</text>"
        )
    parts += [_path(each, scale) for each in series]
    return "\n".join([*parts, "</svg>"])


def legend(series: Sequence[Series]) -> str:
    """The legend, as HTML: a short piece of each line and its label."""
    items = "".join(
        f'<li><svg class="key" viewBox="0 0 30 8" aria-hidden="true">'
        f'<path class="line {escape(each.style)}" {_PLAIN} d="M0 4H30"/></svg> '
        f"{escape(each.label)}</li>"
        for each in series
    )
    return f'<ul class="legend">{items}</ul>'


class _Scale:
    """From y to a height of 0 to 1.

    Args:
        ticks: values and their heights.
        low, high: exponents of ten at the bottom and at the top; None where it is linear.
    """

    def __init__(
        self, ticks: list[tuple[float, float]], low: int | None = None, high: int = 0
    ) -> None:
        self.ticks = ticks
        self._low, self._high = low, high

    def height(self, value: float) -> float | None:
        if self._low is None:
            return value
        if value <= 0:
            return None
        return (log10(value) - self._low) / (self._high - self._low)


def _log_scale(series: Sequence[Series]) -> _Scale:
    values = [y for each in series for _, y in each.points if y]
    low = floor(log10(min(values))) if values else -1
    high = max(ceil(log10(max(values))), low + 1) if values else 1
    ticks = [(10.0**power, (power - low) / (high - low)) for power in range(low, high + 1)]
    return _Scale(ticks, low, high)


def _path(series: Series, scale: _Scale) -> str:
    steps, is_drawing = [], False
    for x, value in series.points:
        height = None if value is None else scale.height(value)
        if height is not None:
            steps.append(f"{'L' if is_drawing else 'M'}{_x(x):g} {_y(height):g}")
        is_drawing = height is not None
    return f'<path class="line {escape(series.style)}" {_PLAIN} d="{" ".join(steps)}"/>'


def _x(share: float) -> float:
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
