"""ONNX files that cannot be written; those that can are compared with their networks in
tests/pruning/own_code/test_pruned.py and tests/trainables/export/."""

import sys
from pathlib import Path

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
