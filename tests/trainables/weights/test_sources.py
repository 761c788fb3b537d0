"""Files of weights as people have them, good ones and bad ones: the right weights, or one line.

Covers: trainables/weights/sources.py, trainables/weights/file_reader.py,
trainables/weights/state_dicts.py, trainables/weights/misfit_hint.py,
trainables/weights/known_networks.py.
"""

import argparse
import copy
import functools
import gzip
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.user_error import UserError
from tests.trainables.weights.published_networks import (
    FILES,
    RIGHT,
    count_right,
    file_of,
    needs_weights,
)
from trainables.weights.given_weights import GivenWeights
from trainables.weights.sources import read_weights

torch.set_num_threads(1)

IMAGE = (3, 16, 16)
Weights = dict[str, Tensor]


def build(model: str = "resnet20a", classes: int = 10, seed: int = 3) -> nn.Module:
    """A network whose statistics and counters are not those of a fresh one."""
    torch.manual_seed(seed)
    network = build_model(model, image=IMAGE, classes=classes)
    network.train()(torch.randn(4, *IMAGE))
    return network.eval()


@functools.cache
def built() -> Weights:
    return build().state_dict()


def trained() -> Weights:
    return {name: tensor.clone() for name, tensor in built().items()}


def read(path: Path | str, **changed: Any) -> GivenWeights:
    asked: dict[str, Any] = {"model": "resnet20a", "image": IMAGE, "classes": 10, **changed}
    return read_weights(str(path), **asked)


def put_before(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def with_optimiser(weights: Weights) -> dict[str, Any]:
    network = build()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(2, *IMAGE)).sum().backward()
    optimiser.step()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    state = {"optimizer": optimiser.state_dict(), "lr_scheduler": schedule.state_dict()}
    return {"model": weights, "epoch": 7, "best": 91.2, **state}


def other(weights: Weights) -> Weights:
    return {name: tensor + 1 for name, tensor in weights.items()}


def averaged(weights: Weights) -> Weights:
    network = build()
    network.load_state_dict(weights)
    return torch.optim.swa_utils.AveragedModel(network).state_dict()


def as_parameters(weights: Weights) -> dict[str, Any]:
    return {
        name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }


def views_of_one(weights: Weights) -> Weights:
    """All tensors of floats as views of one, as a flattened parameter leaves them."""
    floats = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    flat = torch.cat([tensor.reshape(-1) for tensor in floats.values()])
    parts = flat.split([tensor.numel() for tensor in floats.values()])
    views = {
        name: part.view(tensor.shape)
        for part, (name, tensor) in zip(parts, floats.items(), strict=True)
    }
    return {**weights, **views}


def lightning(weights: Weights) -> dict[str, Any]:
    return {
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**put_before("model.", weights), "criterion.weight": torch.ones(10)},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [],
    }


