"""Where the images of a trial live while it trains, chosen by what fits: on its device, decoded in
memory that all trials of a machine share, or encoded on the disk.

It does not change what is computed. Does not import torch, unless a GPU is asked.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pruning.user_error import UserError
from trainables.data.augment_names import is_drawn_together
from trainables.data.loader_interface import Augment

ImageMode = Literal["resident", "mapped", "streamed"]
ImageChoice = Literal["auto", "resident", "mapped", "streamed"]
# Of a trial's share of its device, and of a machine's memory: the rest is for networks.
RESIDENT_PART, MAPPED_PART = 1 / 3, 1 / 2
GIGABYTE, MEGABYTE = 1e9, 1e6
# Limits of a container, of version 2 and 1; the first says "max" where there is none.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Room:
    """Memory in bytes: `device`, all of the device of a trial, of which `free` is not in use;
    `node`, all of the machine; `disk`, free where prepared data lie. `sharing`: trials that share
    the device, or where it is the CPU the machine."""

    device: int
    free: int
    node: int
    disk: int
    sharing: int = 1


@dataclass(frozen=True)
class ImageBytes:
    """How large a data set is in each form: `resident`, as it would lie on the device; `decoded`,
    all pixels as they are; `decoding`, what of the latter is not on the disk yet."""

    resident: int
    decoded: int
    decoding: int


def choose_image_mode(
    asked: ImageChoice, sizes: ImageBytes, room: Room, augments: Iterable[Augment]
) -> tuple[ImageMode, str]:
    """The mode, and why, in one line for the log and the row.

    Args:
        augments: of all recipes of the trial.

    Raises:
        UserError: resident is asked for, with an augmentation that is made image by image.
    """
    apart = next((one for one in augments if not is_drawn_together(one)), None)
    name = apart if isinstance(apart, str) or apart is None else ", ".join(apart)
    if asked == "resident" and name:
        raise UserError(
            f"images: resident needs augment none, crop or crop_flip, but a recipe has {name}; "
            "choose images: mapped, streamed or auto"
        )
    if asked != "auto":
        return asked, f"images {asked}: asked for"
    share = room.device // max(1, room.sharing)
    reasons = []
    if name:
        reasons.append(f"{name} is made image by image")
    elif sizes.resident <= RESIDENT_PART * min(share, room.free):
        return "resident", (
            f"images resident: {_in_bytes(sizes.resident)} on the device, of which a trial has "
            f"{_in_bytes(share)}"
        )
    else:
        reasons.append(
            f"{_in_bytes(sizes.resident)} are too much for the device, of which a trial has "
            f"{_in_bytes(min(share, room.free))}"
        )
    if sizes.decoded > MAPPED_PART * room.node:
        reasons.append(
            f"{_in_bytes(sizes.decoded)} decoded for the machine's {_in_bytes(room.node)}"
        )
    elif 2 * sizes.decoding > room.disk:
        reasons.append(
            f"{_in_bytes(sizes.decoding)} to decode for the disk's free {_in_bytes(room.disk)}"
        )
    else:
        reasons.append(f"{_in_bytes(sizes.decoded)} decoded, once for all trials of the machine")
        return "mapped", f"images mapped: {'; '.join(reasons)}"
    return "streamed", f"images streamed: {'; '.join(reasons)}"


def measure_room(device: str, folder: Path, *, sharing: int = 1) -> Room:
    """The memory that there is now.

    Args:
        device: "cpu" or "cuda".
        folder: of the prepared data.
    """
    node = _node_memory()
    total = free = node
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
    return Room(total, free, node, shutil.disk_usage(folder).free, sharing)


def _node_memory() -> int:
    """Bytes of memory of this machine, or of the container in which the process runs."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in LIMITS:
        try:
            limit = Path(path).read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            sizes.append(int(limit))
    return min(sizes)


def _in_bytes(size: float) -> str:
    if size < 0.1 * GIGABYTE:
        return f"{size / MEGABYTE:.2f} MB"
    return f"{size / GIGABYTE:.2f} GB"
