"""Two studies side by side: every result that both have, and the difference, by one variance model
of both, paired by seed where seeds are shared."""

from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd

from analysis.reading.load import Study
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.results import Results, collect_results

MATCHED = ["dataset", "model", "method", "knobs", "stage"]  # equal in two results that are compared


@dataclass(frozen=True)
class StudyComparison:
    """Two studies of one metric, A and B. `cells`: one row per result that both have, in the order
    of A: its identity, `mean_a`, `low_a`, `high_a`, `n_a`, the same with `b`, and of B less A
    `difference`, `low`, `high`, `n` (the seeds behind it), `p`, `adjusted` (Holm over all rows);
    `paired` says whether it is paired by seed.

    alone_a, alone_b: how many results only one of them has. recipes: whether the recipes of what is
    compared differ.
    """

    a: Results
    b: Results
    cells: pd.DataFrame
    alone_a: int
    alone_b: int
    recipes: bool

    def name_studies(self) -> tuple[str, str]:
        """The names of A and B; where they are equal, with what differs in their places."""
        a, b = self.a.study, self.b.study
        if a.name != b.name:
            return a.name, b.name
        places = [PurePath(study.store.place()).parts for study in (a, b)]
        shared = 0
        while shared < min(map(len, places)) and places[0][shared] == places[1][shared]:
            shared += 1
        tails = ["/".join(parts[shared:]) or "/".join(parts[-1:]) for parts in places]
        return f"{a.name} ({tails[0]})", f"{b.name} ({tails[1]})"


def compare_studies(study: Study, other: Study, metric: str = "test_top1") -> StudyComparison:
    """Match the results of two studies by data set, model, method, knobs, stage and sparsity (or
    level, where a method's own rule decides); by recipe, too, where one of them has several.

    Raises:
        ValueError: one of them has no rows, no such metric, or they have no result in common.
    """
    for one_study in (study, other):
        if one_study.rows.empty:
            raise ValueError(
                f"study '{one_study.name}' has no rows yet: there is nothing to compare"
            )
    a, b = collect_results(study, metric), collect_results(other, metric)
    cells_a, cells_b = _select_measured(a), _select_measured(b)
    several_recipes = any(
        cells.groupby(["dataset", "model"])["recipe"].nunique().gt(1).any()
        for cells in (cells_a, cells_b)
    )
    keys = [*MATCHED, *(["recipe"] if several_recipes else []), "sparsity", "own_level"]
    both = cells_a.merge(cells_b, on=keys, suffixes=("_a", "_b"))
    if both.empty:
        raise ValueError(f"studies '{study.name}' and '{other.name}' have no result in common")
    both = both.reset_index(drop=True)
    table = ["dataset", "model", *(["recipe"] if several_recipes else [])]
    cells = both.join(_fit_both(a, b, table).compare(_make_pairs(both)))
    return StudyComparison(
        a,
        b,
        cells,
        alone_a=len(cells_a) - both["cell_a"].nunique(),
        alone_b=len(cells_b) - both["cell_b"].nunique(),
        recipes=not several_recipes and bool((both["recipe_a"] != both["recipe_b"]).any()),
    )


def _select_measured(results: Results) -> pd.DataFrame:
    """The measured cells, with what they are matched by."""
    cells = results.cells[results.cells["n"] > 0]
    own = cells["level"].where(cells["sparsity"].isna()).astype("Int64")
    columns = ["series", *MATCHED, "recipe", "sparsity", "place", "mean", "low", "high", "n"]
    return cells[columns].assign(own_level=own, cell=cells.index)


def _fit_both(a: Results, b: Results, table: list[str]) -> FittedTables:
    """One model per network of the values of both studies; a cell is (study, index)."""
    parts = []
    images: dict[object, int] = {}
    for number, results in enumerate((a, b)):
        settings = {
            index: tuple(getattr(setting, column) for column in table)
            for index, setting in enumerate(results.settings)
        }
        values = results.values[["cell", "seed", "value", "setting_index"]]
        names = pd.Series([(number, cell) for cell in values["cell"]], index=values.index)
        tables = values["setting_index"].map(settings)
        parts.append(values.assign(cell=names, table=tables))
        for index, name in settings.items():
            count = (results.images or {}).get(index, 0)
            # Of two test sets of different sizes the smaller one counts; 0 is unknown.
            images[name] = min(filter(None, (images.get(name), count)), default=0)
    both = pd.concat(parts, ignore_index=True)
    return FittedTables(both, images=None if a.images is None else images)


def _make_pairs(both: pd.DataFrame) -> pd.DataFrame:
    """What is compared, as `FittedTables.compare` takes it: B less A."""
    names = {"cell": (1, "cell_b"), "rival": (0, "cell_a")}
    columns = {
        name: pd.Series([(study, int(cell)) for cell in both[column]], index=both.index)
        for name, (study, column) in names.items()
    }
    return pd.DataFrame(columns)
