"""Small drawings of the report as inline SVG: an interval on a line with what to hold it against, and the confusion matrix."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from moa.evaluation.rows import Row
from moa.evaluation.statistics import Estimate

WIDTH, HEIGHT, EDGE = 256, 26, 7


def number(value: float | None, unit: str) -> str:
    """A value as people read it."""
    if value is None or np.isnan(value):
        return "–"
    return {"share": f"{100 * value:.1f}", "range": f"{value:.2f}", "decibel": f"{value:.1f}"}[unit]


def interval(found: Estimate | None, unit: str) -> str:
    """The ends of an interval."""
    return "" if found is None or not found.count else f"{number(found.low, unit)} – {number(found.high, unit)}"


def line(row: Row, most: float) -> str:
    """The value with its interval, on a line from 0 to `most`; ticks for majority, prior, ceiling and aim."""

    def at(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * min(max(value / most, 0), 1)

    y, parts = HEIGHT / 2, []
    parts.append(f'<line class="rail" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}"/>')
    for quarter in range(5):
        parts.append(f'<line class="grid" x1="{at(most * quarter / 4):.1f}" x2="{at(most * quarter / 4):.1f}" y1="{y - 3}" y2="{y + 3}"/>')
    if row.aim is not None:
        x = at(row.aim)
        parts.append(f'<path class="aim" d="M{x:.1f} {y - 6} l-4.5 -6 h9 z"><title>aim {number(row.aim, row.unit)}</title></path>')
    if row.majority is not None and not np.isnan(row.majority):
        parts.append(
            f'<line class="majority" x1="{at(row.majority):.1f}" x2="{at(row.majority):.1f}" y1="{y - 6}" y2="{y + 6}"><title>majority class {number(row.majority, row.unit)}</title></line>'
        )
    for name, found in (("prior", row.prior), ("ceiling", row.ceiling)):
        if found is not None and found.count:
            parts.append(
                f'<circle class="{name}" cx="{at(found.value):.1f}" cy="{y}" r="4.6"><title>{name} {number(found.value, row.unit)}</title></circle>'
            )
    if row.value.count:
        parts.append(f'<line class="whisker" x1="{at(row.value.low):.1f}" x2="{at(row.value.high):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="value" cx="{at(row.value.value):.1f}" cy="{y}" r="4.6"/>')
    return f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_spoken(row))}">{"".join(parts)}</svg>'


def matrix(table: Float[np.ndarray, "r c"], rows: Sequence[str], columns: Sequence[str]) -> str:
    """A confusion matrix as an HTML table whose cells are shaded by their share."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th>{escape(name)}</th>"
        + "".join(f'<td style="--share:{value:.3f}" class="{"dark" if value > 0.55 else ""}">{100 * value:.0f}</td>' for value in values)
        + "</tr>"
        for name, values in zip(rows, table, strict=True)
    )
    return f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'


def most_of(rows: Sequence[Row]) -> float:
    """The right end of a group's lines: 1 for shares, else a round number above everything."""
    if all(row.unit == "share" for row in rows):
        return 1.0
    values = [found.high for row in rows for found in (row.value, row.prior, row.ceiling) if found is not None and found.count]
    largest = max(values, default=1.0) or 1.0
    step = 10 ** np.floor(np.log10(largest))
    return float(np.ceil(largest / step) * step)


def _spoken(row: Row) -> str:
    return f"{number(row.value.value, row.unit)}, interval {interval(row.value, row.unit)}"
