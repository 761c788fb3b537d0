"""`config.json` of an exported network: how to build it, and what its inputs and outputs are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pruning.onnx_file import INPUT, OUTPUT
from pruning.user_error import UserError
from pruning.validation_errors import describe_validation_error
from trainables.export.formats import ExportForm, FileFormat

CONFIG_FILE = "config.json"


class ExportConfig(BaseModel):
    """The content of `config.json`.

    model, image, classes: as `models.model_registry.build_model` takes them. mean, std: per
    channel, in 0..1, by which inputs are normalised. widths: channels left of each group that was
    cut, in the slim form; else empty. key, level, study: where the network comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    to: FileFormat
    form: ExportForm
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


def read_config(path: str | Path) -> ExportConfig:
    """The config of an exported folder.

    Raises:
        UserError: there is none, or it is not one.
    """
    file = Path(path).expanduser() / CONFIG_FILE
    try:
        return ExportConfig.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"no exported network in '{path}': {CONFIG_FILE}: {error.strerror}"
        ) from None
    except ValidationError as error:
        fault = describe_validation_error(error, model=ExportConfig)
        raise UserError(f"'{file}' is no config of an exported network: {fault}") from None
