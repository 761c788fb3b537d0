"""`pruning.prune` against trials of studies: every method on three networks, masks, channels and
weights bit for bit, on the CPU and on a pretended GPU.

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
IMAGE, CLASSES = (1, 8, 8), 10


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A study directory with the dense training of a network."""

    @functools.cache
    def train(network: str) -> Path:
        folder = tmp_path_factory.mktemp(network)
        spec = own.trials_of("lottery_ticket", own.NETWORKS[network])[0]
        Trial(spec, Environment(store=str(folder))).run()
        return folder

    return train


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "network",
    [
        name if name == "residual" else pytest.param(name, marks=pytest.mark.slow)
        for name in own.NETWORKS
    ],
)
def test_a_network_pruned_in_a_script_is_that_of_the_trial(
    network: str, method: str, dense: Callable[[str], Path], tmp_path: Path
) -> None:
    specs = own.trials_of(method, own.NETWORKS[network])
    if reason := refusal(specs[-1]):
        with pytest.raises(UserError, match="cannot prune this network"):
            refuse(method, network)
        assert len(reason) > 20
        return
    folder = tmp_path / "study"
    if method != "dense":
        shutil.copytree(dense(network), folder)
    recorded = own.run_recorded(specs, folder, "cpu")
    pruned = own.prune_as(recorded)
    assert not (found := own.differences(recorded, pruned)), found
    row = recorded.trial.records.rows[-1]
    assert pruned.sparsity == pytest.approx(row["sparsity_reached"], abs=1e-12)
    assert (pruned.macs, pruned.effective_macs) == (row["macs"], row["effective_macs"])
    assert all(note in row["notes"] for note in pruned.notes if "asked for" not in note)


def refusal(spec: own.TrialSpec) -> str | None:
    try:
        return find_obstacle(spec, IMAGE, CLASSES)
    except UserError as error:
        return str(error)


def refuse(method: str, network: str) -> None:
    import pruning
    from models.model_registry import build_model

    def build() -> own.nn.Module:
        return build_model(own.NETWORKS[network], image=IMAGE, classes=CLASSES)

    model = build()
    pruning.prune(
        model, method, 0.8, image=IMAGE, build=build, rewind=model.state_dict(),
        train=lambda pruned: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "method",
    [
        method if method == "rigl" else pytest.param(method, marks=pytest.mark.slow)
        for method in METHODS
    ],
)
@in_cuda_process
def test_so_it_is_on_a_gpu(method: str, tmp_path: Path) -> None:
    with PretendedGpu():
        specs = own.trials_of(method, own.NETWORKS["residual"])
        recorded = own.run_recorded(specs, tmp_path, "cuda")
        pruned = own.prune_as(recorded)
        assert all(mask.is_cuda for mask in pruned.masks.values())
        assert not (found := own.differences(recorded, pruned)), found
