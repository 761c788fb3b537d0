"""Han's thresholds against the densities of a normal distribution, and against exact counts where
one is requested."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pruning.masks import all_kept, apply_masks, kept_count, prunable
from pruning.method import PruneInput
from pruning.methods.han_iterative import HanIterative
from pruning.phases import Measure, PhaseContext, Prune, Train
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from trainables.storage import parquet_tables
from trainables.trial import Trial

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A trial sets flush-to-zero for its process; hypothesis in later tests cannot draw floats
    under it."""
    yield
    torch.set_flush_denormal(False)


def no_images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("magnitudes need no images")


def gaussian(*spreads: float, size: int = 1000) -> nn.Sequential:
    """Linear layers of normally distributed weights, each with its own standard deviation."""
    torch.manual_seed(0)
    layers = [nn.Linear(size, 1000, bias=False) for _ in spreads]
    for layer, spread in zip(layers, spreads, strict=True):
        nn.init.normal_(layer.weight, std=spread)
    return nn.Sequential(*layers)


def look(
    model: nn.Module, masks: Any, *, sparsity: float = torch.nan, level: int = 1, memory: Any = None
) -> PruneInput:
    return PruneInput(
        model=model,
        masks=masks,
        sparsity=sparsity,
        generator=torch.Generator(),
        images=no_images,
        image=(1, 1, 1),
        level=level,
        memory={} if memory is None else memory,
    )


def iterate(
    method: HanIterative, model: nn.Module, targets: list[float]
) -> Iterator[dict[str, Tensor]]:
    """Prune again and again without any training between."""
    masks: dict[str, Tensor] = all_kept(model)
    memory: dict[str, Tensor] = {}
    for level, sparsity in enumerate(targets, start=1):
        masks = method.prune(look(model, masks, sparsity=sparsity, level=level, memory=memory))
        apply_masks(model, masks)
        yield masks


@pytest.mark.parametrize(
    ("std_over", "expected"),
    [
        ("all", [31.7] * 6),
        ("survivors", [31.7, 11.2, 4.0, 1.5, 0.53, 0.19]),
        ("fixed", [31.7] * 6),
    ],
)
def test_densities_of_gaussian_weights_without_retraining(
    std_over: Any, expected: list[float]
) -> None:
    method = HanIterative(std_over=std_over)
    found = []
    for masks in iterate(method, gaussian(1.0, 0.02), [torch.nan] * 6):
        densities = [100 * float(mask.float().mean()) for mask in masks.values()]
        assert densities[0] == pytest.approx(
            densities[1], abs=0.15
        )  # the layer's own spread is the unit
        found.append(sum(densities) / 2)
    assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("std_over", ["all", "survivors", "fixed"])
def test_the_threshold_is_q_standard_deviations_of_what_counts(std_over: Any) -> None:
    model = gaussian(1.0, 0.02, size=50)
    method = HanIterative(std_over=std_over, q=0.7)
    dense = {
        name: float(weight.detach().double().numpy().std())
        for name, weight in prunable(model).items()
    }
    memory: dict[str, Tensor] = {}
    masks = all_kept(model)
    for _ in range(2):
        limits = {}
        for name, weight in prunable(model).items():
            array, mask = weight.detach().double().numpy(), masks[name].numpy()
            std = {"all": array.std(), "survivors": array[mask].std(), "fixed": dense[name]}[
                std_over
            ]
            limits[name] = 0.7 * std
        before, masks = masks, method.prune(look(model, masks, memory=memory))
        for name, weight in prunable(model).items():
            assert torch.equal(
                masks[name], before[name] & (weight.detach().double().abs() >= limits[name])
            )
        apply_masks(model, masks)
        with torch.no_grad():  # as finetuning does: what is left moves
            for name, weight in prunable(model).items():
                weight.mul_(0.6).masked_fill_(~masks[name], 0)


@pytest.mark.parametrize("std_over", ["all", "survivors", "fixed"])
def test_a_requested_sparsity_is_reached_exactly_by_one_factor_for_all_layers(
    std_over: Any,
) -> None:
    model = gaussian(1.0, 0.02, size=70)
    method = HanIterative(std_over=std_over, reach="requested", iterations=3)
    total = sum(weight.numel() for weight in prunable(model).values())
    targets = [
        prune.sparsity for prune in method.phases((0.9,), CONTEXT) if isinstance(prune, Prune)
    ]
    assert targets == pytest.approx([1 - 0.1 ** (1 / 3), 1 - 0.1 ** (2 / 3), 0.9], abs=1e-15)
    assert targets[-1] == 0.9
    masks: dict[str, Tensor] = all_kept(model)
    memory: dict[str, Tensor] = {}
    for level, sparsity in enumerate(targets, start=1):
        assert sparsity is not None
        weights = {name: weight.detach().double() for name, weight in prunable(model).items()}
        if level == 1 or std_over != "fixed":
            std = {
                n: (w[masks[n]] if std_over == "survivors" else w).std(correction=0)
                for n, w in weights.items()
            }
        before = masks
        inputs = look(model, masks, sparsity=sparsity, level=level, memory=memory)
        masks = method.prune(inputs)
        assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(sparsity, total)
        units = {name: weight.abs() / std[name] for name, weight in weights.items()}
        weakest = min(float(units[name][mask].min()) for name, mask in masks.items())
        assert all(float(units[n][before[n] & ~mask].max()) < weakest for n, mask in masks.items())
        assert inputs.notes == [f"q {weakest:.4g} in iteration {level}"]
        apply_masks(model, masks)


