"""Where and how a trial runs, which must not change its result."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Environment(BaseModel):
    """How a trial is executed, as opposed to what it is.

    `store` is the study directory, `checkpoint_seconds` the longest time between two checkpoints
    (0: after every step). `keep_networks`: whether the network of every measured level stays in the
    study directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    study: str = ""
    data_dir: str | None = None
    data_cache: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 60.0
    keep_networks: Literal["none", "all"] = "none"

    @property
    def hardware(self) -> str:
        """The device by name: "cpu", or what the GPU calls itself, e.g. "Tesla T4"."""
        if self.device == "cpu":
            return "cpu"
        import torch

        return str(torch.cuda.get_device_name())
