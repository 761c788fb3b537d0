"""Which part of every batch a rank has: the same images of it for the same number of ranks,
whichever process asks. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 2  # images of a part: batch-norm cannot take one


@dataclass(frozen=True)
class BatchPart:
    """What one of so many ranks computes: of a batch of training consecutive images, as many as the
    others have or one more; of the batches of an evaluation every so many-th one."""

    rank: int = 0
    ranks: int = 1

    def divides(self, images: int) -> bool:
        """Whether a batch of so many images is divided; if not, every rank has all of it."""
        return self.ranks > 1 and images >= SMALLEST * self.ranks

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Start and stop of the part of a batch that has the places `start` to `stop` of an
        epoch."""
        if not self.divides(stop - start):
            return start, stop
        images = stop - start
        return start + images * self.rank // self.ranks, start + images * (
            self.rank + 1
        ) // self.ranks

    def places(self, start: int, stop: int, *, before: bool = False) -> np.ndarray:
        """The places of the part in the epoch, int64.

        Args:
            before: put in front the place before the first one; of the first of the batch that is
                its last, as if it were a ring.
        """
        import numpy as np

        first, last = self.span(start, stop)
        own = np.arange(first, last)
        return np.concatenate([[first - 1 if first > start else stop - 1], own]) if before else own


WHOLE = BatchPart()
