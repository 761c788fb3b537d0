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
    that give the same bits again. `cuda_graphs`: whether training steps on a GPU are replayed as
    CUDA graphs where that gives the same bits. `launch`: the token of the launch, see
    `trainables.storage.launch_token`; "" where there is none to look for. `model_sources`: the
    digests of the user's networks, by name, with which the study was launched. `ranks`: processes
    that share its batches, each with a GPU or with so many `threads`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    study: str = ""
    launch: str = ""
    model_sources: dict[str, str] = {}
    data_dir: str | None = None
    data_cache: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    ranks: int = 1
    checkpoint_seconds: float = 60.0
    keep_networks: Literal["none", "all"] = "none"
    images: ImageChoice = "auto"
    loader_workers: int = 0
    sharing_gpu: int = 1
    deterministic: bool = True
    cuda_graphs: bool = True

    @property
    def step_graphs(self) -> bool:
        """Whether a trial replays its training steps; several ranks compute theirs together."""
        return self.cuda_graphs and self.device == "cuda" and self.ranks == 1

    @property
    def sharing(self) -> int:
        """How many trials share the device: the machine, where it is the CPU."""
        if self.device == "cuda":
            return self.sharing_gpu
        return max(1, (os.cpu_count() or 1) // (self.threads * self.ranks))

    @property
    def hardware(self) -> str:
        """The device by name: "cpu", or what the GPU calls itself, e.g. "Tesla T4"."""
        if self.device == "cpu":
            return "cpu"
        import torch

        return str(torch.cuda.get_device_name())
