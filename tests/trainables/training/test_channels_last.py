"""Strided 1x1 convolutions with few input channels, which oneDNN's backward pass computes wrongly
in channels_last memory: their gradients, in a process of its own, as it may die of them."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.method_calls import make_prune_input, prune_network
from trainables.network import Network
from trainables.training.channels_last import to_channels_last
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

torch.set_num_threads(1)
PROJECT = Path(__file__).resolve().parents[3]

GRADIENTS = """
import itertools, json, sys
import torch
from torch import nn
from trainables.training.channels_last import to_channels_last

worst = 0.0
for threads, (inputs, outputs, stride, size) in itertools.product((2, 1), json.loads(sys.argv[1])):
    torch.set_num_threads(threads)
    for seed in range(3):
        torch.manual_seed(seed)
        layer = to_channels_last(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
        x = torch.randn(32, inputs, size, size).to(memory_format=torch.channels_last)
        x.requires_grad_()
        y = layer(x)
        upstream = torch.randn_like(y)
        y.backward(upstream)
        read = x.detach()[:, :, ::stride, ::stride].double()
        right = torch.einsum("noab,niab->oi", upstream.double(), read)
        wrong = (layer.weight.grad.double().flatten(1) - right).abs().max() / right.abs().max()
        back = torch.zeros_like(x, dtype=torch.float64)
        back[:, :, ::stride, ::stride] = torch.einsum(
            "noab,oi->niab", upstream.double(), layer.weight.detach().double().flatten(1)
        )
        wrong = max(wrong, (x.grad.double() - back).abs().max() / back.abs().max())
        worst = max(worst, float(wrong))
print(worst)
"""
SHAPES = [(i, o, s, z) for i in (1, 2, 7, 15) for o in (8, 20) for s in (2, 4) for z in (8, 32)]


def test_gradients_of_narrow_strided_pointwise_convolutions_are_right() -> None:
    """Without the hook they are wrong by more than their size on two threads, and the process dies
    of a spoilt heap on one, with AVX2."""
    command = [sys.executable, "-c", GRADIENTS, json.dumps(SHAPES)]
    # Threads that wait for each other do not spin, which costs more than all the rest here.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5


def make_layers() -> dict[str, nn.Module]:
    """By name: layers that have to be guarded, then others."""
    return {
        "shortcut": nn.Conv2d(4, 8, 1, 2),
        "one side": nn.Conv2d(4, 8, 1, (2, 1)),
        "named padding": nn.Conv2d(4, 8, 1, 2, padding="valid"),
        "wider window": nn.Conv2d(4, 8, 3, 2, padding=1),
        "unit stride": nn.Conv2d(4, 8, 1),
        "padded": nn.Conv2d(4, 8, 1, 2, padding=1),
        "groups": nn.Conv2d(4, 8, 1, 2, groups=4),
        "wide": nn.Conv2d(16, 8, 1, 2),
    }


@pytest.mark.parametrize("name", make_layers())
@pytest.mark.parametrize("size", [7, 8, 9])
def test_the_output_is_that_of_the_layer(name: str, size: int) -> None:
    plain = make_layers()[name]
    guarded = to_channels_last(copy.deepcopy(plain))
    assert guarded.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 16 if name == "wide" else 4, size, size)
    x = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(guarded(x), plain(x))


def seen_inputs(layer: nn.Module, x: Tensor) -> list[torch.Size]:
    shapes: list[torch.Size] = []
    layer.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    layer(x)
    return shapes


def test_only_what_is_faulty_is_changed_and_only_for_gradients() -> None:
    cropped = {}
    for name, layer in make_layers().items():
        x = torch.randn(2, 16 if name == "wide" else 4, 8, 8)
        (shape,) = seen_inputs(to_channels_last(to_channels_last(layer)), x)
        cropped[name] = tuple(shape[2:])
    assert cropped.pop("shortcut") == cropped.pop("named padding") == (7, 7)
    assert cropped.pop("one side") == (7, 8)
    assert set(cropped.values()) == {(8, 8)}
    with torch.no_grad():
        (shape,) = seen_inputs(to_channels_last(nn.Conv2d(4, 8, 1, 2)), torch.randn(2, 4, 8, 8))
    assert shape[2:] == (8, 8)


def test_a_trial_whose_shortcuts_have_become_narrow_is_guarded() -> None:
    """A residual network with one channel in eight: the layers that replace the old ones, too."""
    spec = TrialSpec(
        dataset="digits",
        model="resnet8",
        method="l1_filter",
        sparsities=(0.95,),
        recipe=Recipe(epochs=1, batch=64),
        seed=0,
    )
    network = Network(spec, (1, 8, 8), 10, torch.device("cpu"))
    assert network.method is not None
    inputs = make_prune_input(
        network, 0.95, seed=0, purpose="prune", number=0, draw=lambda *_: iter(()), memory={}
    )
    prune_network(network, network.method, inputs)
    shortcuts = [
        module
        for module in network.model.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    ]
    assert shortcuts and all(module.in_channels < 8 for module in shortcuts)
    for layer in shortcuts:
        (shape,) = seen_inputs(layer, torch.randn(2, layer.in_channels, 8, 8))
        assert shape[2:] == (7, 7)
