"""The importance of what was searched, as bars."""

import pandas as pd

from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.reading.search_data import Search
from analysis.statistics.search_importance import TRUSTED_FIT, Importance

BAR, ROOM = 0.17, 0.35  # inches


def draw_importance(
    search: Search, found: list[Importance], head: str, foot: str, kinds: tuple[str, ...]
) -> list[Picture]:
    """One panel per sparsity; none where no sparsity has enough candidates."""
    if not found:
        return []
    title = f"Importance of what was searched, {head}"
    remarks = [
        "share of the variance of a candidate's place that a dimension explains alone, in a "
        "random forest"
    ]
    remarks += [
        "together: what only several explain",
        "pale: the forest explains too little (R² out of bag below 0.3)",
    ]
    names = [*search.dimensions, "together"]
    with style():
        heights = [BAR * len(names) + ROOM] * len(found)
        canvas = Canvas(
            title,
            heights=heights,
            margins=Margins(left=1.35, between=0.46),
            foot="; ".join([*remarks, foot]),
        )
        for row, one in enumerate(found):
            axes = canvas.axes[row][0]
            canvas.head(row, f"{one.where}: n = {one.n}, R² out of bag {one.fit:.2f}")
            values = [100 * value for value in [*one.shares.values(), one.rest]]
            trusted = one.fit >= TRUSTED_FIT
            colours = ["#0072B2" if trusted else "#B8CCE0"] * len(one.shares) + [
                "0.6" if trusted else "0.85"
            ]
            places = range(len(names) - 1, -1, -1)
            axes.barh(list(places), values, color=colours, height=0.68)
            for place, value in zip(places, values, strict=True):
                axes.annotate(
                    f"{value:.0f} %",
                    (value, place),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                )
            axes.set_yticks(list(places), names)
            axes.set_xlim(0, 108)
            axes.grid(True, axis="x")
            if row == len(found) - 1:
                axes.set_xlabel("share of the variance (%)")
        files, size = canvas.save(kinds)
    lines = [
        {"sparsity": one.sparsity, "dimension": name, "share": share, "oob_r2": one.fit, "n": one.n}
        for one in found
        for name, share in [*one.shares.items(), ("together", one.rest)]
    ]
    caption = f"{title}. {'; '.join([*remarks, foot])}."
    return [Picture("search-importance", title, caption, pd.DataFrame(lines), files, size)]
