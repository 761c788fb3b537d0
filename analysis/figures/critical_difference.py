"""The critical-difference diagram: average ranks of methods over several data sets or models."""

import pandas as pd

from analysis.captions import describe_figure, format_p, name_figure
from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.series import format_sparsity
from analysis.statistics.method_ranks import Ranking, find_rankings
from analysis.statistics.results import Results

ROW = 0.2  # inches of height that a method takes


def draw_ranking(results: Results, kinds: tuple[str, ...]) -> list[Picture]:
    """A figure per sparsity at which several data sets or models can be ranked."""
    pictures = []
    for sparsity, ranking in find_rankings(results).items():
        title = (
            f"Average ranks over {ranking.blocks} data sets or models at "
            f"{format_sparsity(sparsity)} %"
        )
        remarks = [
            "1 is the best",
            "methods joined by a bar are not separable at 5 %: their ranks differ by less than "
            f"the critical difference {ranking.difference:.2f} (Nemenyi)",
            f"Friedman's test that all rank alike: p {_format_p_with_sign(ranking.p)}",
        ]
        caption, foot = describe_figure(results, None, remarks, intervals=False)
        with style():
            canvas = _draw(ranking, title, foot)
            files, size = canvas.save(kinds)
        name = name_figure(f"ranks-{100 * sparsity:g}", results.metric, None)
        pictures.append(Picture(name, title, caption, _list_numbers(ranking), files, size))
    return pictures


def _list_numbers(ranking: Ranking) -> pd.DataFrame:
    ranks = ranking.ranks.rename("rank").rename_axis("method").reset_index()
    return ranks.assign(
        blocks=ranking.blocks,
        critical_difference=ranking.difference,
        friedman_chi2=ranking.chi2,
        friedman_p=ranking.p,
    )


def _format_p_with_sign(p: float) -> str:
    text = format_p(p)
    return text if text.startswith("<") else f"= {text}"


def _draw(ranking: Ranking, title: str, foot: str) -> Canvas:
    names = list(ranking.ranks.index)
    longest = max(map(len, names))
    margins = Margins(left=min(0.3 + 0.058 * longest, 3.2), legend=0.15, top=0.38)
    height = min(max(0.8, ROW * len(names)), 9.0)
    canvas = Canvas(title, heights=[height], margins=margins, foot=foot)
    axes = canvas.axes[0][0]
    places = {name: index for index, name in enumerate(reversed(names))}
    rows, ranks = list(places.values()), ranking.ranks[list(places)]
    axes.hlines(rows, 1, ranks, color="0.88", linewidth=1.0, zorder=1)
    axes.plot(ranks, rows, "o", color="#0072B2", ms=4.5, zorder=3)
    step = 0.12
    right = float(ranking.ranks.max())
    for number, (first, last) in enumerate(ranking.find_cliques()):
        x = right + (number + 1.5) * step * max(1.0, right / 8)
        ends = [places[first] + 0.2, places[last] - 0.2]
        axes.plot([x, x], ends, color="0.25", linewidth=2.2, zorder=2)
    axes.set_yticks(rows, list(places), fontsize=7)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("average rank (1 is the best); bars join what is not separable")
    axes.grid(True, axis="x")
    return canvas
