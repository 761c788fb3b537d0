"""Networks saved in the study directory: when they are written, what they hold, and that they come
back whole."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import saved_networks
from trainables.environment import Environment
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")
OWN: dict[str, Any] = {"dataset": "digits", "model": "resnet8", "seed": 2, "recipe": RECIPE}
SNIP = TrialSpec(**OWN, method="snip", sparsities=(0.9,))
DENSE = TrialSpec(**OWN, method="dense")


def run(spec: TrialSpec, folder: Path, keep: Any = "all") -> Trial:
    trial = Trial(spec, Environment(store=str(folder), keep_networks=keep))
    trial.run()
    return trial


def files(folder: Path) -> list[Path]:
    return sorted((folder / "networks").rglob("*.pt"))


def test_by_default_none_is_saved(tmp_path: Path) -> None:
    run(SNIP, tmp_path, "none")
    assert Environment(store="x").keep_networks == "none" and files(tmp_path) == []


def test_a_saved_network_is_the_measured_one_bit_for_bit(tmp_path: Path) -> None:
    trial = run(SNIP, tmp_path)
    row = trial.records.rows[-1]
    saved = saved_networks.find_saved_network(Store.at(tmp_path), SNIP.key, 1, row["digest"])
    assert saved is not None and saved.row == row
    network = trial.runner.network
    weights = network.model.state_dict()
    assert list(saved.weights) == list(weights)
    assert all(torch.equal(value, saved.weights[name]) for name, value in weights.items())
    assert all(torch.equal(network.masks[name], mask) for name, mask in saved.masks.items())
    assert all(bool(mask.all()) for name, mask in network.masks.items() if name not in saved.masks)
    assert saved.mean == mean_of_pixels(trial) and saved.image == (1, 8, 8) and saved.classes == 10


def mean_of_pixels(trial: Trial) -> tuple[float, ...]:
    """Computed anew from the training images."""
    x = trial.runner.loader.images["training"][0].double() / 255  # type: ignore[attr-defined]
    return (pytest.approx(float(x.mean()), rel=1e-6),)  # type: ignore[return-value]


def test_zeros_take_a_bit_each(tmp_path: Path) -> None:
    run(SNIP, tmp_path)
    trial = run(DENSE, tmp_path)
    masked, dense = (
        next((tmp_path / f"networks/{spec.key}").iterdir()).stat().st_size for spec in (SNIP, DENSE)
    )
    weights = trial.runner.network.dense_prunable
    assert dense - masked == pytest.approx(weights * (4 * 0.9 - 1 / 8), rel=0.1)


def test_of_a_level_the_last_stage_is_saved(tmp_path: Path) -> None:
    run(DENSE, tmp_path)
    spec = TrialSpec(**OWN, method="magnitude_post", sparsities=(0.5,))
    trial = run(spec, tmp_path)
    stages = [row["stage"] for row in trial.records.rows]
    assert len(stages) > 1 and len(files(tmp_path)) == 2
    last = trial.records.rows[-1]
    saved = saved_networks.find_saved_network(Store.at(tmp_path), spec.key, 1, last["digest"])
    assert saved is not None and saved.row["stage"] == last["stage"] == stages[-1]


def test_a_done_trial_runs_again_for_its_network_and_leaves_its_rows(tmp_path: Path) -> None:
    run(SNIP, tmp_path, "none")
    path = tmp_path / f"rows/{SNIP.key}.parquet"
    before = path.read_bytes()
    assert Trial(SNIP, Environment(store=str(tmp_path))).done
    trial = Trial(SNIP, Environment(store=str(tmp_path), keep_networks="all"))
    assert not trial.done and trial.step == 0
    trial.run()
    assert path.read_bytes() == before and len(files(tmp_path)) == 1
    digest = parquet_tables.decode_table("rows", before).to_pylist()[-1]["digest"]
    saved = saved_networks.find_saved_network(Store.at(tmp_path), SNIP.key, 1, digest)
    assert saved is not None and saved.row["digest"] == digest
    assert Trial(SNIP, Environment(store=str(tmp_path), keep_networks="all")).done


def test_a_trial_that_dies_after_it_saved_its_network_leaves_one(tmp_path: Path) -> None:
    environment = Environment(store=str(tmp_path), keep_networks="all", checkpoint_seconds=1e9)
    trial = Trial(SNIP, environment)
    while trial.step < len(trial.steps) - 1:
        trial.advance()
    trial.save()
    trial.runner.run_step(*trial.steps[trial.step], trial.step, lambda: False)
    trial._save_network(trial.runner.phases[-1])
    assert len(files(tmp_path)) == 1 and not trial.done
    again = Trial(SNIP, environment)
    again.run()
    assert again.attempts == 2 and len(files(tmp_path)) == 1


def test_of_two_networks_of_a_level_the_one_of_the_row_is_found(tmp_path: Path) -> None:
    trial = run(SNIP, tmp_path)
    row, store = trial.records.rows[-1], Store.at(tmp_path)
    for other in (
        "aaaaaaaaaaaaaaaa",
        "ffffffffffffffff",
    ):  # as a trial trained again on another machine leaves
        saved_networks.save_network(
            store, trial.runner.network, {**row, "digest": other}, trial.runner.loader.data
        )
    assert len(files(tmp_path)) == 3
    saved = saved_networks.find_saved_network(store, SNIP.key, 1, row["digest"])
    assert saved is not None and saved.row["digest"] == row["digest"]
    foreign = saved_networks.find_saved_network(store, SNIP.key, 1, "0" * 16)
    assert foreign is not None and foreign.row["digest"] != "0" * 16


def test_a_damaged_network_is_none(tmp_path: Path) -> None:
    trial = run(SNIP, tmp_path)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    digest, store = trial.records.rows[-1]["digest"], Store.at(tmp_path)
    with pytest.warns(UserWarning, match="does not match its checksum"):
        assert saved_networks.find_saved_network(store, SNIP.key, 1, digest) is None
