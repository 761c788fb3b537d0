"""HRank: one decision on the dense network for all of its cuts, in this order."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.methods.hrank import HRank
from pruning.phases import Measure, PhaseContext, Prune, Rewind, Train
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.keep_plan import Smaller
from pruning.structured.shrink import shrink
from tests.pruning.ranked_networks import IMAGE, RESNET8, SIMPLE, VGG, images, naive_ranks, network
from tests.pruning.structured.networks_to_cut import ratio_near
from trainables.storage import checkpoints
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


def prune_input(
    model: nn.Module,
    sparsity: float = 0.5,
    *,
    level: int = 1,
    memory: dict[str, Tensor] | None = None,
    source: Callable[[int], Iterator[tuple[Tensor, Tensor]]] = images,
) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(0),
        images=source,
        image=IMAGE,
        level=level,
        memory={} if memory is None else memory,
    )


@pytest.mark.parametrize(
    ("name", "activations"), [("resnet8", RESNET8), ("simple_cnn", SIMPLE), ("vgg16", VGG)]
)
def test_the_highest_ranks_are_kept_and_ties_fall_to_the_l1_norm(
    name: str, activations: dict[str, list[str]]
) -> None:
    model = network(name)
    inputs = prune_input(model)
    pruned = HRank(layer_by_layer=False, images=6).prune(inputs)
    found = find_groups(model, IMAGE)
    kept = kept_widths(found, ratio_near(model, found, 0.5))
    ranks = naive_ranks(model, activations, 6)
    weights = prunable(model)
    ties = 0
    for group in found:
        norms = [0.0] * group.channels
        for layer in group.producers:
            norms = [
                a + float(row.abs().sum())
                for a, row in zip(norms, weights[f"{layer}.weight"].detach(), strict=True)
            ]
        order = sorted(
            range(group.channels), key=lambda c: (-round(ranks[group.name][c], 9), -norms[c])
        )
        count = kept[group.name]
        assert pruned.keep[group.name].tolist() == sorted(order[:count])
        ties += round(ranks[group.name][order[count - 1]] - ranks[group.name][order[count]], 9) == 0
    assert ties or name != "vgg16"  # deep maps are tiny here as on CIFAR: the norm does decide
    assert inputs.notes and "channel ratio" in inputs.notes[0] and not inputs.memory


def test_ranks_are_computed_once_on_the_dense_network() -> None:
    model = network("resnet8")
    at_once = HRank(layer_by_layer=False, images=6).prune(prune_input(model)).keep
    method, memory, combined = HRank(images=6), {}, {}  # type: ignore[var-annotated]
    for level in range(1, 7):
        asked: list[int] = []

        def source(count: int, asked: list[int] = asked) -> Iterator[tuple[Tensor, Tensor]]:
            asked.append(count)
            return images(count)

        step = method.prune(prune_input(model, level=level, memory=memory, source=source))
        assert isinstance(step, Smaller) and len(step.keep) == 1
        assert asked == ([6] if level == 1 else [])
        combined.update(step.keep)
        model = shrink(model, step.keep, image=IMAGE)
        with torch.no_grad():  # as training would
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
    assert list(combined) == list(RESNET8)
    assert all(torch.equal(combined[name], at_once[name]) for name in at_once)


def test_the_course_cuts_each_group_trains_and_retrains_at_the_end() -> None:
    def context(name: str) -> PhaseContext:
        with torch.device("meta"):
            model = build_model(name, image=(3, 32, 32), classes=100)
        return PhaseContext(train_epochs=160, retrain_epochs=50, build=lambda: model)

    phases = HRank().phases((0.4,), context("vgg16"))
    assert len(phases) == 13 * 2 + 2
    for level in range(1, 14):
        assert phases[2 * level - 2 : 2 * level] == [
            Prune(0.4, level),
            Train("retrain", 15, length=15),
        ]
    assert phases[-2:] == [Train("retrain", 50), Measure(0.4, 13)]
    assert HRank(mode="inner", layer_epochs=2).phases((0.4,), context("resnet20"))[-1] == Measure(
        0.4, 9
    )
    assert HRank(layer_by_layer=False).phases((0.4,), context("vgg16")) == [
        *(Prune(0.4), Train("retrain", 50), Measure(0.4))
    ]
    assert HRank(retrain="weight_rewind").phases((0.4,), context("vgg16"))[-3:-1] == [
        Rewind(0),
        Train("train", 160),
    ]


def test_a_reopened_trial_remembers_its_plan(open_trial: Callable[..., Trial]) -> None:
    recipe = {"epochs": 1, "batch": 400, "precision": "fp32", "augment": "none"}
    shared = {"dataset": "digits", "model": "resnet8", "seed": 1, "recipe": recipe}
    open_trial(TrialSpec.model_validate({**shared, "method": "dense"})).run()
    spec = TrialSpec.model_validate(
        {
            **shared,
            "method": "hrank",
            "knobs": {"layer_epochs": 1, "images": 20},
            "sparsities": (0.5,),
            "retrain": recipe,
        }
    )
    trial = open_trial(spec)
    assert not trial.records.memory
    trial.advance()
    assert list(trial.records.memory) == list(RESNET8) == list(state_of(trial)["course"]["memory"])
    again = open_trial(spec)
    assert again.step == 1 and all(
        torch.equal(again.records.memory[name], kept) for name, kept in trial.records.memory.items()
    )
    again.run()
    assert [list(keep) for keep in again.runner.network.keep_plans] == [[name] for name in RESNET8]
    assert all(
        torch.equal(keep[name], trial.records.memory[name])
        for keep in again.runner.network.keep_plans
        for name in keep
    )
    assert again.records.rows[-1]["level"] == 6 and again.records.rows[-1][
        "sparsity_reached"
    ] == pytest.approx(0.5, abs=0.03)
    sizes = [
        sum(weight.numel() for weight in prunable(again.runner.network.model).values()),
        again.runner.network.dense_prunable,
    ]
    assert all(a < b for a, b in pairwise(sizes))


def state_of(trial: Trial) -> dict[str, dict[str, Tensor]]:
    """The trial's checkpoint, written now."""
    trial.save()
    found = checkpoints.read_newest_state(trial.store, f"checkpoints/{trial.spec.key}", "step")
    assert found is not None
    return found[1]


def test_hrank_has_nothing_to_rank_across_groups() -> None:
    with pytest.raises(ValidationError):
        HRank.model_validate({"ranking": "global"})