# What torch.save is given; read back, each must give the weights.
GOOD: dict[str, Callable[[Weights], Any]] = {
    "a state dict": lambda w: w,
    "of the module itself": lambda w: build().state_dict(),
    "under state_dict": lambda w: {"state_dict": w, "best_prec1": 91.7},
    "under model, with optimiser": with_optimiser,
    "under model_state_dict": lambda w: {"model_state_dict": w, "loss": torch.tensor(0.3)},
    "under net": lambda w: {"net": w, "acc": 93.1, "epoch": 3},
    "under network": lambda w: {"network": w},
    "under params": lambda w: {"params": w},
    "under weights": lambda w: {"weights": w},
    "under a name of one's own": lambda w: {"my_best": w, "epoch": 1},
    "in two dictionaries": lambda w: {"model": {"state_dict": w, "arch": "resnet"}, "epoch": 1},
    "beside plain values": lambda w: {**w, "epoch": 3, "arch": "resnet20"},
    "module.": lambda w: put_before("module.", w),
    "_orig_mod.": lambda w: put_before("_orig_mod.", w),
    "module._orig_mod.": lambda w: {"state_dict": put_before("module._orig_mod.", w)},
    "backbone.": lambda w: put_before("backbone.", w),
    "encoder.net.": lambda w: put_before("encoder.net.", w),
    "a prefix of one's own": lambda w: put_before("my_network.", w),
    "_orig_mod. inside": lambda w: {
        k.replace("layer1.", "layer1._orig_mod."): v for k, v in w.items()
    },
    "lightning": lightning,
    "half precision": lambda w: {n: t.half() if t.is_floating_point() else t for n, t in w.items()},
    "bfloat16": lambda w: {n: t.bfloat16() if t.is_floating_point() else t for n, t in w.items()},
    "float64": lambda w: {n: t.double() if t.is_floating_point() else t for n, t in w.items()},
    "arguments beside": lambda w: {"state_dict": w, "args": argparse.Namespace(lr=0.1, name="x")},
    "numpy's numbers beside": lambda w: {
        "net": w,
        "acc": np.float64(91.7),
        "best": np.float32(90.5),
        "epoch": np.int64(7),
    },
    "without counters": lambda w: {n: t for n, t in w.items() if "num_batches" not in n},
    "averaged and last": lambda w: {"state_dict": other(w), "state_dict_ema": w},
    "model and model_ema": lambda w: {"model": other(w), "model_ema": averaged(w), "epoch": 2},
    "averaged model": averaged,
    "parameters that are trained": as_parameters,
    "channels last": lambda w: {
        n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t
        for n, t in w.items()
    },
    "views of one tensor": views_of_one,
}
EXACT_IN = {"half precision": torch.float16, "bfloat16": torch.bfloat16}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_gives_the_right_weights(kind: str, tmp_path: Path) -> None:
    weights = trained()
    torch.save(GOOD[kind](weights), tmp_path / "file.pth")
    check(read(tmp_path / "file.pth"), weights, kind)


