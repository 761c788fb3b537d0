"""Where a trial runs, which must not change its result, and what is recorded of it."""

import os
import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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


@cache
def commit() -> str:
    """The project's git commit, with a + where files differ from it; empty outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        # The checkout may have been copied here by another user, as `ray up` does, which git
        # distrusts by default.
        asked = ["git", "-c", "safe.directory=*", "-C", str(root)]
        asked += ["describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(
            asked, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def versions() -> str:
    """Versions that can change a number, e.g. "python 3.11.7, torch 2.15.0, ray 2.60.0"."""
    found = [f"python {platform.python_version()}"]
    for package in ("torch", "ray", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def host() -> str:
    """This machine's name and the process, to tell attempts apart."""
    return f"{socket.gethostname()}:{os.getpid()}"
