"""Who is compared with whom, by the variance model of the setting: every result with the dense
network, every method with the best one and with its own controls; p-values corrected for their
number."""

import pandas as pd

from analysis.statistics.adjusted_means import adjust_for_seeds
from analysis.statistics.control_methods import LONGER_DENSE, list_candidates, list_controls
from analysis.statistics.fitted_tables import pair_with_best
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results

ALPHA = 1 - CONFIDENCE
EQUAL = 1e-9  # differences below this are rounding errors


def compare_to_dense(results: Results) -> pd.DataFrame:
    """Every result less the dense network of its setting, in the order of `results.cells`, indexed
    as those.

    Columns: `difference`, `low`, `high`, `n`, `paired` (by seed), `p` and `adjusted` (Holm, over
    all of them). Only the last stage of a method counts, and controls are among them; cells that
    have no seed in common with the dense network are compared unpaired, cells without a dense
    network are left out.
    """
    return results.remember("to_dense", lambda: _compare_to_method(results, "dense"))


def compare_to_longer_dense(results: Results) -> pd.DataFrame:
    """Every result less the dense network that was trained as long as the longest method; as
    `compare_to_dense`. Empty where it was not measured."""
    return results.remember("to_longer", lambda: _compare_to_method(results, LONGER_DENSE))


def compare_to_best(results: Results) -> pd.DataFrame:
    """Every method less the best one of the same setting and sparsity; indexed as `results.cells`.

    Columns as `compare_to_dense`, and `best`, the index of the cell compared with; the best
    themselves are not in it, and controls do not compete. The best is chosen among cells with at
    least two seeds where there are such, by `adjust_means`; p-values pay for that choice. Results
    without a requested sparsity have no peers to be compared with.
    """
    return results.remember("to_best", lambda: _compare_to_best(results))


def compare_to_controls(results: Results) -> pd.DataFrame:
    """Every method less each of its own controls at the same setting and sparsity.

    Columns as `compare_to_dense`, and `cell` and `control`, indices of `results.cells`; in their
    order. The correction is over all of them.
    """
    return results.remember("to_controls", lambda: _compare_to_controls(results))


def find_leaders(results: Results) -> frozenset[int]:
    """The cells to print bold: the best method of every setting and sparsity, and those that are
    not separably behind it. Controls are not among them.

    None where no comparison could be tested, as with one seed.
    """
    compared = compare_to_best(results)
    tested = compared[compared["p"].notna()]
    equal = tested.index[~is_separably_behind(tested, higher=results.metric.higher)]
    return frozenset(int(index) for index in {*equal, *tested["best"]})


def adjust_means(results: Results) -> pd.Series:
    """The means that methods compete with at every setting and sparsity, indexed as
    `results.cells`: plain ones, or where some lack seeds that others have, adjusted for those."""
    return results.remember("adjusted", lambda: _adjust_means(results))


def is_separably_behind(compared: pd.DataFrame, *, higher: bool) -> pd.Series:
    """Which rows of a comparison with the best are separable from it, and worse. A row may be
    separable and better: where seeds are missing, a difference is over the shared ones only."""
    gain = compared["difference"] if higher else -compared["difference"]
    return (compared["adjusted"] < ALPHA) & (gain < 0)


def is_separable(adjusted: pd.Series) -> pd.Series:
    """Whether corrected p-values are below 5 %; null where nothing could be tested."""
    return (adjusted < ALPHA).astype("boolean").where(adjusted.notna())


def _compare_to_method(results: Results, method: str) -> pd.DataFrame:
    """Every last stage less the cell of a method that has one network a seed, in each setting."""
    shown = results.list_last_stages(dense=True)
    cells = results.cells[results.cells["series_index"].isin(shown)]
    cells = cells[(cells["n"] > 0) & (cells["method"] != method)]
    references = {}
    for index, setting in enumerate(results.settings):
        reference = results.find_cell(setting, method)
        if reference is not None:
            references[index] = int(str(reference.name))
    cells = cells[cells["setting_index"].isin(list(references))]
    pairs = pd.DataFrame(
        {"cell": cells.index, "rival": cells["setting_index"].map(references)}, index=cells.index
    )
    return results.fitted.compare(pairs)


def _group_candidates(results: Results) -> pd.Series:
    """The group of setting and sparsity that every cell which competes stands in, by cell."""
    cells = results.cells
    competes = cells["series_index"].isin(list_candidates(results))
    # A method that prunes nothing, as a knob may say, is no rival at sparsity 0.
    has_peers = (cells["n"] > 0) & (cells["sparsity"] > 0)
    return cells[competes & has_peers].groupby(["setting_index", "sparsity"]).ngroup()


def _adjust_means(results: Results) -> pd.Series:
    return adjust_for_seeds(results.values[["cell", "seed", "value"]], _group_candidates(results))


def _compare_to_best(results: Results) -> pd.DataFrame:
    groups = _group_candidates(results)
    candidates = results.cells.loc[groups.index, ["n"]]
    candidates = candidates.assign(mean=adjust_means(results), group=groups)
    pairs = pair_with_best(candidates, higher=results.metric.higher)
    return results.fitted.compare(pairs).assign(best=pairs["rival"].astype(int))


def _compare_to_controls(results: Results) -> pd.DataFrame:
    cells = results.cells
    pruned = cells[(cells["n"] > 0) & (cells["sparsity"] > 0)]
    places = pruned[["setting_index", "series_index", "sparsity"]].reset_index(names="cell")
    tested_by = pd.DataFrame(
        [
            (setting_index, index, results.series.index(control))
            for setting_index, setting in enumerate(results.settings)
            for index in list_candidates(results)
            for control in list_controls(results, setting, results.series[index])
        ],
        columns=["setting_index", "series_index", "control_index"],
        dtype=int,
    )
    controls = places.rename(columns={"cell": "control", "series_index": "control_index"})
    pairs = places.merge(tested_by, on=["setting_index", "series_index"])
    pairs = pairs.merge(controls, on=["setting_index", "control_index", "sparsity"])
    pairs = pairs.sort_values(["cell", "control"], ignore_index=True)[["cell", "control"]]
    return pairs.join(results.fitted.compare(pairs.rename(columns={"control": "rival"})))
