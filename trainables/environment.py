"""Where and how a trial runs, which must not change its result."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainables.data.image_mode import ImageChoice


class Environment(BaseModel):
    """How a trial is executed, as opposed to what it is.

    `store` is the study directory, `checkpoint_seconds` the longest time between two checkpoints
    (0: after every step). `keep_networks`: whether the network of every measured level stays in the
    study directory. `images`: where they live, see `trainables.data.image_mode`; `loader_workers`:
    processes beside the trial that make batches of images which are not on the device.
    `sharing_gpu`: trials that share one GPU. `deterministic`: whether a GPU computes by kernels
    that give the same bits again.
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
    images: ImageChoice = "auto"
    loader_workers: int = 0
    sharing_gpu: int = 1
    deterministic: bool = True

    @property
    def sharing(self) -> int:
        """How many trials share the device: the machine, where it is the CPU."""
        if self.device == "cuda":
            return self.sharing_gpu
        return max(1, (os.cpu_count() or 1) // self.threads)

    @property
    def hardware(self) -> str:
        """The device by name: "cpu", or what the GPU calls itself, e.g. "Tesla T4"."""
        if self.device == "cpu":
            return "cpu"
        import torch

        return str(torch.cuda.get_device_name())
