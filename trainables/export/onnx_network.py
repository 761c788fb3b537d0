"""A network as an ONNX graph: written by torch, computed by onnxruntime."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning.user_error import UserError
from trainables.export.export_config import INPUT, OUTPUT, ExportConfig

OPSET = 20


class OnnxNetwork(nn.Module):
    """A network that onnxruntime computes on the CPU, without parameters and gradients."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of normalised images, float32 [B, C, H, W]."""
        inputs = {self.session.get_inputs()[0].name: images.detach().cpu().contiguous().numpy()}
        return torch.from_numpy(self.session.run(None, inputs)[0]).to(images.device)


def save_onnx(network: nn.Module, config: ExportConfig, path: Path) -> None:
    """The graph with its weights in one file, for any batch size.

    Raises:
        UserError: torch cannot export this network.
    """
    import onnx

    images = torch.zeros(2, *config.image)  # with one, torch takes the batch size for fixed
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
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"torch cannot export '{config.model}' to ONNX: {lines[0][:300]}"
        ) from error
    finally:
        log.setLevel(before)
    model = program.model_proto
    _delete_source_notes(model)
    onnx.helper.set_model_props(
        model, {"key": config.key, "level": str(config.level), "form": config.form}
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


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
