"""GraSP and SNIP remove what their papers say and what published code removes.

Covers: pruning/methods/snip.py.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from models.model_registry import build_model as network
from pruning.class_examples import balanced_batches
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.registry import build_method
from tests.pruning.tiny_network import Batch, drawn, flatten, losses, prune_inputs, tiny


def test_grasp_removes_the_largest_of_its_paper() -> None:
    model, batch = tiny(), drawn(30)
    flat = flatten(prunable(model).values())
    first = balanced_batches(lambda n: iter([(batch[0][:n], batch[1][:n])]), 3, per_class=4)[0]
    loss = losses(tiny(), first, temperature=200)
    paper = -flat * (torch.autograd.functional.hessian(loss, flat) @ torch.func.grad(loss)(flat))
    masks = build_method("grasp", {"examples_per_class": 4}).prune(
        prune_inputs(model, lambda n: iter([(batch[0][:n], batch[1][:n])]))
    )
    assert isinstance(masks, dict)
    removed = ~flatten(masks.values())
    assert set(removed.nonzero().flatten().tolist()) == set(
        paper.topk(len(flat) // 2).indices.tolist()
    )


def official_scores(
    model: nn.Module, batches: list[Batch], *, method: str, batch_norm: str
) -> dict[str, Tensor]:
    """SNIP and GraSP as published code has them: the whole model in train mode or in eval mode,
    mean losses of single batches, factors on the weights (SNIP), two passes over the batches
    (GraSP)."""
    model.train(batch_norm == "batch")
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    weights = {name: state[name].clone().requires_grad_() for name in prunable(model)}
    factors = {name: torch.ones_like(w).requires_grad_() for name, w in weights.items()}

    def loss(x: Tensor, y: Tensor, temperature: float) -> Tensor:
        kept = {name: factors[name] * weight for name, weight in weights.items()}
        buffers = {name: value.clone() for name, value in state.items()}
        return cross_entropy(functional_call(model, {**buffers, **kept}, x) / temperature, y)

    if method == "snip":
        for x, y in batches:
            loss(x, y, 1.0).backward()
        return {name: factor.grad.abs() for name, factor in factors.items()}  # type: ignore[union-attr]
    stopped = [torch.zeros_like(weight) for weight in weights.values()]
    for x, y in batches:
        gradients = torch.autograd.grad(loss(x, y, 200.0), list(weights.values()))
        stopped = [sum_ + g for sum_, g in zip(stopped, gradients, strict=True)]
    for x, y in batches:
        gradients = torch.autograd.grad(
            loss(x, y, 200.0), list(weights.values()), create_graph=True
        )
        torch.stack(
            [(s * g).sum() for s, g in zip(stopped, gradients, strict=True)]
        ).sum().backward()
    return {name: (w.grad * w).detach() for name, w in weights.items()}  # type: ignore[operator]


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_both_modes_of_batch_norm_give_the_masks_of_published_code(
    method: str, batch_norm: str
) -> None:
    def made() -> nn.Module:
        torch.manual_seed(3)
        return network("resnet8", image=(3, 16, 16), classes=10).double()

    x = torch.randn(40, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    y = torch.arange(40) % 10
    # One batch whatever its size: balanced, as the method draws it.
    given = PruneInput(
        model=made(),
        masks=all_kept(made()),
        sparsity=0.9,
        generator=torch.Generator(),
        images=lambda count: iter([(x, y)]),
        image=(3, 16, 16),
    )
    masks = build_method(method, {"examples_per_class": 4, "batch_norm": batch_norm}).prune(given)
    assert isinstance(masks, dict)
    scores = official_scores(made(), [(x, y)], method=method, batch_norm=batch_norm)
    flat = flatten(scores.values())
    threshold = flat.kthvalue(len(flat) - round(0.1 * len(flat))).values
    assert torch.equal(flatten(masks.values()), flat > threshold)
    other = {"batch": "running", "running": "batch"}[batch_norm]
    changed = official_scores(made(), [(x, y)], method=method, batch_norm=other)
    assert not torch.equal(flatten(masks.values()), flatten(changed.values()) > threshold)
