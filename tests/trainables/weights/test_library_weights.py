"""Weights of torchvision and timm: their own downloads on local stand-ins, and one line for what
cannot be had."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.user_error import UserError
from trainables.weights.library_weights import download_weights
from trainables.weights.sources import read_weights

torch.set_num_threads(1)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of torch.hub's, and no network."""

    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put(hub: Path, network: str, address: str, **options: Any) -> dict[str, Tensor]:
    """A file with weights of a network, where torch.hub would have downloaded it to."""
    import torchvision

    torch.manual_seed(1)
    weights = torchvision.models.get_model(network, weights=None, **options).state_dict()
    torch.save(weights, hub / address)
    return dict(weights)


def test_torchvisions_default_weights_and_their_normalisation(hub: Path) -> None:
    weights = put(hub, "resnet18", "resnet18-f37072fd.pth")
    for tag in ("default", "DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"):
        found = download_weights("torchvision:resnet18", tag, channels=3)
        assert found.tensors.keys() == weights.keys()
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in weights.items())
        assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    given = read_weights(
        "torchvision:default", model="torchvision:resnet18", image=(3, 32, 32), classes=1000
    )
    assert given.normalise == (found.mean, found.std) and given.fresh == ()


def test_with_a_cifar_stem_the_first_layer_is_drawn_fresh(hub: Path) -> None:
    weights = put(hub, "resnet18", "resnet18-f37072fd.pth")
    asked: dict[str, Any] = {"model": "torchvision:resnet18+cifar_stem", "image": (3, 32, 32)}
    with pytest.raises(UserError, match="trained on 1000 classes, and the data has 10: draw the"):
        read_weights("torchvision:default", classes=10, **asked)
    given = read_weights("torchvision:default", classes=10, fresh=("head",), **asked)
    assert given.fresh == ("conv1.weight", "fc.weight", "fc.bias")
    assert torch.equal(given.tensors["layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    assert "the CIFAR stem is drawn fresh: the library's has 7x7 filters" in given.notes
    network = build_model(asked["model"], image=(3, 32, 32), classes=10)
    assert tuple(network.load_state_dict(given.tensors, strict=False).missing_keys) == given.fresh


def test_a_network_that_normalises_once_more_computes_as_it_was_trained(hub: Path) -> None:
    """torchvision's own GoogLeNet with its weights, on images normalised as its transforms do, and
    ours, on images normalised by what is returned."""
    import torchvision

    torch.manual_seed(1)
    whole = torchvision.models.googlenet(
        weights=None, aux_logits=True, transform_input=True, init_weights=False
    ).eval()
    torch.save(whole.state_dict(), hub / "googlenet-1378be20.pth")
    given = read_weights(
        "torchvision:default", model="torchvision:googlenet", image=(3, 64, 64), classes=1000
    )
    assert given.normalise == ((0.5,) * 3, (0.5,) * 3)
    assert any("transform_input" in note for note in given.notes)
    ours = build_model("torchvision:googlenet", image=(3, 64, 64), classes=1000).eval()
    ours.load_state_dict(given.tensors)
    images = torch.rand(2, 3, 64, 64)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = whole((images - mean) / std)
        torch.testing.assert_close(ours((images - 0.5) / 0.5), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "tag", "message"),
    [
        ("torchvision:resnet50", "V2", "no weights 'V2'; there are: default, IMAGENET1K_V1, IMAGE"),
        ("torchvision:resnet50", "IMAGENET1K_V3", "did you mean 'IMAGENET1K_V2'?"),
        ("torchvision:resent50", "default", "torchvision has no network 'resent50'"),
        ("timm:resnet10", "default", "timm has no classification network 'resnet10'"),
        ("timm:resnet10t", "a1_in1k", "did you mean 'c3_in1k'? there are: default, c3_in1k"),
        ("timm:resnet50_clip_gap", "a1", "'timm:resnet50_clip_gap' has no weights 'a1'"),
        (
            "timm:efficientnet_b8",
            "default",
            "no trained weights for 'timm:efficientnet_b8'",
        ),
    ],
)
def test_weights_that_there_are_not_are_one_line(model: str, tag: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        download_weights(model, tag, channels=3)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_network_torchvisions_address_is_named(hub: Path) -> None:
    with pytest.raises(UserError) as caught:
        download_weights("torchvision:resnet18", "default", channels=3)
    assert str(caught.value) == (
        "cannot download https://download.pytorch.org/models/resnet18-f37072fd.pth (URLError: "
        "<urlopen error Name or service not known>); where there is no network, fetch it elsewhere "
        "and give the path of the file; a damaged copy in TORCH_HOME must be deleted"
    )


def test_a_damaged_download_is_one_line(hub: Path) -> None:
    (hub / "resnet18-f37072fd.pth").write_bytes(b"<html>")
    with pytest.raises(UserError, match="f37072fd.pth .*a damaged copy in TORCH_HOME must be"):
        download_weights("torchvision:resnet18", "default", channels=3)


def from_hub(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> list[str]:
    """Have timm find the weights of a network on the hub; returns what it was asked for."""
    from timm.models import _builder

    asked: list[str] = []

    def load(model_id: str, *_: object, **__: object) -> dict[str, Tensor]:
        asked.append(model_id)
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", load)
    return asked


@pytest.mark.parametrize("tag", ["default", "c3_in1k"])
def test_timms_weights_and_their_normalisation(monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    torch.manual_seed(1)
    network = build_model("timm:resnet10t", image=(3, 32, 32), classes=1000)
    asked = from_hub(monkeypatch, network)
    given = read_weights(
        f"timm:{tag}", model="timm:resnet10t", image=(3, 32, 32), classes=7, fresh=("head",)
    )
    assert asked == ["timm/resnet10t.c3_in1k"]
    assert given.fresh == ("fc.weight", "fc.bias")
    expected = network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in given.tensors.items())
    assert given.normalise == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_timm_adapts_its_first_layer_to_other_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = build_model("timm:resnet10t", image=(3, 32, 32), classes=1000)
    from_hub(monkeypatch, network)
    found = download_weights("timm:resnet10t", "default", channels=1)
    first = network.state_dict()["conv1.0.weight"]
    torch.testing.assert_close(found.tensors["conv1.0.weight"], first.sum(1, keepdim=True))
    assert found.mean is None and found.notes == ("timm made the first layer fit 1 channels",)


def test_without_a_network_timms_hub_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models import _builder

    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("Cannot reach the hub. Try again.\nAnd more")

    monkeypatch.setattr(_builder, "load_state_dict_from_hf", no_network)
    with pytest.raises(UserError) as caught:
        download_weights("timm:resnet10t", "default", channels=3)
    assert str(caught.value) == (
        "cannot download timm/resnet10t.c3_in1k of huggingface.co (ConnectionError: Cannot reach "
        "the hub); where there is no network, fetch its model.safetensors elsewhere and give the "
        "path of the file"
    )
