"""Two studies side by side: every result that both have, and the difference, paired by seed where
seeds are shared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from analysis.figures.canvas import KINDS
from analysis.figures.two_studies import draw_versus
from analysis.reading.load import Study
from analysis.reading.missing_trials import find_gaps
from analysis.report.page import Page, Section
from analysis.report.study_report import FORMATS, list_files
from analysis.statistics.intervals_and_tests import adjust, half_width, p_value
from analysis.statistics.paired_tests import ALPHA, EQUAL
from analysis.statistics.results import Results, collect
from analysis.tables.two_studies_table import make_versus_table
from trainables.storage.store import Store

SAME = ["dataset", "model", "method", "knobs", "stage"]


@dataclass(frozen=True)
class Versus:
    """Two studies of one metric. `cells`: one line per result that both have, in the order of the
    first: its identity, `mean_a`, `half_width_a`, `n_a`, the same with `b`, and of b - a
    `difference`, `half_width`, `n`, `p`, `adjusted` (Holm over all lines); `paired` says whether by
    seed, or as two samples of unequal spread (Welch).

    alone_a, alone_b: how many results only one of them has. recipes: whether the recipes of what is
    compared differ.
    """

    a: Results
    b: Results
    cells: pd.DataFrame
    alone_a: int
    alone_b: int
    recipes: bool


def compare(study: Study, other: Study, metric: str = "test_top1") -> Versus:
    """Match the results of two studies by data set, model, method, knobs, stage and sparsity (or
    level, where a method's own rule decides); by recipe, too, where one of them has several.

    Raises:
        ValueError: one of them has no rows, no such metric, or they have no result in common.
    """
    for one in (study, other):
        if one.rows.empty:
            raise ValueError(f"study '{one.name}' has no rows yet: there is nothing to compare")
    a, b = collect(study, metric), collect(other, metric)
    left, right = (_prepare(one) for one in (a, b))
    several = any(
        frame.groupby(["dataset", "model"])["recipe"].nunique().gt(1).any()
        for frame in (left, right)
    )
    keys = [*SAME, *(["recipe"] if several else []), "sparsity", "own_level"]
    both = left.merge(right, on=keys, suffixes=("_a", "_b"))
    if both.empty:
        raise ValueError(f"studies '{study.name}' and '{other.name}' have no result in common")
    recipes = not several and bool((both["recipe_a"] != both["recipe_b"]).any())
    tests = pd.DataFrame(
        [_test(a, b, *cells) for cells in zip(both["cell_a"], both["cell_b"], strict=True)]
    )
    cells = pd.concat([both.reset_index(drop=True), tests], axis=1)
    cells["adjusted"] = adjust(cells["p"])
    return Versus(
        a,
        b,
        cells,
        len(left) - both["cell_a"].nunique(),
        len(right) - both["cell_b"].nunique(),
        recipes,
    )


def write_comparison(
    study: Study,
    other: Study,
    metric: str = "test_top1",
    *,
    out: Store,
    formats: Sequence[str] = FORMATS,
) -> tuple[Page, list[str]]:
    """Write figure, table and page of two studies; returns the page and the written paths, relative
    to `out`.

    Raises:
        ValueError: see `compare`.
    """
    versus = compare(study, other, metric)
    kinds = tuple(kind for kind in KINDS if kind in formats)
    kinds = (*kinds, "svg") if "html" in formats and not {"svg", "png"} & set(kinds) else kinds
    pictures = [] if set(formats) <= {"tex", "json"} else draw_versus(versus, kinds)
    sections = [
        Section(f"Study file of {one.name}", "facts", _list_differences(one, rest))
        for one, rest in ((study, other), (other, study))
    ]
    page = Page(
        f"{study.name} and {other.name}",
        f"What study '{other.name}' (B) has over study '{study.name}' (A).",
        tuple(summarise(versus)),
        tuple(pictures),
        (make_versus_table(versus),),
        tuple(section for section in sections if section.items),
    )
    files = list_files(page, formats)
    for path, content in files.items():
        out.write(path, content)
    return page, list(files)


def summarise(versus: Versus) -> list[str]:
    """The comparison in sentences."""
    cells = versus.cells
    sentences = [
        f"{len(cells)} results are in both; {versus.alone_a} only in A, {versus.alone_b} only in B.",
        f"A: {find_gaps(versus.a.study).summarise()}. B: {find_gaps(versus.b.study).summarise()}.",
    ]
    tested = cells[cells["p"].notna()]
    if tested.empty:
        sentences.append("With one seed nothing can be tested.")
    else:
        found = tested[tested["adjusted"] < ALPHA]
        better = int(
            (found["difference"] > 0).sum()
            if versus.a.metric.higher
            else (found["difference"] < 0).sum()
        )
        sentences.append(
            f"Of {len(tested)} tested, B is separably better in {better} and separably worse in {len(found) - better} "
            "(t-test, Holm, 5 %)."
        )
        largest = tested.iloc[int(tested["difference"].abs().argmax())]
        sentences.append(
            f"The largest difference is {largest['difference']:+.2f}, of {largest['series_a']}."
            if abs(largest["difference"]) > EQUAL
            else f"All {len(tested)} means are equal."
        )
    if versus.recipes:
        sentences.append(
            "The recipes differ: the differences are those of recipes and code together."
        )
    commits = [one.commits for one in (versus.a, versus.b)]
    if commits[0] != commits[1]:
        told = [", ".join(one) or "unknown" for one in commits]
        sentences.append(f"A was measured with commit {told[0]}, B with {told[1]}.")
    return sentences


def _prepare(results: Results) -> pd.DataFrame:
    """The measured cells as they are matched."""
    cells = results.cells[results.cells["n"] > 0]
    own = cells["level"].where(cells["sparsity"].isna()).astype("Int64")
    columns = ["series", *SAME, "recipe", "sparsity", "place", "mean", "half_width", "n"]
    return cells[columns].assign(own_level=own, cell=cells.index)


def _test(a: Results, b: Results, cell_a: int, cell_b: int) -> dict[str, object]:
    """b less a: paired where at least two seeds are shared (or the only one), else as two samples.
    """
    x = a.values[a.values["cell"] == cell_a].set_index("seed")["value"]
    y = b.values[b.values["cell"] == cell_b].set_index("seed")["value"]
    shared = (y - x).dropna()
    if len(shared) >= 2 or (len(shared) == 1 and min(len(x), len(y)) == 1):
        mean, std, n = float(shared.mean()), float(shared.std()), len(shared)
        half, p = float(half_width(std, n)), float(p_value(mean, std, n))
        return {"difference": mean, "half_width": half, "pairs": n, "p": p, "paired": True}
    difference, half, p = compare_samples(x.to_numpy(dtype=float), y.to_numpy(dtype=float))
    return {"difference": difference, "half_width": half, "pairs": 0, "p": p, "paired": False}


def compare_samples(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The mean of y less that of x, the half width of its 95 % interval and the two-sided p-value
    (Welch 1947); NaN where one has fewer than two values or neither has any spread."""
    difference = float(y.mean() - x.mean())
    if min(len(x), len(y)) < 2:
        return difference, float("nan"), float("nan")
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    error = float(np.sqrt(parts.sum()))
    if not error:
        return difference, float("nan"), float("nan")
    freedom = float(parts.sum() ** 2 / (parts**2 / [len(x) - 1, len(y) - 1]).sum())
    # half_width takes a standard deviation and n, which stand for error * sqrt(n) and freedom + 1
    # here.
    half = float(half_width(error * np.sqrt(freedom + 1), np.asarray(freedom + 1)))
    return difference, half, float(2 * stdtr(freedom, -abs(difference) / error))


def _list_differences(one: Study, other: Study) -> tuple[tuple[str, str], ...]:
    """What a study file says otherwise than the other."""
    mine, theirs = _flatten(one.spec), _flatten(other.spec)
    return tuple((name, value) for name, value in mine.items() if theirs.get(name) != value)


def _flatten(spec: object, name: str = "") -> dict[str, str]:
    if isinstance(spec, dict):
        parts = [
            _flatten(value, f"{name}.{key}" if name else str(key)) for key, value in spec.items()
        ]
        return {key: value for part in parts for key, value in part.items()}
    return {name: str(spec)}
