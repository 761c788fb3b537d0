"""As many images of every class, in the order in which they are drawn, whatever their labels."""

from collections.abc import Callable, Iterator

import pytest
import torch

from pruning.class_examples import balanced_batches, class_examples
from pruning.method import Method
from pruning.registry import build_method
from tests.pruning.tiny_network import Batch, prune_inputs, tiny


def source(
    labels: list[int], *, batch: int = 16
) -> tuple[Callable[[int], Iterator[Batch]], list[int]]:
    """Images numbered by their pixel, with these labels in this order, and the list of how many
    were asked for."""
    asked: list[int] = []

    def images(count: int) -> Iterator[Batch]:
        asked.append(count)
        x = (
            torch.arange(len(labels), dtype=torch.float64)[:count]
            .view(-1, 1, 1, 1)
            .expand(-1, 1, 5, 5)
        )
        return iter(zip(x.split(batch), torch.tensor(labels)[:count].split(batch), strict=True))

    return images, asked


def test_the_first_images_of_every_class_are_picked_in_the_order_drawn() -> None:
    labels = torch.randint(4, (500,), generator=torch.Generator().manual_seed(3)).tolist()
    images, _ = source(labels)
    batches, counts = balanced_batches(images, 4, per_class=10, largest=15)
    numbers = [int(x) for batch, _ in batches for x in batch[:, 0, 0, 0]]
    naive = sorted(
        i for label in range(4) for i in [j for j, own in enumerate(labels) if own == label][:10]
    )
    assert counts == [10] * 4 and numbers == naive
    assert [labels[number] for number in numbers] == [int(y) for _, batch in batches for y in batch]
    assert sorted(len(y) for _, y in batches) == [13, 13, 14]


def test_it_draws_on_until_a_rare_class_has_enough() -> None:
    images, asked = source([0] * 100 + [1] * 5)
    batches, counts = balanced_batches(images, 2, per_class=5)
    assert counts == [5, 5] and asked == [20, 40, 80, 160]
    assert [int(y) for _, batch in batches for y in batch] == [0] * 5 + [1] * 5
    images, asked = source([0] * 19)
    assert balanced_batches(images, 2, per_class=5)[1] == [5, 0] and asked == [20]


def test_no_batch_has_more_than_256_images() -> None:
    assert [len(y) for _, y in balanced_batches(source([0] * 257)[0], 1, per_class=257)[0]] == [
        129,
        128,
    ]


def test_a_class_without_enough_images_is_noted() -> None:
    images, _ = source([0, 1, 0, 1, 0, 0, 0])
    given = prune_inputs(tiny(), images)
    batches = class_examples(given, 3)
    assert sum(len(y) for _, y in batches) == 5
    assert given.notes == ["fewer than 3 examples of classes 1, 2"]


def test_the_network_says_how_many_classes_there_are() -> None:
    images, asked = source([label % 7 for label in range(200)])
    given = prune_inputs(tiny(classes=7), images)
    assert (
        sum(len(y) for _, y in class_examples(given, 2)) == 14
        and asked == [28]
        and given.notes == []
    )


def test_no_image_and_a_label_without_a_logit_are_errors() -> None:
    with pytest.raises(ValueError, match="at least 1 image, but got 0"):
        balanced_batches(lambda count: [], 2, per_class=1)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 2\), but got 0 to 2"):
        balanced_batches(source([0, 1, 2])[0], 2, per_class=1)


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_the_knobs_reach_the_scores(name: str) -> None:
    images, asked = source([label % 3 for label in range(400)])
    method: Method = build_method(name, {"examples_per_class": 8})
    masks = method.prune(prune_inputs(tiny(), images, sparsity=0.9))
    assert asked == [48] and isinstance(masks, dict)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.1 * 42)
