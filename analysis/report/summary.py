"""The summary of a study in plain sentences, each derived from the numbers."""

import pandas as pd

from analysis.captions import format_counts, format_duration, format_interval
from analysis.reading.missing_trials import MissingTrials
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.paired_tests import ALPHA, compare_to_best, compare_to_dense
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import TOLERANCE, find_critical_sparsity

SPARSITIES = 8  # that the summary mentions; of more it takes some, evenly spread
NAMED = 4  # methods that a sentence lists; more are counted


def write_summary(results: Results, missing: MissingTrials) -> list[str]:
    """The sentences, those on the whole study first, then those on each setting."""
    sentences = [f"{missing.summarise()}."]
    to_best, to_dense = compare_to_best(results), compare_to_dense(results)
    for setting in results.settings:
        of_setting = [
            *_describe_dense(results, setting),
            *_describe_best(results, _select_setting(results, to_best, setting)),
            *_describe_differences(results, _select_setting(results, to_dense, setting)),
            *_describe_critical_sparsities(results, setting),
            *_compare_with_random(results, setting),
            *_describe_connectivity(results, setting),
            *_describe_device_times(results, setting),
        ]
        where = f"{setting.label}: " if len(results.settings) > 1 else ""
        sentences += [f"{where}{sentence}" for sentence in of_setting]
    return sentences


