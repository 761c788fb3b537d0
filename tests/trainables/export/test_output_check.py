"""Networks are compared by their outputs."""

import pytest
import torch

from trainables.export.output_check import TOLERANCE, output_difference


def test_networks_are_compared_by_the_size_of_their_outputs_and_nan_is_no_agreement() -> None:
    class Answer(torch.nn.Module):
        def __init__(self, *values: float) -> None:
            super().__init__()
            self.values = torch.tensor(values)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values.expand(len(x), -1)

    def difference(one: tuple[float, ...], other: tuple[float, ...]) -> float:
        return output_difference(Answer(*one), Answer(*other), (1, 2, 2))

    assert difference((0.0, 200.0), (1.0, 200.0)) == pytest.approx(1 / 200)
    assert difference((0.1, 0.2), (0.1, 0.3)) == pytest.approx(0.1)
    assert difference((float("nan"), 1.0), (float("nan"), 1.0)) == 0
    assert not difference((1.0, 1.0), (float("nan"), 1.0)) <= TOLERANCE
