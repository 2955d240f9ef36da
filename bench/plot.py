"""A line through measured points, as SVG: readable in light and dark, with nothing fetched from anywhere.

A library for plots would be ten times the rest of what the bench needs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_COLORS = ("#2a78d6", "#e0701c", "#3f9a57")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one kind, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines over common axes; the upright one begins at zero. `log`: the level one has powers of ten."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    log: bool = False


def svg(drawing: Drawing) -> str:
    """Return the drawing as an SVG document."""
    style = "text{font:12px sans-serif;fill:#888}.t{font-size:14px}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(drawing.title)}</title><style>{style}</style>",
        f'<text class="t" x="{_LEFT}" y="20">{escape(drawing.title)}</text>',
        *_axes(drawing),
        *(part for number, line in enumerate(drawing.lines) for part in _line(drawing, line, number)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(drawing: Drawing) -> Iterator[str]:
    top = _top(drawing)
    for number in range(_TICKS + 1):
        value = top * number / _TICKS
        y = _y(drawing, value)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#888" stroke-opacity="0.3"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_label(value)}</text>'
    for x in sorted({x for line in drawing.lines for x, _ in line.points}):
        at = _x(drawing, x)
        yield f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_label(x)}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(drawing.across)}</text>'
    level = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield f'<text transform="translate(14 {level}) rotate(-90)" text-anchor="middle">{escape(drawing.up)}</text>'


def _line(drawing: Drawing, line: Line, number: int) -> Iterator[str]:
    color = _COLORS[number % len(_COLORS)]
    places = [(_x(drawing, x), _y(drawing, y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>'
    for (x, y), (_, value) in zip(places, line.points, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"><title>{_label(value)}</title></circle>'
    right = _WIDTH - _RIGHT
    yield f'<text x="{right}" y="{20 + 15 * number}" text-anchor="end" style="fill:{color}">{escape(line.name)}</text>'


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _top(drawing: Drawing) -> float:
    """Return a round number that no point is above."""
    highest = max(y for line in drawing.lines for _, y in line.points) or 1.0
    unit = 10.0 ** math.floor(math.log10(highest))
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if step * unit >= highest)


def _x(drawing: Drawing, value: float) -> float:
    values = [x for line in drawing.lines for x, _ in line.points]
    lowest, highest = (min(values), max(values)) if drawing.log else (0.0, max(values))
    if drawing.log:
        lowest, highest, value = math.log10(lowest), math.log10(highest), math.log10(value)
    share = (value - lowest) / ((highest - lowest) or 1.0)
    return _LEFT + 20 + share * (_WIDTH - _LEFT - _RIGHT - 50)


def _y(drawing: Drawing, value: float) -> float:
    return _HEIGHT - _BOTTOM - value / _top(drawing) * (_HEIGHT - _TOP - _BOTTOM)
