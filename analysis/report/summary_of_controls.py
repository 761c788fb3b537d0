"""The sentences of the summary on controls: which methods beat their own, at which sparsities."""

import pandas as pd

from analysis.report.summary_words import count, list_names, list_sparsities
from analysis.series import Setting
from analysis.statistics.comparisons import ALPHA, compare_to_controls
from analysis.statistics.control_methods import list_candidates
from analysis.statistics.results import Results

LISTED = 12  # names that a sentence lists; table 'versus-controls' has all


def describe_controls(results: Results, setting: Setting) -> list[str]:
    """Which methods beat every control of their own; then for each control, and every method that
    it tests, at which sparsities the method is separably better or worse."""
    outcomes = _list_outcomes(results, setting)
    sentences = []
    if len(outcomes):
        sentences.append(_describe_all_beaten(outcomes))
        for control, group in outcomes.groupby("control", sort=False):
            sentences.append(_describe_control(str(control), group))
    if alone := _list_without_controls(results, setting, set(outcomes["method"])):
        verb = "has" if len(alone) == 1 else "have"
        sentences.append(
            f"{list_names(alone, most=LISTED)} {verb} no measured control at the same sparsities."
        )
    return sentences


def _list_outcomes(results: Results, setting: Setting) -> pd.DataFrame:
    """One row per method, control and sparsity that could be tested: their labels (`method`,
    `control`), `sparsity`, `better` and `worse`; in the order of legends."""
    compared = compare_to_controls(results)
    cells = results.cells.loc[compared["cell"]].reset_index(drop=True)
    controls = results.cells.loc[compared["control"]].reset_index(drop=True)
    gain = compared["difference"] if results.metric.higher else -compared["difference"]
    separable = compared["adjusted"] < ALPHA
    outcomes = pd.DataFrame(
        {
            "method": cells["series"],
            "control": controls["series"],
            "position": controls["series_index"],
            "sparsity": cells["sparsity"],
            "better": separable & (gain > 0),
            "worse": separable & (gain < 0),
        }
    )
    inside = cells["setting_index"] == results.settings.index(setting)
    tested = outcomes[inside & compared["p"].notna()]
    ordered: pd.DataFrame = tested.sort_values("position", kind="stable").drop(columns="position")
    return ordered


def _describe_all_beaten(outcomes: pd.DataFrame) -> str:
    """Which methods beat every control of their own, and at which sparsities."""
    beaten = outcomes.groupby(["method", "sparsity"], sort=False)["better"].all()
    winners = _group_by_sparsities(beaten[beaten])
    methods = outcomes["method"].nunique()
    if not winners:
        return (
            f"None of {count(methods, 'method')} is separably better than every control of its "
            "own at any sparsity."
        )
    texts = [
        f"{list_names(names, most=LISTED)} at {list_sparsities(sparsities)}"
        for sparsities, names in winners.items()
    ]
    number = sum(len(names) for names in winners.values())
    others = methods - number
    text = f"Separably better than every control of their own: {'; '.join(texts)}"
    if not others:
        return f"{text}."
    return f"{text}; the other {count(others, 'method')} at no sparsity."


def _describe_control(control: str, outcomes: pd.DataFrame) -> str:
    """What one control says of every method that it tests."""
    parts = []
    named: set[str] = set()
    for column, word in (("better", "separably better"), ("worse", "separably worse")):
        chosen = outcomes[outcomes[column]].set_index(["method", "sparsity"])[column]
        groups = _group_by_sparsities(chosen)
        named |= {name for names in groups.values() for name in names}
        texts = [
            f"{list_names(names, most=LISTED)} at {list_sparsities(sparsities)}"
            for sparsities, names in groups.items()
        ]
        parts += [f"{word}: {', '.join(texts)}"] if texts else []
    rest = [name for name in dict.fromkeys(outcomes["method"]) if name not in named]
    if rest:
        parts.append(f"not separable anywhere: {list_names(rest, most=LISTED)}")
    return f"Against {control}, {'; '.join(parts)}."


def _group_by_sparsities(chosen: pd.Series) -> dict[tuple[float, ...], list[str]]:
    """The methods of an index (method, sparsity), by the sparsities that they stand at."""
    of_method: dict[str, list[float]] = {}
    for method, sparsity in chosen.index:
        of_method.setdefault(method, []).append(sparsity)
    groups: dict[tuple[float, ...], list[str]] = {}
    for method, sparsities in of_method.items():
        groups.setdefault(tuple(sorted(sparsities)), []).append(method)
    return groups


def _list_without_controls(results: Results, setting: Setting, tested: set[str]) -> list[str]:
    """The methods that were compared with no control."""
    shown = results.list_measured_series(setting)
    labels = [
        results.series[index].label
        for index in list_candidates(results)
        if results.series[index] in shown
    ]
    return [label for label in labels if label not in tested]
