"""The sentences of the summary that compare methods: with the best one, with the dense network, and
how far each goes."""

import pandas as pd

from analysis.captions import format_counts, format_interval
from analysis.report.summary_words import count, list_names, name_others, spread_evenly
from analysis.series import Setting, format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.comparisons import (
    ALPHA,
    compare_to_best,
    compare_to_dense,
    compare_to_longer_dense,
    is_separable,
    is_separably_behind,
)
from analysis.statistics.control_methods import list_candidates
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import (
    TOLERANCE,
    compare_areas,
    compare_critical_sparsities,
    find_critical_level,
)

SPARSITIES = 8  # that the summary mentions; of more it takes some, evenly spread


def describe_best(results: Results, setting: Setting) -> list[str]:
    """Per requested sparsity: which method is best, how many are separably worse, and whether it
    trained longest."""
    compared = _select_setting(results, compare_to_best(results), setting)
    sparsities = results.cells.loc[compared.index, "sparsity"]
    mentioned = spread_evenly(sorted(sparsities.unique()), SPARSITIES)
    return [
        _describe_best_at(results, float(str(sparsity)), comparisons)
        for sparsity, comparisons in compared.groupby(sparsities)
        if sparsity in mentioned
    ]


def _describe_best_at(results: Results, sparsity: float, compared: pd.DataFrame) -> str:
    """Which method is best at one sparsity."""
    best = results.cells.loc[compared["best"].iloc[0]]
    value = format_interval(best["mean"], best["low"], best["high"], results.metric.decimals)
    unit = f" {results.metric.unit}" if results.metric.unit else ""
    text = f"At {format_sparsity(sparsity)} %, {best['series']} is best with {value}{unit}"
    tested = compared[compared["p"].notna()]
    seeds = format_counts([int(best["n"]), *tested["n"].astype(int)])
    if tested.empty:
        alone = (results.cells.loc[compared.index, "n"] < 2).any()
        why = "with one seed nothing can be tested" if alone else "no result varies with the seed"
        text += f" ({seeds}); {why}."
    else:
        text += f"; {_count_verdicts(results, tested)} ({seeds})."
        text += _name_untested(results.cells.loc[compared.index[compared["p"].isna()]])
    text += _describe_shortfalls(best)
    return text + _describe_budget(results, best, compared) + _compare_with_longer(results, best)


def _count_verdicts(results: Results, tested: pd.DataFrame) -> str:
    """How many of the methods that were tested against the best are separably worse."""
    behind = is_separably_behind(tested, higher=results.metric.higher)
    worse, better = int(behind.sum()), int((is_separable(tested["adjusted"]) & ~behind).sum())
    equal = len(tested) - worse - better
    others = count(len(tested), "other method")
    every = name_others(len(tested), len(tested))
    if equal == len(tested):
        return f"not separable from it: {every}"
    if worse == len(tested):
        return f"separably worse: {every}"
    parts = [f"{worse} {'is' if worse == 1 else 'are'} separably worse"]
    parts += [f"{better} separably better over the seeds that both have"] if better else []
    parts += [f"{equal} not separable from it"] if equal else []
    return f"of {others}, {', '.join(parts)}"


def _name_untested(cells: pd.DataFrame) -> str:
    """The methods that have too few seeds to be tested."""
    alone = cells.loc[cells["n"] < 2, "series"].tolist()
    if not alone:
        return ""
    verb = "has" if len(alone) == 1 else "have"
    return f" {list_names(alone)} {verb} one seed, which nothing can test."


def _describe_shortfalls(best: pd.Series) -> str:
    """What the best lacks of what was asked of it: planned seeds, or sparsity."""
    text = ""
    if pd.notna(best["expected"]) and best["n"] < best["expected"]:
        text += f" Of its {best['expected']:.0f} planned seeds it has {best['n']}."
    reached = best["sparsity_reached"]
    if pd.notna(reached) and abs(reached - best["sparsity"]) > SHIFT:
        text += f" It reached {100 * reached:.2f} % sparsity."
    return text


def _describe_budget(results: Results, best: pd.Series, compared: pd.DataFrame) -> str:
    """Whether the best trained longest of all methods at its sparsity."""
    others = results.cells.loc[compared.index, "total_epochs"]
    epochs = best["total_epochs"]
    if pd.isna(epochs) or others.isna().any():
        return ""
    low, high = others.min(), others.max()
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if epochs > high:
        return f" It also trained longest: {epochs:g} epochs in total, the others {span}."
    return ""


def _compare_with_longer(results: Results, best: pd.Series) -> str:
    """The best against a dense network that trained as long as the longest method."""
    compared = compare_to_longer_dense(results)
    rows = compared[(compared.index == best.name) & compared["p"].notna()]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    difference = format_interval(
        row["difference"], row["low"], row["high"], results.metric.decimals, sign=True
    )
    gain = row["difference"] if results.metric.higher else -row["difference"]
    verdict = "not separable"
    if row["adjusted"] < ALPHA:
        verdict = f"separably {'better' if gain > 0 else 'worse'}"
    return (
        f" Against a dense network trained as long as the longest method: {difference}, {verdict}."
    )


