"""Which weights are pruned: what is left out with a note, and what is refused by name.

Covers: pruning/layer_patterns.py.
"""

import copy
from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from pruning.masks import prunable
from pruning.method import Card, Method
from pruning.methods.dense import Dense
from pruning.methods.l1_filter import L1Filter
from pruning.methods.magnitude import Magnitude
from pruning.methods.wanda import Wanda
from pruning.prunable_layers import select_weights
from pruning.user_error import UserError
from tests.networks import architectures, weights

IMAGE = (1, 8, 8)


class Cutting(Method):
    """A user's method that removes channels without the base for those."""

    card = Card(title="Cutting", paper="", summary="", kind="structured", cost="", when="")


@pytest.mark.parametrize(
    "build",
    [
        weights.weight_norm,
        weights.weight_norm_by_hook,
        weights.spectral_norm,
        weights.spectral_norm_by_hook,
        weights.pruned_by_torch,
        weights.standardised,
    ],
)
def test_a_weight_that_the_forward_pass_makes_of_others_is_refused_by_name(build) -> None:
    """The row of the version before said 90 %, and 0 to 7 % were zero."""
    network = build(IMAGE, 10)
    with pytest.raises(UserError, match=r"^cannot prune layer '2' \(\w+\): .*exclude: \[2\]$"):
        select_weights(network, IMAGE)
    chosen = select_weights(network, IMAGE, exclude=["2"])
    assert chosen.names == ("0.weight", "6.weight")
    # What does not prune is not in the way of the dense training.
    assert select_weights(network, IMAGE, method=Dense()).names == ("0.weight", "6.weight")


def test_how_many_layers_are_like_the_one_that_is_named() -> None:
    network = weights.standardised(IMAGE, 10)
    network[0] = weights.Standardised(1, 8, 3)
    with pytest.raises(UserError, match=r"cannot prune layer '0' \(Standardised\) and 1 more: "):
        select_weights(network, IMAGE)


def test_a_shared_tensor_is_there_once_with_a_note() -> None:
    network = weights.tied(IMAGE, 10)
    chosen = select_weights(network, IMAGE)
    assert chosen.names == ("0.weight", "2.weight", "7.weight")
    assert chosen.notes == ("2.weight is one tensor with 3.weight: counted and masked once",)
    assert list(prunable(network)) == list(chosen.names)


def test_frozen_and_unused_layers_are_left_out_with_notes() -> None:
    chosen = select_weights(weights.unused(IMAGE, 10), IMAGE)
    assert chosen.names == ("body.weight", "fc.weight")
    assert set(chosen.notes) == {
        "not pruned (frozen: it gets no gradient): frozen.weight, inside_no_grad.weight",
        "not pruned (not used in the forward pass): idle.weight",
    }


def test_attention_recurrent_and_transposed_layers_are_pruned() -> None:
    chosen = select_weights(architectures.attention(IMAGE, 10), IMAGE)
    assert {"attend.in_proj_weight", "attend.out_proj.weight"} <= set(chosen.names)
    recurrent = select_weights(architectures.recurrent(IMAGE, 10), IMAGE)
    assert recurrent.notes == ()
    assert set(recurrent.names) == {
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "lstm.weight_ih_l0_reverse",
        "lstm.weight_hh_l0_reverse",
        "cell.weight_ih",
        "cell.weight_hh",
        "up.weight",
        "fc.weight",
    }


def test_separate_projections_are_pruned_too() -> None:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x[:, 0]
            logits: torch.Tensor = self.attend(x, x[..., :4], x[..., :6])[0].mean(1)
            return logits

    names = select_weights(Cross(), IMAGE).names
    assert names == (
        "attend.q_proj_weight",
        "attend.k_proj_weight",
        "attend.v_proj_weight",
        "attend.out_proj.weight",
    )


def test_a_method_leaves_out_what_it_cannot_prune() -> None:
    names = select_weights(architectures.recurrent(IMAGE, 10), IMAGE, method=Wanda())
    assert names.names == ("fc.weight",)
    (note,) = names.notes
    why = "not pruned (Wanda prunes convolutions and linear layers that run once): "
    assert note.startswith(why)
    attention = select_weights(architectures.attention(IMAGE, 10), IMAGE, method=Wanda())
    assert (
        "attend.in_proj_weight" in attention.names and "attend.out_proj.weight" in attention.names
    )
    assert "first.weight" not in attention.names  # tied: it runs twice


def test_layers_are_excluded_by_name_pattern_and_place() -> None:
    network = architectures.group_norm_cat(IMAGE, 10)

    def left(*patterns: str) -> tuple[str, ...]:
        return select_weights(network, IMAGE, exclude=patterns).names

    assert left() == ("stem.weight", "left.weight", "right.weight", "fc.weight")
    assert left("fc") == left("fc.weight") == left("last") == left()[:3]
    assert left("first", "last") == ("left.weight", "right.weight")
    assert left("*t") == ("stem.weight", "fc.weight")
    assert select_weights(network, IMAGE, exclude=["last"]).notes == (
        "not pruned (excluded): fc.weight",
    )


