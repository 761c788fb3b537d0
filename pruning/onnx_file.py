"""A network as an ONNX file, written by torch."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning.user_error import UserError

OPSET = 20
INPUT, OUTPUT = "images", "logits"  # what the graph calls them


def write_onnx(
    network: nn.Module,
    image: tuple[int, int, int],
    path: Path,
    *,
    name: str,
    properties: Mapping[str, str] | None = None,
) -> None:
    """The graph with its weights in one file, for any batch size.

    Args:
        network: in eval mode, on the CPU.
        image: (channels, height, width).
        name: of the network, for the message.
        properties: stored in the file.

    Raises:
        UserError: torch cannot export this network, or not for any batch size; or a package is
            missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"an ONNX file needs the package {error.name}: pip install onnx onnxscript"
        ) from None
    images = torch.zeros(2, *image)  # with one, torch takes the batch size for fixed
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            program: Any = torch.onnx.export(
                network,
                (images,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch.export raises of many kinds
        raise UserError(f"torch cannot export '{name}' to ONNX: {_explain(error)}") from error
    finally:
        log.setLevel(before)
    model = program.model_proto
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    if not batch.dim_param:
        raise UserError(
            f"torch exports '{name}' for batches of {batch.dim_value} images only, as where its "
            "forward pass takes len(x); write x.shape[0] there"
        )
    _delete_source_notes(model)
    onnx.helper.set_model_props(model, dict(properties or {}))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _explain(error: BaseException) -> str:
    """The first line of what an error goes back to: torch's own is a coloured summary."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\x1b\[[0-9;]*m", "", lines[0])[:300]


def _delete_source_notes(model: Any) -> None:
    """Delete what torch notes of the Python code behind each node: paths of this machine, and a
    tenth of a small file."""
    for part in (
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.ClearField("metadata_props")
        if hasattr(part, "doc_string"):
            part.ClearField("doc_string")
