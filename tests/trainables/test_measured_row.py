"""A measured level as a row: every column of the schema has its source."""

from collections.abc import Callable

import pytest

from pruning.masks import prunable
from pruning.phases import Measure
from trainables.measured_row import check_zeros, describe_layers, describe_level, describe_trial
from trainables.training.evaluation import Accuracy
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits",
    model="mlp",
    method="random",
    sparsities=(0.75,),
    seed=1,
    recipe=Recipe(epochs=1, batch=400, precision="fp32"),
)


@pytest.fixture
def pruned(open_trial: Callable[..., Trial]) -> Trial:
    """A trial after its prune, which is the first phase."""
    trial = open_trial(SPEC)
    trial.advance()
    return trial


def test_a_level_says_what_is_so_of_the_network(pruned: Trial) -> None:
    network = pruned.runner.network
    test, validation = Accuracy(90.0, 99.0, 0.4, 359), Accuracy(91.0, 99.5, 0.3, 143)
    phase = Measure(0.75, 1)
    row = describe_level(phase, network, check_zeros(phase, network), test, validation)
    weights = prunable(network.model)
    kept = sum(int((weight != 0).sum()) for weight in weights.values())
    total = sum(weight.numel() for weight in weights.values())
    assert row["sparsity_reached"] == pytest.approx(1 - kept / total) == pytest.approx(0.75, 1e-4)
    others = row["params"] - total
    assert row["nonzero"] == kept + others
    assert (row["prunable"], row["zeros"], row["product_macs"]) == (total, total - kept, 0)
    assert row["compression"] == row["params"] / row["nonzero"]
    assert row["effective_macs"] == pytest.approx(kept) and row["macs"] == total
    assert (row["test_top1"], row["test_top5"], row["val_top1"]) == (90.0, 99.0, 91.0)
    assert row["test_images"] == 359
    assert row["connected"] and row["emptied_layers"] == "" and len(row["digest"]) == 16


def test_what_was_not_evaluated_is_none(pruned: Trial) -> None:
    phase, network = Measure(None, 1), pruned.runner.network
    row = describe_level(phase, network, check_zeros(phase, network), None, None)
    names = ("sparsity", "test_top1", "test_top5", "test_loss", "val_top1", "test_images")
    assert [row[name] for name in names] == [None] * 6


def test_layers_add_up_to_the_row(pruned: Trial) -> None:
    network = pruned.runner.network
    phase = Measure(0.75, 1)
    row = describe_level(phase, network, check_zeros(phase, network), None, None)
    layers = describe_layers(SPEC.key, phase, network)
    assert sum(layer["macs"] for layer in layers) == row["macs"]
    assert sum(layer["nonzero"] for layer in layers) < row["nonzero"]
    assert [layer["layer"] for layer in layers] == list(prunable(network.model))
    assert {layer["key"] for layer in layers} == {SPEC.key}


def test_a_trial_names_the_method_files_of_the_user(pruned: Trial) -> None:
    spec = SPEC.model_copy(update={"sources": {"mine": "ab" * 32}})
    row = describe_trial(spec, pruned.environment)
    assert row["versions"].endswith("mine sha256:abababababab")
    assert row["device"] == "cpu" and row["key"] == spec.key
