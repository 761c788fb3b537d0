"""The summary of a study in plain sentences, each derived from the numbers."""

import pandas as pd

from analysis.captions import format_counts, format_duration, format_interval
from analysis.figures.accuracy_by_sparsity import find_floor
from analysis.reading.missing_trials import Gaps
from analysis.series import Setting, format_sparsity
from analysis.statistics.device_time import find_costs, find_device
from analysis.statistics.paired_tests import ALPHA, compare_to_best, compare_to_dense
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import TOLERANCE, find_critical

SPARSITIES = 8  # that the summary speaks of; of more it takes some, evenly spread
NAMED = 4  # methods that a sentence lists; more are counted


def write_summary(results: Results, gaps: Gaps) -> list[str]:
    """The sentences, those on the whole study first, then those on each setting."""
    sentences = [f"{gaps.summarise()}."]
    compared = compare_to_best(results)
    for setting in results.settings:
        where = f"{setting.label}: " if len(results.settings) > 1 else ""
        found = [*_tell_dense(results, setting), *_tell_best(results, setting, compared)]
        found += [
            *_tell_losses(results, setting),
            *_tell_critical(results, setting),
            *_tell_floor(results, setting),
        ]
        found += [*_tell_health(results, setting), *_tell_cost(results, setting)]
        sentences += [f"{where}{sentence}" for sentence in found]
    return sentences


def _tell_dense(results: Results, setting: Setting) -> list[str]:
    dense = results.find_dense(setting)
    if dense is None:
        return ["The dense network is not measured yet."]
    value = format_interval(dense["mean"], dense["half_width"], results.metric.decimals)
    return [
        f"The dense network has a {results.metric.title} of {value}{_unit(results)} (n = {dense['n']})."
    ]


def _tell_best(results: Results, setting: Setting, compared: pd.DataFrame) -> list[str]:
    """Per requested sparsity: which method is best, and how many are not separable from it."""
    here = compared[results.cells.loc[compared.index, "site"] == results.settings.index(setting)]
    sentences = []
    sparsities = results.cells.loc[here.index, "sparsity"]
    told = _spread(sorted(sparsities.unique()), SPARSITIES)
    for sparsity, found in here.groupby(sparsities):
        if sparsity not in told:
            continue
        best = results.cells.loc[found["best"].iloc[0]]
        value = format_interval(best["mean"], best["half_width"], results.metric.decimals)
        begin = f"At {format_sparsity(float(str(sparsity)))} %, {best['series']} is best with {value}{_unit(results)}"
        tested = found[found["p"].notna()]
        count = format_counts([int(best["n"]), *tested["n"].astype(int)])
        if tested.empty:
            sentences.append(f"{begin} ({count}); with one seed nothing can be tested.")
            continue
        separable = int((tested["adjusted"] < ALPHA).sum())
        others = len(tested)
        if not separable:
            verdict = f"no method is separable from it ({others} compared, {count})"
        elif separable == others:
            verdict = f"every other method is separable from it ({others} compared, {count})"
        else:
            verdict = f"{others - separable} of {others} other methods are not separable from it ({count})"
        sentences.append(f"{begin}; {verdict}.")
    return sentences


def _tell_losses(results: Results, setting: Setting) -> list[str]:
    """How many results are separably different from dense."""
    compared = compare_to_dense(results)
    here = compared[results.cells.loc[compared.index, "site"] == results.settings.index(setting)]
    tested = here[here["p"].notna()]
    if tested.empty:
        return []
    found = tested[tested["adjusted"] < ALPHA]
    worse = int(
        (found["difference"] < 0).sum()
        if results.metric.higher
        else (found["difference"] > 0).sum()
    )
    text = f"Of {len(tested)} results compared with the dense network of the same seeds, {worse} are separably worse"
    return [f"{text} and {len(found) - worse} separably better (paired t-test, Holm, 5 %)."]


