"""Ranks of feature maps against a naive loop, and HRank's one decision for all of its cuts."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.model_registry import build as build_model
from pruning.feature_map_ranks import lexicographic, mean_ranks
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.methods.hrank import HRank
from pruning.phases import Measure, Prune, Rewind, Setting, Train
from pruning.structured.channel_groups import groups
from pruning.structured.shrink import Smaller, find_ratio, shrink, widths
from trainables.storage import checkpoints
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

IMAGE = (3, 16, 16)
# Written by hand from the networks' definitions: the activations of each group.
RESNET8 = {
    "conv": ["relu", "stages.0.0.relu2"],
    "stages.0.0.conv1": ["stages.0.0.relu1"],
    "stages.1.0.conv1": ["stages.1.0.relu1"],
    "stages.1.0.conv2": ["stages.1.0.relu2"],
    "stages.2.0.conv1": ["stages.2.0.relu1"],
    "stages.2.0.conv2": ["stages.2.0.relu2"],
}
SIMPLE = {"conv1": ["relu1"], "conv2": ["relu2"], "fc1": ["relu3"]}
VGG = {
    f"features.{conv}": [f"features.{conv + 2}"]
    for conv in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
}


def network(name: str, image: tuple[int, int, int] = IMAGE) -> nn.Module:
    """A network whose batch-norms shift channels apart, so that ranks differ and some maps are
    dead."""
    torch.manual_seed(5)
    model = build_model(name, image=image, classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, -0.5, 1.0)
            module.running_mean = 0.3 * torch.randn(len(module.bias))
    return model


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for start in range(0, count, 4):
        size = min(4, count - start)
        yield torch.randn(size, *IMAGE, generator=generator), torch.zeros(size, dtype=torch.int64)


def naive(
    model: nn.Module, activations: dict[str, list[str]], count: int
) -> dict[str, list[float]]:
    """Mean rank per channel by numpy, one map at a time, from what hooks on the named layers see.
    """
    seen: dict[str, list[Tensor]] = {}
    for names in activations.values():
        for name in names:
            model.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen.setdefault(name, []).append(out.detach().clone())
            )
    model.eval()
    for x, _ in images(count):
        model(x)
    means = {}
    for group, names in activations.items():
        maps = torch.stack([torch.cat(seen[name]) for name in names])
        maps = maps if maps.dim() == 5 else maps[..., None, None]
        means[group] = [
            float(
                np.mean(
                    [[np.linalg.matrix_rank(image[c].numpy()) for image in one] for one in maps]
                )
            )
            for c in range(maps.shape[2])
        ]
    return means


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
def test_ranks_equal_a_naive_loop(name: str, activations: dict[str, list[str]]) -> None:
    model = network(name).train()
    buffers = [buffer.clone() for buffer in model.buffers()]
    found = groups(model, IMAGE)
    ranks = mean_ranks(model, found, (x for x, _ in images(6)))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), buffers, strict=True))
    expected = naive(model, activations, 6)
    assert set(ranks) == set(expected) == {group.name for group in found}
    for group, means in expected.items():
        assert ranks[group].tolist() == pytest.approx(means, abs=1e-12)
    values = torch.cat(list(ranks.values()))
    assert (
        values.min() == 0 and len(values.unique()) > 3
    )  # the networks above do have something to tell apart


class Functional(nn.Module):
    """Activations as functions and methods, in place and not, and dropout that only its own mode
    switches off."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (
            nn.Conv2d(3, 5, 3),
            nn.Conv2d(5, 6, 3),
            nn.Linear(6, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.dropout(self.first(x), 0.9, self.training))
        logits: Tensor = self.third(self.second(x).relu_().mean((2, 3)))
        return logits


def test_activations_are_found_as_functions_and_methods_too() -> None:
    torch.manual_seed(0)
    model = Functional().train()
    with torch.no_grad():
        model.get_parameter("first.bias")[:2] = -9
        model.first.weight[2] = 0
        x = torch.randn(3, *IMAGE)
        first = model.first(x).relu()
        maps = {"first": first, "second": model.second(first).relu()}
    ranks = mean_ranks(model, groups(model, IMAGE), [x])
    for name, value in maps.items():
        expected = np.mean(
            [[np.linalg.matrix_rank(one.numpy()) for one in image] for image in value], axis=0
        )
        assert ranks[name].tolist() == pytest.approx(expected.tolist(), abs=1e-12)
    assert ranks["first"][:2].tolist() == [0, 0] and ranks["first"][2] <= 1


