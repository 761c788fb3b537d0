"""The summary on whole curves, and on methods whose seeds or values are not all there."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.analysis.report.made_up_summaries import NOISE, find, summarise
from tests.analysis.synthetic import Writer, make_row


def write_curves(
    folder: Path, losses: Mapping[str, Sequence[float]], reached: float = 0.5
) -> list[str]:
    """The summary of methods with a loss at 50 and 90 %; l1_filter reached another sparsity."""
    writer = Writer(folder)
    for seed in range(5):
        top = 94.0 + NOISE[seed]
        writer.add([make_row("dense", 0.0, seed, test_top1=top)])
        for method, lost in losses.items():
            for sparsity, loss in zip((0.5, 0.9), lost, strict=True):
                value = top - loss + NOISE[(seed + len(method)) % 5]
                row = make_row(method, sparsity, seed, test_top1=value)
                is_shifted = method == "l1_filter" and sparsity == 0.5
                writer.add([row | {"sparsity_reached": reached} if is_shifted else row])
    return summarise(writer.finish())


LOSSES = {"magnitude": (0.1, 0.6), "snip": (0.3, 9.0), "gmp": (6.0, 20.0)}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The summary of the losses above."""
    return write_curves(tmp_path_factory.mktemp("apart"), LOSSES)


@pytest.fixture(scope="module")
def close(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """SNIP loses hardly more than magnitude pruning."""
    return write_curves(tmp_path_factory.mktemp("close"), LOSSES | {"snip": (0.12, 0.62)})


def test_how_far_methods_stay_near_the_dense_network(
    tmp_path: Path, apart: list[str], close: list[str]
) -> None:
    sentence = find(apart, "within 1 point")
    assert sentence.startswith(
        "Magnitude stays within 1 point of the dense network, in the mean, up to 90 % (−0.60 ["
    )
    assert "; 1 of 3 methods does so at no measured sparsity." in sentence
    assert "The loss of Magnitude, the furthest, reaches 1 point at 90 % or beyond" in sentence
    assert sentence.endswith("; all 2 other methods go separably less far.")
    both = find(close, "within 1 point")
    assert both.startswith("Magnitude and SNIP stay within 1 point")
    none = write_curves(tmp_path, {"magnitude": (3.0, 9.0), "snip": (3.0, 9.0)})
    assert "No method stays within 1 point of the dense network." in none


def test_no_claim_rests_on_a_rounding(tmp_path: Path) -> None:
    """Both were asked for 50 %; one reached 50.21 %."""
    losses = {"magnitude": (0.1, 9.0), "l1_filter": (0.1, 9.0)}
    sentence = find(write_curves(tmp_path, losses, reached=0.5021), "within 1 point")
    assert sentence.startswith("Magnitude and L1 filter stay within 1 point of the dense network")
    assert "up to 50 %" in sentence


def test_the_average_over_sparsities(tmp_path: Path, apart: list[str], close: list[str]) -> None:
    sentence = find(apart, "On average over 50 to 90 %")
    assert "Magnitude is best with 93.65 [" in sentence
    assert sentence.endswith("; all 2 other methods are separably worse.")
    average = find(close, "On average over")
    assert average.endswith("; 1 of 2 other methods is separably worse.")
    other = find(write_curves(tmp_path, LOSSES | {"magnitude": (6.0, 21.0)}), "On average over")
    assert "SNIP is best" in other


def write_partial(
    folder: Path, values: Mapping[str, Sequence[float | None]], **more: object
) -> str:
    """The sentence on the best at 90 % of methods with a value per seed; None failed."""
    writer = Writer(folder)
    for method, of_method in values.items():
        for seed, value in enumerate(of_method):
            row = make_row(method, 0.9, seed, test_top1=value or 0.0, **more)
            writer.add([row], outcome="failed" if value is None else "done")
    return find(summarise(writer.finish()), "is best with")


def test_a_best_with_shortfalls_is_said_to_have_them(tmp_path: Path) -> None:
    values = {
        "magnitude": [93.0, 93.1, None],
        "snip": [80.0, 80.3, 79.8],
        "gmp": [95.0, None, None],
    }
    best = write_partial(tmp_path, values, sparsity_reached=0.85)
    assert best.startswith("At 90 %, Magnitude is best with 93.05 [")
    assert "; separably worse: the other method (n = 2). Gradual magnitude has one seed," in best
    assert best.endswith(" Of its 3 planned seeds it has 2. It reached 85.00 % sparsity.")


def test_a_metric_that_never_varies_is_not_said_to_have_one_seed(tmp_path: Path) -> None:
    for name, seeds, why in (("a", 1, "with one seed nothing"), ("b", 3, "no result varies with")):
        writer = Writer(tmp_path / name)
        for method, macs in (("magnitude", 100), ("snip", 200)):
            for seed in range(seeds):
                writer.add([make_row(method, 0.9, seed, macs=macs)])
        assert why in find(summarise(writer.finish(), "macs"), "is best with")
