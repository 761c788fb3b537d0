"""Evaluate a network: its accuracy and its loss on the images of a split."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.training.evaluation_batch import EvaluationBatch
from trainables.training.precision import Precision, autocast
from trainables.training.ranks import ONE_RANK, Ranks


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 in percent and the mean cross-entropy in nats per image, over a number of
    images."""

    top1: float
    top5: float
    loss: float
    images: int


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    precision: Precision,
    device: torch.device,
    at_once: EvaluationBatch | None = None,
    ranks: Ranks = ONE_RANK,
) -> Accuracy | None:
    """Accuracy of the model in eval mode; None where there are no images.

    Args:
        at_once: how many images fit, which it learns; what an earlier evaluation learned counts.
        ranks: which share the batches: those here are this rank's, the result is of all.
    """
    model.eval()
    at_once = at_once or EvaluationBatch()
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    seen = 0

    def compute(x: Tensor, y: Tensor) -> Tensor:
        """Images that are top-1 and top-5, and the sum of their losses."""
        with autocast(precision, device):
            logits = model(x)
        logits = logits.float()
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == y[:, None]
        loss = functional.cross_entropy(logits, y, reduction="sum")
        return torch.stack([ranked[:, 0].sum(), ranked.sum(), loss]).double()

    for x, y in batches:
        for part in at_once.in_parts(x, y, compute):
            totals += part
        seen += len(y)
    if ranks.count > 1:
        images = torch.tensor(seen, device=device)
        ranks.add_up([totals, images])
        seen = int(images)
    if not seen:
        return None
    top1, top5, loss = (totals / seen).tolist()
    return Accuracy(100 * top1, 100 * top5, loss, seen)
