"""What the embedded study measured, as the small table that the methods' figures are drawn from.

    python docs/generate/digits.py studies/digits > docs/digits.csv

One row per method and sparsity, of the last stage; where it was run with several knobs, of
the default ones if they are among them.
"""

import sys

import pandas as pd

from analysis.reading.load import load_study
from analysis.statistics.results import Results, collect_results


def tabulate(results: Results) -> pd.DataFrame:
    """Columns method, sparsity (where a point stands), mean, half_width (95 %, Student t) and n, of
    one setting."""
    (setting,) = results.settings
    shown = [
        series for series in results.list_measured_series(setting) if series in results.last_stages
    ]
    parts = []
    for method in dict.fromkeys(series.method for series in shown):
        of_method = [series for series in shown if series.method == method]
        chosen = min(of_method, key=lambda series: series.knobs != "{}")
        cells = results.measured_cells(setting, chosen)
        parts.append(cells[["place", "mean", "half_width", "n"]].assign(method=method))
    table = pd.concat(parts).rename(columns={"place": "sparsity"})
    return table[["method", "sparsity", "mean", "half_width", "n"]]


if __name__ == "__main__":
    digits = tabulate(collect_results(load_study(sys.argv[1]))).round(4)
    print(digits.to_csv(index=False, lineterminator="\n"), end="")