def check(given: GivenWeights, weights: Weights, kind: str = "") -> None:
    """That the given weights are these, whole, and that a network takes them."""
    rounded = EXACT_IN.get(kind)
    expected = {
        name: tensor.to(rounded).float() if rounded and tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    assert list(given.tensors) == list(build().state_dict()) and given.fresh == ()
    for name, tensor in given.tensors.items():
        counter = kind == "without counters" and name.endswith("num_batches_tracked")
        assert torch.equal(tensor, torch.zeros_like(tensor) if counter else expected[name]), name
        assert tensor.dtype == (torch.int64 if "num_batches" in name else torch.float32)
        assert tensor.device.type == "cpu" and not tensor.requires_grad and tensor.is_contiguous()
    build().load_state_dict(given.tensors)


@pytest.mark.parametrize("ending", [".pt", ".th", ".bin", ".ckpt", ".pth.tar", ""])
def test_the_content_decides_and_not_the_ending(ending: str, tmp_path: Path) -> None:
    weights = trained()
    torch.save(weights, tmp_path / f"file{ending}")
    check(read(tmp_path / f"file{ending}"), weights)
    save_file(weights, tmp_path / f"safe{ending}")
    check(read(tmp_path / f"safe{ending}"), weights)


def test_safetensors_in_half_precision_with_prefixes(tmp_path: Path) -> None:
    weights = trained()
    halves = put_before("module.", GOOD["bfloat16"](weights))
    save_file(halves, tmp_path / "model.safetensors", metadata={"format": "pt"})
    check(read(tmp_path / "model.safetensors"), weights, "bfloat16")


def test_a_file_from_before_torch_1_6(tmp_path: Path) -> None:
    weights = trained()
    saved = {"state_dict": put_before("module.", weights)}
    torch.save(saved, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    check(read(tmp_path / "old.pth"), weights)


def test_tensors_saved_on_a_gpu_are_read_without_one(tmp_path: Path) -> None:
    weights = trained()
    torch.save(weights, tmp_path / "cpu.pth")
    cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    moved = 0
    with (
        zipfile.ZipFile(tmp_path / "cpu.pth") as old,
        zipfile.ZipFile(tmp_path / "gpu.pth", "w", zipfile.ZIP_STORED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl"):
                moved = content.count(cpu)
                content = content.replace(cpu, cuda)
            new.writestr(name, content)
    assert moved, "the pickle names the device of a storage"
    check(read(tmp_path / "gpu.pth"), weights)


def test_which_part_of_a_file_can_be_said(tmp_path: Path) -> None:
    weights = trained()
    file = tmp_path / "two.pth"
    torch.save({"state_dict": weights, "ema": other(weights), "epoch": 3}, file)
    averages = read(file)
    assert torch.equal(averages.tensors["linear.bias"], weights["linear.bias"] + 1)
    assert "the weights are those under 'ema'; FILE#NAME takes 'state_dict'" in averages.notes
    check(read(f"{file}#state_dict"), weights)
    assert read(f"{file}#state_dict").digest != averages.digest


def test_the_digest_is_of_the_tensors_and_not_of_the_file(tmp_path: Path) -> None:
    weights = trained()
    for number, kind in enumerate(("a state dict", "module._orig_mod.", "float64", "lightning")):
        torch.save(GOOD[kind](weights), tmp_path / f"{number}.pth")
    backwards = dict(reversed(weights.items()))
    save_file(backwards, tmp_path / "4.safetensors")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and len({read(file).digest for file in files}) == 1
    weights["linear.bias"][0] += 1e-7
    torch.save(weights, tmp_path / "other.pth")
    assert read(tmp_path / "other.pth").digest != read(files[0]).digest
    assert len(read(files[0]).digest) == 16


def write_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def save(make: Callable[[Weights], Any], **options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(make(trained()), path, **options)


def cut(make: Callable[[Path], None], part: float) -> Callable[[Path], None]:
    """What a file is when its download stopped."""

    def write(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

    return write


def flip_a_bit(path: Path) -> None:
    weights = trained()
    torch.save(weights, path)
    content = bytearray(path.read_bytes())
    place = content.find(weights["layer3.1.conv1.weight"].numpy().tobytes()[:64])
    assert place > 0
    content[place + 2] ^= 1
    path.write_bytes(content)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def dump(make: Callable[[], Any]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pickle.dumps(make())) and None


def archive(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, "content")

    return write


def index_file(path: Path) -> None:
    parts = {"a": "model-00001-of-00002.bin", "b": "model-00002-of-00002.bin"}
    path.write_text(json.dumps({"metadata": {}, "weight_map": parts}))


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.ones(3))


class Planted:
    """Unpickled, it would leave a folder behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def spoil(name: str, value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[name].view(-1)[1] = value
        return weights

    return change


def replace(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: change(weights[name])}


def without(*parts: str) -> Callable[[Weights], Weights]:
    return lambda w: {n: t for n, t in w.items() if not any(part in n for part in parts)}


SAVE = "torch.save(model.state_dict(), 'weights.pth')"
# How the bad file is written, and what the line says.
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "none": (lambda path: (path.parent / "best.pth").touch(), "there is no file of weights"),
    "a folder": (lambda path: path.mkdir(), "is a folder; name the file of weights in it"),
    "empty": (lambda path: path.touch(), "is empty; copy or download it again"),
    "cut off": (cut(save(dict), 0.6), "is damaged or cut off"),
    "old and cut off": (
        cut(save(dict, _use_new_zipfile_serialization=False), 0.6),
        "is damaged or cut off (unexpected EOF",
    ),
    "safetensors, cut off": (
        cut(lambda path: save_file(trained(), path), 0.6),
        "is damaged or cut off",
    ),
    "a bit flipped": (flip_a_bit, "does not match its checksum; copy or download it again"),
    "a web page": (write_bytes(b"\n<!DOCTYPE html><html>"), "is a web page, not weights"),
    "git lfs": (
        write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"),
        "is a Git LFS pointer, not the file itself; run git lfs pull",
    ),
    "a whole module": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        f"holds Python objects (torch.nn.modules.linear.Linear), which are never loaded; where it "
        f"can be loaded, write only the weights: {SAVE}",
    ),
    "an object beside": (
        save(lambda w: {"state_dict": w, "config": Path("x")}),
        "holds Python objects (pathlib",
    ),
    "torchscript": (script, "is a TorchScript archive; write its weights by torch.save(torch.jit"),
    "a plain pickle": (dump(lambda: {"a": np.ones(3)}), "Python objects, which are never loaded"),
    "numpy's archive": (arrays, "is an archive of numpy arrays; make a state dict of them"),
    "a numpy array": (lambda path: path.open("wb").write(b"\x93NUMPY\x01\x00"), "is a numpy array"),
    "an index": (index_file, "is only the index of weights in 2 files; load the network with its"),
    "other JSON": (write_bytes(b'{"a": 1}'), "is a text file, not weights"),
    "another archive": (archive("readme.txt"), "is a zip archive, not weights; unpack it first"),
    "gzip": (write_bytes(gzip.compress(b"weights")), "is packed by gzip; unpack it first"),
    "keras": (write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file, e.g. of Keras"),
    "noise": (
        write_bytes(np.random.default_rng(0).bytes(999)),
        "was not written by torch.save, or is damaged",
    ),
    "one tensor": (
        lambda path: torch.save(torch.ones(2, 3), path),
        "holds no state dict but one tensor of shape (2, 3)",
    ),
    "only an optimiser": (
        save(lambda w: {"optimizer": with_optimiser(w)["optimizer"], "epoch": 3}),
        "holds no state dict but a dictionary of 'optimizer', 'epoch'",
    ),
    "two state dicts": (
        save(lambda w: {"teacher_a": w, "learner": w, "best": w}),
        "holds several state dicts: 'learner', 'best'; name one as FILE#NAME",
    ),
    "nan": (
        save(spoil("layer2.0.bn1.running_var", float("nan"))),
        "1 of 32 values of 'layer2.0.bn1.running_var' are not finite (inf or nan)",
    ),
    "inf in half precision": (
        save(lambda w: {n: (t * 1e9).half() if "conv1" in n else t for n, t in w.items()}),
        "values of 'conv1.weight' are not finite",
    ),
    "complex": (
        save(replace("conv1.weight", lambda t: t.to(torch.complex64))),
        "'conv1.weight' is complex; write it as a plain float tensor",
    ),
    "sparse": (save(replace("linear.weight", Tensor.to_sparse)), "'linear.weight' is sparse"),
    "quantised": (
        save(replace("conv1.weight", lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8))),
        "'conv1.weight' is quantised",
    ),
    "another depth": (
        lambda path: torch.save(put_before("module.", build("resnet32a").state_dict()), path),
        "does not fit 'resnet20a': 72 unexpected (layer1.3.conv1.weight, layer1.3.bn1.weight, "
        "layer1.3.bn1.bias, ...); these are the names and shapes of 'resnet32a'",
    ),
    "another family": (
        lambda path: torch.save(put_before("module.", build("resnet20").state_dict()), path),
        "these are the names and shapes of 'resnet20'",
    ),
    "a network of torchvision": (
        lambda path: torch.save(build("torchvision:resnet18", 1000).state_dict(), path),
        "these are the names and shapes of 'torchvision:resnet18'",
    ),
    "a network that nobody knows": (
        lambda path: torch.save(put_before("own.", {"a.weight": torch.ones(2)}), path),
        "all its names begin with 'own.', and it has none of the network's",
    ),
    "other classes": (
        lambda path: torch.save(build(classes=100).state_dict(), path),
        "2 misshapen (linear.weight is 100x64 for 10x64, linear.bias is 100 for 10); it was "
        "trained on 100 classes, and the data has 10: draw the last layer anew with head: fresh",
    ),
    "no head": (
        save(without("linear")),
        "2 missing (linear.weight, linear.bias); it has no last layer: draw one with head: fresh",
    ),
    "parameters only": (
        save(without("running", "num_batches")),
        "38 missing (bn1.running_mean, bn1.running_var, layer1.0.bn1.running_mean, ...); it has "
        "parameters but no running statistics of batch-norm: save model.state_dict(), "
        "which has both",
    ),
    "grey images": (
        save(replace("conv1.weight", lambda t: t[:, :1])),
        "1 misshapen (conv1.weight is 16x1x3x3 for 16x3x3x3); it was trained on images of 1 "
        "channels, and the data has 3",
    ),
    "a layer too few": (
        save(without("layer2.1.conv2")),
        "1 missing (layer2.1.conv2.weight); name layers to draw anew with fresh",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line(kind: str, tmp_path: Path) -> None:
    write, message = BAD[kind]
    file = tmp_path / "file.pth"
    write(file)
    with pytest.raises(UserError) as caught:
        read(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_there_are_at_least_thirty_kinds_of_files() -> None:
    assert len(GOOD) >= 30 and len(BAD) >= 30


@pytest.mark.parametrize("old", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path: Path, old: bool) -> None:
    planted = Planted(tmp_path / "planted")
    saved = {"state_dict": trained(), "best": planted}
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(planted))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match="never loaded"):
            read(tmp_path / name)
    assert not planted.folder.exists()


def test_a_part_that_is_not_there_gets_the_nearest(tmp_path: Path) -> None:
    torch.save({"state_dict": trained()}, tmp_path / "file.pth")
    with pytest.raises(UserError, match="has no part 'state_dcit'; did you mean 'state_dict'?"):
        read(f"{tmp_path / 'file.pth'}#state_dcit")


def test_a_head_is_drawn_fresh_whatever_head_the_file_has(tmp_path: Path) -> None:
    weights = trained()
    body = without("linear")(weights)
    heads: dict[str, Weights] = {
        "other classes": {"linear.weight": torch.ones(7, 64), "linear.bias": torch.ones(7)},
        "none": {},
        "the same": {name: weights[name] for name in ("linear.weight", "linear.bias")},
        "inside another": {"linear.1.weight": torch.ones(7, 64), "linear.1.bias": torch.ones(7)},
        "another name": {"classifier.weight": torch.ones(7, 64), "classifier.bias": torch.ones(7)},
        "with nan": {
            "linear.weight": torch.full((10, 64), torch.nan),
            "linear.bias": torch.ones(10),
        },
    }
    digests = set()
    for kind, head in heads.items():
        file = tmp_path / f"{kind}.pth"
        torch.save({**body, **head}, file)
        given = read(file, fresh=("head",))
        assert given.fresh == ("linear.weight", "linear.bias"), kind
        assert given.tensors.keys() == body.keys()
        assert all(torch.equal(given.tensors[name], body[name]) for name in body)
        digests.add(given.digest)
    assert len(digests) == 1
    # A fresh network keeps its own head.
    network = build(seed=9)
    own = network.state_dict()["linear.weight"].clone()
    assert network.load_state_dict(given.tensors, strict=False).missing_keys == list(given.fresh)
    assert torch.equal(network.state_dict()["linear.weight"], own)


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


def test_tied_tensors_may_be_given_once_or_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tied_network.py").write_text(
        "from torch import nn\n"
        "def tied(image, classes):\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Linear(6, 6), nn.ReLU(),\n"
        "                        nn.Linear(6, 6), nn.Linear(6, classes))\n"
        "    net[4].weight = net[2].weight\n"
        "    return net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model, file = "own_tied_network:tied", tmp_path / "tied.pth"
    asked: dict[str, Any] = {"model": model, "image": (3, 4, 4), "classes": 3}
    weights = copy.deepcopy(build_model(name=model, image=(3, 4, 4), classes=3).state_dict())
    digests = []
    for left_out in ("none", "2.weight", "4.weight"):
        torch.save({n: t for n, t in weights.items() if n != left_out}, file)
        given = read(file, **asked)
        assert torch.equal(given.tensors["2.weight"], given.tensors["4.weight"])
        digests.append(given.digest)
    assert len(set(digests)) == 1
    torch.save({**weights, "4.weight": weights["4.weight"] + 1}, file)
    with pytest.raises(UserError, match="'2.weight' and '4.weight' are one tensor in the network"):
        read(file, **asked)


@needs_weights
def test_published_weights_know_which_network_they_are_of() -> None:
    for model in FILES:
        given = read(file_of(model), model=model)
        assert given.fresh == () and "'module.' was taken off the names" in given.notes
    with pytest.raises(UserError, match="these are the names and shapes of 'resnet56a'"):
        read(file_of("resnet56a"), model="resnet32")


def published(model: str) -> nn.Module:
    network = build_model(model, image=(3, 32, 32), classes=10)
    network.load_state_dict(read(file_of(model), model=model, image=(3, 32, 32)).tensors)
    return network


@needs_weights
def test_published_weights_get_as_many_of_the_first_images_right() -> None:
    assert count_right(published("resnet20a"), 1000) == 820  # of all 10,000 81.03 %, see below


@needs_weights
@pytest.mark.slow
@pytest.mark.parametrize("model", FILES)
def test_published_weights_are_as_good_as_they_were_measured(model: str) -> None:
    images, right = RIGHT[model]
    assert count_right(published(model), images) == right
