"""The networks: counts from the literature, any image size, and what pruning and training need.

Covers: models/cifar_resnet.py, models/padded_resnet.py, models/vgg.py, models/simple.py,
models/initial.py.
"""

import copy
import math

import pytest
import torch
from torch import nn

from models import model_registry
from pruning.masks import prunable
from tests.networks.registry_networks import EVERY_NETWORK

torch.set_num_threads(1)

SMALL = [
    "resnet18",
    "resnet20",
    "resnet20a",
    "vgg16",
    "simple_cnn",
    "mlp",
]  # one or more of each file; deeper ones are the same


def build(name: str, image: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return model_registry.build_model(name, image=image, classes=classes)


def params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model: nn.Module) -> int:
    return sum(weight.numel() for weight in prunable(model).values())


def narrow_weights(n: int) -> int:
    """Prunable weights of the CIFAR layout with n blocks a stage, by hand."""
    stage = {width: 9 * width * width for width in (16, 32, 64)}
    within = 2 * n * stage[16] + (2 * n - 1) * (stage[32] + stage[64])
    return 9 * 3 * 16 + within + (9 + 1) * (16 * 32 + 32 * 64) + 64 * 10


def test_resnet18_counts() -> None:
    model = build("resnet18")
    assert (params(model), weights(model)) == (11_173_962, 11_164_352)


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110])
def test_narrow_resnet_counts_and_depth(depth: int) -> None:
    model = build(f"resnet{depth}")
    assert weights(model) == narrow_weights((depth - 2) // 6)
    layers = [name for name in prunable(model) if "shortcut" not in name]
    assert len(layers) == depth


def test_resnet20_count_in_open_lth_form() -> None:
    assert weights(build("resnet20")) == 270_896


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_padded_resnets_have_the_papers_counts_and_depth(depth: int, millions: float) -> None:
    """Table 6 of He et al. 2016: shortcuts of option A have no weights."""
    model = build(f"resnet{depth}a")
    assert params(model) / 1e6 == pytest.approx(millions, abs=0.03 if depth == 110 else 0.005)
    assert len(prunable(model)) == depth


@pytest.mark.parametrize("size", [(16, 16), (7, 5), (1, 1)])
def test_a_padded_shortcut_takes_every_second_pixel_and_pads_on_both_sides(
    size: tuple[int, int],
) -> None:
    shortcut = build("resnet20a").get_submodule("layer2.0.shortcut")
    x = torch.randn(2, 16, *size)
    out = shortcut(x)
    assert out.shape == (2, 32, (size[0] + 1) // 2, (size[1] + 1) // 2)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()
    assert not list(shortcut.parameters())


def test_padded_resnets_have_the_names_of_published_checkpoints() -> None:
    block = ["conv1", "bn1", "conv2", "bn2"]
    layers = ["conv1", "bn1"]
    layers += [f"layer{s}.{n}.{part}" for s in (1, 2, 3) for n in range(3) for part in block]
    names = [name.rpartition(".")[0] for name, _ in build("resnet20a").named_parameters()]
    assert list(dict.fromkeys(names)) == [*layers, "linear"]


def test_vgg16_with_hidden_layers_has_the_counts_and_names_of_pytorch_cifar100() -> None:
    model = build("vgg16_hidden", classes=100)
    assert params(model) == 34_015_396
    indices = [
        index
        for index, m in model.get_submodule("features").named_children()
        if list(m.parameters())
    ]
    assert [int(index) for index in indices[:5]] == [0, 1, 3, 4, 7] and indices[-1] == "41"
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.get_submodule("classifier").state_dict().items()
    }
    assert shapes == {
        "0.weight": (4096, 512),
        "0.bias": (4096,),
        "3.weight": (4096, 4096),
        "3.bias": (4096,),
        "6.weight": (100, 4096),
        "6.bias": (100,),
    }
    features = model.eval().get_submodule("features")(torch.zeros(1, 3, 32, 32))
    assert features.shape == (1, 512, 1, 1), "the mean over the map changes nothing"


def test_vgg16_counts() -> None:
    model = build("vgg16")
    assert len(prunable(model)) == 14
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    convolutions = sum(9 * a * b for a, b in zip([3, *widths[:-1]], widths, strict=True))
    assert params(model) == convolutions + 3 * sum(widths) + 512 * 10 + 10
    assert round(params(model) / 1e6, 2) == 14.73


def test_simple_cnn_and_mlp_counts() -> None:
    model = build("simple_cnn", (1, 28, 28))
    assert round(params(model) / 1e6, 3) == 1.626
    assert prunable(model)["fc1.weight"].shape == (128, 12_544)
    shapes = [tuple(weight.shape) for weight in prunable(build("mlp", (1, 28, 28))).values()]
    assert shapes == [(300, 784), (100, 300), (10, 100)]


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 64, 48), (4, 7, 5), (2, 2, 2)])
@pytest.mark.parametrize("name", SMALL)
def test_every_image_size_gives_logits(name: str, image: tuple[int, int, int]) -> None:
    model = build(name, image, classes=7).eval()
    with torch.no_grad():
        assert model(torch.randn(2, *image)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet20a", "vgg16", "mlp"])
def test_a_single_pixel_is_an_image(name: str) -> None:
    assert build(name, (3, 1, 1)).eval()(torch.randn(1, 3, 1, 1)).shape == (1, 10)


def test_simple_cnn_refuses_what_it_cannot_pool() -> None:
    with pytest.raises(ValueError, match="at least 2 x 2, but got 1 x 9"):
        build("simple_cnn", (1, 1, 9))


def test_vgg_pools_until_a_side_is_one() -> None:
    with torch.device("meta"):
        models = {side: build("vgg16", (3, side, side)) for side in (1, 8, 32)}
    pools = {
        side: sum(isinstance(module, nn.MaxPool2d) for module in model.modules())
        for side, model in models.items()
    }
    assert pools == {1: 0, 8: 3, 32: 5}


def test_resnet18_keeps_the_resolution_of_small_images() -> None:
    seen: list[torch.Size] = []
    model = build("resnet18").eval()
    for stage in model.get_submodule("stages").children():
        stage.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[1:]))
    model(torch.zeros(1, 3, 32, 32))
    assert [tuple(shape) for shape in seen] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_traced_network_computes_the_same(name: str) -> None:
    model = build(name).eval()
    traced = torch.fx.symbolic_trace(model)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(traced(images), model(images))
    targets = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert len(targets) == len(set(targets)), "a module is used twice"
    functions = {node.target.__name__ for node in traced.graph.nodes if node.op == "call_function"}
    padding = {"getitem", "pad"} if name.endswith("a") else set()
    assert functions <= {"add", *padding}, "activations and pools must be modules"


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_every_activation_is_a_relu_module_seen_by_hooks(name: str) -> None:
    model = build(name).eval()
    seen: list[bool] = []
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    for relu in relus:
        relu.register_forward_hook(lambda _m, _i, out: seen.append(bool((out >= 0).all())))
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 32))
    hidden = [key for key in prunable(model) if "shortcut" not in key][:-1]
    if name == "lenet5_caffe":  # Caffe's has none after its convolutions
        hidden = [key for key in hidden if not key.startswith("conv")]
    assert seen == [True] * len(hidden), "one ReLU after every layer but the last"


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_computes_the_same(name: str) -> None:
    model, images = (
        build(name, (3, 16, 16)).double().eval(),
        torch.randn(2, 3, 16, 16, dtype=torch.float64),
    )
    with torch.no_grad():
        expected = model(images)
        found = copy.deepcopy(model).to(memory_format=torch.channels_last)(
            images.to(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SMALL)
def test_half_precision_stays_near_full(name: str, dtype: torch.dtype) -> None:
    model, images = build(name, (3, 8, 8)).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = model(images)
        found = copy.deepcopy(model).to(dtype)(images.to(dtype))
    assert found.dtype == dtype
    error = (found.float() - expected).norm() / expected.norm()
    assert error < 0.1


@pytest.mark.parametrize("name", SMALL)
def test_weights_come_from_the_global_seed_alone(name: str) -> None:
    model = build(name)
    first, again = model.state_dict(), build(name).state_dict()
    torch.manual_seed(1)
    other = model_registry.build_model(name, image=(3, 32, 32), classes=10).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(not torch.equal(first[key], other[key]) for key in prunable(model))
    assert all(isinstance(value, torch.Tensor) for value in first.values())


@pytest.mark.parametrize("name", ["resnet18", "resnet56", "vgg16"])
def test_initial_weights_are_he_normal_by_fan_out(name: str) -> None:
    for key, module in build(name).named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel()
            expected, count = math.sqrt(2 / fan_out), module.weight.numel()
            # The sample's standard deviation is itself uncertain by 1 / sqrt(2 n); six of these is
            # never by chance.
            assert module.weight.std().item() == pytest.approx(
                expected, rel=6 / math.sqrt(2 * count)
            ), key
            assert module.weight.abs().max() > 2 * expected, "normal, not uniform"
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = build(name, (3, 16, 16)).train()
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    assert [
        key
        for key, weight in prunable(model).items()
        if weight.grad is None or not weight.grad.any()
    ] == []
