"""What Blalock et al. 2020 (arXiv 2003.03033) ask of a pruning paper, each point ticked or not from
the data.

The points are those of their recommendations and of the checklist in their appendix, in our words.
Points that data cannot decide, such as whether claims go no further than the experiments, are left
to the author.
"""

from dataclasses import dataclass

import pandas as pd

from analysis.captions import format_counts
from analysis.reading.missing_trials import Gaps
from analysis.statistics.results import Results

RATIOS = 5  # operating points they ask for
PLACES = 3  # pairs of data set and network they ask for
EXTREME = 5.0  # points lost that count as a substantial decline


@dataclass(frozen=True)
class Point:
    """One point of the checklist: `met` is None where the data cannot decide; `evidence` says why.
    """

    asks: str
    met: bool | None
    evidence: str


def tick(results: Results, gaps: Gaps) -> list[Point]:
    """The points in the order of the paper."""
    return [
        *_tick_experiments(results),
        *_tick_results(results, gaps),
        *_tick_comparisons(results),
        *_tick_author(),
    ]


def _tick_experiments(results: Results) -> list[Point]:
    spec, rows = results.study.spec, results.study.rows
    pairs = {(one.dataset, one.model) for one in results.settings}
    described = bool(spec.get("recipe")) and bool(spec.get("model")) and bool(spec.get("dataset"))
    versions = rows["versions"].dropna().unique()
    devices = rows["device"].dropna().unique()
    commits = results.commits
    clean = bool(commits) and not any(
        str(one).endswith(("+", "dirty")) or str(one) == "unknown" for one in commits
    )
    return [
        Point(
            "architecture, data and all hyperparameters in enough detail to train the same network again",
            described,
            "the study file is part of this report"
            if described
            else "there is no study file with model and recipe",
        ),
        Point(
            "library and hardware named",
            len(versions) > 0 and len(devices) > 0,
            f"{'; '.join(map(str, versions[:2])) or 'no versions'}; {', '.join(map(str, devices[:3])) or 'no device'}",
        ),
        Point(
            "the code that produced the numbers identified",
            clean,
            f"commit {', '.join(commits[:3]) or 'unknown'}",
        ),
        Point(
            f"at least {PLACES} pairs of data set and architecture",
            len(pairs) >= PLACES,
            f"{len(pairs)}: {'; '.join(sorted(f'{data}, {model}' for data, model in pairs)[:4])}",
        ),
    ]


def _tick_results(results: Results, gaps: Gaps) -> list[Point]:
    cells = results.cells[results.cells["n"] > 0]
    pruned = cells[cells["method"] != "dense"]
    counts = pruned.groupby(["site", "line"])["place"].nunique()
    ratios = 1 / (1 - pruned["place"].dropna())
    drops = pruned["drop"].dropna()
    worst = float((-drops if results.metric.higher else drops).max()) if len(drops) else 0.0
    several = pruned["n"] > 1
    dense = [results.find_dense(setting) is not None for setting in results.settings]
    top5 = "test_top5" in cells and cells["test_top5"].notna().any()
    macs = bool(cells["effective_macs"].notna().any())
    timed = [
        name
        for name in ("latency_ms_b1", "latency_ms_b256")
        if name in cells and cells[name].notna().any()
    ]
    return [
        Point(
            f"a range of compression ratios, at least {RATIOS} operating points for each method",
            bool(len(counts) and (counts >= RATIOS).all()),
            f"{_span(counts)} points a method"
            + (
                f", {ratios.min():.3g} to {ratios.max():.3g} times fewer weights"
                if len(ratios)
                else ""
            ),
        ),
        Point(
            "extreme ratios, at which accuracy falls substantially",
            worst >= EXTREME,
            f"the largest mean loss is {worst:.2f} points"
            if len(drops)
            else "no loss against dense is known",
        ),
        Point(
            "raw accuracy at each point, not only differences",
            len(pruned) > 0,
            "tables 'accuracy', 'efficiency'",
        ),
        Point(
            "the unpruned network's accuracy beside it",
            bool(dense) and all(dense),
            "row 'Dense' of every table",
        ),
        Point(
            "top-1 and top-5 accuracy",
            bool(top5),
            "table 'efficiency'" if top5 else "no top-5 was measured",
        ),
        Point(
            "several runs with separate seeds",
            bool(len(pruned) and several.all()),
            format_counts(pruned["n"].tolist()) if len(pruned) else "nothing is measured yet",
        ),
        Point(
            "error bars that are defined, with a mean and a measure of variation",
            bool(len(pruned) and several.all()),
            "mean and 95 % Student t-interval over seeds"
            if several.any()
            else "one seed has no interval",
        ),
        Point(
            "compression and theoretical cost (MACs) both",
            macs,
            "effective MACs and nonzero parameters",
        ),
        Point(
            "measured speed where speed is claimed",
            bool(timed),
            f"{', '.join(timed)}"
            if timed
            else "latency was not measured (--measure): claim no speed",
        ),
        Point(
            "nothing left out",
            bool(gaps.planned) and gaps.done == gaps.planned,
            f"{gaps.summarise()}" if gaps.planned else "there is no plan to compare with",
        ),
    ]


def _tick_comparisons(results: Results) -> list[Point]:
    methods = set(results.cells.loc[results.cells["n"] > 0, "method"])
    rest = methods - {
        "dense",
        "magnitude",
        "random",
        "shuffled",
        "reinitialised",
        "small_from_scratch",
    }
    return [
        Point("a random pruning baseline", "random" in methods, _name(methods, "random")),
        Point(
            "a random baseline with the same proportions in each layer",
            "shuffled" in methods,
            _name(methods, "shuffled"),
        ),
        Point(
            "a magnitude pruning baseline, global or uniform",
            "magnitude" in methods,
            _name(methods, "magnitude"),
        ),
        Point(
            "other methods beside the proposed one",
            len(rest) > 1,
            f"{len(rest)}: {', '.join(sorted(rest)[:6])}",
        ),
        Point(
            "published numbers beside one's own",
            bool(results.study.spec.get("published")),
            "table 'published'"
            if results.study.spec.get("published")
            else "the study file names none",
        ),
    ]


def _tick_author() -> list[Point]:
    return [
        Point("claims that go no further than the experiments", None, "for the author to see to"),
        Point("a public link to the code", None, "for the author to see to"),
    ]


def _name(methods: set[str], name: str) -> str:
    return f"method '{name}'" if name in methods else f"method '{name}' is not in the study"


def _span(counts: pd.Series) -> str:
    if not len(counts):
        return "0"
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
