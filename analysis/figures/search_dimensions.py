"""What candidates of a search reached against one of its dimensions, with those that fell out
marked below."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.figures.marks import find_error_bars
from analysis.reading.search_data import Search
from analysis.series import format_sparsity
from analysis.statistics.intervals_and_tests import wilson_interval

HEIGHT, PANELS = 1.75, 4
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
OUT = {"stopped": ("stopped early", "|", "0.35"), "too costly": ("too costly", "2", "#7A1F0F")}
OUT |= {"disconnected": ("disconnected", "x", "#C00000"), "failed": ("failed", "+", "#C00000")}


def draw_searched(
    search: Search, head: str, foot: str, best: pd.DataFrame, kinds: tuple[str, ...]
) -> list[Picture]:
    """Figures for every dimension of numbers, with a panel for each sparsity.

    Args:
        head: method, network and data set, for the title.
        foot: ends the caption.
        best: `sparsity`, `mean`, `low`, `high`, `n` on the test set and the dimensions of the best;
            may be empty.
    """
    pictures = []
    for name in search.dimensions:
        shown = search.candidates.dropna(subset=[name])
        if not search.is_number(name) or shown[name].nunique() < 2:
            continue
        sparsities = [one for one in search.sparsities if (shown["sparsity"] == one).any()]
        pages = [sparsities[start : start + PANELS] for start in range(0, len(sparsities), PANELS)]
        for number, page in enumerate(pages):
            part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
            pictures.append(
                _draw_page(search, name, shown, page, head, foot, best, kinds, part, number)
            )
    return pictures


def _draw_page(
    search: Search,
    name: str,
    shown: pd.DataFrame,
    sparsities: list[float],
    head: str,
    foot: str,
    best: pd.DataFrame,
    kinds: tuple[str, ...],
    part: str,
    number: int,
) -> Picture:
    here = shown[shown["sparsity"].isin(sparsities)]
    done = here[here["outcome"] == "done"]
    title = f"Validation accuracy against {name}, {head}{part}"
    remarks = [f"{len(done)} of {len(here)} candidates trained to the end, one seed each"]
    if done["images"].notna().any():
        images = int(done["images"].max())
        remarks.append(
            f"bars: 95 % Wilson intervals of {images:,} validation images, cut at the frame"
        )
    remarks.append("below the line: candidates that were not trained to the end, at their values")
    if len(best):
        remarks.append(
            "diamonds: the best on the test set, mean and 95 % interval over "
            f"n = {int(best['n'].max())} seeds"
        )
    other = next(
        (one for one in search.dimensions if one != name and not search.is_number(one)), ""
    )
    if search.rung:
        remarks.append(
            f"right: all candidates after the {search.rung} epochs that the first were stopped "
            "after"
        )
    caption = f"{title}. {'; '.join([*remarks, foot])}."
    with style():
        margins = Margins(left=0.95, top=0.62, between=0.42, gap=0.5, legend=1.35)
        canvas = Canvas(
            title,
            heights=[HEIGHT] * len(sparsities),
            columns=2 if search.rung else 1,
            margins=margins,
            foot="; ".join([*remarks, foot]),
        )
        handles: dict[str, Line2D] = {}
        for row, sparsity in enumerate(sparsities):
            axes = canvas.axes[row][0]
            at = here[here["sparsity"] == sparsity]
            label = name if row == len(sparsities) - 1 else ""
            canvas.head(row, f"sparsity {format_sparsity(sparsity)} %")
            won = best[best["sparsity"] == sparsity] if len(best) else best
            handles |= _draw_panel(search, axes, at, name, other, won)
            _set_axis(axes, here[name].astype(float), log=search.is_log(name), label=label)
            if search.rung:
                early = canvas.axes[row][1]
                canvas.head(row, f"after {search.rung} epochs", column=1)
                _draw_early(search, early, at, name, other)
                _set_axis(early, here[name].astype(float), log=search.is_log(name), label=label)
        canvas.add_legend(0, [*handles.values()], other)
        files, size = canvas.save(kinds)
    slug = f"search-{name.replace('_', '-').replace('.', '-')}{f'-{number + 1}' if part else ''}"
    columns = [
        "sparsity",
        "number",
        *search.dimensions,
        "outcome",
        "val_top1",
        "reached",
        "epochs",
        "early",
        "images",
    ]
    return Picture(slug, title, caption, here[columns], files, size)


def _draw_panel(
    search: Search, axes: Axes, here: pd.DataFrame, name: str, other: str, best: pd.DataFrame
) -> dict[str, Line2D]:
    """One sparsity; the legend's entries by what they say."""
    done = here[here["outcome"] == "done"].sort_values(name)
    handles: dict[str, Line2D] = {}
    floor, ceiling = _find_limits(done, best)
    groups = (
        list(done.groupby(other, sort=False))
        if other and len(done)
        else [("trained to the end", done)]
    )
    order = [str(one) for one in search.choices(other)] if other else []
    for value, group in sorted(
        groups, key=lambda one: order.index(str(one[0])) if str(one[0]) in order else 0
    ):
        index = order.index(str(value)) % len(COLOURS) if str(value) in order else 0
        style_of_points: dict[str, Any] = {
            "color": COLOURS[index],
            "marker": MARKERS[index],
            "markersize": 4.2,
        }
        x, y = group[name].astype(float), group["val_top1"]
        for at, top, images in zip(x, y, group["images"], strict=True):
            if pd.notna(images):
                low, high = wilson_interval(top / 100, int(images))
                axes.plot(
                    [at, at],
                    np.clip([100 * low, 100 * high], floor, ceiling),
                    color=style_of_points["color"],
                    lw=0.8,
                    alpha=0.45,
                    zorder=2,
                )
        axes.plot(
            x,
            y,
            linewidth=0.6,
            alpha=0.9,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
            **style_of_points,
        )
        handles[str(value)] = Line2D([], [], label=str(value), linewidth=0.6, **style_of_points)
    if len(best):
        x = best[name].astype(float)
        black: dict[str, Any] = {
            "color": "black",
            "marker": "D",
            "markersize": 4.5,
            "linestyle": "",
        }
        axes.errorbar(
            x,
            best["mean"],
            find_error_bars(best),
            capsize=2.5,
            elinewidth=1.1,
            zorder=5,
            **black,
        )
        handles["best"] = Line2D([], [], label="the best, test set", **black)
    _draw_out(axes, here, name, floor, ceiling)
    return handles


