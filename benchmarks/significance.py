"""How often the report's tests and intervals are wrong where the truth is known, and how much they
find.

    python benchmarks/significance.py [--tables FACTOR] [--seed S] [--every-kind]

Claims: in at most 6 % of tables, one of the methods that are equal is called separable from the
best, which is chosen from the same numbers, or from dense (Holm, 5 %); 94 to 97 % of the intervals
hold the true mean. With 3, 5 and 10 seeds, 359, 1,000 and 10,000 test images; equal variances,
standard deviations of 1 : 10, and collapsed methods. Compared with paired t-tests, as before, and
with a single prior. docs/decisions/0015 has the table and where the claims do not hold. Takes ten
minutes with the default number of tables.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "docs" / "digits.csv"
sys.path[0] = str(ROOT)  # not the folder of this file, whose names are those of packages

from analysis.statistics.intervals_and_tests import CONFIDENCE, half_width, p_value
from analysis.statistics.model_differences import compare_pairs
from analysis.statistics.model_intervals import find_coverage
from analysis.statistics.variance_model import fit_table
from benchmarks.drawn_tables import (
    KINDS,
    PROMISED,
    DrawnTables,
    draw_digits_tables,
    draw_tables,
)
from benchmarks.rival_rules import apply_single_prior

LAYOUTS = ((20, 4, 300), (3, 4, 1500), (3, 1, 2000))  # methods, sparsities, tables
IMAGES, SEEDS = (359, 1000, 10_000), (3, 5, 10)
RULES = ("paired t", "single prior", "shared variances")


@dataclass(frozen=True)
class Rates:
    """Shares of tables with a false finding against the best and against dense, of intervals that
    hold the truth (mean over cells, and of the worst cell), and of the true differences to the best
    that are found."""

    best: float
    dense: float
    coverage: float
    worst: float
    detected: float


def measure_rates(tables: DrawnTables, rule: str) -> Rates:
    """The rates of a rule: "paired t" (paired by seed, Holm, nothing for the choice of the best),
    "single prior" (one prior with at most 4 degrees of freedom, means of log-odds) or "shared
    variances" (this project's)."""
    best, rest = pair_with_best(tables)
    shape = (len(tables.values), tables.values.shape[1] - 1)
    cells = np.broadcast_to(np.arange(1, shape[1] + 1), shape)
    dense = np.zeros_like(cells)
    p_best, p_dense, covered = _apply(tables, rule, (rest, best), (cells, dense))
    if rule != "paired t":
        p_best = np.minimum(1.0, p_best * tables.methods / 2)
    separable = adjust_rows(p_best) < 1 - CONFIDENCE
    equal = np.abs(tables.truth[best] - tables.truth[rest]) < 1e-7
    equal_to_dense = np.abs(tables.truth[cells] - tables.truth[dense]) < 1e-7
    wrong = (adjust_rows(p_dense) < 1 - CONFIDENCE) & equal_to_dense
    held = covered.mean(axis=0)
    of_different = separable[~equal]
    return Rates(
        float((separable & equal).any(axis=1).mean()),
        float(wrong.any(axis=1).mean()),
        float(held.mean()),
        float(held.min()),
        float(of_different.mean()) if of_different.size else float("nan"),
    )


def pair_with_best(tables: DrawnTables) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the best cell of each sparsity and of each other one, (tables, pairs) each."""
    count, methods, levels = len(tables.values), tables.methods, tables.levels
    best = tables.values.mean(axis=2)[:, 1:].reshape(count, methods, levels).argmax(axis=1)
    step = np.arange(1, methods)[:, None]
    rest = (best[:, None, :] + step) % methods
    level = np.arange(levels)
    first = 1 + np.broadcast_to(best[:, None, :], rest.shape) * levels + level
    return first.reshape(count, -1), (1 + rest * levels + level).reshape(count, -1)


def adjust_rows(p: np.ndarray) -> np.ndarray:
    """Holm's correction in each row."""
    order = np.argsort(p, axis=1)
    raised = np.take_along_axis(p, order, 1) * np.arange(p.shape[1], 0, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1, np.maximum.accumulate(raised, axis=1)), 1)
    return adjusted


