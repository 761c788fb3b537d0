"""The cost of each method: device time of a trial, and of all its trials together."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import describe_figure, format_duration, name_figure
from analysis.figures.canvas import Canvas, Margins, Picture, shorten, style
from analysis.series import Setting
from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.results import Results

BAR = 0.175  # inches of height that a method takes
MOST = 50  # methods in one figure, the dearest
NAME = 42  # letters of a name that fit beside the bars
SHARED_GREY = "0.82"


def draw_cost(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting; none where trials have no times."""
    costs = find_device_times(results, setting)
    if costs.empty:
        return []
    device, part = find_trial_device(results.study)
    shown = costs.sort_values("total").tail(MOST) if len(costs) > MOST else costs
    shown = shown.sort_values("series_index", ascending=False, ignore_index=True)
    remarks = [
        f"bars: {device} seconds of a trial, mean over its trials; grey: the dense training it "
        "starts from",
        "right: all trials of the method, without the shared dense trainings",
    ]
    remarks += [f"a trial occupies {part:g} of a {device}"] if part != 1 else []
    remarks += [f"the {MOST} dearest of {len(costs)}"] if len(costs) > MOST else []
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    caption = f"{device} time" + caption[caption.index(", ") :]
    title = f"Cost of the methods, {setting.label}"
    with style():
        margins = Margins(left=2.45, legend=0.75, top=0.52)
        canvas = Canvas(title, heights=[max(0.6, BAR * len(shown))], margins=margins, foot=foot)
        axes = canvas.axes[0][0]
        _draw_bars(axes, results, shown)
        axes.set_xlabel(f"{device} seconds of a trial")
        files, size = canvas.save(kinds)
    name = name_figure("cost", results.metric, setting)
    return [Picture(name, title, caption, costs.drop(columns="series_index"), files, size)]


def _draw_bars(axes: Axes, results: Results, shown: pd.DataFrame) -> None:
    """A bar per method, from the bottom up, and the sum of its trials at the right."""
    places = list(range(len(shown)))
    axes.barh(places, shown["shared"], color=SHARED_GREY, height=0.62, zorder=2)
    colours = [results.series[index].colour for index in shown["series_index"]]
    axes.barh(places, shown["seconds"], left=shown["shared"], color=colours, height=0.62, zorder=2)
    names = [shorten(name, NAME) for name in shown["series"]]
    axes.set_yticks(places, names, fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(True, axis="x")
    for place, total in zip(places, shown["total"], strict=True):
        _write_at_right(
            axes, format_duration(total), (1, place), (52, 0), ("axes fraction", "data")
        )
    _write_at_right(axes, "all trials", (1, 1), (52, 4), "axes fraction")
    grey = Line2D([], [], color=SHARED_GREY, linewidth=5, label="the dense training it starts from")
    axes.legend(
        handles=[grey], loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=7
    )


def _write_at_right(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    coordinates: str | tuple[str, str],
) -> None:
    middle = "baseline" if isinstance(coordinates, str) else "center"
    axes.annotate(
        text, place, offset, coordinates, "offset points", ha="right", va=middle, fontsize=7
    )
