"""Accuracy against cost of a search's candidates, with the front: where a search asks for a trade
of the two."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.reading.search_data import Search
from analysis.series import format_sparsity
from analysis.statistics.search_best import find_best_candidates, seeks_pareto_front

HEIGHT = 2.8
COLOURS = ("#7FCDBB", "#41B6C4", "#1D91C0", "#225EA8", "#253494", "#081D58")
MARKERS = "osD^vP*X"


def draw_traded(search: Search, head: str, foot: str, kinds: tuple[str, ...]) -> list[Picture]:
    """One figure where the objective names the cost; none where accuracy alone counts or nothing
    was trained."""
    objective = search.spec.get("objective")
    limit = objective.get("max_effective_macs") if isinstance(objective, dict) else None
    done = search.candidates.dropna(subset=["val_top1", "effective_macs"])
    if done.empty or not (seeks_pareto_front(search) or isinstance(limit, int | float)):
        return []
    best = find_best_candidates(search)
    title = f"Validation accuracy against effective MACs, {head}"
    remarks = [f"{len(done)} candidates trained to the end, one seed each"]
    if seeks_pareto_front(search):
        remarks.append(
            "on the line: no candidate of this sparsity is more accurate and as cheap, or cheaper "
            "and as accurate"
        )
    else:
        remarks.append("dashed: what is allowed; ringed: the best within it")
    shown = list(enumerate(sorted(done["sparsity"].unique())))
    handles = []
    with style():
        canvas = Canvas(
            title, heights=[HEIGHT], margins=Margins(top=0.4), foot="; ".join([*remarks, foot])
        )
        axes = canvas.axes[0][0]
        for index, sparsity in shown:
            style_of_points: dict[str, Any] = {
                "color": COLOURS[round(index * 5 / max(len(shown) - 1, 1))],
                "marker": MARKERS[index % len(MARKERS)],
            }
            here, front = (frame[frame["sparsity"] == sparsity] for frame in (done, best))
            axes.plot(
                here["effective_macs"],
                here["val_top1"],
                linestyle="",
                markersize=4,
                alpha=0.6,
                zorder=3,
                **style_of_points,
            )
            front = front.sort_values("effective_macs")
            if seeks_pareto_front(search):
                axes.plot(
                    front["effective_macs"],
                    front["val_top1"],
                    linewidth=1.2,
                    markersize=5,
                    zorder=4,
                    **style_of_points,
                )
            else:
                axes.plot(
                    front["effective_macs"],
                    front["val_top1"],
                    "o",
                    ms=9,
                    mfc="none",
                    mec=style_of_points["color"],
                    mew=1.2,
                    zorder=4,
                )
            label = f"{format_sparsity(float(sparsity))} %"
            handles.append(
                Line2D([], [], label=label, linestyle="", markersize=5, **style_of_points)
            )
        if isinstance(limit, int | float):
            axes.axvline(limit, color="0.3", linewidth=0.9, linestyle=(0, (5, 2)))
        macs = np.asarray(done["effective_macs"], dtype=float)
        if macs.max() / max(macs.min(), 1.0) > 5:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("effective MACs (with kept weights, one image)")
        axes.set_ylabel("validation accuracy (%)")
        axes.grid(True)
        canvas.add_legend(0, handles, "sparsity")
        files, size = canvas.save(kinds)
    data = done.assign(best=done.index.isin(best.index))
    data = data[["sparsity", "number", *search.dimensions, "val_top1", "effective_macs", "best"]]
    return [
        Picture(
            "search-traded", title, f"{title}. {'; '.join([*remarks, foot])}.", data, files, size
        )
    ]
