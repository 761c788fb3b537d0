"""What a study measured, as the small table that the methods' figures are drawn from.

    python docs/generate/curves.py studies/digits > docs/digits.csv
    python docs/generate/curves.py studies/trained_cifar10 > docs/trained_cifar10.csv

One row per method and sparsity, of the last stage; where it was run with several knobs, of
the default ones if they are among them.
"""

import sys

import pandas as pd

from analysis.reading.load import load_study
from analysis.statistics.results import Results, collect_results

COLUMNS = ["method", "knobs", "sparsity", "mean", "low", "high", "n"]


def tabulate(results: Results) -> pd.DataFrame:
    """Columns method, knobs (JSON, those that are not the default), sparsity (where a point
    stands), mean, low and high (95 %, as in the report) and n, of one setting."""
    (setting,) = results.settings
    shown = [
        series for series in results.list_measured_series(setting) if series in results.last_stages
    ]
    parts = []
    for method in dict.fromkeys(series.method for series in shown):
        of_method = [series for series in shown if series.method == method]
        chosen = min(of_method, key=lambda series: series.knobs != "{}")
        cells = results.measured_cells(setting, chosen)
        parts.append(cells[["place", *COLUMNS[3:]]].assign(method=method, knobs=chosen.knobs))
    return pd.concat(parts).rename(columns={"place": "sparsity"})[COLUMNS]


if __name__ == "__main__":
    table = tabulate(collect_results(load_study(sys.argv[1]))).round(4)
    print(table.to_csv(index=False, lineterminator="\n"), end="")
