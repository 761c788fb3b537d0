"""Mixup and CutMix: what is mixed, and that a batch's draw follows from its place alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from trainables.training.mixing import main_labels, mix_batches
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

torch.set_num_threads(1)
CLASSES = 5


def make_batches(count: int = 6, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(size, 3, 12, 10, generator=generator).to(memory_format=torch.channels_last),
            torch.randint(0, CLASSES, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def mix(
    batches: list[tuple[Tensor, Tensor]],
    *,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    first: int = 0,
    epoch: int = 0,
) -> list[tuple[Tensor, Tensor]]:
    mixed = mix_batches(
        batches,
        classes=CLASSES,
        mixup=mixup,
        cutmix=cutmix,
        seed=4,
        names=("train", epoch),
        first=first,
    )
    return list(mixed)


def shares(y: Tensor, target: Tensor) -> Tensor:
    """The share of each image's own class, where its partner has another one."""
    differs = y != y.roll(1, 0)
    return target[differs, y[differs]]


def test_mixup_is_that_of_torchvision_for_the_same_share() -> None:
    for (x, y), (mixed, target) in zip(make_batches(), mix(make_batches(), mixup=0.4), strict=True):
        share = float(shares(y, target)[0])
        usual = v2.MixUp(num_classes=CLASSES)
        params = {"labels": y, "batch_size": len(x), "lam": share}
        torch.testing.assert_close(mixed, usual.transform(x, params))
        torch.testing.assert_close(target, usual.transform(y, params))
        assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_cutmix_cuts_a_rectangle_whose_area_is_the_other_share() -> None:
    batches = make_batches(40)
    found = set()
    for (x, y), (mixed, target) in zip(batches, mix(batches, cutmix=1.0), strict=True):
        other = (mixed != x).any(1)
        assert torch.equal(
            mixed[other[:, None].expand_as(x)], x.roll(1, 0)[other[:, None].expand_as(x)]
        )
        (first, *rest) = other
        assert all(torch.equal(first, one) for one in rest)
        rows, columns = first.any(1), first.any(0)
        assert int(first.sum()) == int(rows.sum()) * int(columns.sum())
        expected = 1 - int(first.sum()) / first.numel()
        torch.testing.assert_close(shares(y, target), torch.full_like(shares(y, target), expected))
        found.add(expected)
        assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert len(found) > 10


@pytest.mark.parametrize("alphas", [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_a_batch_is_mixed_by_its_place_alone(alphas: dict[str, float]) -> None:
    batches = make_batches()
    before = [(x.clone(), y.clone()) for x, y in batches]
    whole = mix(batches, **alphas)
    torch.rand(5)  # the global generator must not matter
    rest = mix(batches[2:], **alphas, first=2)
    for (x, target), (other, same) in zip(whole[2:], rest, strict=True):
        assert torch.equal(x, other) and torch.equal(target, same)
    for _, target in whole:
        torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
    another = mix(batches, **alphas, epoch=1)
    assert any(not torch.equal(x, other) for (x, _), (other, _) in zip(whole, another, strict=True))
    for (x, y), (kept, labels) in zip(batches, before, strict=True):
        assert torch.equal(x, kept) and torch.equal(y, labels)


def test_with_both_a_coin_is_tossed_for_each_batch() -> None:
    batches = make_batches(60, size=2)
    mixed = mix(batches, mixup=1.0, cutmix=1.0)
    # Where a rectangle is cut, all other pixels stay.
    cut = sum(bool((new == old).any()) for (new, _), (old, _) in zip(mixed, batches, strict=True))
    assert 15 < cut < 45


def test_the_shares_follow_the_beta_distribution() -> None:
    batches = [(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))] * 800
    found = torch.stack([target[0, 0] for _, target in mix(batches, mixup=0.2)])
    # Of Beta(a, a) the mean is 1/2 and the variance 1 / (4 (2 a + 1)).
    assert abs(float(found.mean()) - 0.5) < 0.05
    assert abs(float(found.var()) - 1 / 5.6) < 0.02


def test_the_main_label_is_the_one_with_the_largest_share() -> None:
    target = torch.tensor([[0.2, 0.8, 0.0], [0.6, 0.0, 0.4]])
    assert main_labels(target).tolist() == [1, 0]
    labels = torch.tensor([2, 1])
    assert main_labels(labels) is labels


def test_the_loss_of_a_mixed_batch_is_the_weighted_sum_also_when_smoothed() -> None:
    ((x, y),) = make_batches(1)
    ((_, target),) = mix([(x, y)], mixup=1.0)
    logits = torch.randn(len(y), CLASSES, generator=torch.Generator().manual_seed(1))
    share = float(shares(y, target)[0])
    for smoothing in (0.0, 0.1):
        parts = [
            torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
            for labels in (y, y.roll(1, 0))
        ]
        whole = torch.nn.functional.cross_entropy(logits, target, label_smoothing=smoothing)
        torch.testing.assert_close(whole, share * parts[0] + (1 - share) * parts[1])


@pytest.mark.parametrize("alphas", [{"mixup": 0.2}, {"mixup": 0.5, "cutmix": 1.0}])
def test_a_mixed_training_that_pauses_after_every_batch_ends_as_one_that_does_not(
    alphas: dict[str, float], open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    recipe = Recipe(epochs=2, batch=400, lr=0.05, precision="fp32", label_smoothing=0.1, **alphas)
    spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=1, recipe=recipe)
    whole = open_trial(spec, tmp_path / "whole")
    whole.run()
    pauses = 0
    trial = open_trial(spec, tmp_path / "paused")
    while not trial.done:
        trial.advance(lambda: True)
        trial.save()
        trial = open_trial(spec, tmp_path / "paused")
        pauses += 1
    assert pauses > 8
    left_out = {"started", "finished", "seconds", "train_seconds", "attempts"}
    for row, other in zip(whole.records.rows, trial.records.rows, strict=True):
        assert {k: v for k, v in row.items() if k not in left_out} == {
            k: other[k] for k in row if k not in left_out
        }


def test_the_key_tells_and_ordinary_keys_stay() -> None:
    plain = Recipe()
    assert plain.non_default_json() == "{}"
    assert Recipe(mixup=0.2, cutmix=1).non_default_json() == '{"cutmix": 1.0, "mixup": 0.2}'


def test_torchvision_cuts_the_same_kind_of_rectangle() -> None:
    """The rectangle of the original: a share of the area around a uniform middle, clipped."""
    generator = torch.Generator().manual_seed(2)
    usual = v2.CutMix(num_classes=CLASSES, alpha=1.0)
    areas = []
    for _ in range(300):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        image = torch.zeros(2, 1, 12, 10)
        params = usual.make_params([image])
        areas.append(params["lam_adjusted"])
    batches = [(torch.zeros(2, 1, 12, 10), torch.tensor([0, 1]))] * 300
    ours = torch.stack([target[0, 0] for _, target in mix(batches, cutmix=1.0)])
    assert abs(float(ours.mean()) - sum(areas) / 300) < 0.06
