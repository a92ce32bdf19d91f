"""Pieces of an HTML page: sections, tables, figures. Whoever calls escapes what is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

NONE = "–"
"""What stands where there is no figure."""


def section(title: str, body: str) -> str:
    """A section with its heading."""
    return f"<section><h2>{title}</h2>{body}</section>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table of escaped cells; the first `texts` columns hold words."""
    top = "".join(
        f'<th scope="col"{" class=text" if at < texts else ""}>{each}</th>'
        for at, each in enumerate(heads)
    )
    body = "".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>' + "".join(
            f"<td{' class=text' if at < texts else ''}>{cell}</td>"
            for at, cell in enumerate(row[1:], 1)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def percent(share: float | None) -> str:
    """A share, 0 to 1.

    >>> percent(0.9712), percent(None)
    ('97.1 %', '–')
    """
    return NONE if share is None else f"{100 * share:.1f} %"


def figure(value: float | None, digits: int = 2) -> str:
    """A figure with so many digits after the point.

    >>> figure(1234.567), figure(3, 0)
    ('1,234.57', '3')
    """
    return NONE if value is None else f"{value:,.{digits}f}"


def moment(epoch_ms: int) -> str:
    """A point in time, UTC.

    >>> moment(1772380802272)
    '2026-03-01 16:00'
    """
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def spread(figures: dict[str, float] | None) -> str:
    """A median and a nine-tenths point."""
    return NONE if figures is None else f"{figures['median']:g} / {figures['p90']:g}"