def test_a_layer_that_is_called_first_is_meant_by_its_name() -> None:
    network = architectures.attention(IMAGE, 10)
    assert "first.weight" not in select_weights(network, IMAGE, exclude=["first"]).names
    assert "embed.weight" in select_weights(network, IMAGE, exclude=["first"]).names


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"exclude": ["fcc"]}, r"^exclude: no prunable layer matches 'fcc'; did you mean 'fc'\?$"),
        ({"exclude": ["*"]}, r"^nothing is left to prune in this network: not pruned \(excluded\)"),
        ({"exclude": ["fc"], "layer_sparsity": {"last": 0.1}}, "which exclude leaves alone by"),
        ({"layer_sparsity": {"*t": 0.1, "left": 0.2}}, "two sparsities, 0.1 and 0.2; name each"),
        (
            {"layer_sparsity": {"fc": 0.5}, "method": Cutting()},
            "^method 'Cutting' takes no layer_sparsity; exclude the layers instead$",
        ),
    ],
)
def test_a_choice_that_does_not_fit_is_one_line(choices, line) -> None:
    with pytest.raises(UserError, match=line):
        select_weights(architectures.group_norm_cat(IMAGE, 10), IMAGE, **choices)


def test_fractions_of_filters_are_told_apart_from_sparsities() -> None:
    chosen = select_weights(
        architectures.group_norm_cat(IMAGE, 10),
        IMAGE,
        method=L1Filter(),
        layer_sparsity={"left": 0.5},
    )
    assert chosen.fixed == {"left.weight": 0.5}
    assert chosen.notes == (
        "layers with a fraction of filters to remove of their own: left.weight 0.5",
    )


def test_sparsities_of_layers_are_resolved_and_told() -> None:
    chosen = select_weights(
        architectures.group_norm_cat(IMAGE, 10), IMAGE, layer_sparsity={"fc": 0.5, "*t": 0.25}
    )
    assert chosen.fixed == {"fc.weight": 0.5, "left.weight": 0.25, "right.weight": 0.25}
    assert chosen.notes == (
        "layers with a sparsity of their own: left.weight 0.25, right.weight 0.25, fc.weight 0.5",
    )
    assert fnmatchcase("left", "*t")


def test_a_lazy_layer_is_refused_by_name() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(UserError, match=r"^'1\.weight' has no size before the first forward pass"):
        select_weights(network, IMAGE)


def test_the_look_leaves_the_network_as_it_was() -> None:
    network = architectures.depthwise_se(IMAGE, 10).train()
    before = copy.deepcopy(network.state_dict())
    select_weights(network, IMAGE, method=Magnitude())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training and all(p.grad is None for p in network.parameters())


def test_first_and_last_are_layers_that_run_also_with_a_weight_that_is_made_anew() -> None:
    network = weights.weight_norm(IMAGE, 10)
    with pytest.raises(UserError, match=r"cannot prune layer '2'"):
        select_weights(network, IMAGE, exclude=["last"])
    assert select_weights(network, IMAGE, exclude=["last", "2"]).names == ("0.weight",)
    parametrizations.weight_norm(network[0])
    parametrizations.weight_norm(network[6])
    assert select_weights(network, IMAGE, exclude=["2", "first"], method=Dense()).names == ()
    network = weights.plain(IMAGE, 10)
    parametrizations.weight_norm(network[6])
    assert select_weights(network, IMAGE, exclude=["last"]).names == ("0.weight", "2.weight")
    unused = weights.unused(IMAGE, 10)
    assert select_weights(unused, IMAGE, exclude=["last"]).names == ("body.weight",)


class Functional(nn.Module):
    """Multiplies with a parameter that no layer has, and with a layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(4, 1, 3, 3))
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.fc: nn.Module = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv2d(x, self.kernel) * self.scale
        return self.fc(x.mean((2, 3)))


def test_parameters_of_no_layer_that_are_multiplied_are_named() -> None:
    network, note = Functional(), "not pruned (parameters of no layer that is known): kernel"
    chosen = select_weights(network, IMAGE)
    assert (chosen.names, chosen.notes) == (("fc.weight",), (note,))
    assert select_weights(network, IMAGE, method=Dense()).notes == ()
    network.fc = nn.Identity()
    with pytest.raises(UserError, match=r"it has no layer that can be pruned; not .*: kernel$"):
        select_weights(network, IMAGE)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_and_not_taken_for_a_network_without_layers() -> None:
    script = torch.jit.script(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10)))
    with pytest.raises(UserError, match="^the network is a TorchScript module"):
        select_weights(script, IMAGE)
    mixed = nn.Sequential(torch.jit.script(nn.Conv2d(1, 4, 3)), nn.Flatten(), nn.Linear(144, 10))
    with pytest.raises(UserError, match="^layer '0' is a TorchScript module"):
        select_weights(mixed, IMAGE)
    plain = nn.Sequential(torch.jit.script(nn.ReLU()), nn.Flatten(), nn.Linear(64, 10))
    assert select_weights(plain, IMAGE).names == ("2.weight",)


class Skipping(nn.Module):
    """Leaves a layer out where an image is black, as networks that stop early do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x) if x.abs().sum() == 0 else self.b(self.a(x))
        return self.fc(x.mean((2, 3)))


def test_what_a_black_image_alone_does_not_use_is_pruned() -> None:
    assert select_weights(Skipping(), IMAGE).names == ("a.weight", "b.weight", "fc.weight")
