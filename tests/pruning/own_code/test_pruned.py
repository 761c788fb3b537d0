"""What `pruning.prune` returns: numbers that are measured, a file, an ONNX graph.

Covers: pruning/own_code/pruned_file.py, pruning/own_code/pruned_reader.py,
pruning/own_code/user_network.py, pruning/own_code/find_method.py.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

import pruning
from tests.pruning.own_code.largest import Largest
from tests.pruning.own_code.small_cnn import IMAGE, batches, cnn, seeded_cnn

# 3 -> 8 channels at 8x8, 8 -> 16 at 4x4, 64 -> 4: as many multiplications per weight and image.
MACS = {"0.weight": 216 * 64, "3.weight": 1152 * 16, "8.weight": 256}


def test_macs_are_counted_before_and_after() -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.9, image=IMAGE)
    assert pruned.macs_before == pruned.macs == sum(MACS.values())
    kept = {name: float(mask.float().mean()) for name, mask in pruned.masks.items()}
    assert pruned.effective_macs == pytest.approx(sum(MACS[name] * kept[name] for name in MACS))
    smaller = pruning.prune(seeded_cnn(), "l1_filter", 0.5, image=IMAGE)
    first, second = (smaller.model[index].out_channels for index in (0, 3))  # type: ignore[index]
    assert smaller.macs == 27 * first * 64 + 9 * first * second * 16 + second * 4 * 4
    left = sum(mask.numel() for mask in smaller.masks.values())
    assert smaller.sparsity == 1 - left / smaller.prunable_weights
    assert smaller.prunable_weights == 216 + 1152 + 256


def test_sparsity_is_what_is_zero_now() -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE)
    with torch.no_grad():
        pruned.model[0].weight.fill_(1)  # type: ignore[index]
    lost = int((~pruned.masks["0.weight"]).sum())
    assert lost and pruned.sparsity == pytest.approx(0.5 - lost / 1624, abs=1e-9)


def test_it_prints_what_was_reached() -> None:
    text = repr(pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE, exclude=["8"]))
    assert "magnitude: sparsity 0.5000 (requested 0.5), 684 of 1,368 prunable weights left" in text
    assert "MACs 32,512 -> 32,512" in text and "note: not pruned (excluded): 8.weight" in text


@pytest.mark.parametrize("method", ["magnitude", "l1_filter", "rigl", "wanda"])
def test_a_saved_network_comes_back_as_it_was(method: str, tmp_path: Path) -> None:
    pruned = pruning.prune(seeded_cnn(), method, 0.75, batches=batches(), exclude=["last"])
    pruned.save(tmp_path / "network.pt")
    other = cnn()
    again = pruning.load(tmp_path / "network.pt", other)
    x = batches(1)[0][0]
    assert torch.equal(again.model(x), pruned.model.eval()(x))
    assert repr(again) == repr(pruned) and again.macs == pruned.macs
    assert list(again.masks) == list(pruned.masks)
    assert all(torch.equal(mask, again.masks[name]) for name, mask in pruned.masks.items())
    optimizer = torch.optim.SGD(again.model.parameters(), lr=0.1)
    if method == "rigl":
        again.schedule(optimizer, steps=5)
    else:
        again.hold(optimizer)
    assert list(tmp_path.iterdir()) == [tmp_path / "network.pt"]
    again.save(tmp_path / "twice.pt")
    assert repr(pruning.load(tmp_path / "twice.pt", other)) == repr(pruned)


def test_the_ending_of_a_file_says_nothing_of_its_format(tmp_path: Path) -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.5, image=IMAGE)
    pruned.save(tmp_path / "network.safetensors")
    assert pruning.load(tmp_path / "network.safetensors", cnn()).sparsity == pruned.sparsity


def test_a_masked_network_takes_a_part_of_the_bytes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 500), nn.Linear(500, 4))
    torch.save(model.state_dict(), tmp_path / "dense.pt")
    pruning.prune(model, "magnitude", 0.9, image=IMAGE).save(tmp_path / "pruned.pt")
    sizes = [(tmp_path / name).stat().st_size for name in ("pruned.pt", "dense.pt")]
    assert sizes[0] < sizes[1] / 6


def test_a_method_that_is_not_known_any_more_is_no_obstacle(tmp_path: Path) -> None:
    pruned = pruning.prune(seeded_cnn(), Largest, 0.5, image=IMAGE)
    pruned.save(tmp_path / "network.pt")
    again = pruning.load(tmp_path / "network.pt", cnn())
    assert again.method == "Largest" and again.sparsity == 0.5
    again.hold(torch.optim.SGD(again.model.parameters(), lr=0.1))


def test_files_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(pruning.UserError, match="cannot read .*No such file"):
        pruning.load(tmp_path / "none.pt", cnn())
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(pruning.UserError, match="is no file of a pruned network, or damaged"):
        pruning.load(tmp_path / "text.pt", cnn())
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(pruning.UserError, match="is no file that pruned.save wrote"):
        pruning.load(tmp_path / "other.pt", cnn())
    pruned = pruning.prune(seeded_cnn(), "l1_filter", 0.5, image=IMAGE)
    pruned.save(tmp_path / "network.pt")
    with pytest.raises(pruning.UserError, match="is of another network") as caught:
        pruning.load(tmp_path / "network.pt", nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))
    assert "\n" not in str(caught.value)
    with pytest.raises(pruning.UserError, match="cannot write"):
        pruned.save(tmp_path / "missing" / "network.pt")
    with pytest.raises(pruning.UserError, match="cannot write .*: Not a directory"):
        pruned.save(tmp_path / "text.pt" / "network.pt")


def test_a_full_disk_is_one_line_and_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.9, image=IMAGE)
    place = tmp_path / "network.pt"
    pruned.save(place)
    before = place.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        with pytest.raises(
            pruning.UserError, match=r"cannot write '.*network\.pt': File too large"
        ):
            pruned.save(place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]
    assert place.read_bytes() == before


def test_others_may_read_the_file_where_the_user_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        pruning.prune(seeded_cnn(), "magnitude", 0.9, image=IMAGE).save(tmp_path / "network.pt")
    finally:
        os.umask(before)
    assert (tmp_path / "network.pt").stat().st_mode & 0o777 == 0o644


class Planted:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_what_is_planted_in_a_file_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"format": 1, "weights": Planted(mark)}, tmp_path / "planted.pt")
    with pytest.raises(pruning.UserError, match="is no file of a pruned network, or damaged"):
        pruning.load(tmp_path / "planted.pt", cnn())
    assert not mark.exists()
    torch.load(tmp_path / "planted.pt", weights_only=False)
    assert mark.exists(), "the file would do harm"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["magnitude", "l1_filter"])
def test_the_onnx_file_computes_the_same(method: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pruned = pruning.prune(seeded_cnn(), method, 0.5, image=IMAGE)
    modes = [module.training for module in pruned.model.modules()]
    pruned.export_onnx(tmp_path / "network.onnx")
    assert [module.training for module in pruned.model.modules()] == modes
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    for size in (1, 5):
        x = torch.randn(size, *IMAGE)
        (logits,) = session.run(["logits"], {"images": x.numpy()})
        expected = pruned.model.eval()(x).detach()
        torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5, rtol=1e-4)
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["method"] == method
