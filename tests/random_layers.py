"""Random layers whose inputs are correlated, as those of trained networks are."""

import torch
from torch import Tensor


def correlated(
    rows: int, cols: int, *, count: int = 600, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [rows, cols], inputs [count, cols] with strong common factors, and H = 2/N X^T X, all
    fp64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = (draw(count, cols // 8) @ draw(cols // 8, cols) + draw(count, cols)).relu()
    return draw(rows, cols), x, 2 / count * x.T @ x
