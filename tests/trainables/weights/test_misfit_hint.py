"""What is said of a file that does not fit the network: the nearest reading, and what to do.

Covers: trainables/weights/known_networks.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import random_unstructured

from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import (
    build,
    check_one_line,
    put_before,
    read,
    replace,
    save,
    trained,
    without,
)


def save_with(change: Callable[[nn.Conv2d], object]) -> Callable[[Path], None]:
    """Write a network whose first layer is changed before."""

    def write(path: Path) -> None:
        network = build()
        first = network.get_submodule("conv1")
        assert isinstance(first, nn.Conv2d)
        change(first)
        torch.save(network.state_dict(), path)

    return write


# How the file is written, and what the line says.
MISFITS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another depth": (
        lambda path: torch.save(put_before("module.", build("resnet32a").state_dict()), path),
        "does not fit 'resnet20a': 72 unexpected (layer1.3.conv1.weight, layer1.3.bn1.weight, "
        "layer1.3.bn1.bias, ...); these are the names and shapes of 'resnet32a': give model: "
        "resnet32a",
    ),
    "another family": (
        lambda path: torch.save(put_before("module.", build("resnet20").state_dict()), path),
        "these are the names and shapes of 'resnet20'",
    ),
    "a network of torchvision": (
        lambda path: torch.save(build("torchvision:resnet18", 1000).state_dict(), path),
        "these are the names and shapes of 'torchvision:resnet18'",
    ),
    "a network that nobody knows": (
        lambda path: torch.save(put_before("own.", {"a.weight": torch.ones(2)}), path),
        "all its names begin with 'own.', and it has none of the network's",
    ),
    "other classes": (
        lambda path: torch.save(build(classes=100).state_dict(), path),
        "2 misshapen (linear.weight is 100x64 for 10x64, linear.bias is 100 for 10); it was "
        "trained on 100 classes, and the data has 10: draw the last layer anew with head: fresh",
    ),
    "no head": (
        save(without("linear")),
        "2 missing (linear.weight, linear.bias); it has no last layer: draw one with head: fresh",
    ),
    "parameters only": (
        save(without("running", "num_batches")),
        "38 missing (bn1.running_mean, bn1.running_var, layer1.0.bn1.running_mean, ...); it has "
        "parameters but no running statistics of batch-norm: save model.state_dict(), "
        "which has both",
    ),
    "grey images": (
        save(replace("conv1.weight", lambda t: t[:, :1])),
        "1 misshapen (conv1.weight is 16x1x3x3 for 16x3x3x3); it was trained on images of 1 "
        "channels, and the data has 3",
    ),
    "masks": (
        save_with(lambda layer: random_unstructured(layer, "weight", 0.5)),
        "'conv1.weight' has masks of torch.nn.utils.prune: call torch.nn.utils.prune.remove(layer, "
        "'weight') on such layers and save again",
    ),
    "weight_norm": (
        save_with(nn.utils.parametrizations.weight_norm),
        "'conv1.weight' is parametrised: call torch.nn.utils.parametrize.remove_parametrizations("
        "layer, 'weight') on such layers and save again",
    ),
    "weight_norm before torch 2": (
        save(
            lambda w: {
                **{("conv1.weight_v" if n == "conv1.weight" else n): t for n, t in w.items()},
                "conv1.weight_g": torch.ones(16, 1, 1, 1),
            }
        ),
        "'conv1.weight' has weight_norm: call torch.nn.utils.remove_weight_norm(layer) on such",
    ),
    "spectral_norm": (
        save_with(nn.utils.spectral_norm),
        "'conv1.weight' has spectral_norm: call torch.nn.utils.remove_spectral_norm(layer) on such",
    ),
    "quantised": (
        save(
            lambda w: {
                **without("linear")(w),
                "linear.scale": torch.tensor(0.1),
                "linear.zero_point": torch.tensor(0),
            }
        ),
        "'linear.weight' is quantised: save the network's weights from before it was",
    ),
    "a layer too few": (
        save(without("layer2.1.conv2")),
        "1 missing (layer2.1.conv2.weight); name layers to draw anew with fresh",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_misfit_is_one_line(kind: str, tmp_path: Path) -> None:
    check_one_line(*MISFITS[kind], tmp_path)


def test_one_file_of_several_is_said_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "model-00001-of-00003.safetensors"
    torch.save(without("layer2")(trained()), file)
    with pytest.raises(UserError, match="it is one of the 3 files of a network: load the network"):
        read(file)