def describe_differences_to_dense(results: Results, setting: Setting) -> list[str]:
    """How many results of methods are separably different from the dense network."""
    compared = _select_setting(results, compare_to_dense(results), setting)
    is_method = results.cells.loc[compared.index, "series_index"].isin(list_candidates(results))
    tested = compared[compared["p"].notna() & is_method]
    if tested.empty:
        return []
    separable = tested.loc[tested["adjusted"] < ALPHA, "difference"]
    worse = int((separable < 0).sum() if results.metric.higher else (separable > 0).sum())
    return [
        f"Of {count(len(tested), 'result')} of methods compared with the dense network, {worse} "
        f"{'is' if worse == 1 else 'are'} separably worse and {len(separable) - worse} separably "
        "better (5 % for all comparisons together)."
    ]


def describe_critical_sparsities(results: Results, setting: Setting) -> list[str]:
    """Which methods stay within the tolerance of the dense network up to the largest sparsity, and
    how many go separably less far."""
    if results.metric.unit != "%":
        return []
    shown = results.list_measured_series(setting)
    methods = [
        results.series[index]
        for index in list_candidates(results)
        if results.series[index] in shown
        and (results.measured_cells(setting, results.series[index])["drop_n"] > 0).any()
    ]
    levels = {
        series: level
        for series in methods
        if (level := find_critical_level(results, setting, series))
    }
    if not methods:
        return []
    if not levels:
        return [f"No method stays within {TOLERANCE:g} point of the dense network."]
    top = max(level.requested for level in levels.values())
    # What differs by no more than a shift is not called another sparsity.
    furthest = [series for series, level in levels.items() if level.requested >= top - SHIFT]
    text = (
        f"{list_names([series.label for series in furthest])} "
        f"{'stays' if len(furthest) == 1 else 'stay'} within {TOLERANCE:g} point of the dense "
        f"network, in the mean, up to {format_sparsity(top)} %"
    )
    if len(furthest) == 1:
        cell = results.cells.iloc[levels[furthest[0]].cell]
        loss = format_interval(
            cell["drop"], cell["drop_low"], cell["drop_high"], results.metric.decimals, sign=True
        )
        text += f" ({loss} points, n = {cell['drop_n']})"
    if nowhere := len(methods) - len(levels):
        does = "does" if nowhere == 1 else "do"
        text += f"; {nowhere} of {len(methods)} methods {does} so at no measured sparsity"
    return [f"{text}.{_compare_critical(results, setting)}"]


def _compare_critical(results: Results, setting: Setting) -> str:
    """How many methods need separably more weights than the one that goes furthest."""
    critical = compare_critical_sparsities(results)
    critical = critical[critical["setting_index"] == results.settings.index(setting)]
    critical = critical[critical["series_index"].isin(list_candidates(results))]
    tested = critical[critical["p"].notna()]
    if tested.empty:
        return ""
    best = critical[critical["is_best"]].iloc[0]
    worse = int(((tested["adjusted"] < ALPHA) & (tested["density_ratio"] > 1)).sum())
    label = results.series[int(best["series_index"])].label
    furthest = "the furthest" if best["mean"] >= critical["mean"].max() else "the furthest tested"
    where = f"{format_sparsity(best['mean'])} %{' or beyond' if best['at_least'] else ''}"
    return (
        f" The loss of {label}, {furthest}, reaches {TOLERANCE:g} point at {where}; "
        f"{name_others(worse, len(tested))} {'goes' if worse < 2 else 'go'} separably less far."
    )


def describe_areas(results: Results, setting: Setting) -> list[str]:
    """Over every range of sparsities that several methods share: whose area is largest."""
    areas = compare_areas(results)
    areas = areas[areas["setting_index"] == results.settings.index(setting)]
    areas = areas[areas["series_index"].isin(list_candidates(results))]
    sentences = []
    for (start, end), group in areas.groupby(["start", "end"]):
        tested = group[group["p"].notna()]
        if tested.empty:
            continue
        best = group[group["is_best"]].iloc[0]
        worse = int(is_separably_behind(tested, higher=results.metric.higher).sum())
        value = format_interval(best["mean"], best["low"], best["high"], results.metric.decimals)
        sentences.append(
            f"On average over {format_sparsity(float(str(start)))} to "
            f"{format_sparsity(float(str(end)))} %, "
            f"{results.series[int(best['series_index'])].label} is best with {value}; "
            f"{name_others(worse, len(tested))} {'is' if worse < 2 else 'are'} separably worse."
        )
    return sentences


def _select_setting(results: Results, compared: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The comparisons of one setting, indexed by cells."""
    setting_index = results.settings.index(setting)
    in_setting = results.cells.loc[compared.index, "setting_index"] == setting_index
    selected: pd.DataFrame = compared[in_setting]
    return selected
