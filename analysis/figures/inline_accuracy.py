"""The main figure inside the HTML page: all results of a setting in one drawing, whose methods a
reader switches on and off.

It is written as SVG by hand: small, with a text at every point, and with a group for every series.
Accuracies stand on a log-odds axis, on which 98 and 99 % are as far apart as they are hard to tell
apart, and collapsed networks still have their place.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import pandas as pd

from analysis.captions import format_interval
from analysis.figures.axes import find_finite_ends, find_ticks
from analysis.figures.marks import find_drawn, find_line_style
from analysis.figures.svg_markers import draw_marker
from analysis.method_styles import FAMILIES
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.results import Results

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 34, 50
RADIUS = 4.6
ODDS_TICKS = (0.1, 1, 2, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.9, 99.99)
HALF = 0.02  # percent that shares are moved off 0 and 100, where log odds have no end
TICK_ROOM = {"x": 52.0, "y": 22.0}  # between two labels of an axis


@dataclass(frozen=True)
class FigureEntry:
    """One method of the figure's legend."""

    series_index: int
    label: str
    colour: str
    marker: str
    fill: str
    family: str


@dataclass(frozen=True)
class InlineFigure:
    """A figure as SVG source, with the entries of its legend."""

    title: str
    caption: str
    svg: str
    entries: tuple[FigureEntry, ...]

    @property
    def groups(self) -> list[tuple[str, list[FigureEntry]]]:
        """The entries by family, each with its heading, in the order of legends."""
        by_family = [
            (title, [entry for entry in self.entries if entry.family == family])
            for family, title in FAMILIES.items()
        ]
        return [(title, entries) for title, entries in by_family if entries]


@dataclass(frozen=True)
class _Axes:
    """Where values stand in the drawing."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def draw_inline_accuracy(results: Results, setting: Setting) -> InlineFigure | None:
    """The figure of a setting, with the last stage of every method; None where nothing was
    pruned."""
    shown = {
        series: results.measured_cells(setting, series)
        for series in results.list_measured_series(setting)
        if series in results.last_stages
    }
    pruned = {series: cells for series, cells in shown.items() if series.method != "dense"}
    if not pruned:
        return None
    axes = _find_axes(results, pd.concat(shown.values()))
    drawing = [*_draw_frame(axes, results.metric.heading)]
    dense = results.find_dense(setting)
    if dense is not None:
        drawing.append(_draw_dense(results, axes, dense))
    drawing += [_draw_series(results, axes, series, cells) for series, cells in pruned.items()]
    title = f"{results.metric.title} against sparsity, {setting.label}"
    source = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(drawing)}</svg>"
    )
    scale = ", on a log-odds axis" if results.metric.unit == "%" else ""
    caption = (
        f"{results.metric.heading}{scale}: means over seeds, bars are 95 % intervals"
        f"{'; dashed: the dense network' if dense is not None else ''}. A point tells its numbers."
    )
    entries = tuple(_make_entry(results, series) for series in pruned)
    return InlineFigure(title, caption[:1].upper() + caption[1:], source, entries)


def _make_entry(results: Results, series: Series) -> FigureEntry:
    marker = draw_marker(series.marker, 8, 8, 5.5)
    colour = str(find_line_style(series)["color"])
    return FigureEntry(
        results.series.index(series),
        series.label,
        colour,
        marker,
        _find_fill(series, colour),
        series.family,
    )


def _find_fill(series: Series, colour: str) -> str:
    """The inside of a series' markers: as in the other figures, every second variant is hollow."""
    return "#ffffff" if series.variant % 2 else colour


