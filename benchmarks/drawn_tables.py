"""Tables of accuracies drawn from networks whose true means are known; for `significance.py`.

A table has a dense network, some methods and some sparsities. The images of the fixed test set
differ in difficulty, the same for all networks; each network gets each image right with its own
probability, so that accuracies come in whole images and tie. On the log-odds scale every network
has the ability of its cell, the effect of its seed (shared by all cells) and its own deviation.
Cells that shall be equal are equal in their mean accuracy over seeds, which is what the intervals
are of.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

STRATA = 12
DIFFICULTY = 1.5 * ndtri((np.arange(STRATA) + 0.5) / STRATA)
ACCURACIES = np.array([0.985, 0.97, 0.94, 0.85])  # of the sparsities; dense has the first
NODES, HERMITE = np.polynomial.hermite_e.hermegauss(41)
KINDS = ("equal", "unequal", "heavy", "collapsed", "wild", "halves", "sometimes")
FALLS = 0.2
PROMISED = ("equal", "unequal", "collapsed")


@dataclass(frozen=True)
class DrawnTables:
    """Many tables of one kind: accuracies in percent (tables, cells, seeds), the true means
    (cells), and the shape. Cell 0 is dense, cell 1 + m * levels + l is method m at sparsity l."""

    values: np.ndarray
    truth: np.ndarray
    methods: int
    levels: int
    images: int


def draw_tables(
    rng: np.random.Generator,
    kind: str,
    tables: int,
    *,
    methods: int,
    levels: int,
    seeds: int,
    images: int,
    seed_effect: float = 0.1,
    accuracies: np.ndarray = ACCURACIES,
) -> DrawnTables:
    """Tables in which all methods are equal at each sparsity, with the mean `accuracies`, the first
    of which is that of dense, too.

    kind: standard deviations between seeds, on the log-odds scale, are equal (0.2), unequal (0.05
    to 0.5, a factor of 10 from the steadiest method to the least steady), heavy (as unequal,
    Student's t with 4 degrees of freedom), or wild (0.08, but 0.8 for one method in ten).
    collapsed: half of the methods stand at exactly 10 % at the higher half of the sparsities.
    sometimes: a pruned network falls to 10 % with chance `FALLS`, any of them alike.
    halves: a seed effect of 0.3 on every other method only, and 0.1 of their own. The others have a
    seed effect of 0.1.
    """
    spread = {
        "unequal": np.geomspace(0.05, 0.5, methods),
        "heavy": np.geomspace(0.05, 0.5, methods),
        "wild": np.where(np.arange(methods) < max(1, methods // 10), 0.8, 0.08),
        "halves": np.full(methods, 0.1),
    }.get(kind, np.full(methods, 0.2))
    spread = np.concatenate([[np.median(spread)], np.repeat(spread, levels)])
    shared = np.full(len(spread), seed_effect)
    if kind == "halves":
        shared = 0.3 * np.concatenate([[1], np.repeat(np.arange(methods) % 2, levels)])
    aim = np.concatenate([accuracies[:1], np.tile(accuracies[:levels], methods)])
    own = rng.standard_t(4, (1, 1, 100_000)) / np.sqrt(2) if kind == "heavy" else None
    ability = _solve(aim, spread, shared, own, images)
    deviation = rng.standard_normal((tables, len(aim), seeds))
    if kind == "heavy":
        deviation = rng.standard_t(4, deviation.shape) / np.sqrt(2)
    effect = rng.standard_normal((tables, 1, seeds)) * shared[:, None]
    right = count_right(rng, ability[:, None] + effect + spread[:, None] * deviation, images)
    truth = 100 * _find_means(ability, spread, shared, own, images)
    if kind == "collapsed":
        gone = np.zeros((methods, levels), dtype=bool)
        gone[: methods // 2, levels // 2 :] = True
        at = np.concatenate([[False], gone.ravel()])
        right[:, at], truth[at] = images // 10, 100 * (images // 10) / images
    if kind == "sometimes":
        falls = rng.random(right.shape) < FALLS
        falls[:, 0] = False
        right[falls] = images // 10
        truth[1:] = (1 - FALLS) * truth[1:] + FALLS * 100 * (images // 10) / images
    return DrawnTables(100 * right / images, truth, methods, levels, images)


def draw_digits_tables(
    rng: np.random.Generator, tables: int, *, seeds: int, spread: float, path: Path
) -> DrawnTables:
    """Tables with the means of the digits study, 359 images; the log-odds spread between seeds
    varies by a factor of e**0.3 around `spread`, half as much is shared by all cells of a seed."""
    frame = pd.read_csv(path)
    frame = frame[~frame["method"].isin(["dense", "han_iterative"])]
    means = frame.assign(sparsity=frame["sparsity"].round(2)).pivot(
        index="method", columns="sparsity", values="mean"
    )
    means = means[[0.5, 0.9, 0.95, 0.98]].dropna()
    aim = np.clip(np.concatenate([[0.9889], means.to_numpy().ravel() / 100]), 0.001, 0.999)
    own = spread * np.exp(0.3 * rng.standard_normal(len(aim)))
    shared = np.full(len(aim), spread / 2)
    ability = _solve(aim, own, shared, None, 359)
    shape = (tables, len(aim), seeds)
    noise = rng.standard_normal((tables, 1, seeds)) * shared[:, None] + own[
        :, None
    ] * rng.standard_normal(shape)
    values = 100 * count_right(rng, ability[:, None] + noise, 359) / 359
    return DrawnTables(values, 100 * aim + 1e-6 * np.arange(len(aim)), *means.shape, 359)


def count_right(rng: np.random.Generator, ability: np.ndarray, images: int) -> np.ndarray:
    """How many images networks of some ability classify rightly; difficulties are the same for all
    of them."""
    return np.asarray(
        sum(
            rng.binomial(n, expit(ability - hard))
            for n, hard in zip(_split(images), DIFFICULTY, strict=True)
        )
    )


def _split(images: int) -> np.ndarray:
    """How many images there are of each difficulty."""
    return np.full(STRATA, images // STRATA) + (np.arange(STRATA) < images % STRATA)


def _find_means(
    ability: np.ndarray, spread: np.ndarray, shared: np.ndarray, own: np.ndarray | None, images: int
) -> np.ndarray:
    """The mean accuracy over seeds of cells: by quadrature, or over a sample of deviations."""
    part = _split(images) / images
    if own is None:
        place = ability[:, None] + np.hypot(spread, shared)[:, None] * NODES
        chance = sum(
            share * expit(place - hard) for share, hard in zip(part, DIFFICULTY, strict=True)
        )
        return np.asarray(chance @ (HERMITE / HERMITE.sum()))
    quantiles = np.quantile(own, (np.arange(201) + 0.5) / 201)
    # The seed effect by nodes, the heavy-tailed deviation by quantiles.
    place = (
        ability[:, None, None]
        + shared[:, None, None] * NODES[::4, None]
        + spread[:, None, None] * quantiles
    )
    chance = sum(
        share * expit(place - hard) for share, hard in zip(part, DIFFICULTY, strict=True)
    ).mean(axis=2)
    return np.asarray(chance @ (HERMITE[::4] / HERMITE[::4].sum()))


def _solve(
    aim: np.ndarray, spread: np.ndarray, shared: np.ndarray, own: np.ndarray | None, images: int
) -> np.ndarray:
    """The abilities at which cells have a mean accuracy, by halving."""
    low, high = np.full(aim.shape, -14.0), np.full(aim.shape, 16.0)
    distinct, back = np.unique(np.column_stack([aim, spread, shared]), axis=0, return_inverse=True)
    low, high = low[: len(distinct)], high[: len(distinct)]
    for _ in range(40):
        middle = (low + high) / 2
        below = _find_means(middle, distinct[:, 1], distinct[:, 2], own, images) < distinct[:, 0]
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low[back.ravel()]
