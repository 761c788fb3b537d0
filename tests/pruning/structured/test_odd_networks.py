"""The engine on networks that are no ReLU + batch-norm chains: proven, or refused by name.

Covers: pruning/structured/channel_labels.py, pruning/structured/label_trace.py,
pruning/structured/operation_rules.py, pruning/structured/elementwise_rules.py,
pruning/structured/layer_rules.py, pruning/structured/norm_rules.py,
pruning/structured/shape_rules.py, pruning/structured/rehearsal.py,
pruning/structured/channel_cuts.py, pruning/structured/narrow_attention.py.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from pruning.structured.channel_groups import analyse, find_groups
from pruning.structured.structure_proof import prove
from pruning.user_error import UserError
from tests.networks.channel_case_parts import IMAGE, Net
from tests.networks.channel_cases import CASES
from tests.networks.forward_passes import untraceable
from tests.pruning.structured.networks_to_cut import random_plan

torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_what_is_cut_is_proven_and_what_is_not_is_refused(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]
    model = Net(case.run, **case.layers()).eval()
    if case.groups is None:
        with pytest.raises(UserError) as refusal:
            find_groups(model, IMAGE)
        assert "\n" not in str(refusal.value)
        return
    structure = analyse(model, IMAGE)
    assert {group.name: group.channels for group in structure.groups} == case.groups
    for seed in range(3):
        prove(model, structure, random_plan(list(structure.groups), seed), IMAGE)


def test_what_stays_whole_has_a_reason() -> None:
    case = CASES["sigmoid"]
    fixed = analyse(Net(case.run, **case.layers()), IMAGE).fixed
    assert fixed == {
        "a": "layer 'b' (Conv2d): a removed channel would not be 0 where it is read",
        "fc": "the network's outputs are made of them",
    }


def test_a_weight_that_a_hook_sets_is_named() -> None:
    case = CASES["masked_layer"]
    with pytest.raises(UserError, match=r"layer 'a' \(Conv2d\): its 'weight' is set by a hook"):
        analyse(Net(case.run, **case.layers()), IMAGE)


def test_a_network_without_storage_that_looks_at_values_is_followed_too() -> None:
    """Plans lay out phases of networks without storage; a branch on values needs some."""
    image = (1, 8, 8)
    with torch.device("meta"):
        network = untraceable(image, 10)
    of_values = find_groups(untraceable(image, 10), image)
    assert [group.name for group in find_groups(network, image)] == [g.name for g in of_values]


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softsign),
    *(nn.LogSigmoid, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.RReLU, nn.PReLU),
    lambda: nn.PReLU(6),
    lambda: nn.Threshold(0.1, 0.0),
    *(
        partial(kind, inplace=True)
        for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.Mish)
    ),
    *(partial(kind, inplace=True) for kind in (nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh)),
    lambda: nn.RReLU(inplace=True),
]


@pytest.mark.parametrize("make", ACTIVATIONS, ids=lambda make: str(make()))
def test_every_activation_is_known(make: Callable[[], nn.Module]) -> None:
    """In place and not, whichever forms the PyTorch at hand calls elementwise; channels can be cut
    before those that leave 0 as it is."""
    layers = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), make(), nn.Conv2d(6, 5, 3), nn.Flatten(1)
    structure = analyse(nn.Sequential(*layers).eval(), (3, 8, 8))
    if make().eval()(torch.zeros(1, 6)).any():
        assert structure.fixed["0"].endswith("a removed channel would not be 0 where it is read")
    else:
        assert [group.channels for group in structure.groups] == [6]