def _select_setting(results: Results, compared: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The comparisons of one setting."""
    setting_index = results.settings.index(setting)
    in_setting = results.cells.loc[compared.index, "setting_index"] == setting_index
    selected: pd.DataFrame = compared[in_setting]
    return selected


def _describe_dense(results: Results, setting: Setting) -> list[str]:
    dense = results.find_dense(setting)
    if dense is None:
        return ["The dense network is not measured yet."]
    value = _format_value(results, dense)
    return [f"The dense network has a {results.metric.title} of {value} (n = {dense['n']})."]


def _describe_best(results: Results, compared: pd.DataFrame) -> list[str]:
    """Per requested sparsity: which method is best, and how many are not separable from it."""
    sparsities = results.cells.loc[compared.index, "sparsity"]
    mentioned = _spread_evenly(sorted(sparsities.unique()), SPARSITIES)
    sentences = []
    for sparsity, comparisons in compared.groupby(sparsities):
        if sparsity in mentioned:
            sentences.append(_describe_best_at(results, float(str(sparsity)), comparisons))
    return sentences


def _describe_best_at(results: Results, sparsity: float, compared: pd.DataFrame) -> str:
    """Which method is best at one sparsity."""
    best = results.cells.loc[compared["best"].iloc[0]]
    value = _format_value(results, best)
    start = f"At {format_sparsity(sparsity)} %, {best['series']} is best with {value}"
    tested = compared[compared["p"].notna()]
    count = format_counts([int(best["n"]), *tested["n"].astype(int)])
    if tested.empty:
        return f"{start} ({count}); with one seed nothing can be tested."
    separable = int((tested["adjusted"] < ALPHA).sum())
    others = len(tested)
    if not separable:
        verdict = f"no method is separable from it ({others} compared, {count})"
    elif separable == others:
        verdict = f"every other method is separable from it ({others} compared, {count})"
    else:
        number = f"{others - separable} of {others}"
        verdict = f"{number} other methods are not separable from it ({count})"
    return f"{start}; {verdict}."


def _describe_differences(results: Results, compared: pd.DataFrame) -> list[str]:
    """How many results are separably different from the dense network."""
    tested = compared[compared["p"].notna()]
    if tested.empty:
        return []
    separable = tested.loc[tested["adjusted"] < ALPHA, "difference"]
    worse = int((separable < 0).sum() if results.metric.higher else (separable > 0).sum())
    return [
        f"Of {len(tested)} results compared with the dense network of the same seeds, {worse} are "
        f"separably worse and {len(separable) - worse} separably better "
        "(paired t-test, Holm, 5 %)."
    ]


def _describe_critical_sparsities(results: Results, setting: Setting) -> list[str]:
    """Which methods stay within the tolerance of the dense network up to the largest sparsity."""
    if results.metric.unit != "%":
        return []
    methods = [
        series
        for series in results.list_measured_series(setting)
        if series in results.last_stages and series.method != "dense"
    ]
    criticals = {
        series: critical
        for series in methods
        if (critical := find_critical_sparsity(results, setting, series))
    }
    if not criticals:
        return _describe_no_critical_sparsity(results, setting, methods)
    top = max(critical.sparsity for critical in criticals.values())
    best = [series for series, critical in criticals.items() if critical.sparsity >= top - 1e-9]
    text = (
        f"{_list_names([series.label for series in best])} {'stays' if len(best) == 1 else 'stay'} "
        f"within {TOLERANCE:g} point of the dense network, in the mean, up to "
        f"{format_sparsity(top)} %"
    )
    if len(best) == 1:
        drop = criticals[best[0]].drop
        decimals = results.metric.decimals
        loss = format_interval(drop.mean, drop.half_width, decimals, sign=True)
        text += f" ({loss} points, n = {drop.n})"
    text += ", further than any other method" if len(best) < len(methods) else ""
    if nowhere := len(methods) - len(criticals):
        text += f"; {nowhere} of {len(methods)} methods do so at no sparsity measured"
    return [f"{text}."]


def _describe_no_critical_sparsity(
    results: Results, setting: Setting, methods: list[Series]
) -> list[str]:
    """That every method loses more than the tolerance, where something is paired with dense."""
    if any((results.measured_cells(setting, series)["drop_n"] > 0).any() for series in methods):
        return [f"No method stays within {TOLERANCE:g} point of the dense network."]
    return []


def _compare_with_random(results: Results, setting: Setting) -> list[str]:
    """Which methods are not better than random pruning, at the largest sparsity both have."""
    series = results.find_random_pruning(setting)
    if series is None:
        return []
    random = results.measured_cells(setting, series).dropna(subset=["sparsity"])
    random = random[random["sparsity"] > 0]
    if random.empty:
        return []
    cell = random.iloc[-1]
    cells = results.cells_of(setting)
    methods = [
        index
        for index in results.list_last_stages(dense=True)
        if results.series[index].family != "controls"
    ]
    same_sparsity = (cells["sparsity"] == cell["sparsity"]) & (cells["n"] > 0)
    peers = cells[cells["series_index"].isin(methods) & same_sparsity]
    if peers.empty:
        return []
    sign = 1 if results.metric.higher else -1
    below = peers[sign * (peers["mean"] - cell["mean"]) <= 0]["series"].tolist()
    where = f"At {format_sparsity(float(cell['sparsity']))} %"
    if not below:
        return [f"{where}, every method is above uniformly random pruning, in the mean."]
    verb = "is" if len(below) == 1 else "are"
    return [f"{where}, {_list_names(below)} {verb} no better than uniformly random pruning."]


def _describe_connectivity(results: Results, setting: Setting) -> list[str]:
    """How many networks are disconnected, and of which methods."""
    rows = results.rows_of(setting, ["method", "connected"])
    count = int(rows["connected"].notna().sum())
    disconnected = rows[rows["connected"].eq(False).fillna(False).astype(bool)]
    if not count:
        return []
    if disconnected.empty:
        return [f"All {count} measured networks are connected from input to output."]
    titles = [
        next(series.label for series in results.series if series.method == method).split(" (")[0]
        for method in dict.fromkeys(disconnected["method"])
    ]
    return [
        f"{len(disconnected)} of {count} measured networks are disconnected: {_list_names(titles)}."
    ]


def _describe_device_times(results: Results, setting: Setting) -> list[str]:
    """The device time of all trials, and of the longest and shortest ones."""
    times = find_device_times(results, setting)
    if len(times) < 2:
        return []
    device, _ = find_trial_device(results.study)
    total = format_duration(float(times["total"].sum()))
    pruned = times[times["method"] != "dense"].sort_values("seconds")
    longest, shortest = pruned.iloc[-1], pruned.iloc[0]
    return [
        f"All trials took {total} of one {device}; a trial of {longest['series']} took longest "
        f"({format_duration(longest['seconds'])}), one of {shortest['series']} least "
        f"({format_duration(shortest['seconds'])}), without the dense trainings they share."
    ]


def _spread_evenly(values: list[float], most: int) -> set[float]:
    """At most so many of some values, evenly spread, both ends among them."""
    if len(values) <= most:
        return set(values)
    return {values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)}


def _format_value(results: Results, cell: pd.Series) -> str:
    """The mean of a cell with its interval and unit."""
    value = format_interval(cell["mean"], cell["half_width"], results.metric.decimals)
    return f"{value} {results.metric.unit}" if results.metric.unit else value


def _list_names(names: list[str]) -> str:
    """Names as they are listed in a sentence; many are counted."""
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
