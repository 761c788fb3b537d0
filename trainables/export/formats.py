"""The formats and forms of an exported network, and the packages that a format needs. Does not
import torch."""

from importlib.util import find_spec
from typing import Literal

from pruning.user_error import UserError

FileFormat = Literal["safetensors", "onnx", "state_dict"]
ExportForm = Literal["dense", "masks", "slim"]

PACKAGES: dict[FileFormat, tuple[str, ...]] = {
    "safetensors": (),
    "state_dict": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def check_installed(to: FileFormat) -> None:
    """Pass if the packages that a format needs are installed.

    Raises:
        UserError: one is not.
    """
    for package in PACKAGES[to]:
        if find_spec(package) is None:
            raise UserError(
                f"format '{to}' needs the package '{package}': pip install -e '.[export]'"
            )
