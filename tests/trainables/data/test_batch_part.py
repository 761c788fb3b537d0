"""Parts of batches put together are the batches of one rank, wherever images live."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pruning.seeds import make_generator
from trainables.data.batch_part import BatchPart
from trainables.data.loader import make_loader
from trainables.data.loader_interface import Augment, Loader
from trainables.training.mixing import mix_batches


@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("images", [16, 17, 23, 128])
def test_parts_are_each_place_once_in_order_and_of_nearly_one_size(images: int, ranks: int) -> None:
    parts = [BatchPart(rank, ranks).places(40, 40 + images) for rank in range(ranks)]
    assert [place for part in parts for place in part] == list(range(40, 40 + images))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 2


def test_a_batch_that_would_leave_a_rank_one_image_is_whole_at_each() -> None:
    for rank in range(4):
        part = BatchPart(rank, 4)
        assert not part.divides(7) and part.span(10, 17) == (10, 17)
        assert part.divides(8)


def test_the_place_before_is_the_one_of_the_ring() -> None:
    assert BatchPart(0, 2).places(10, 16, before=True).tolist() == [15, 10, 11, 12]
    assert BatchPart(1, 2).places(10, 16, before=True).tolist() == [12, 13, 14, 15]
    assert BatchPart().places(10, 13, before=True).tolist() == [12, 10, 11, 12]


def loader(images: str, tmp_path: Path) -> Loader:
    return make_loader(
        "digits",
        None,
        None,
        hold_out=True,
        test=True,
        device="cpu",
        images=images,  # type: ignore[arg-type]
        augments=("crop_flip", "randaugment") if images == "mapped" else ("crop_flip",),
    )


def batches(
    of: Loader, augment: Augment, *, mixup: float, skip: int = 0, before: bool = True
) -> list[tuple[Tensor, ...]]:
    made = of.training_batches(
        batch=200,
        augment=augment,
        generator=make_generator(7, "train", 3),
        skip=skip,
        before=before and bool(mixup),
    )
    if mixup:
        made = mix_batches(
            made, classes=10, mixup=mixup, cutmix=1.0, seed=7, names=("train", 3), before=before
        )
    return list(made)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize(
    ("images", "augment"),
    [("resident", "crop_flip"), ("mapped", "crop_flip"), ("mapped", "randaugment")],
)
def test_training_batches_of_all_ranks_are_those_of_one(
    images: str, augment: Augment, mixup: float, tmp_path: Path
) -> None:
    whole = loader(images, tmp_path)
    together = batches(whole, augment, mixup=mixup, before=False)
    assert [len(x) for x, _ in together] == [200] * 6 + [95]
    parts = [batches(whole.of_part(BatchPart(rank, 3)), augment, mixup=mixup) for rank in range(3)]
    for index, (x, y) in enumerate(together):
        assert torch.equal(torch.cat([part[index][0] for part in parts]), x)
        assert torch.equal(torch.cat([part[index][1] for part in parts]), y)


def test_an_epoch_that_continues_has_the_same_parts(tmp_path: Path) -> None:
    part = loader("resident", tmp_path).of_part(BatchPart(1, 2))
    all_of_them = batches(part, "crop_flip", mixup=0.0)
    for one, other in zip(
        all_of_them[4:], batches(part, "crop_flip", mixup=0.0, skip=4), strict=True
    ):
        assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("images", ["resident", "mapped"])
def test_evaluations_are_shared_batch_by_batch_and_draws_are_whole(
    images: str, tmp_path: Path
) -> None:
    whole = loader(images, tmp_path)
    parts = [whole.of_part(BatchPart(rank, 3)) for rank in range(3)]
    for split in ("training", "validation", "test"):
        together = [y for _, y in whole.evaluation_batches(split)]  # type: ignore[arg-type]
        shared = [[y for _, y in part.evaluation_batches(split)] for part in parts]  # type: ignore[arg-type]
        for index, y in enumerate(together):
            assert torch.equal(shared[index % 3][index // 3], y)
        assert sum(map(len, shared)) == len(together)
    drawn = [
        torch.cat([y for _, y in part.draw(300, batch=100, generator=make_generator(1, "d"))])
        for part in (whole, *parts)
    ]
    assert all(torch.equal(drawn[0], other) for other in drawn)
