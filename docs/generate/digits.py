"""What the embedded study measured, as the small table that the methods' figures are drawn from.

    python docs/generate/digits.py studies/digits > docs/digits.csv

One line per method and sparsity, of the last stage; of several settings of knobs the default one,
where there is one.
"""

import sys

import pandas as pd

from analysis.reading.load import load
from analysis.statistics.results import Results, collect


def tabulate(results: Results) -> pd.DataFrame:
    """Columns method, sparsity (where a point stands), mean, half_width (95 %, Student t) and n, of
    one setting."""
    (setting,) = results.settings
    parts = []
    for method in dict.fromkeys(one.method for one in results.find_shown(setting)):
        series = [
            one
            for one in results.find_shown(setting)
            if one.method == method and one in results.last
        ]
        chosen = min(series, key=lambda one: one.knobs != "{}")
        cells = results.measured(setting, chosen)
        parts.append(cells[["place", "mean", "half_width", "n"]].assign(method=method))
    table = pd.concat(parts).rename(columns={"place": "sparsity"})
    return table[["method", "sparsity", "mean", "half_width", "n"]]


if __name__ == "__main__":
    print(
        tabulate(collect(load(sys.argv[1]))).round(4).to_csv(index=False, lineterminator="\n"),
        end="",
    )
