"""What is said of a file that does not fit the network: the nearest reading, and what to do.

Covers: trainables/weights/known_networks.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.weights.files_of_weights import (
    build,
    check_one_line,
    put_before,
    replace,
    save,
    without,
)

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
    "a layer too few": (
        save(without("layer2.1.conv2")),
        "1 missing (layer2.1.conv2.weight); name layers to draw anew with fresh",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_misfit_is_one_line(kind: str, tmp_path: Path) -> None:
    check_one_line(*MISFITS[kind], tmp_path)
