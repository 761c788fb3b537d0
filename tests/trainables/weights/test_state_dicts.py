"""Where state dicts lie in what training scripts save, and which of their tensors can be taken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import (
    IMAGE,
    Weights,
    build,
    cast,
    check,
    check_one_line,
    lightning,
    other,
    put_before,
    read,
    replace,
    save,
    trained,
    with_optimiser,
)


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


def adam(weights: Weights) -> dict[str, Any]:
    network = build()
    network.load_state_dict(weights)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.randn(2, *IMAGE)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


def lightning_callbacks(weights: Weights) -> dict[str, Any]:
    """What Lightning writes with two callbacks that remember a score."""
    score = torch.tensor(0.3)
    stopping = {"best_score": score, "wait_count": 0}
    best = {"best_model_score": score, "best_k_models": {"a.ckpt": score}, "kth_value": score}
    callbacks = {"EarlyStopping{'monitor': 'val'}": stopping, "ModelCheckpoint{}": best}
    return {**lightning(weights), "callbacks": callbacks, "optimizer_states": [adam(weights)]}


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
    "module._orig_mod.": lambda w: {"state_dict": put_before("module._orig_mod.", w)},
    "lightning": lightning,
    "lightning, with callbacks": lightning_callbacks,
    "an optimiser under another name": lambda w: {"model": w, "opt": adam(w)},
    "one's own names": lambda w: {"cnn": w, "solver": adam(w), "acc": torch.tensor([91.2])},
    "a number beside": lambda w: {"my_best": w, "loss": torch.tensor(0.3)},
    "an average without weights": lambda w: {"model": w, "ema": {"decay": torch.tensor(0.99)}},
    "several beside a known name": lambda w: {"model": w, "log": {"a": other(w), "b": w}},
    "half precision": cast(torch.float16),
    "bfloat16": cast(torch.bfloat16),
    "float64": cast(torch.float64),
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
EXPECTED: dict[str, Callable[[Weights], Weights]] = {  # where it is not what was given
    "half precision": lambda w: cast(torch.float32)(cast(torch.float16)(w)),
    "bfloat16": lambda w: cast(torch.float32)(cast(torch.bfloat16)(w)),
    "without counters": lambda w: {
        n: torch.zeros_like(t) if "num_batches" in n else t for n, t in w.items()
    },
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_gives_the_right_weights(kind: str, tmp_path: Path) -> None:
    weights = trained()
    torch.save(GOOD[kind](weights), tmp_path / "file.pth")
    check(read(tmp_path / "file.pth"), EXPECTED[kind](weights) if kind in EXPECTED else weights)


def test_which_part_of_a_file_can_be_said(tmp_path: Path) -> None:
    weights = trained()
    file = tmp_path / "two.pth"
    torch.save({"state_dict": weights, "ema": other(weights), "epoch": 3}, file)
    averages = read(file)
    assert torch.equal(averages.tensors["linear.bias"], weights["linear.bias"] + 1)
    assert "the weights are those under 'ema'; FILE#NAME takes 'state_dict'" in averages.notes
    check(read(f"{file}#state_dict"), weights)
    assert read(f"{file}#state_dict").digest != averages.digest


def test_a_part_can_lie_in_another_or_be_the_beginning_of_names(tmp_path: Path) -> None:
    weights, file = trained(), tmp_path / "several.pth"
    both = {**put_before("module.one.", weights), **put_before("module.two.", other(weights))}
    torch.save({"models": {"a": weights, "b": other(weights)}, "names": both}, file)
    with pytest.raises(UserError, match="several state dicts: 'models', 'names'; name one as FILE"):
        read(file)
    with pytest.raises(UserError, match="'models/a', 'models/b'; name one as FILE#NAME"):
        read(f"{file}#models")
    with pytest.raises(UserError, match="behind 'module.one', 'module.two'; name one as FILE#NAME"):
        read(f"{file}#names")
    for part in ("models/a", "names/module.one"):
        check(read(f"{file}#{part}"), weights)
    for part in ("models/b", "names/module.two"):
        check(read(f"{file}#{part}"), other(weights))
    with pytest.raises(UserError, match="has no part 'models/c'"):
        read(f"{file}#models/c")
    torch.save({"state_dict": both}, file)
    check(read(f"{file}#module.one"), weights)


def test_a_part_that_is_not_there_gets_the_nearest(tmp_path: Path) -> None:
    torch.save({"state_dict": trained()}, tmp_path / "file.pth")
    with pytest.raises(UserError, match="has no part 'state_dcit'; did you mean 'state_dict'?"):
        read(f"{tmp_path / 'file.pth'}#state_dcit")


def spoil(name: str, value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[name].view(-1)[1] = value
        return weights

    return change


# How the bad file is written, and what the line says.
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
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
    "integers": (
        save(replace("conv1.weight", lambda t: (50 * t).to(torch.int8))),
        "'conv1.weight' is int8, and the network has floats there; write it as a plain float "
        "tensor, times its scale if it is quantised",
    ),
    "booleans": (save(replace("bn1.weight", lambda t: t > 0)), "'bn1.weight' is bool, and the"),
    "only a teacher": (
        save(lambda w: {"teacher": w}),
        "holds no state dict but a dictionary of 'teacher'",
    ),
    "sparse": (save(replace("linear.weight", Tensor.to_sparse)), "'linear.weight' is sparse"),
    "quantised": (
        save(replace("conv1.weight", lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8))),
        "'conv1.weight' is quantised",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_state_dict_is_one_line(kind: str, tmp_path: Path) -> None:
    check_one_line(*BAD[kind], tmp_path)
