"""The summary of a study in plain sentences, each derived from the numbers."""

import pandas as pd

from analysis.captions import format_duration, format_interval
from analysis.reading.study_completeness import MissingTrials
from analysis.report.summary_of_comparisons import (
    describe_areas,
    describe_best,
    describe_critical_sparsities,
    describe_differences_to_dense,
)
from analysis.report.summary_of_controls import describe_controls
from analysis.report.summary_words import count, list_names
from analysis.series import Setting, format_sparsity
from analysis.statistics.comparisons import ALPHA, compare_to_dense
from analysis.statistics.control_methods import LONGER_DENSE
from analysis.statistics.data_sizes import DataSizes, find_data_sizes
from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.results import Results

SMALL_SHARE = 0.9  # of the parameters: what less than this can be pruned is told


def write_summary(results: Results, missing: MissingTrials) -> list[str]:
    """The sentences, those on the whole study first, then those on each setting."""
    sentences = [f"{missing.summarise()}.", *_count_rows(results)]
    for setting in results.settings:
        of_setting = [
            *describe_best(results, setting),
            *_describe_dense(results, setting),
            *describe_differences_to_dense(results, setting),
            *describe_critical_sparsities(results, setting),
            *describe_areas(results, setting),
            *describe_controls(results, setting),
            *_describe_prunable_share(results, setting),
            *_describe_data(results, setting),
            *_describe_connectivity(results, setting),
            *_describe_device_times(results, setting),
        ]
        where = f"{setting.label}: " if len(results.settings) > 1 else ""
        sentences += [f"{where}{sentence}" for sentence in of_setting]
    return sentences


def _count_rows(results: Results) -> list[str]:
    """How many networks there are, and rows of them: a network has one row per stage."""
    rows = results.study.rows
    networks = len(rows[["key", "level"]].drop_duplicates())
    trials = rows["key"].nunique()
    text = f"{count(trials, 'trial')} measured {count(networks, 'network')}"
    if len(rows) > networks:
        text += (
            f" in {count(len(rows), 'row')}: some at several stages, as before and after "
            "recalibration"
        )
    return [f"{text}."]


def _describe_dense(results: Results, setting: Setting) -> list[str]:
    """The dense network, and the one that was trained as long as the longest method."""
    dense = results.find_dense(setting)
    if dense is None:
        return ["The dense network is not measured yet."]
    sentences = [
        f"The dense network has a {results.metric.title} of {_format_value(results, dense)} "
        f"(n = {dense['n']}{_format_epochs(dense)})."
    ]
    longer = results.find_cell(setting, LONGER_DENSE)
    if longer is None:
        return sentences
    adjusted = compare_to_dense(results)["adjusted"].get(longer.name)
    verdict = "which nothing can test"
    if pd.notna(adjusted):
        sign = 1 if results.metric.higher else -1
        better = sign * (longer["mean"] - dense["mean"]) > 0
        separable = "better" if better else "worse"
        verdict = f"separably {separable}" if adjusted < ALPHA else "not separable from it"
    return [
        *sentences,
        f"Trained as long as the longest method, it has {_format_value(results, longer)} "
        f"(n = {longer['n']}{_format_epochs(longer)}), {verdict}.",
    ]


def _describe_prunable_share(results: Results, setting: Setting) -> list[str]:
    """What sparsities are of, where methods leave much of the network alone."""
    columns = ["params", "prunable", "nonzero", "compression", "sparsity_reached"]
    rows = results.rows_of(setting, columns).dropna().astype(float)
    rows = rows[rows["sparsity_reached"].between(0, 1, inclusive="neither")]
    if rows.empty:
        return []
    dense = (rows["compression"] * rows["nonzero"]).round()
    left = rows["prunable"].where(rows["params"] >= dense)
    # Where channels are gone, what is left of the prunable weights says how many there were.
    shares = left.fillna(rows["prunable"] / (1 - rows["sparsity_reached"])) / dense
    low, high = (f"{100 * share:.0f}" for share in (shares.min(), shares.max()))
    if shares.min() >= SMALL_SHARE:
        return []
    sparsest = rows.sort_values("sparsity_reached", kind="stable").iloc[-1]
    share = f"{low} %" if low == high else f"{low} to {high} %, depending on the method,"
    return [
        f"Sparsities are of {share} of the parameters, those that can be pruned: the sparsest "
        f"network ({format_sparsity(sparsest['sparsity_reached'])} %) still has "
        f"{100 / sparsest['compression']:.0f} % of all parameters."
    ]


def _describe_data(results: Results, setting: Setting) -> list[str]:
    """How many images there are."""
    sizes = find_data_sizes(results, setting)
    if results.metric.unit == "%" and sizes.test is None:
        return [
            "How many test images there are is not known; intervals take the number that the "
            "smallest difference between two accuracies tells."
        ]
    return _list_sizes(sizes)


def _list_sizes(sizes: DataSizes) -> list[str]:
    parts = [
        f"{images:,} for {purpose}"
        for purpose, images in (
            ("training", sizes.training),
            ("validation", sizes.validation),
            ("testing", sizes.test),
        )
        if images
    ]
    return [f"Images: {', '.join(parts)}."] if parts else []


def _describe_connectivity(results: Results, setting: Setting) -> list[str]:
    """How many networks are disconnected, and of which methods."""
    rows = results.rows_of(setting, ["key", "level", "method", "connected"])
    networks = rows.dropna(subset=["connected"]).drop_duplicates(["key", "level"])
    disconnected = networks[~networks["connected"].astype(bool)]
    if networks.empty:
        return []
    total = count(len(networks), "network")
    if disconnected.empty:
        return [f"All {total} are connected from input to output."]
    titles = [
        next(series.label for series in results.series if series.method == method).split(" (")[0]
        for method in dict.fromkeys(disconnected["method"])
    ]
    verb = "is" if len(disconnected) == 1 else "are"
    return [f"{len(disconnected)} of {total} {verb} disconnected: {list_names(titles)}."]


def _describe_device_times(results: Results, setting: Setting) -> list[str]:
    """The device time of all trials, and of the longest and shortest ones."""
    times = find_device_times(results, setting)
    if len(times) < 2:
        return []
    device, _ = find_trial_device(results.study)
    total = format_duration(float(times["total"].sum()))
    pruned = times[times["method"] != "dense"].sort_values("seconds")
    longest, shortest = pruned.iloc[-1], pruned.iloc[0]
    most, least = (format_duration(one["seconds"]) for one in (longest, shortest))
    of_each = (
        f"a trial of every method takes {most}"
        if most == least
        else f"a trial of {longest['series']} takes longest ({most}), one of {shortest['series']} "
        f"least ({least})"
    )
    return [
        f"All trials took {total} of one {device}; {of_each}, without the dense trainings they "
        "share and the start of worker processes."
    ]


def _format_value(results: Results, cell: pd.Series) -> str:
    """The mean of a cell with its interval and unit."""
    value = format_interval(cell["mean"], cell["low"], cell["high"], results.metric.decimals)
    return f"{value} {results.metric.unit}" if results.metric.unit else value


def _format_epochs(cell: pd.Series) -> str:
    """The epochs of a cell, where they are known."""
    return "" if pd.isna(cell["epochs"]) else f", {cell['epochs']:g} epochs"
