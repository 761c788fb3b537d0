"""Which results of a study can be ranked over data sets and models: those that every one of them
has."""

from analysis.statistics.ranks import LEAST, Ranking, rank
from analysis.statistics.results import Results

SHOWN = 4  # sparsities that get a ranking, the largest


def find_rankings(results: Results) -> dict[float, Ranking]:
    """A ranking per requested sparsity, of the methods (last stages) measured in all settings;
    settings, not seeds, are what it generalises over.

    None where fewer than `ranks.LEAST` settings have two methods in common.
    """
    if len(results.settings) < LEAST:
        return {}
    lines = [
        index
        for index, one in enumerate(results.series)
        if one in results.last and one.method != "dense"
    ]
    cells = results.cells[results.cells["line"].isin(lines) & (results.cells["n"] > 0)].dropna(
        subset=["sparsity"]
    )
    counts = cells[cells["sparsity"] > 0].groupby("sparsity")["site"].nunique()
    found = {}
    for sparsity in sorted(counts.index[counts >= LEAST], reverse=True):
        here = cells[cells["sparsity"] == sparsity]
        scores = here.pivot_table(index="site", columns="line", values="mean").dropna(axis=1)
        if len(scores) >= LEAST and scores.shape[1] >= 2:
            scores.columns = [results.series[int(str(line))].label for line in scores.columns]
            found[float(sparsity)] = rank(scores, higher=results.metric.higher)
        if len(found) == SHOWN:
            break
    return dict(sorted(found.items()))
