"""What Blalock et al. 2020 (arXiv 2003.03033) ask of a pruning paper, each point ticked or not from
the data.

The points are those of their recommendations and of the checklist in their appendix, in our words.
Points that data cannot decide, such as whether claims go no further than the experiments, are left
to the author.
"""

from dataclasses import dataclass

import pandas as pd

from analysis.captions import format_counts
from analysis.reading.study_completeness import MissingTrials
from analysis.statistics.control_methods import find_kind
from analysis.statistics.results import Results

RATIOS = 5  # operating points they ask for
PLACES = 3  # pairs of data set and network they ask for
EXTREME = 5.0  # points lost that count as a substantial decline


@dataclass(frozen=True)
class ChecklistPoint:
    """One point: `met` is None where the data cannot decide; `evidence` says why."""

    asks: str
    met: bool | None
    evidence: str


def make_checklist(results: Results, missing: MissingTrials) -> list[ChecklistPoint]:
    """The points in the order of the paper."""
    return [
        *_check_experiments(results),
        *_check_results(results, missing),
        *_check_comparisons(results),
        *_list_points_for_author(),
    ]


def _check_experiments(results: Results) -> list[ChecklistPoint]:
    spec, rows = results.study.spec, results.study.rows
    pairs = {(setting.dataset, setting.model) for setting in results.settings}
    described = bool(spec.get("recipe")) and bool(spec.get("model")) and bool(spec.get("dataset"))
    versions = rows["versions"].dropna().unique()
    devices = rows["device"].dropna().unique()
    commits = results.commits
    clean = bool(commits) and not any(
        str(commit).endswith(("+", "dirty")) or str(commit) == "unknown" for commit in commits
    )
    return [
        ChecklistPoint(
            "architecture, data and all hyperparameters in enough detail to train the same network "
            "again",
            described,
            "the study file is part of this report"
            if described
            else "there is no study file with model and recipe",
        ),
        ChecklistPoint(
            "library and hardware named",
            len(versions) > 0 and len(devices) > 0,
            f"{'; '.join(map(str, versions[:2])) or 'no versions'}; "
            f"{', '.join(map(str, devices[:3])) or 'no device'}",
        ),
        ChecklistPoint(
            "the code that produced the numbers identified",
            clean,
            f"commit {', '.join(commits[:3]) or 'unknown'}",
        ),
        ChecklistPoint(
            f"at least {PLACES} pairs of data set and architecture",
            len(pairs) >= PLACES,
            f"{len(pairs)}: {'; '.join(sorted(f'{data}, {model}' for data, model in pairs)[:4])}",
        ),
    ]


def _check_results(results: Results, missing: MissingTrials) -> list[ChecklistPoint]:
    cells = results.cells[results.cells["n"] > 0]
    pruned = cells[cells["method"] != "dense"]
    counts = pruned.groupby(["setting_index", "series_index"])["place"].nunique()
    ratios = 1 / (1 - pruned["place"].dropna())
    drops = pruned["drop"].dropna()
    worst = float((-drops if results.metric.higher else drops).max()) if len(drops) else 0.0
    several = pruned["n"] > 1
    dense = [results.find_dense(setting) is not None for setting in results.settings]
    top5 = "test_top5" in cells and cells["test_top5"].notna().any()
    macs = bool(cells["effective_macs"].notna().any())
    timed = [
        column
        for column in ("latency_ms_b1", "latency_ms_b256")
        if column in cells and cells[column].notna().any()
    ]
    return [
        ChecklistPoint(
            f"a range of compression ratios, at least {RATIOS} operating points for each method",
            bool(len(counts) and (counts >= RATIOS).all()),
            f"{_format_range(counts)} points a method"
            + (
                f", {ratios.min():.3g} to {ratios.max():.3g} times fewer weights"
                if len(ratios)
                else ""
            ),
        ),
        ChecklistPoint(
            "extreme ratios, at which accuracy falls substantially",
            worst >= EXTREME,
            f"the largest mean loss is {worst:.2f} points"
            if len(drops)
            else "no loss against dense is known",
        ),
        ChecklistPoint(
            "raw accuracy at each point, not only differences",
            len(pruned) > 0,
            "tables 'accuracy', 'efficiency'",
        ),
        ChecklistPoint(
            "the unpruned network's accuracy beside it",
            bool(dense) and all(dense),
            "row 'Dense' of every table",
        ),
        ChecklistPoint(
            "top-1 and top-5 accuracy",
            bool(top5),
            "table 'efficiency'" if top5 else "no top-5 was measured",
        ),
        ChecklistPoint(
            "several runs with separate seeds",
            bool(len(pruned) and several.all()),
            format_counts(pruned["n"].tolist()) if len(pruned) else "nothing is measured yet",
        ),
        ChecklistPoint(
            "error bars that are defined, with a mean and a measure of variation",
            bool(len(pruned) and several.all()),
            "mean over seeds and its 95 % interval"
            if several.any()
            else "one seed has no interval",
        ),
        ChecklistPoint(
            "compression and theoretical cost (MACs) both",
            macs,
            "effective MACs and nonzero parameters",
        ),
        ChecklistPoint(
            "measured speed where speed is claimed",
            bool(timed),
            ", ".join(timed) if timed else "latency was not measured (--measure): claim no speed",
        ),
        ChecklistPoint(
            "nothing left out",
            bool(missing.planned)
            and missing.done == missing.planned
            and not missing.valueless_keys,
            missing.summarise() if missing.planned else "there is no plan to compare with",
        ),
    ]


def _check_comparisons(results: Results) -> list[ChecklistPoint]:
    methods = set(results.cells.loc[results.cells["n"] > 0, "method"])
    kinds = {method: find_kind(method, results.study.cards) for method in methods}
    others = {name for name, kind in kinds.items() if kind not in ("baseline", "control")}
    others -= {"magnitude"}  # a point of its own
    return [
        ChecklistPoint(
            "a random pruning baseline", "random" in methods, _find_method(methods, "random")
        ),
        ChecklistPoint(
            "a random baseline with the same proportions in each layer",
            "shuffled" in methods,
            _find_method(methods, "shuffled"),
        ),
        ChecklistPoint(
            "a magnitude pruning baseline, global or uniform",
            "magnitude" in methods,
            _find_method(methods, "magnitude"),
        ),
        ChecklistPoint(
            "other methods beside the proposed one",
            len(others) > 1,
            f"{len(others)}: {', '.join(sorted(others)[:6])}",
        ),
        ChecklistPoint(
            "published numbers beside one's own",
            bool(results.study.spec.get("published")),
            "table 'published'"
            if results.study.spec.get("published")
            else "the study file names none",
        ),
    ]


def _list_points_for_author() -> list[ChecklistPoint]:
    return [
        ChecklistPoint(
            "claims that go no further than the experiments", None, "for the author to see to"
        ),
        ChecklistPoint("a public link to the code", None, "for the author to see to"),
    ]


def _find_method(methods: set[str], name: str) -> str:
    return f"method '{name}'" if name in methods else f"method '{name}' is not in the study"


def _format_range(counts: pd.Series) -> str:
    if not len(counts):
        return "0"
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
