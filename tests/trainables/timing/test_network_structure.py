"""Networks rebuilt from a study's records: the very layers that were recorded, with as many zeros
in each."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.model_registry import build_model
from pruning import cost, registry
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.shrink import shrink
from pruning.user_error import UserError
from tests.contract.test_every_method import specs
from tests.pruning.nm_check import is_nm
from tests.pruning.structured.networks_to_cut import ratio_near
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.timing.network_structure import NetworkStructure, collect_structures
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

IMAGE = (3, 16, 16)
STRUCTURED = [
    name
    for name in registry.list_methods()
    if registry.find_method_class(name).card.kind == "structured" or name == "small_from_scratch"
]


def structure_of(
    model: nn.Module, name: str, density: float = 1.0, **change: Any
) -> NetworkStructure:
    """The structure of a network on `IMAGE` with 10 classes, with one density in every layer."""
    shapes = tuple((layer, tuple(weight.shape)) for layer, weight in prunable(model).items())
    kept = tuple(round(density * prod(shape)) for _, shape in shapes)
    return replace(NetworkStructure(name, IMAGE, 10, shapes, kept, None, "fp32"), **change)


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in prunable(model).items()}


def walk(spec: TrialSpec, folder: Path) -> Trial:
    trial = Trial(spec, Environment(store=str(folder)))
    trial.run()
    return trial


def structures_of(trial: Trial) -> dict[tuple[int, str], NetworkStructure]:
    """What the study directory says of a trial's networks."""
    rows, layers = (
        parquet_tables.decode_table(
            table, trial.store.read(f"{table}/{trial.spec.key}.parquet")
        ).to_pylist()
        for table in ("rows", "layers")
    )
    return collect_structures(
        trial.spec,
        trial.runner.network.image,
        trial.runner.network.classes,
        rows=rows,
        layers=layers,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study directory with the dense training that all methods here start from."""
    made = tmp_path_factory.mktemp("forms")
    walk(specs("lottery_ticket")[0], made)
    return made


@pytest.mark.parametrize("method", STRUCTURED)
def test_a_smaller_network_is_rebuilt_in_the_recorded_shapes(method: str, folder: Path) -> None:
    trial = walk(specs(method)[1][-1], folder)
    (structure,) = structures_of(trial).values()
    rebuilt, form = structure.rebuild()
    network = trial.runner.network
    assert form == "smaller" and structure.zeros == 0
    assert shapes_of(rebuilt) == shapes_of(network.model)
    assert [p.shape for p in rebuilt.parameters()] == [p.shape for p in network.model.parameters()]
    assert cost.layer_costs(rebuilt, network.image) == cost.layer_costs(
        network.model, network.image
    )


@pytest.mark.parametrize(
    ("method", "knobs"),
    [
        ("magnitude", {}),
        ("synflow", {}),
        ("random", {"layers": "erk"}),
        ("sparsegpt", {"pattern": "2:4"}),
    ],
)
def test_masks_have_the_recorded_number_of_zeros_in_every_layer(
    method: str, knobs: dict[str, Any], folder: Path
) -> None:
    spec = specs(method)[1][0].model_copy(update={"knobs": knobs})
    trial = walk(spec, folder)
    masks = trial.runner.network.masks
    for structure in structures_of(trial).values():
        rebuilt, form = structure.rebuild()
        assert form == "masked" and structure.pattern == ((2, 4) if knobs.get("pattern") else None)
        for name, weight in prunable(rebuilt).items():
            assert int((weight != 0).sum()) == int(masks[name].sum()), name
            if name in structure.patterned_layers:
                assert is_nm(weight != 0, 2, 4) and is_nm(masks[name], 2, 4)
        assert structure.patterned_layers == {
            name for name, mask in masks.items() if structure.pattern and is_nm(mask, 2, 4)
        }


def test_every_level_of_a_ticket_has_its_own_structure_and_the_dense_network_none_of_them(
    folder: Path,
) -> None:
    dense, tickets = specs("lottery_ticket")
    ticket = walk(tickets[-1], folder)
    found = structures_of(ticket)
    assert [structure.percent_zeros for structure in found.values()] == [
        round(100 * row["sparsity"]) for row in ticket.records.rows
    ]
    (whole,) = structures_of(walk(dense, folder)).values()
    assert (whole.zeros, whole.percent_zeros) == (0, 0)
    assert whole.rebuild()[1] == "dense"


OTHER_KINDS = ["group_norm_cat", "attention", "depthwise_se"]


@pytest.mark.parametrize(
    "name",
    [
        *("resnet20", "vgg16", "simple_cnn", "mlp"),
        *(f"tests.networks.architectures:{kind}" for kind in OTHER_KINDS),
    ],
)
def test_channels_before_a_flatten_and_in_residual_streams(name: str) -> None:
    model = build_model(name, image=IMAGE, classes=10)
    found = find_groups(model, IMAGE)
    kept = kept_widths(found, ratio_near(model, found, 0.7))
    highest = {
        group.name: torch.arange(group.channels - kept[group.name], group.channels)
        for group in found
    }  # other channels than a rebuilt network keeps: the shapes must not depend on which
    small = shrink(model, highest, image=IMAGE)
    rebuilt, form = structure_of(small, name).rebuild()
    assert form == "smaller"
    assert cost.layer_costs(rebuilt, IMAGE) == cost.layer_costs(small, IMAGE)
    assert cost.size(rebuilt, {}) == cost.size(small, {})


def test_a_network_may_be_smaller_and_masked() -> None:
    model = build_model("resnet8", image=IMAGE, classes=10)
    small = shrink(model, {find_groups(model, IMAGE)[1].name: torch.arange(5)}, image=IMAGE)
    structure = structure_of(small, "resnet8", 0.5)
    rebuilt, form = structure.rebuild()
    assert form == "masked"
    assert shapes_of(rebuilt) == shapes_of(small)
    assert sum(int((weight == 0).sum()) for weight in prunable(rebuilt).values()) == structure.zeros


def test_rebuilding_is_repeatable_and_leaves_the_random_numbers_alone() -> None:
    structure = structure_of(build_model("resnet8", image=IMAGE, classes=10), "resnet8", 0.3)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, _ = structure.rebuild()
    assert torch.equal(torch.rand(3), expected)
    again, _ = structure.rebuild()
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("density", [1.0, 0.01])
def test_activations_neither_die_out_nor_overflow(density: float) -> None:
    """Else denormal numbers or infinities would be timed, which no trained network has."""
    structure = structure_of(build_model("resnet56", image=IMAGE, classes=10), "resnet56", density)
    rebuilt, _ = structure.rebuild()
    seen: list[float] = []
    for module in rebuilt.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _m, _i, out: seen.append(float(out.std())))
    with torch.inference_mode():
        rebuilt(torch.randn(8, *IMAGE, generator=torch.Generator().manual_seed(1)))
    assert len(seen) == 57 and min(seen) > 0.3 and max(seen) < 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda shapes: {**shapes, "fc.weight": (11, 64)},
            "'fc.weight' is (10, 64) and was (11, 64)",
        ),
        (
            lambda shapes: {**shapes, "head.weight": (10, 64)},
            "'head.weight' is None and was (10, 64)",
        ),
        (
            lambda shapes: {n: s for n, s in shapes.items() if n != "fc.weight"},
            "'fc.weight' is (10, 64) and was None",
        ),
        (lambda shapes: {**shapes, "conv.weight": (16, 4, 3, 3)}, "'conv.weight' is (16, 3, 3, 3)"),
    ],
)
def test_a_model_that_has_changed_since_is_an_error(spoil: Callable[[Any], Any], said: str) -> None:
    model = build_model("resnet8", image=IMAGE, classes=10)
    shapes = spoil(shapes_of(model))
    kept = tuple(prod(shape) for shape in shapes.values())
    with pytest.raises(UserError) as raised:
        structure_of(model, "resnet8", shapes=tuple(shapes.items()), kept=kept).rebuild()
    assert said in str(raised.value)


def test_which_structures_are_timed_once_for_all() -> None:
    model = build_model("resnet8", image=IMAGE, classes=10)
    dense, half = structure_of(model, "resnet8"), structure_of(model, "resnet8", 0.5)
    elsewhere = replace(half, kept=(half.kept[0] - 9, half.kept[1] + 9, *half.kept[2:]))
    assert elsewhere != half and elsewhere.timing_key == half.timing_key, (
        "one percent of zeros, at other places"
    )
    assert structure_of(model, "resnet8", 0.52).timing_key != half.timing_key
    assert replace(half, pattern=(2, 4)).timing_key != half.timing_key
    assert replace(dense, pattern=(2, 4)).timing_key == dense.timing_key
    assert replace(half, precision="bf16").timing_key != half.timing_key
    assert replace(dense, image=(3, 32, 32)).timing_key != dense.timing_key
    assert (
        dense.timing_key != replace(dense, kept=(dense.kept[0] - 1, *dense.kept[1:])).timing_key
    ), "a single zero is a mask"


def test_records_without_layers_or_precision_are_an_error() -> None:
    spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=0)
    row = {"level": 0, "stage": "final", "precision": "fp32"}
    layer = {
        "level": 0,
        "stage": "final",
        "layer": "fc1.weight",
        "shape": "300x64",
        "nonzero": 19200,
    }
    for rows, layers in (
        ([row], []),
        ([row], [{**layer, "level": 1}]),
        ([{**row, "precision": None}], [layer]),
    ):
        with pytest.raises(
            ValueError, match="level 0, stage final has no recorded layers or precision"
        ):
            collect_structures(spec, (1, 8, 8), 10, rows=rows, layers=layers)
