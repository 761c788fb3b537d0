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
        ("timm:resnet18.a1_in1k", "a tag after a dot names trained weights: leave it out"),
        ("timm:hf-hub:x/y", "a network of timm is named 'timm:NAME', but got"),
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
