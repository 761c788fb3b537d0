"""An exported folder: every format in every form computes what the original does, and nothing is
unpickled.

Covers: trainables/export/exported_folder.py, trainables/export/export_config.py.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.user_error import UserError
from tests.trainables.export.small_study import MASKED, SLIM, images, original, read_row
from trainables.environment import Environment
from trainables.export import export, exported_folder, load_pruned
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


@pytest.mark.parametrize(
    ("to", "form"),
    [
        ("safetensors", "masks"),
        ("safetensors", "slim"),
        ("state_dict", "dense"),
        ("state_dict", "slim"),
        ("onnx", "slim"),
        pytest.param("safetensors", "dense", marks=pytest.mark.slow),
        pytest.param("state_dict", "masks", marks=pytest.mark.slow),
        pytest.param("onnx", "dense", marks=pytest.mark.slow),
        pytest.param("onnx", "masks", marks=pytest.mark.slow),
    ],
)
def test_every_format_in_every_form_computes_the_same(
    to: Any, form: Any, study: Path, exported: Callable[..., Path]
) -> None:
    out = exported(SLIM, to, form)
    loaded, expected = load_pruned(out), original(study, SLIM)
    for batch in (1, 3, 8):
        with torch.no_grad():
            torch.testing.assert_close(
                loaded(images(batch)), expected(images(batch)), rtol=1e-5, atol=1e-5
            )
    files = {path.name for path in out.iterdir()}
    wanted = {"README.md", "config.json", exported_folder.NETWORK_FILES[to]} | (
        {exported_folder.MASK_FILES[to]} if form == "masks" else set()
    )
    assert files == wanted
    if form == "masks":
        masks = exported_folder.load_masks(out)
        total = sum(mask.numel() for mask in masks.values())
        left = sum(int(mask.sum()) for mask in masks.values())
        assert 1 - left / total == read_row(study, SLIM)["sparsity_reached"]
    else:
        with pytest.raises(UserError, match=f"holds no masks: it was exported with --form {form}"):
            exported_folder.load_masks(out)


def test_a_state_dict_is_plain_tensors_that_load_without_pickle(
    study: Path, exported: Callable[..., Path]
) -> None:
    weights = torch.load(exported(MASKED, "state_dict") / "network.pt", weights_only=True)
    assert weights.keys() == original(study, MASKED).state_dict().keys()
    assert all(type(value) is torch.Tensor for value in weights.values())


def test_a_pickle_in_place_of_the_weights_is_not_executed(study: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    out = export(MASKED.key, study, to="state_dict", out=tmp_path / "out")

    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (sentinel,)

    torch.save({"conv.weight": Payload()}, out / "network.pt")
    with pytest.raises(UserError, match="network.pt' does not hold the weights of this 'resnet8'"):
        load_pruned(out)
    (out / "network.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(UserError):
        load_pruned(out)
    assert not sentinel.exists()


def test_the_generator_of_the_one_who_loads_stays_where_it_was(
    exported: Callable[..., Path],
) -> None:
    before = torch.get_rng_state()
    load_pruned(exported(MASKED))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_that_two_layers_share_comes_back_in_both(tmp_path: Path) -> None:
    """The format of safetensors knows no shared memory."""
    spec = TrialSpec(
        dataset="digits",
        model="tests.networks.architectures:attention",
        method="random",
        sparsities=(0.5,),
        seed=1,
        recipe=Recipe(epochs=1, batch=400, precision="fp32"),
    )
    trial = Trial(spec, Environment(store=str(tmp_path / "study"), keep_networks="all"))
    trial.run()
    folder = export(spec.key, tmp_path / "study", out=tmp_path / "out")
    network, trained = load_pruned(folder), trial.runner.network.model.eval()
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(network(x), trained(x))
    assert int((network.first.weight == 0).sum()) == int((trained.first.weight == 0).sum()) > 0