def test_without_images_or_activations_it_says_so() -> None:
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(576, 2))
    with pytest.raises(ValueError, match="no activation function follows '0'"):
        mean_ranks(bare, groups(bare, IMAGE), [torch.randn(1, *IMAGE)])
    model = network("simple_cnn")
    with pytest.raises(ValueError, match="at least 1 image, but got 0"):
        mean_ranks(model, groups(model, IMAGE), [])


def test_ties_go_to_the_second_score_and_then_to_the_lower_index() -> None:
    first = torch.tensor([1.0, 2, 2, 0, 2, 1]).double()
    second = torch.tensor([5.0, 1, 3, 9, 3, 4])
    assert lexicographic(first, second).argsort(descending=True).tolist() == [2, 4, 1, 0, 5, 3]


@pytest.mark.parametrize(
    ("name", "activations"), [("resnet8", RESNET8), ("simple_cnn", SIMPLE), ("vgg16", VGG)]
)
def test_the_highest_ranks_are_kept_and_ties_fall_to_the_l1_norm(
    name: str, activations: dict[str, list[str]]
) -> None:
    model = network(name)
    at = prune_input(model)
    pruned = HRank(layer_by_layer=False, images=6).prune(at)
    found = groups(model, IMAGE)
    kept = widths(found, find_ratio(model, found, 0.5))
    ranks = naive(model, activations, 6)
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
    assert at.notes and "channel ratio" in at.notes[0] and not at.memory


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
    def setting(name: str) -> Setting:
        with torch.device("meta"):
            model = build_model(name, image=(3, 32, 32), classes=100)
        return Setting(train_epochs=160, retrain_epochs=50, build=lambda: model)

    phases = HRank().phases((0.4,), setting("vgg16"))
    assert len(phases) == 13 * 2 + 2
    for level in range(1, 14):
        assert phases[2 * level - 2 : 2 * level] == [
            Prune(0.4, level),
            Train("retrain", 15, length=15),
        ]
    assert phases[-2:] == [Train("retrain", 50), Measure(0.4, 13)]
    assert HRank(mode="inner", layer_epochs=2).phases((0.4,), setting("resnet20"))[-1] == Measure(
        0.4, 9
    )
    assert HRank(layer_by_layer=False).phases((0.4,), setting("vgg16")) == [
        *(Prune(0.4), Train("retrain", 50), Measure(0.4))
    ]
    assert HRank(retrain="weight_rewind").phases((0.4,), setting("vgg16"))[-3:-1] == [
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
            "knobs": {"layer_epochs": 1},
            "sparsities": (0.5,),
            "retrain": recipe,
        }
    )
    trial = open_trial(spec)
    assert not trial.course.memory
    trial.advance()
    assert list(trial.course.memory) == list(RESNET8) == list(state_of(trial)["course"]["memory"])
    again = open_trial(spec)
    assert again.step == 1 and all(
        torch.equal(again.course.memory[name], kept) for name, kept in trial.course.memory.items()
    )
    again.run()
    assert [list(keep) for keep in again.course.network.keeps] == [[name] for name in RESNET8]
    assert all(
        torch.equal(keep[name], trial.course.memory[name])
        for keep in again.course.network.keeps
        for name in keep
    )
    assert again.course.rows[-1]["level"] == 6 and again.course.rows[-1][
        "sparsity_reached"
    ] == pytest.approx(0.5, abs=0.03)
    sizes = [
        sum(weight.numel() for weight in prunable(again.course.network.model).values()),
        again.course.network.dense_prunable,
    ]
    assert all(a < b for a, b in pairwise(sizes))


def state_of(trial: Trial) -> dict[str, dict[str, Tensor]]:
    """The trial's checkpoint, written now."""
    trial.save()
    found = checkpoints.newest(trial.store, f"checkpoints/{trial.spec.key}", "step")
    assert found is not None
    return found[1]
