"""The ONNX graph: smaller where channels are gone, and without traces of this machine."""

import math
from collections.abc import Callable
from pathlib import Path

from tests.trainables.export.small_study import SLIM
from trainables.export import exported_folder


def test_the_graph_of_the_slim_form_is_smaller(exported: Callable[..., Path]) -> None:
    import onnx

    slim, dense = exported(SLIM, "onnx", "slim"), exported(SLIM, "onnx", "dense")
    assert (slim / "network.onnx").stat().st_size < 0.6 * (dense / "network.onnx").stat().st_size
    sizes = [
        sum(
            math.prod(tensor.dims)
            for tensor in onnx.load(folder / "network.onnx").graph.initializer
            if tensor.dims[1:]
        )
        for folder in (slim, dense)
    ]
    masks = exported_folder.load_masks(exported(SLIM, "safetensors", "masks")).values()
    assert sizes == [sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)]


def test_a_graph_tells_nothing_of_this_machine(exported: Callable[..., Path]) -> None:
    content = (exported(SLIM, "onnx", "slim") / "network.onnx").read_bytes()
    assert str(Path(exported_folder.__file__).parent.parent).encode() not in content
    assert b"stack_trace" not in content and b"site-packages" not in content
