"""Every method: what a finished trial leaves is exported and comes back with the same outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning import registry
from pruning.masks import prunable
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.contract.small_knobs import SMALL_KNOBS
from trainables.environment import Environment
from trainables.export import export, load_masks, load_pruned
from trainables.trial import Trial

SMALL = "tests.contract.small_networks:residual"
KNOBS: dict[str, dict[str, Any]] = SMALL_KNOBS | {"sparsegpt": {"pattern": "2:4", "images": 40}}
Finish = Callable[..., Trial]


@pytest.fixture(scope="module")
def finish(tmp_path_factory: pytest.TempPathFactory) -> Finish:
    """Runs a trial of a method, once, in a study directory that saves networks."""
    folder = tmp_path_factory.mktemp("study")
    found: dict[str, Trial] = {}

    def finished(method: str, model: str = SMALL) -> Trial:
        spec = StudySpec.model_validate(
            {
                "name": "exported",
                "dataset": "digits",
                "model": model,
                "recipe": {
                    "epochs": 1,
                    "batch": 400,
                    "lr": 0.05,
                    "augment": "none",
                    "precision": "fp32",
                },
                "retrain": {"epochs": 1},
                "methods": [{method: KNOBS.get(method, {})}],
                "sparsities": [0.5],
                "seeds": [3],
            }
        )
        dense, *rest = make_plan(spec).trials
        for planned in [dense, *([] if method == "dense" else rest[-1:])]:
            if planned.key not in found:
                found[planned.key] = Trial(
                    planned.spec,
                    Environment(store=str(folder), study="exported", keep_networks="all"),
                )
                found[planned.key].run()
        return found[planned.key]

    return finished


def assert_same(trial: Trial, folder: Path) -> None:
    """The exported network answers as the one that the trial has in memory, for several batch
    sizes."""
    network, exported = trial.runner.network, load_pruned(folder)
    assert not exported.training
    for batch in (1, 6):
        x = torch.randn(batch, *network.image, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            torch.testing.assert_close(exported(x), network.model.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", registry.list_methods())
def test_it_comes_back_with_the_same_outputs(method: str, finish: Finish, tmp_path: Path) -> None:
    trial = finish(method)
    network, row = trial.runner.network, trial.records.rows[-1]
    asked = [
        ("safetensors", "dense"),
        ("state_dict", "masks"),
        *([("safetensors", "slim")] if network.keep_plans else []),
    ]
    for to, form in asked:
        out = export(trial.spec.key, trial.environment.store, to=to, form=form, out=tmp_path / form)  # type: ignore[arg-type]
        assert_same(trial, out)
        card = (out / "README.md").read_text()
        assert f"`{row['digest']}`" in card and "was trained again" not in card, (
            "it is the one that was measured last"
        )
    whole, masks = prunable(load_pruned(tmp_path / "dense")), load_masks(tmp_path / "masks")
    assert sum(weight.numel() for weight in whole.values()) == network.dense_prunable
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: weight.shape for name, weight in whole.items()
    }
    assert (
        1 - sum(int(mask.sum()) for mask in masks.values()) / network.dense_prunable
        == row["sparsity_reached"]
    )
    assert not any(weight[~masks[name]].any() for name, weight in whole.items())


def test_an_nm_pattern_survives(finish: Finish, tmp_path: Path) -> None:
    trial = finish("sparsegpt", "resnet8")
    loaded = prunable(
        load_pruned(export(trial.spec.key, trial.environment.store, out=tmp_path / "out"))
    )
    patterned = [
        weight for weight in loaded.values() if weight.shape[1] % 4 == 0 and not weight.all()
    ]
    assert len(patterned) >= 5
    for weight in patterned:
        runs = weight.movedim(1, -1).reshape(-1, 4)
        assert ((runs != 0).sum(1) <= 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["han_iterative", "hrank", "small_from_scratch"])
def test_its_onnx_graph_gives_the_same_outputs(method: str, finish: Finish, tmp_path: Path) -> None:
    """A network of the usual width, one of fewer channels, and one that was drawn with fewer."""
    trial = finish(method, "resnet8")
    assert_same(
        trial, export(trial.spec.key, trial.environment.store, to="onnx", out=tmp_path / "out")
    )
