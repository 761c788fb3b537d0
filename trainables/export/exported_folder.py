"""A pruned network as a folder of files that leave the study: `network.<ending>`, `config.json`,
masks if wanted.

The formats: `safetensors` and `state_dict` (a `torch.save`d dictionary of tensors, loaded without
pickle) hold weights, and the network is built by its name; `onnx` holds the whole graph, for any
batch size.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pruning.masks import apply_masks
from pruning.structured.narrow import narrow
from pruning.user_error import UserError
from trainables.export.export_config import CONFIG_FILE, ExportConfig, read_config
from trainables.export.formats import check_installed
from trainables.export.onnx_network import OnnxNetwork, save_onnx
from trainables.saved_networks import build_untrained

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORK_FILES: dict[str, str] = {
    "safetensors": "network.safetensors",
    "state_dict": "network.pt",
    "onnx": "network.onnx",
}
MASK_FILES: dict[str, str] = {
    "safetensors": "masks.safetensors",
    "state_dict": "masks.pt",
    "onnx": "masks.npz",
}


def write_network(
    folder: Path, config: ExportConfig, network: nn.Module, masks: Mapping[str, Tensor]
) -> None:
    """Write the network, the config and, in the form "masks", the masks into a folder that exists.

    Args:
        network: in eval mode on the CPU, in fp32.
    """
    path = folder / NETWORK_FILES[config.to]
    weights = {
        name: value.detach().contiguous().clone() for name, value in network.state_dict().items()
    }
    match config.to:
        case "safetensors":
            _save_safetensors(weights, path)
        case "state_dict":
            torch.save(weights, path)
        case "onnx":
            save_onnx(network, config, path)
    if config.form == "masks":
        _save_masks(masks, folder / MASK_FILES[config.to])
    (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=1) + "\n")


def load_network(path: str | Path) -> nn.Module:
    """The network of an exported folder, on the CPU, in fp32 and eval mode; of ONNX one that
    onnxruntime computes.

    It maps normalised images, float32 [B, C, H, W], to logits [B, classes]. Nothing is unpickled. A
    network of the user, `package.module:function`, is imported by its name, so load only folders
    whose config you trust with that.

    Raises:
        UserError: no such folder, a damaged or foreign file, or a package that is not installed.
        UserError: the network cannot be built, see `models.model_registry.build_model`.
    """
    config = read_config(path)
    check_installed(config.to)
    file = Path(path).expanduser() / NETWORK_FILES[config.to]
    if not file.is_file():
        raise UserError(f"'{path}' holds no {file.name}")
    if config.to == "onnx":
        return OnnxNetwork(file).eval()
    network = build_untrained(config.model, config.image, config.classes)
    if config.widths:
        network = narrow(network, config.widths, image=config.image)
    try:
        network.load_state_dict(_read_tensors(file))
    except Exception as error:  # zip, pickle, safetensors and torch each fail in their own way
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"'{file}' does not hold the weights of this '{config.model}': {reason}"
        ) from error
    if config.form == "masks":
        apply_masks(network, load_masks(path))
    return network.eval()


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """The masks of a folder of the form "masks": bool by the name of the weight, True where it is
    kept.

    Raises:
        UserError: the folder holds none.
    """
    config = read_config(path)
    file = Path(path).expanduser() / MASK_FILES[config.to]
    if config.form != "masks" or not file.is_file():
        raise UserError(f"'{path}' holds no masks: it was exported with --form {config.form}")
    if config.to == "onnx":
        with np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return _read_tensors(file)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def _save_safetensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save

    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        # The format has no shared memory: a tensor that two layers share is written for each.
        shared = tensor.data_ptr() in seen
        seen.add(tensor.data_ptr())
        apart[name] = tensor.clone() if shared else tensor
    path.write_bytes(save(apart, metadata={"format": "pt"}))


def _save_masks(masks: Mapping[str, Tensor], path: Path) -> None:
    match path.suffix:
        case ".safetensors":
            _save_safetensors(masks, path)
        case ".pt":
            torch.save(dict(masks), path)
        case _:
            arrays = {name: mask.numpy() for name, mask in masks.items()}
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
