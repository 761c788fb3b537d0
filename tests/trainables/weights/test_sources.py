"""Weights from files and from functions of the user, with their digest."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.model_registry import build_model
from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import (
    IMAGE,
    cast,
    lightning,
    put_before,
    read,
    trained,
    without,
)


def test_the_digest_is_of_the_tensors_and_not_of_the_file(tmp_path: Path) -> None:
    weights = trained()
    wrapped = {"state_dict": put_before("module._orig_mod.", weights)}
    for number, saved in enumerate(
        (weights, wrapped, cast(torch.float64)(weights), lightning(weights))
    ):
        torch.save(saved, tmp_path / f"{number}.pth")
    backwards = dict(reversed(weights.items()))
    save_file(backwards, tmp_path / "4.safetensors")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and len({read(file).digest for file in files}) == 1
    weights["linear.bias"][0] += 1e-7
    torch.save(weights, tmp_path / "other.pth")
    assert read(tmp_path / "other.pth").digest != read(files[0]).digest
    assert len(read(files[0]).digest) == 16


def test_torchs_random_numbers_stay_where_they_were(tmp_path: Path) -> None:
    torch.save(without("linear")(trained()), tmp_path / "file.pth")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    read(tmp_path / "file.pth", fresh=("head",))
    with pytest.raises(UserError):
        read(tmp_path / "file.pth", model="resnet56a")
    assert torch.equal(torch.get_rng_state(), before)


OWN = """
import torch
from torch import nn
from models.model_registry import build_model
def as_state_dict():
    torch.manual_seed(3)
    return {"state_dict": build_model("resnet20a", image=(3, 16, 16), classes=10).state_dict()}
def as_module(model, image, classes):
    torch.manual_seed(3)
    return nn.DataParallel(build_model(model, image=image, classes=classes))
def wants_more(path): ...
def gives_text():
    return "weights"
def fails():
    raise RuntimeError("of the user's own")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_weights_here.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_weights_here"


def test_a_function_of_the_user_gives_weights(own: str) -> None:
    torch.manual_seed(3)
    expected = build_model("resnet20a", image=IMAGE, classes=10).state_dict()
    for function in ("as_state_dict", "as_module"):
        given = read(f"{own}:{function}")
        assert all(torch.equal(given.tensors[name], tensor) for name, tensor in expected.items())
        assert given.normalise is None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wants_more", "must take nothing, or some of model, image and classes, but"),
        ("gives_text", "holds no state dict but a str"),
        ("as_modul", "did you mean 'own_weights_here:as_module'?"),
    ],
)
def test_a_function_that_does_not_fit_is_one_line(own: str, function: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(f"{own}:{function}")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_mistake_in_the_users_function_keeps_its_own_error(own: str) -> None:
    with pytest.raises(RuntimeError, match="of the user's own"):
        read(f"{own}:fails")