def _tell_critical(results: Results, setting: Setting) -> list[str]:
    """Who keeps within the tolerance of dense for longest."""
    if results.metric.unit != "%":
        return []
    shown = [
        one for one in results.find_shown(setting) if one in results.last and one.method != "dense"
    ]
    found = {one: critical for one in shown if (critical := find_critical(results, setting, one))}
    if not found:
        paired = any((results.measured(setting, one)["drop_n"] > 0).any() for one in shown)
        return (
            [f"No method stays within {TOLERANCE:g} point of the dense network."] if paired else []
        )
    top = max(critical.sparsity for critical in found.values())
    best = [one for one, critical in found.items() if critical.sparsity >= top - 1e-9]
    drop = found[best[0]].drop
    loss = format_interval(drop.mean, drop.half_width, results.metric.decimals, sign=True)
    told = f" ({loss} points, n = {drop.n})" if len(best) == 1 else ""
    verb = "stays" if len(best) == 1 else "stay"
    text = f"{_list([one.label for one in best])} {verb} within {TOLERANCE:g} point of the dense network, in the mean, up "
    text += f"to {format_sparsity(top)} %{told}"
    text += ", further than any other method" if len(best) < len(shown) else ""
    if lost := len(shown) - len(found):
        text += f"; {lost} of {len(shown)} methods do so at no sparsity measured"
    return [f"{text}."]


def _tell_floor(results: Results, setting: Setting) -> list[str]:
    """Which methods are not better than random pruning, at the largest sparsity both have."""
    floor = find_floor(results, setting)
    if floor is None:
        return []
    random = results.measured(setting, floor).dropna(subset=["sparsity"])
    random = random[random["sparsity"] > 0]
    if random.empty:
        return []
    cell = random.iloc[-1]
    cells = results.of(setting)
    lines = [
        index
        for index, one in enumerate(results.series)
        if one in results.last and one.family != "controls"
    ]
    peers = cells[
        cells["line"].isin(lines) & (cells["sparsity"] == cell["sparsity"]) & (cells["n"] > 0)
    ]
    if peers.empty:
        return []
    sign = 1 if results.metric.higher else -1
    below = peers[sign * (peers["mean"] - cell["mean"]) <= 0]["series"].tolist()
    where = f"At {format_sparsity(float(cell['sparsity']))} %"
    if not below:
        return [f"{where}, every method is above uniformly random pruning, in the mean."]
    return [
        f"{where}, {_list(below)} {'is' if len(below) == 1 else 'are'} no better than uniformly random pruning."
    ]


def _tell_health(results: Results, setting: Setting) -> list[str]:
    """Networks that came apart."""
    here = results.rows(setting, ["method", "connected"])
    known = here["connected"].dropna()
    apart = here[here["connected"].eq(False).fillna(False).astype(bool)]
    if not len(known) or apart.empty:
        return (
            [f"All {len(known)} measured networks are connected from input to output."]
            if len(known)
            else []
        )
    names = dict.fromkeys(apart["method"])
    titles = [
        next(one.label for one in results.series if one.method == name).split(" (")[0]
        for name in names
    ]
    return [f"{len(apart)} of {len(known)} measured networks are disconnected: {_list(titles)}."]


def _tell_cost(results: Results, setting: Setting) -> list[str]:
    costs = find_costs(results, setting)
    if len(costs) < 2:
        return []
    device, _ = find_device(results.study)
    total = format_duration(float(costs["total"].sum()))
    pruned = costs[costs["method"] != "dense"]
    dearest, cheapest = (
        pruned.sort_values("seconds").iloc[-1],
        pruned.sort_values("seconds").iloc[0],
    )
    text = f"All trials took {total} of one {device}; a trial of {dearest['series']} took longest"
    return [
        f"{text} ({format_duration(dearest['seconds'])}), one of {cheapest['series']} least "
        f"({format_duration(cheapest['seconds'])}), without the dense trainings they share."
    ]


def _spread(values: list[float], most: int) -> set[float]:
    """At most so many of some values, evenly spread, both ends among them."""
    if len(values) <= most:
        return set(values)
    return {values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)}


def _unit(results: Results) -> str:
    return f" {results.metric.unit}" if results.metric.unit else ""


def _list(names: list[str]) -> str:
    """Names as they are listed in a sentence; many are counted."""
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
