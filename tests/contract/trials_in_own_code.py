"""A trial of a study, and the same by `pruning.prune` in a script of one's own: what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import pruning
from models.model_registry import build_model
from pruning.masks import prunable
from pruning.phases import Train
from pruning.registry import build_method
from pruning.seeds import make_generator
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.contract.small_knobs import SMALL_KNOBS
from trainables.dense_weights import read_dense_weights
from trainables.environment import Environment
from trainables.training.optimizer import make_optimizer
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

NETWORKS = {
    "residual": "tests.contract.small_networks:residual",
    "group_norm_cat": "tests.networks.architectures:group_norm_cat",
    "attention": "tests.networks.architectures:attention",
}
# For the pretended GPU, without what it computes otherwise: attention, and gradients of GroupNorm.
GPU_NETWORKS = {
    "residual": NETWORKS["residual"],
    "cat": "tests.networks.architectures:cat",
    "excited": "tests.networks.architectures:excited",
}
LR, BATCH = 0.05, 200


def trials_of(method: str, model: str) -> list[TrialSpec]:
    """What has to run for a trial of a method, the dense training first."""
    recipe = {"epochs": 1, "batch": BATCH, "precision": "fp32", "augment": "none", "lr": LR}
    study = StudySpec.model_validate(
        {
            "name": "own_code",
            "dataset": "digits",
            "model": model,
            "recipe": {**recipe, "schedule": "constant", "warmup": 0, "compile": False},
            "retrain": {"epochs": 1},
            "methods": [{method: SMALL_KNOBS.get(method, {})}],
            "sparsities": [0.8],
            "seeds": [3],
        }
    )
    plan = make_plan(study)
    last = next(t for t in reversed(plan.trials) if t.spec.method == method)
    return [*(plan.by_key[key].spec for key in last.parents), last.spec]


class RecordedTrial:
    """A trial that has run, with the weights that it began with and those after each of its
    trainings."""

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self.trial = Trial(spec, environment)
        network = self.trial.runner.network
        self.begin, self.trained = network.copy_weights(), list[dict[str, Tensor]]()
        while not self.trial.done:
            ended = self.trial.steps[self.trial.step : self.trial.step + 1]
            self.trial.advance()
            for index, epoch in ended:
                phase = self.trial.runner.phases[index]
                if isinstance(phase, Train) and epoch + 1 == phase.end:
                    self.trained.append(network.copy_weights())


def prune_as(recorded: RecordedTrial, device: str = "cpu") -> pruning.Pruned:
    """What `pruning.prune` makes of the weights that a trial began with: its images come as
    batches, its trainings give what they gave there, and those that change masks run here, in a
    plain loop.

    Args:
        device: where the script has its network; all that it is given lies where the trial ran.
    """
    trial, spec = recorded.trial, recorded.trial.spec
    image = trial.runner.network.image
    loader = trial.runner.loader

    def build() -> nn.Module:
        model = build_model(spec.model, image=image, classes=loader.data.classes)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    model = build().to(device)
    model.load_state_dict(recorded.begin)
    trainings = iter(recorded.trained)

    def train(pruned: pruning.Pruned) -> None:
        weights = next(trainings)
        if pruned.changes_masks:
            train_with_schedule(pruned, trial)
        else:
            pruned.model.load_state_dict(weights)

    drawn = make_generator(spec.seed, "images", "prune", 1)
    method = build_method(spec.method, spec.knobs)
    own_rule = method.trials((0.8,)) != [(0.8,)]
    return pruning.prune(
        model,
        spec.method,
        None if own_rule else spec.sparsities[-1],
        batches=list(loader.draw(10**6, batch=128, generator=drawn)),
        seed=spec.seed,
        train=train,
        rewind=lambda epoch: read_dense_weights(trial.store, spec, epoch),
        build=build,
        train_epochs=spec.recipe.epochs,
        retrain_epochs=(spec.retrain or spec.recipe).epochs,
        **spec.knobs,
    )


def train_with_schedule(pruned: pruning.Pruned, trial: Trial) -> None:
    """The plainest training loop, on the images of the trial in its order."""
    recipe, loader, training = trial.spec.recipe, trial.runner.loader, pruned.training
    assert training is not None and training.recipe == "train"
    optimizer = make_optimizer(pruned.model, recipe)
    batches = loader.batches_per_epoch(BATCH)
    schedule = pruned.schedule(optimizer, steps=batches * (training.end - training.start))
    pruned.model.train()
    device = next(pruned.model.parameters()).device
    for epoch in range(training.start, training.end):
        generator = make_generator(trial.spec.seed, "train", epoch)
        for x, y in loader.training_batches(batch=BATCH, augment="none", generator=generator):
            optimizer.zero_grad()
            cross_entropy(pruned.model(x.to(device)), y.to(device)).backward()
            schedule.step()
            optimizer.step()


def differences(recorded: RecordedTrial, pruned: pruning.Pruned) -> list[str]:
    """In words what a trial on the CPU and its twin, on any device, do not have in common: masks,
    channels and weights."""
    network = recorded.trial.runner.network
    found = [
        f"channels of {name}"
        for plan, twin in [(network_keep(network), pruned.kept_channels)]
        for name in {*plan, *twin}
        if name not in plan or name not in twin or not torch.equal(plan[name], twin[name])
    ]
    masks = {name: mask.cpu() for name, mask in pruned.masks.items()}
    if list(masks) != list(network.masks):
        return [*found, f"masks of {list(masks)} and of {list(network.masks)}"]
    found += [
        f"mask of {name}, {int((mask ^ network.masks[name]).sum())} of {mask.numel()}"
        for name, mask in masks.items()
        if mask.shape != network.masks[name].shape or not torch.equal(mask, network.masks[name])
    ]
    twins = prunable(network.model)
    return found + [
        f"weights of {name}"
        for name, weight in prunable(pruned.model).items()
        if weight.shape != twins[name].shape or not torch.equal(weight.cpu(), twins[name])
    ]


def network_keep(network: Any) -> dict[str, Tensor]:
    from pruning.structured.keep_plan import join_plans

    return join_plans(network.keep_plans)


def run_recorded(specs: list[TrialSpec], folder: Path) -> RecordedTrial:
    """Run the trials on the CPU; the last one is recorded."""
    environment = Environment(store=str(folder), device="cpu", checkpoint_seconds=1e9)
    *before, spec = specs
    for parent in before:
        if not (folder / f"rows/{parent.key}.parquet").exists():
            Trial(parent, environment).run()
    return RecordedTrial(spec, environment)
