"""ONNX files that cannot be written; those that can are compared with their networks in
tests/pruning/own_code/test_pruned.py and tests/trainables/export/."""

import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from pruning.onnx_file import write_onnx
from pruning.user_error import UserError


class Branching(nn.Module):
    """Does what depends on the values of the images."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.slow
def test_a_network_that_torch_cannot_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="torch cannot export 'mine' to ONNX: ") as caught:
        write_onnx(Branching(), (1, 2, 2), tmp_path / "x.onnx", name="mine")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="pip install onnx onnxscript"):
        write_onnx(nn.Identity(), (1, 2, 2), tmp_path / "x.onnx", name="mine")
    assert isinstance(torch.zeros(1), Tensor)


class Exported:
    """What torch returns for a network that it can export for two images only."""

    def __init__(self) -> None:
        sizes = [2, 1, 2, 2]
        images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, sizes)
        graph = onnx.helper.make_graph([], "network", [images], [images])
        self.model_proto = onnx.helper.make_model(graph)


def test_a_graph_for_one_batch_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So torch exports `x.view(len(x), -1)`, without a word."""
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Exported())
    with pytest.raises(UserError, match="'mine' for batches of 2 images only, as where .* len"):
        write_onnx(nn.Identity(), (1, 2, 2), tmp_path / "x.onnx", name="mine")
    assert not list(tmp_path.iterdir())


def test_the_reason_is_that_of_the_first_error_without_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Failed. \x1b[96mThis is step 1/3\x1b[0m") from ValueError(
            "\x1b[96mit branches\x1b[0m on values\nhere"
        )

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(UserError, match="^torch cannot export 'mine' to ONNX: it branches on val"):
        write_onnx(nn.Identity(), (1, 2, 2), tmp_path / "x.onnx", name="mine")