def _apply(
    tables: DrawnTables,
    rule: str,
    best: tuple[np.ndarray, np.ndarray],
    dense: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p-values of both sets of pairs, and whether each interval holds the truth."""
    if rule == "shared variances":
        model = fit_table(tables.values, images=tables.images)
        p_best, p_dense = (
            compare_pairs(model, *pairs, intervals=False).p for pairs in (best, dense)
        )
        truth = np.broadcast_to(tables.truth, model.mean.shape)
        return p_best, p_dense, find_coverage(model, truth)
    if rule == "single prior":
        p_best, p_dense, covered = apply_single_prior(
            tables.values, tables.truth, tables.images, best, dense
        )
        return p_best, p_dense, covered
    n = np.full(1, tables.values.shape[2])
    half = half_width(tables.values.std(axis=2, ddof=1), n)
    covered = np.abs(tables.values.mean(axis=2) - tables.truth) <= half
    return _test_paired(tables.values, *best), _test_paired(tables.values, *dense), covered


def _test_paired(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """p-values of the t-test of differences paired by seed."""
    a, b = (np.take_along_axis(values, cells[..., None], 1) for cells in (first, second))
    gap = a - b
    return p_value(gap.mean(axis=2), gap.std(axis=2, ddof=1), np.full(1, gap.shape[2]))


def simulate(factor: float, seed: int, kinds: tuple[str, ...]) -> Iterator[str]:
    """A line of the table per layout, kind and number of seeds: the worst rates over the numbers of
    images, in percent."""
    for (methods, levels, most), kind, seeds in product(LAYOUTS, kinds, SEEDS):
        rates: dict[str, list[Rates]] = {rule: [] for rule in RULES}
        for images in IMAGES:
            drawn = draw_tables(
                np.random.default_rng(seed),
                kind,
                max(round(factor * most), 1),
                methods=methods,
                levels=levels,
                seeds=seeds,
                images=images,
            )
            for rule in RULES:
                rates[rule].append(measure_rates(drawn, rule))
        texts = [
            f"{100 * max(rate.best for rate in of_rule):.0f} / "
            f"{100 * max(rate.dense for rate in of_rule):.0f}"
            for of_rule in rates.values()
        ]
        coverage = [100 * rate.coverage for rate in rates[RULES[-1]]]
        texts += [f"{min(coverage):.1f} to {max(coverage):.1f}"]
        yield f"| {methods} x {levels}, {kind} | {seeds} | {' | '.join(texts)} |"


def simulate_power(rounds: int, seed: int) -> Iterator[str]:
    """How many of the differences to the best each rule finds in tables like the digits study."""
    for seeds, spread in product(SEEDS, (0.1, 0.2)):
        drawn = [
            draw_digits_tables(
                np.random.default_rng((seed, number)), 10, seeds=seeds, spread=spread, path=DIGITS
            )
            for number in range(rounds)
        ]
        pairs = (drawn[0].methods - 1) * drawn[0].levels
        detected = [
            pairs * np.mean([measure_rates(tables, rule).detected for tables in drawn])
            for rule in RULES
        ]
        texts = " | ".join(f"{number:.1f}" for number in detected)
        yield f"| {seeds}, {spread:g} | {texts} | {pairs} |"


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=float, default=1.0, help="this many times as many tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-kind", action="store_true", help="also kinds without a promise")
    given = parser.parse_args()
    print(f"| methods x sparsities, variances | n | {' | '.join(RULES)} | coverage |")
    for line in simulate(given.tables, given.seed, KINDS if given.every_kind else PROMISED):
        print(line, flush=True)
    print(f"| n, spread between seeds | {' | '.join(RULES)} | pairs |")
    for line in simulate_power(max(round(24 * given.tables), 1), given.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
