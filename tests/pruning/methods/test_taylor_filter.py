"""Taylor ranks filters by the loss of its own examples."""

import torch

from models.model_registry import build_model
from pruning.filters import loss_changes
from pruning.methods.taylor_filter import TaylorFilter
from pruning.structured.channel_groups import find_groups
from pruning.structured.unit_scores import writers_of
from tests.pruning.filter_inputs import IMAGE, images, prune_input


def test_taylor_ranks_by_the_loss_of_its_examples() -> None:
    torch.manual_seed(0)
    model = build_model("simple_cnn", image=IMAGE, classes=10)
    found = find_groups(model, IMAGE)
    answer = TaylorFilter(examples=20).prune(prune_input(model, 0.5))
    scores = loss_changes(model, writers_of(found), images(20))
    assert set(answer.keep) == {group.name for group in found}
    for name, index in answer.keep.items():
        best = scores[name].topk(len(index)).indices
        assert index.tolist() == sorted(best.tolist())
