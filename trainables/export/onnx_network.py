"""A network as an ONNX graph: written by torch, computed by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pruning.onnx_file import write_onnx
from trainables.export.export_config import ExportConfig


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
        UserError: see `pruning.onnx_file.write_onnx`.
    """
    properties = {"key": config.key, "level": str(config.level), "form": config.form}
    write_onnx(network, config.image, path, name=config.model, properties=properties)
