"""The number of every seed that a claim is about: by hand."""

import math

import pytest

from analysis.replications.quantities import Cell, Difference, LastWhole, Ratio, Value
from tests.analysis.replications.recorded import make_rows

DENSE, TICKET = Cell("lenet_300_100", "dense"), Cell("lenet_300_100", "lottery_ticket", 1 - 0.8**7)
DRAWN = Cell("lenet_300_100", "lottery_ticket", 1 - 0.8**7, stage="reinitialised")
ROWS = make_rows(
    *(
        {"method": "dense", "seed": seed, "test_top1": 98.0, "early_stop_iteration": iteration}
        for seed, iteration in ((0, 4000), (1, 2000), (2, 1000))
    ),
    *(
        {
            "method": "lottery_ticket",
            "seed": seed,
            "sparsity": round(1 - 0.8**level, 12),
            "stage": stage,
            "test_top1": accuracy,
            "early_stop_iteration": iteration,
        }
        for seed, level, stage, accuracy, iteration in (
            (0, 7, "final", 98.5, 1000),
            (1, 7, "final", 98.3, 2000),
            (1, 8, "final", 50.0, 1),
            (0, 7, "reinitialised", 97.0, 8000),
        )
    ),
)


def test_a_cell_has_the_rows_of_its_method_stage_and_sparsity() -> None:
    assert list(TICKET.select(ROWS)["seed"]) == [0, 1]
    assert list(DRAWN.select(ROWS)["test_top1"]) == [97.0]
    assert Cell("lenet5_caffe", "dense").select(ROWS).empty


def test_a_cell_tells_entries_of_a_method_apart_by_its_knobs() -> None:
    rows = make_rows(
        *({"method": "han_iterative", "seed": n, "knobs": {"reach": reach, "iterations": 5}}
          for n, reach in enumerate(("own", "requested")))
    )  # fmt: skip
    cell = Cell("lenet_300_100", "han_iterative", knobs={"reach": "requested"})
    assert list(cell.select(rows)["seed"]) == [1]


def test_an_error_is_what_is_left_of_the_accuracy() -> None:
    assert dict(Value(DENSE, "error").of_seeds(ROWS)) == {0: 2.0, 1: 2.0, 2: 2.0}
    assert dict(Value(TICKET, "test_top1").of_seeds(ROWS)) == {0: 98.5, 1: 98.3}


def test_differences_are_of_the_seeds_that_have_both() -> None:
    found = Difference(TICKET, DENSE, "test_top1").of_seeds(ROWS)
    assert dict(found) == pytest.approx({0: 0.5, 1: 0.3})


def test_ratios_are_averaged_as_logarithms() -> None:
    ratio = Ratio(TICKET, DENSE, "early_stop_iteration")
    found = ratio.of_seeds(ROWS)
    assert ratio.read(found.mean()) == pytest.approx(0.5)  # of 1/4 and 1
    earlier = Ratio(TICKET, DENSE, "early_stop_iteration", percent_less=True)
    assert earlier.read(earlier.of_seeds(ROWS).mean()) == pytest.approx(50.0)
    assert (ratio.unit, earlier.unit) == ("×", "%")
    assert earlier.read(0.2) < earlier.read(0.3) and ratio.read(0.2) < ratio.read(0.3)


def test_a_layer_without_weights_ends_what_counts_as_whole() -> None:
    rows = make_rows(
        *(
            {
                "model": "resnet20",
                "method": method,
                "seed": 0,
                "sparsity": sparsity,
                "emptied_layers": emptied,
            }
            for method, sparsity, emptied in (
                ("snip", 0.99, ""),
                ("snip", 0.9, ""),
                ("snip", 0.999, "conv1"),
                ("snip", 0.9999, ""),
                ("synflow", 0.999, ""),
                ("random", 0.9, "conv1"),
            )
        )
    )
    assert dict(LastWhole("resnet20", "snip").of_seeds(rows)) == pytest.approx({0: 2.0})
    assert dict(LastWhole("resnet20", "random").of_seeds(rows)) == {0: 0.0}
    assert dict(LastWhole("resnet20", "synflow", "snip").of_seeds(rows)) == pytest.approx({0: 1.0})
    assert LastWhole("resnet20", "grasp", "snip").of_seeds(rows).empty
    assert math.isclose(LastWhole("resnet20", "snip").read(2.5), 2.5)
