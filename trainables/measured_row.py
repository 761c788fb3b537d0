"""One measured level of a trial as a row, and its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pruning import cost
from pruning.connectivity import emptied_layers, is_connected
from pruning.real_zeros import Zeros
from trainables.environment import Environment
from trainables.provenance import git_commit, host_and_process, package_versions
from trainables.storage import checkpoints, schema

if TYPE_CHECKING:
    from pruning.phases import Measure
    from trainables.network import Network
    from trainables.training.evaluation import Accuracy
    from trainables.trial_spec import TrialSpec


def describe_trial(spec: TrialSpec, environment: Environment) -> dict[str, Any]:
    """The columns that are the same in every row of a trial."""
    return {
        "study": environment.study,
        "exclude": None,
        "layer_sparsity": None,
        **dict.fromkeys(("weights", "normalise", "image_size")),
        **spec.columns(),
        "device": environment.hardware,
        "threads": environment.threads,
        "ranks": environment.ranks,
        "commit": git_commit(),
        "versions": ", ".join(
            [
                package_versions(),
                *(f"{name} sha256:{digest[:12]}" for name, digest in spec.sources.items()),
            ]
        ),
        "host": host_and_process(),
        "schema_version": schema.SCHEMA_VERSION,
    }


def describe_level(
    phase: Measure,
    network: Network,
    zeros: Zeros,
    test: Accuracy | None,
    validation: Accuracy | None,
) -> dict[str, Any]:
    """The columns of what was measured: accuracy, size, cost and health of the network as it is
    now.

    Args:
        zeros: see `check_zeros`.
        test: None where the trial may not read the test set.
    """
    costs = cost.layer_costs(network.model, network.image)
    size = cost.size(network.model, network.masks)
    return {
        "sparsity": phase.sparsity,
        "level": phase.level,
        "stage": phase.stage,
        "test_top1": test.top1 if test else None,
        "test_top5": test.top5 if test else None,
        "test_loss": test.loss if test else None,
        "val_top1": validation.top1 if validation else None,
        "test_images": test.images if test else None,
        "params": size.params,
        "nonzero": size.nonzero,
        "prunable": zeros.weights,
        "zeros": zeros.zeros,
        "sparsity_reached": network.sparsity,
        "compression": network.dense_params / size.nonzero,
        "macs": cost.macs(costs),
        "product_macs": cost.product_macs(costs),
        "effective_macs": cost.effective_macs(costs, network.masks),
        "bytes": size.bytes,
        "precision": network.precision,
        "compiled": network.compiled,
        "connected": is_connected(network.model, network.masks, network.image),
        "emptied_layers": ", ".join(emptied_layers(network.masks)),
        "digest": checkpoints.digest_tensors(network.model.state_dict(), dict(network.masks)),
    }


def check_zeros(phase: Measure, network: Network) -> Zeros:
    """The zeros of the network as it is now, counted in the tensors that it uses.

    Raises:
        WrongZerosError: they are not those that the masks or the method say.
    """
    zeros = network.check_zeros()
    network.check_promise(phase.sparsity)
    return zeros


def describe_layers(key: str, phase: Measure, network: Network) -> list[dict[str, Any]]:
    """One row per prunable layer: its shape, weights, kept weights and MACs."""
    return [
        {
            "key": key,
            "level": phase.level,
            "stage": phase.stage,
            "layer": layer.name,
            "shape": "x".join(map(str, layer.shape)),
            "weights": layer.weights,
            "nonzero": int(network.masks[layer.name].sum())
            if layer.name in network.masks
            else layer.weights,
            "macs": layer.macs,
        }
        for layer in cost.layer_costs(network.model, network.image)
        if layer.weights
    ]
