"""Given weights in the study directory: whole, or one line; remembered by what was asked."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pruning.user_error import UserError
from trainables.storage import layout
from trainables.storage.store import Store
from trainables.weights.given_weights import (
    GivenWeights,
    WeightsRequest,
    digest_weights,
    read_given_weights,
    recall_weights,
    remember_weights,
    store_given_weights,
)

REQUEST = WeightsRequest("best.pth", "resnet20", (3, 32, 32), 10, ("head",))


def make(value: float = 0.5) -> GivenWeights:
    tensors = {
        "b.weight": torch.full((2, 3), value),
        "a.num_batches_tracked": torch.tensor(7),
        "a.weight": torch.randn(4, 2, 3, 3).to(memory_format=torch.channels_last),
    }
    normalise = ((0.1, 0.2, 0.3), (0.4, 0.5, 1 / 3))
    return GivenWeights(tensors, digest_weights(tensors), ("fc.weight",), normalise, ["a note"])


def test_they_come_back_bit_for_bit(store: Store) -> None:
    given = make()
    store_given_weights(store, given, source="best.pth")
    found = read_given_weights(store, given.digest)
    assert found.keys() == given.tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in given.tensors.items())
    assert store.list(layout.WEIGHTS) == [f"weights/{given.digest}.safetensors"]


def test_a_request_is_remembered_with_all_that_a_plan_needs(tmp_path: Path) -> None:
    store, given = Store.at(tmp_path), make()
    assert recall_weights(store, REQUEST) is None
    remember_weights(store, REQUEST, given)
    assert recall_weights(store, REQUEST) is None, "the tensors are not there"
    store_given_weights(store, given, source=REQUEST.source)
    record = recall_weights(store, REQUEST)
    assert record is not None and record.digest == given.digest
    assert (record.source, record.fresh) == ("best.pth", ("fc.weight",))
    assert record.normalise == given.normalise and record.notes == ("a note",)


@pytest.mark.parametrize(
    "other",
    [
        WeightsRequest("last.pth", "resnet20", (3, 32, 32), 10, ("head",)),
        WeightsRequest("best.pth", "resnet32", (3, 32, 32), 10, ("head",)),
        WeightsRequest("best.pth", "resnet20", (3, 64, 64), 10, ("head",)),
        WeightsRequest("best.pth", "resnet20", (3, 32, 32), 100, ("head",)),
        WeightsRequest("best.pth", "resnet20", (3, 32, 32), 10),
    ],
)
def test_another_request_is_another(tmp_path: Path, other: WeightsRequest) -> None:
    store, given = Store.at(tmp_path), make()
    store_given_weights(store, given, source=REQUEST.source)
    remember_weights(store, REQUEST, given)
    assert other.name != REQUEST.name and recall_weights(store, other) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"digest": "x"}', b"[]"])
def test_a_damaged_record_is_none(tmp_path: Path, content: bytes) -> None:
    store, given = Store.at(tmp_path), make()
    store_given_weights(store, given, source=REQUEST.source)
    remember_weights(store, REQUEST, given)
    (tmp_path / layout.weights_record_file(REQUEST.name)).write_bytes(content)
    assert recall_weights(store, REQUEST) is None


def test_missing_cut_and_changed_tensors_are_one_line_and_mended(tmp_path: Path) -> None:
    store, given = Store.at(tmp_path), make()
    file = tmp_path / layout.weights_file(given.digest)
    with pytest.raises(UserError, match="is missing; launch the study again"):
        read_given_weights(store, given.digest)
    store_given_weights(store, given, source="best.pth")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for content, message in (
        (whole[:-8], "is damaged ("),
        (b"", "is damaged ("),
        (bytes(flipped), "is damaged: it has another digest"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_given_weights(store, given.digest)
        assert message in str(caught.value) and "\n" not in str(caught.value)
        store_given_weights(store, given, source="best.pth")
        assert load_file(file).keys() == given.tensors.keys()
        read_given_weights(store, given.digest)


def test_whole_tensors_are_not_written_again(tmp_path: Path) -> None:
    store, given = Store.at(tmp_path), make()
    store_given_weights(store, given, source="best.pth")
    file = tmp_path / layout.weights_file(given.digest)
    before = file.stat().st_ino
    store_given_weights(store, given, source="elsewhere.pth")
    assert file.stat().st_ino == before


def test_the_digest_knows_names_shapes_types_and_bits_but_no_order() -> None:
    tensors = make().tensors
    digest = digest_weights(tensors)
    assert digest == digest_weights(dict(reversed(tensors.items()))) and len(digest) == 16
    changed = [
        {**tensors, "b.weight": tensors["b.weight"].double()},
        {**tensors, "b.weight": tensors["b.weight"].view(3, 2)},
        {**tensors, "b.weight": -tensors["b.weight"]},
        {("c" if name == "b.weight" else name): tensor for name, tensor in tensors.items()},
        {name: tensor for name, tensor in tensors.items() if name != "b.weight"},
    ]
    assert len({digest, *map(digest_weights, changed)}) == 6
    zero = torch.zeros(2)
    assert digest_weights({"a": zero}) != digest_weights({"a": -zero})
