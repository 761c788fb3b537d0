"""`pruning.prune` against trials of studies: every method on three networks, masks, channels and
weights bit for bit; on a pretended GPU those of the CPU.

Covers: pruning/own_code/user_phases.py, pruning/method_calls.py.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pruning import registry
from pruning.user_error import UserError
from sweeps.planning.network_probe import find_obstacle
from tests.contract import trials_in_own_code as own
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.environment import Environment
from trainables.trial import Trial

METHODS = registry.list_methods()
MODELS = own.NETWORKS | own.GPU_NETWORKS
IMAGE, CLASSES = (1, 8, 8), 10


@pytest.fixture(scope="module")
def train_dense(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trains a network once for all methods, on the CPU; its study directory."""

    @functools.cache
    def train(network: str) -> Path:
        folder = tmp_path_factory.mktemp(network)
        spec = own.trials_of("lottery_ticket", MODELS[network])[0]
        Trial(spec, Environment(store=str(folder), device="cpu")).run()
        return folder

    return train


@pytest.fixture
def study(network: str, method: str, train_dense: Callable[[str], Path], tmp_path: Path) -> Path:
    """A study directory for a trial of the method, with the dense training if another trial has
    done it."""
    if method != "dense":
        shutil.copytree(train_dense(network), tmp_path / "study")
    return tmp_path / "study"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "network",
    [
        name if name == "residual" else pytest.param(name, marks=pytest.mark.slow)
        for name in own.NETWORKS
    ],
)
def test_a_network_pruned_in_a_script_is_that_of_the_trial(
    network: str, method: str, study: Path
) -> None:
    if reason := refusal(network, method):
        with pytest.raises(UserError, match="cannot prune this network"):
            refuse(method, network)
        assert len(reason) > 20
        return
    recorded = own.run_recorded(own.trials_of(method, MODELS[network]), study)
    pruned = own.prune_as(recorded)
    assert not (found := own.differences(recorded, pruned)), found
    row = recorded.trial.records.rows[-1]
    assert pruned.sparsity == pytest.approx(row["sparsity_reached"], abs=1e-12)
    assert (pruned.macs, pruned.effective_macs) == (row["macs"], row["effective_macs"])
    alone = [note for note in pruned.notes if note not in row["notes"] and "asked for" not in note]
    emptied = row["emptied_layers"]  # where a trial tells it
    assert alone == ([f"no weight is left in {emptied}"] if emptied else [])


def refusal(network: str, method: str) -> str | None:
    try:
        spec = own.trials_of(method, MODELS[network])[-1]
        return find_obstacle(spec, IMAGE, CLASSES)
    except UserError as error:
        return str(error)


def refuse(method: str, network: str) -> None:
    import pruning
    from models.model_registry import build_model

    def build() -> own.nn.Module:
        return build_model(MODELS[network], image=IMAGE, classes=CLASSES)

    model = build()
    pruning.prune(
        model, method, 0.8, image=IMAGE, build=build, rewind=model.state_dict(),
        train=lambda pruned: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "method"),
    [
        pytest.param(
            network,
            method,
            marks=[] if (network, method) == ("residual", "rigl") else pytest.mark.slow,
        )
        for network in own.GPU_NETWORKS
        for method in METHODS
    ],
)
@in_cuda_process
def test_on_a_gpu_it_is_that_of_the_trial_on_the_cpu(
    network: str, method: str, study: Path
) -> None:
    if refusal(network, method):
        pytest.skip("the method refuses this network, see above")
    recorded = own.run_recorded(own.trials_of(method, MODELS[network]), study)
    with PretendedGpu():
        pruned = own.prune_as(recorded, "cuda")
        assert all(parameter.is_cuda for parameter in pruned.model.parameters())
        assert all(mask.is_cuda for mask in pruned.masks.values())
        assert not (found := own.differences(recorded, pruned)), found
