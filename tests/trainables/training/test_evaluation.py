"""Accuracy and loss of a network on the images of a split."""

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.training.training_loop import CPU
from trainables.training.evaluation import evaluate


def test_accuracy_is_counted_over_all_images() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4, 0], [0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]])
    labels = torch.tensor([0, 3, 6])
    found = evaluate(
        Fixed(), [(logits[:2], labels[:2]), (logits[2:], labels[2:])], precision="fp32", device=CPU
    )
    assert found is not None
    assert found.top1 == pytest.approx(100 / 3)
    assert found.top5 == pytest.approx(200 / 3)
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))
    assert evaluate(Fixed(), [], precision="fp32", device=CPU) is None
