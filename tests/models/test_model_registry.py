"""The model registry: names, nearest fixes, and networks of the user's own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models import model_registry
from pruning.user_error import UserError

ROOT = Path(__file__).parents[2]

OWN = """
from torch import nn
def tiny(image, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(image[0] * image[1] * image[2], classes))
def text(image, classes):
    return "no network"
def positional(size):
    return nn.Identity()
def faulty(image, classes):
    raise TypeError("a mistake inside the user's code")
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of the user's with two modules, one of which cannot be imported."""
    package = tmp_path / "own_networks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(OWN)
    (package / "broken.py").write_text("raise RuntimeError('first line\\nsecond line')")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks.nets"
    for name in [name for name in sys.modules if name.startswith("own_networks")]:
        del sys.modules[name]


def test_names_and_checks_without_torch() -> None:
    code = (
        "import sys; from models import model_registry as r; "
        "[r.check_model_name(name) for name in r.list_models()]; "
        "r.check_model_name('not_there.nets:net'); "
        "print('torch' in sys.modules, 'not_there' in sys.modules, *r.list_models())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = (
        "resnet18 resnet8 resnet20 resnet32 resnet44 resnet56 resnet110 resnet20a resnet32a "
        "resnet44a resnet56a resnet110a vgg16 vgg16_hidden simple_cnn mlp lenet_300_100 "
        "lenet5_caffe conv2 conv4 conv6"
    )
    assert run.stdout.strip() == f"False False {listed}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "no model 'resnet81'; did you mean 'resnet8'?"),
        ("resent18", "no model 'resent18'; did you mean 'resnet18'?"),
        ("vgg-16", "no model 'vgg-16'; did you mean 'vgg16'?"),
        ("simplecnn", "no model 'simplecnn'; did you mean 'simple_cnn'?"),
        ("", "no model ''; there are: resnet18, "),
        ("own.nets", "no model 'own.nets'; a network of your own is named by its module and "),
        (":net", "'package.module:function', but got ':net'"),
        ("own.nets:", "'package.module:function', but got 'own.nets:'"),
        ("own..nets:net", "'package.module:function'"),
        ("own/nets.py:net", "'package.module:function'"),
        ("a:b:c", "'package.module:function'"),
    ],
)
def test_a_wrong_name_gets_its_nearest_fix(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        model_registry.check_model_name(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_build_knows_the_users_own(own: str) -> None:
    model = model_registry.build_model(f"{own}:tiny", image=(2, 3, 4), classes=5)
    assert model(torch.zeros(7, 2, 3, 4)).shape == (7, 5)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("own_networks.nets:tyni", UserError, "did you mean 'own_networks.nets:tiny'?"),
        ("own_networks.nets:number", UserError, "no function 'number'"),
        ("own_networks.absent:net", UserError, "cannot import 'own_networks.absent'"),
        ("own_networks.broken:net", UserError, "(RuntimeError: first line)"),
        ("own_networks.nets:text", UserError, "must return an nn.Module, but returned str"),
        ("own_networks.nets:positional", UserError, "must take (image, classes)"),
    ],
)
def test_what_is_wrong_with_the_users_own_is_one_line(
    own: str, name: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        model_registry.build_model(name, image=(1, 4, 4), classes=2)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_inside_the_users_function_keeps_its_own_error(own: str) -> None:
    with pytest.raises(TypeError, match="a mistake inside the user's code"):
        model_registry.build_model(f"{own}:faulty", image=(1, 4, 4), classes=2)


@pytest.mark.parametrize(("image", "classes"), [((0, 8, 8), 10), ((3, 8), 10), ((3, 8, 8), 0)])
def test_sizes_below_one_are_refused(image: tuple[int, int, int], classes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        model_registry.build_model("mlp", image=image, classes=classes)


def test_lazy_layers_get_their_sizes_and_their_weights_from_the_seed() -> None:
    from trainables.trial_spec import build_without_storage

    name, weights = "tests.networks.weights:lazy", []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = model_registry.build_model(name, image=(1, 8, 8), classes=10)
        assert model.training and not int(model[1].num_batches_tracked)
        weights.append(model[0].weight)
    assert weights[0].shape == (8, 1, 3, 3)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert build_without_storage(name, (1, 8, 8), 10)[4].weight.shape == (10, 512)