def _find_axes(results: Results, cells: pd.DataFrame) -> _Axes:
    """The axes: logarithmic in density, and log odds for shares."""
    pruned = cells.loc[cells["place"] > 0, "place"]
    right = float(1 - pruned.max())
    right = right if 0 < right < 0.95 else 0.5
    decades = -math.log10(right) * 1.06

    def find_x(place: float) -> float:
        density = max(1 - place, 1e-9)
        return LEFT + 8 - math.log10(density) / decades * (WIDTH - LEFT - RIGHT - 8)

    is_share = results.metric.unit == "%"
    low, high = find_finite_ends(cells["mean"])
    known = cells.dropna(subset=["low", "high"])
    reach = 0.5 * (high - low) or max(abs(high), 1.0)
    if len(known):
        low = min(low, max(float(known["low"].min()), low - reach))
        high = max(high, min(float(known["high"].max()), high + reach))
    bottom, top = _to_scale(low, share=is_share), _to_scale(high, share=is_share)
    margin = 0.04 * (top - bottom) or 1.0

    def find_y(value: float) -> float:
        part = (_to_scale(value, share=is_share) - bottom + margin) / (top - bottom + 2 * margin)
        return HEIGHT - BOTTOM - min(max(part, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    common = [round(1 - density, 9) for density in find_ticks(pruned)[1:]]
    x_ticks = _space([(find_x(place), f"{format_sparsity(place)} %") for place in common], "x")
    candidates = [value for value in ODDS_TICKS if low <= value <= high] if is_share else []
    if len(candidates) < 3:
        candidates = _find_round_numbers(low, high)
    # From the top, where most methods are, and where a scale of few numbers may have none.
    candidates = [*sorted(candidates)[::-1], *([math.floor(high)] if is_share else [])]
    y_ticks = _space([(find_y(value), f"{value:g}") for value in candidates], "y")
    return _Axes(find_x, find_y, [(find_x(0.0), "0 %"), *x_ticks], y_ticks)


def _to_scale(value: float, *, share: bool) -> float:
    """A value on the y axis: the log odds of a share in percent, else the value."""
    if not share:
        return value
    part = min(max(value, HALF), 100 - HALF)
    return math.log(part / (100 - part))


def _find_round_numbers(low: float, high: float) -> list[float]:
    """Some round numbers between two."""
    span = max(high - low, 1e-9)
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first = math.ceil(low / step)
    return [round(step * number, 9) for number in range(first, math.floor(high / step) + 1)]


def _space(ticks: list[tuple[float, str]], axis: str) -> list[tuple[float, str]]:
    """The ticks whose labels do not touch each other; the first ones come first."""
    kept: list[tuple[float, str]] = []
    for place, label in ticks:
        if all(abs(place - other) >= TICK_ROOM[axis] for other, _ in kept):
            kept.append((place, label))
    return kept


def _draw_frame(axes: _Axes, heading: str) -> list[str]:
    """Grid, tick labels and names of the axes."""
    bottom = HEIGHT - BOTTOM
    parts = []
    for x, label in axes.x_ticks:
        parts.append(f'<path class="grid" d="M{x:.1f},{TOP}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    for y, label in axes.y_ticks:
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 10}" text-anchor="middle">'
        "sparsity (axis logarithmic in density)</text>"
    )
    parts.append(f'<text x="8" y="{TOP - 14}">{escape(heading)}</text>')
    return parts


def _draw_dense(results: Results, axes: _Axes, dense: pd.Series) -> str:
    """The dense network as a dashed line with its interval as a band."""
    y = axes.y(float(dense["mean"]))
    band = ""
    if pd.notna(dense["low"]) and pd.notna(dense["high"]):
        top, bottom = axes.y(float(dense["high"])), axes.y(float(dense["low"]))
        band = (
            f'<rect class="dense-band" x="{LEFT}" y="{top:.1f}" '
            f'width="{WIDTH - LEFT - RIGHT}" height="{bottom - top:.1f}"/>'
        )
    text = f"Dense: {_describe_value(results, dense)}"
    return (
        f"<g>{band}<path class='dense' d='M{LEFT},{y:.1f}H{WIDTH - RIGHT}'/>"
        f"<title>{escape(text)}</title></g>"
    )


def _draw_series(results: Results, axes: _Axes, series: Series, cells: pd.DataFrame) -> str:
    """One method: its curve, an interval and a marker at each point."""
    cells = cells.iloc[find_drawn(len(cells))]
    points = [
        (axes.x(float(place)), axes.y(float(mean)))
        for place, mean in zip(cells["place"], cells["mean"], strict=True)
    ]
    curve = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="5 3"' if series.variant % 2 or series.family == "controls" else ""
    parts = [f'<polyline points="{curve}"{dashes}/>']
    colour = str(find_line_style(series)["color"])
    fill = _find_fill(series, colour)
    for (x, y), (_, cell) in zip(points, cells.iterrows(), strict=True):
        if pd.notna(cell["low"]) and pd.notna(cell["high"]):
            top, bottom = axes.y(float(cell["high"])), axes.y(float(cell["low"]))
            parts.append(f'<path class="bar" d="M{x:.1f},{top:.1f}V{bottom:.1f}"/>')
        where = f"{series.label} at {format_sparsity(float(cell['place']))} %"
        text = f"{where}: {_describe_value(results, cell)}"
        shape = draw_marker(series.marker, x, y, RADIUS)
        parts.append(f'<path fill="{fill}" d="{shape}"><title>{escape(text)}</title></path>')
    index = results.series.index(series)
    return f'<g class="curve" data-series="{index}" stroke="{colour}">{"".join(parts)}</g>'


def _describe_value(results: Results, cell: pd.Series) -> str:
    """The mean of a cell with interval, unit and number of seeds."""
    value = format_interval(cell["mean"], cell["low"], cell["high"], results.metric.decimals)
    unit = f" {results.metric.unit}" if results.metric.unit else ""
    return f"{value}{unit}, n = {cell['n']}"