@pytest.mark.parametrize("std_over", ["all", "survivors", "fixed"])
@pytest.mark.parametrize("reach", ["own", "requested"])
def test_empty_and_constant_layers_are_no_obstacle(std_over: Any, reach: Any) -> None:
    model = gaussian(1.0, 1.0, 1.0, 0.0, size=20)
    nn.init.constant_(model[1].weight, 0.25)  # type: ignore[arg-type]
    masks = all_kept(model)
    masks["2.weight"].fill_(False)
    apply_masks(model, masks)
    found = HanIterative(std_over=std_over, reach=reach).prune(look(model, masks, sparsity=0.5))
    assert not found["2.weight"].any()
    if reach == "own":
        assert found["1.weight"].all()  # nothing lies below a threshold of 0
        assert not found["3.weight"].any()  # but a zero that is kept is no use
    else:
        assert sum(int(mask.sum()) for mask in found.values()) == 40_000
    assert all(bool((mask <= masks[name]).all()) for name, mask in found.items())


def test_every_prune_is_followed_by_a_finetune_and_measured() -> None:
    method = HanIterative()
    assert method.trials((0.5, 0.9)) == [()]
    phases = method.phases((), CONTEXT)
    rounds = [phases[index : index + 3] for index in range(0, len(phases), 3)]
    assert rounds == [[Prune(None, k), Train("retrain", 4), Measure(None, k)] for k in range(1, 8)]


def test_a_requested_sparsity_is_one_trial_and_one_row() -> None:
    method = HanIterative(reach="requested", iterations=2)
    assert method.trials((0.5, 0.75)) == [(0.5,), (0.75,)]
    assert method.phases((0.75,), CONTEXT) == [
        Prune(0.5, 1),
        Train("retrain", 4),
        Prune(0.75, 2),
        Train("retrain", 4),
        Measure(0.75, 2),
    ]
    with pytest.raises(
        ValidationError, match="with reach 'requested' q is found, not given, but got 0.5"
    ):
        HanIterative(reach="requested", q=0.5)


def study(knobs: dict[str, Any], seeds: list[int]) -> StudySpec:
    recipe = {"epochs": 1, "batch": 400, "lr": 0.05, "precision": "fp32", "augment": "none"}
    return StudySpec.model_validate(
        {
            "name": "han",
            "dataset": "digits",
            "model": "mlp",
            "recipe": recipe,
            "retrain": {"epochs": 1},
            "methods": [{"han_iterative": knobs}],
            "sparsities": [0.0, 0.5, 0.9],
            "seeds": seeds,
        }
    )


def test_a_trial_without_a_requested_sparsity_is_one_per_seed_with_a_row_for_every_level(
    open_trial: Callable[..., Trial],
) -> None:
    plan = make_plan(study({"iterations": 3, "std_over": "survivors"}, [0, 1]))
    specs = [planned.spec for planned in plan.trials]
    assert [spec.method for spec in specs] == ["dense", "dense", "han_iterative", "han_iterative"]
    assert [spec.sparsities for spec in specs[2:]] == [(), ()]
    assert [planned.epochs for planned in plan.trials[2:]] == [3, 3]
    assert specs[2].key.startswith("digits-mlp/han_iterative/own/seed0-")
    assert "all, none" not in specs[2].key and specs[2].key.count("/") == 3
    open_trial(specs[0]).run()
    trial = open_trial(specs[2])
    labels = []
    while not trial.done:
        labels.append(trial.label)
        trial.advance()
    assert labels == ["prune", "retrain epoch 1/1", "measure final"] * 3
    rows = parquet_tables.decode_table(
        "rows", trial.store.read(f"rows/{trial.spec.key}.parquet")
    ).to_pylist()
    assert [row["level"] for row in rows] == [1, 2, 3]
    assert [row["sparsity"] for row in rows] == [None, None, None]
    reached = [row["sparsity_reached"] for row in rows]
    assert 0.3 < reached[0] < reached[1] < reached[2] < 1
    assert reached[2] == pytest.approx(trial.runner.network.sparsity)


def test_fixed_thresholds_outlive_a_restart(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    (dense, own) = [
        planned.spec
        for planned in make_plan(study({"iterations": 2, "std_over": "fixed"}, [0])).trials
    ]
    digests = []
    for name, reopen in (("calm", False), ("disturbed", True)):
        open_trial(dense, tmp_path / name).run()
        trial = open_trial(own, tmp_path / name, checkpoint_seconds=0)
        thresholds = []
        while not trial.done:
            trial.advance()
            thresholds.append({layer: float(std) for layer, std in trial.records.memory.items()})
            if reopen and not trial.done:
                trial = open_trial(own, tmp_path / name, checkpoint_seconds=0)
        assert all(one == thresholds[0] for one in thresholds) and thresholds[0]
        digests.append([row["digest"] for row in trial.records.rows])
    assert digests[0] == digests[1]


def test_requested_sparsities_are_reached_in_a_trial(open_trial: Callable[..., Trial]) -> None:
    plan = make_plan(study({"iterations": 2, "reach": "requested"}, [0]))
    assert [planned.spec.sparsities for planned in plan.trials] == [(0.0,), (0.5,), (0.9,)]
    for planned in plan.trials:
        trial = open_trial(planned.spec)
        trial.run()
        (row,) = trial.records.rows
        total = trial.runner.network.dense_prunable
        assert round((1 - row["sparsity_reached"]) * total) == kept_count(row["sparsity"], total)
    assert (
        trial.records.rows[0]["notes"].startswith("q ")
        and "in iteration 2" in trial.records.rows[0]["notes"]
    )
