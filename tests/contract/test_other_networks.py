"""What every method must keep to on networks unlike the project's own: with GroupNorm and `cat`,
with attention and a tied weight, depthwise with squeeze-and-excitation, recurrent.

A method either ends with the zeros that it promises, killed after every step or not, or refuses the
network in one line before anything is trained. In the quick tests on the network where a fault of
the method is likeliest, and one method of each way of ranking on all of them.
"""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.model_registry import build_model
from pruning import registry
from pruning.masks import kept_count, prunable
from pruning.user_error import UserError
from sweeps.planning.network_probe import find_obstacle
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.contract.small_knobs import SMALL_KNOBS
from trainables.environment import Environment
from trainables.storage import schema
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

NETWORKS = ["group_norm_cat", "attention", "depthwise_se", "recurrent"]
IMAGE, CLASSES = (1, 8, 8), 10
# They remove single weights and filters, follow gradients of gradients and the signal through all
# layers, and move masks.
EVERYWHERE = {"magnitude", "l1_filter", "grasp", "synflow", "rigl"}
# Others where what they look at is unusual: feature maps, columns of inputs, tied weights.
ALONE = {
    "fpgm": "group_norm_cat",
    "hrank": "group_norm_cat",
    "magnitude_post": "recurrent",
    "obc": "depthwise_se",
    "set": "recurrent",
    "small_from_scratch": "depthwise_se",
    "sparsegpt": "group_norm_cat",
    "taylor_filter": "depthwise_se",
}
EVERY = [
    (network, method)
    if method in EVERYWHERE or ALONE.get(method, "attention") == network
    else pytest.param(network, method, marks=pytest.mark.slow)
    for network in NETWORKS
    for method in registry.list_methods()
]


def specs(network: str, method: str, **choices: Any) -> tuple[TrialSpec, TrialSpec]:
    """The dense trial and the method's own."""
    study = StudySpec.model_validate(
        {
            "name": "contract",
            "dataset": "digits",
            "model": f"tests.networks.architectures:{network}",
            "recipe": {"epochs": 1, "batch": 700, "precision": "fp32", "augment": "none"},
            "retrain": {"epochs": 1},
            "methods": [{method: SMALL_KNOBS.get(method, {})}],
            "sparsities": [0.8],
            "seeds": [3],
            **choices,
        }
    )
    trials = [trial.spec for trial in make_plan(study).trials]
    own = [spec for spec in trials if spec.method == method]
    return next(spec for spec in trials if spec.method == "dense"), own[-1]


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, TrialSpec], Environment]:
    """Makes a study directory with the dense training of a network in it."""

    @functools.cache
    def train(network: str) -> Path:
        folder = tmp_path_factory.mktemp("dense")
        Trial(specs(network, "lottery_ticket")[0], Environment(store=str(folder))).run()
        return folder

    def make(folder: Path, spec: TrialSpec) -> Environment:
        if not folder.exists() and spec.method != "dense":
            shutil.copytree(train(spec.model.rpartition(":")[2]), folder)
        return Environment(store=str(folder), checkpoint_seconds=1e9)

    return make


@pytest.mark.parametrize(("network", "method"), EVERY)
def test_killed_after_every_step_it_ends_equal_with_the_zeros_that_it_promises(
    network: str, method: str, prepare: Callable[..., Environment], tmp_path: Path
) -> None:
    try:
        _, spec = specs(network, method)
        refusal = find_obstacle(spec, IMAGE, CLASSES)
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal and len(refusal) > 20
        assert registry.build_method(method, {}).cuts_channels
        return
    calm = Trial(spec, prepare(tmp_path / "calm", spec))
    calm.run()
    environment = prepare(tmp_path / "killed", spec)
    killed = Trial(spec, environment)
    while not killed.done:
        killed.advance()
        if not killed.done:
            killed.save()
            killed = Trial(spec, environment)
    assert lasting(calm) == lasting(killed)
    row, trained = calm.records.rows[-1], calm.runner.network
    weights = prunable(trained.model, only=trained.masks)
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    assert row["zeros"] == zeros
    if not trained.keep_plans:
        assert row["prunable"] == trained.dense_prunable
        masked = row["prunable"] - sum(int(mask.sum()) for mask in trained.masks.values())
        # Weights that SET or RigL grew last may still be zero; then the row says so.
        extra = zeros - masked
        assert (
            0 <= extra <= 0.001 * zeros or f"{extra} of the kept weights are zero" in row["notes"]
        )
    if calm.runner.method.reaches == "exact" and calm.runner.method.prunes:
        kept = sum(int(mask.sum()) for mask in trained.masks.values())
        assert kept == kept_count(row["sparsity"], row["prunable"])
    plain = build_model(spec.model, image=IMAGE, classes=CLASSES)
    if not trained.keep_plans:
        plain.load_state_dict(trained.copy_weights(), strict=True)
        x = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(0))
        trained.model.eval()
        torch.testing.assert_close(plain.eval()(x), trained.model(x))


def lasting(trial: Trial) -> list[dict[str, Any]]:
    """Rows without the columns that say when and where a trial ran."""
    return [
        {name: value for name, value in row.items() if name not in schema.CIRCUMSTANCES}
        for row in trial.records.rows
    ]
