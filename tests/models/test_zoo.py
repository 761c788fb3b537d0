"""Networks of torchvision and timm by name."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import model_registry, zoo
from pruning.user_error import UserError
from sweeps.planning.model_check import Misfit, count_macs_and_parameters

ROOT = Path(__file__).parents[2]


def test_names_are_checked_without_importing_a_library() -> None:
    code = (
        "import sys; from models.model_registry import check_model_name as check;"
        "check('torchvision:no_such'); check('timm:no_such');"
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm:resnet18.a1_in1k",
            "a tag after a dot names trained weights: --weights timm:a1_in1k",
        ),
        ("timm:hf-hub:x/y", "a network of timm is named 'timm:NAME', but got"),
        ("torchvision:resnet18+stem", "a network has no suffix '+stem'; there is '+cifar_stem'"),
        ("torchvision:vgg16+cifar_stem", "is for torchvision's resnet, resnext and wide_resnet"),
        ("timm:resnet18+cifar_stem", "is for torchvision's resnet, resnext and wide_resnet"),
        ("torchvision:", "a network of torchvision is named 'torchvision:NAME', but got"),
    ],
)
def test_a_name_of_another_form_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        model_registry.check_model_name(name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision:resent50",
            "no classification network 'resent50'; did you mean 'torchvision:resnet50'?",
        ),
        ("torchvision:fcn_resnet50", "no classification network 'fcn_resnet50'; did you mean"),
        (
            "timm:resnet10",
            "timm has no classification network 'resnet10'; did you mean 'timm:resnet10t'?",
        ),
        ("timm:zzzzzzzz", "timm has no classification network 'zzzzzzzz'; it has "),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        model_registry.build_model(name, image=(3, 32, 32), classes=10)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError):
        count_macs_and_parameters(name, (3, 32, 32), 10)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("torchvision:resnet18", (3, 32, 32)),
        ("timm:resnet10t", (1, 8, 8)),
        ("timm:mobilenetv2_050", (2, 32, 24)),
    ],
)
def test_they_are_built_for_the_images_and_classes_with_fresh_weights(
    name: str, image: tuple[int, int, int]
) -> None:
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(model_registry.build_model(name, image=image, classes=7))
    assert models[0].eval()(torch.zeros(2, *image)).shape == (2, 7)
    first, again, other = (next(iter(model.parameters())) for model in models)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert count_macs_and_parameters(name, image, 7)[1] == sum(
        parameter.numel() for parameter in models[0].parameters()
    )


DEEPER = ["resnet34", "resnet101", "resnet152"]
DEEPER += ["wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d"]


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in DEEPER),
    ],
)
def test_a_cifar_stem_keeps_the_size_of_the_map_and_all_other_layers(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        plain = model_registry.build_model(f"torchvision:{name}", image=(3, 32, 32), classes=7)
        model = model_registry.build_model(
            f"torchvision:{name}+cifar_stem", image=(3, 32, 32), classes=7
        )
        shapes = [
            {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
            for net in (plain, model)
        ]
        assert shapes[0].pop("conv1.weight") == (64, 3, 7, 7)
        assert shapes[1].pop("conv1.weight") == (64, 3, 3, 3)
        assert shapes[0] == shapes[1]
        sizes: list[torch.Size] = []
        model.get_submodule("layer1").register_forward_hook(
            lambda _m, inputs, _out: sizes.append(inputs[0].shape)
        )
        assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert sizes == [(2, 64, 32, 32)]
    stems = {f"torchvision:{known}" for known in torchvision.models.list_models(torchvision.models)}
    assert f"torchvision:{name}" in stems


def test_a_cifar_stem_is_drawn_from_the_seed_as_the_library_draws() -> None:
    stems = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = model_registry.build_model(
            "torchvision:resnet18+cifar_stem", image=(3, 32, 32), classes=10
        )
        stems.append(model.get_submodule("conv1").weight.detach())
    assert torch.equal(stems[0], stems[1]) and not torch.equal(stems[0], stems[2])
    assert stems[0].std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_torchvisions_networks_with_side_branches_answer_with_logits_while_training() -> None:
    model = model_registry.build_model(
        "torchvision:googlenet", image=(3, 64, 64), classes=5
    ).train()
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


def test_channels_and_sizes_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(
        Misfit,
        match="torchvision's networks take 3 channels, but the images have 1; timm's take any",
    ):
        count_macs_and_parameters("torchvision:resnet18", (1, 8, 8), 10)
    with pytest.raises(Misfit, match="does not take 3x32x32 images: AssertionError: Input height"):
        count_macs_and_parameters("timm:vit_tiny_patch16_224", (3, 32, 32), 10)


def test_a_library_that_is_missing_or_broken_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm")

    monkeypatch.setattr(zoo, "import_module", missing)
    with pytest.raises(UserError) as caught:
        model_registry.build_model("timm:resnet10t", image=(3, 32, 32), classes=10)
    assert str(caught.value).startswith(
        "model 'timm:resnet10t' needs timm: pip install --editable '.[models]'"
    )

    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(zoo, "import_module", broken)
    with pytest.raises(
        UserError,
        match="cannot import torchvision .*nms does not exist\\); install the one that fits this "
        "torch$",
    ):
        model_registry.build_model("torchvision:resnet18", image=(3, 32, 32), classes=10)
