"""A pruned network as a folder of files that leave the study: `network.<ending>`, `config.json`,
masks if wanted.

The formats: `safetensors` and `state_dict` (a `torch.save`d dictionary of tensors, loaded without
pickle) hold weights, and the network is built by its name; `onnx` holds the whole graph, for any
batch size.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from pruning.masks import apply
from pruning.structured.narrow import narrow
from pruning.user_error import UserError
from trainables.export.choice import Form, Format, check_installed
from trainables.saved_networks import fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "config.json"
NETWORKS: dict[str, str] = {
    "safetensors": "network.safetensors",
    "state_dict": "network.pt",
    "onnx": "network.onnx",
}
MASKS: dict[str, str] = {
    "safetensors": "masks.safetensors",
    "state_dict": "masks.pt",
    "onnx": "masks.npz",
}
OPSET = 20
INPUT, OUTPUT = "images", "logits"


class Config(BaseModel):
    """What `config.json` says: how to build the network, and what its inputs and outputs are.

    model, image, classes: as `models.model_registry.build` takes them. mean, std: per channel, in
    0..1, by which inputs are normalised. widths: channels left of each group that was cut, in the
    slim form; else empty. key, level, study: where the network comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    to: Format
    form: Form
    model: str
    image: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    widths: dict[str, int] = {}
    input: str = INPUT
    output: str = OUTPUT
    key: str
    level: int
    study: str


class OnnxNetwork(nn.Module):
    """A network that onnxruntime computes on the CPU; it has no parameters and gives no gradients.
    """

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
        fed = {self.session.get_inputs()[0].name: images.detach().cpu().contiguous().numpy()}
        return torch.from_numpy(self.session.run(None, fed)[0]).to(images.device)


def write(folder: Path, config: Config, network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Write the network, the config and, in the form "masks", the masks into a folder that exists.

    Args:
        network: in eval mode on the CPU, in fp32.
    """
    path = folder / NETWORKS[config.to]
    weights = {
        name: value.detach().contiguous().clone() for name, value in network.state_dict().items()
    }
    match config.to:
        case "safetensors":
            _save_safetensors(weights, path)
        case "state_dict":
            torch.save(weights, path)
        case "onnx":
            _save_onnx(network, config, path)
    if config.form == "masks":
        _save_masks(masks, folder / MASKS[config.to])
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n")


def read_config(path: str | Path) -> Config:
    """The config of an exported folder.

    Raises:
        UserError: there is none, or it is not one.
    """
    file = Path(path).expanduser() / CONFIG
    try:
        return Config.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(f"no exported network in '{path}': {CONFIG}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"'{file}' is no config of an exported network: {place}: {first['msg'].lower()}"
        ) from None


def load(path: str | Path) -> nn.Module:
    """The network of an exported folder, on the CPU, in fp32 and eval mode; of ONNX one that
    onnxruntime computes.

    It maps normalised images, float32 [B, C, H, W], to logits [B, classes]. Nothing is unpickled. A
    network of your own, `package.module:function`, is imported by its name, so load only folders
    whose config you trust with that.

    Raises:
        UserError: no such folder, a damaged or foreign file, or a package that is not installed.
        UserError, UserError: the network cannot be built, see `models.model_registry.build`.
    """
    config = read_config(path)
    check_installed(config.to)
    file = Path(path).expanduser() / NETWORKS[config.to]
    if not file.is_file():
        raise UserError(f"'{path}' holds no {file.name}")
    if config.to == "onnx":
        return OnnxNetwork(file).eval()
    network = fresh(config.model, config.image, config.classes)
    if config.widths:
        network = narrow(network, config.widths, image=config.image)
    try:
        network.load_state_dict(_read_weights(file))
    except Exception as error:  # zip, pickle, safetensors and torch each fail in their own way
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"'{file}' does not hold the weights of this '{config.model}': {reason}"
        ) from error
    if config.form == "masks":
        apply(network, load_masks(path))
    return network.eval()


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """The masks of a folder of the form "masks": bool by the name of the weight, True where it is
    kept.

    Raises:
        UserError: the folder holds none.
    """
    config = read_config(path)
    file = Path(path).expanduser() / MASKS[config.to]
    if config.form != "masks" or not file.is_file():
        raise UserError(f"'{path}' holds no masks: it was exported with --form {config.form}")
    if config.to == "onnx":
        with np.load(file, allow_pickle=False) as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}
    return _read_weights(file)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def _save_safetensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save

    path.write_bytes(save(dict(tensors), metadata={"format": "pt"}))


def _save_masks(masks: Mapping[str, Tensor], path: Path) -> None:
    match path.suffix:
        case ".safetensors":
            _save_safetensors(masks, path)
        case ".pt":
            torch.save(dict(masks), path)
        case _:
            np.savez_compressed(path, **{name: mask.numpy() for name, mask in masks.items()})  # type: ignore[arg-type]


def _save_onnx(network: nn.Module, config: Config, path: Path) -> None:
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
    _forget_sources(model)
    onnx.helper.set_model_props(
        model, {"key": config.key, "level": str(config.level), "form": config.form}
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _forget_sources(model: Any) -> None:
    """Take out what torch notes of the Python code behind each node: paths of this machine, a tenth
    of a small file."""
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