def _draw_early(search: Search, axes: Axes, here: pd.DataFrame, name: str, other: str) -> None:
    """All candidates of one sparsity after as many epochs as all have trained."""
    known = here.dropna(subset=["early"]).sort_values(name)
    order = [str(one) for one in search.choices(other)] if other else []
    for value, group in known.groupby(other, sort=False) if other else [("", known)]:
        index = order.index(str(value)) % len(COLOURS) if str(value) in order else 0
        style_of_points: dict[str, Any] = {
            "color": COLOURS[index],
            "marker": MARKERS[index],
            "markersize": 3.2,
        }
        axes.plot(
            group[name].astype(float),
            group["early"],
            linewidth=0.5,
            alpha=0.8,
            zorder=3,
            **style_of_points,
        )
    lost = here.loc[here["outcome"] == "disconnected", name].astype(float)
    axes.plot(
        lost,
        np.zeros(len(lost)),
        linestyle="",
        marker="x",
        color=OUT["disconnected"][2],
        markersize=5,
        clip_on=False,
    )
    axes.set_ylim(0, 101)


def _find_limits(done: pd.DataFrame, best: pd.DataFrame) -> tuple[float, float]:
    """The y axis above the strip: all accuracies and the interval on the test set; longer bars are
    cut."""
    tops = [done["val_top1"]]
    if len(best):
        tops += [best["mean"], best["low"], best["high"]]
    known = pd.concat(tops).dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 100.0)
    room = 0.25 * max(high - low, 2.0)
    return low - room, min(high + room, 100.4)


def _draw_out(axes: Axes, here: pd.DataFrame, name: str, low: float, high: float) -> None:
    """The strip below: a line of marks for each way not to be trained to the end."""
    lines = [outcome for outcome in OUT if (here["outcome"] == outcome).any()]
    step = 0.16 * (high - low)
    for index, outcome in enumerate(reversed(lines)):
        title, marker, colour = OUT[outcome]
        x = here.loc[here["outcome"] == outcome, name].astype(float)
        y = low - step * (len(lines) - index - 0.4)
        axes.plot(
            x,
            np.full(len(x), y),
            linestyle="",
            marker=marker,
            color=colour,
            markersize=5,
            zorder=4,
            clip_on=False,
        )
        axes.annotate(
            title,
            (0, y),
            (-4, 0),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            va="center",
            fontsize=6.5,
        )
    if lines:
        axes.axhline(low, color="0.6", linewidth=0.6)
    axes.set_ylim(low - step * len(lines), high)
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])
    axes.set_ylabel("accuracy (%)")


def _set_axis(axes: Axes, values: pd.Series, *, log: bool, label: str) -> None:
    low, high = float(values.min()), float(values.max())
    if log:
        axes.set_xscale("log")
        margin = (high / low) ** 0.03
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.03 * (high - low)
        axes.set_xlim(low - margin, high + margin)
    axes.grid(True)
    axes.set_xlabel(label)
