"""How many images are evaluated at once: all of a batch, or fewer where a GPU's memory does not
hold them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class EvaluationBatch:
    """What has been learned of one network on one device.

    most: images that fit at once; None while none have been too many.
    """

    most: int | None = None

    @property
    def notes(self) -> list[str]:
        """A note for the row where batches had to be divided."""
        if self.most is None:
            return []
        return [f"evaluated {self.most} images at once, since more did not fit the GPU's memory"]

    def in_parts(
        self, x: Tensor, y: Tensor, compute: Callable[[Tensor, Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """What is computed of a batch, as one part where it fits, else in parts of half the size,
        a quarter, and so on; the next batches begin with the size that fitted.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        start = 0
        while start < len(x):
            size = min(self.most or len(x), len(x) - start)
            try:
                result = compute(x[start : start + size], y[start : start + size])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.most = -(-size // 2)
            else:
                start += size
                yield result
                continue
            torch.cuda.empty_cache()  # here, since the error above still holds tensors
