"""The filters of a channel: rows of a weight, or all rows that go together."""

import torch

from pruning.structured.group_parts import Group, Part
from pruning.structured.unit_scores import Writer, writers_of


def test_a_plain_layer_holds_its_rows() -> None:
    weight = torch.randn(4, 3, 2, 2)
    part = Part("a.weight", 0, torch.arange(4), "writes")
    assert torch.equal(Writer(part, 4).filters(weight), weight)
    crossed = Part("a.weight", 1, torch.arange(3), "writes")
    assert torch.equal(Writer(crossed, 3).filters(weight), weight.transpose(0, 1))


def test_rows_that_go_together_are_one_filter() -> None:
    weight = torch.arange(12.0).reshape(6, 2)
    part = Part("heads", 0, torch.tensor([1, 0, 0, 1, -1, -1]), "writes")
    assert Writer(part, 2).filters(weight).tolist() == [[2, 3, 4, 5], [0, 1, 6, 7]]
    uneven = Part("heads", 0, torch.tensor([1, 0, 0, -1, -1, -1]), "writes")
    assert Writer(uneven, 2).filters(weight).tolist() == [[2, 3, 4, 5], [0, 1, 0, 0]]


def test_writers_have_the_names_of_producers() -> None:
    parts = (
        Part("a.weight", 0, torch.arange(2), "writes"),
        Part("a.bias", 0, torch.arange(2), "carries"),
        Part("b.weight", 0, torch.arange(2), "writes"),
    )
    writers = writers_of([Group("a", 2, ("a", "b"), parts)])
    assert {layer: writer.part.tensor for layer, writer in writers.items()} == {
        "a": "a.weight",
        "b": "b.weight",
    }
