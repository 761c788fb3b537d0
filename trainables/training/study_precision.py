"""One precision for all trials of a study whose recipe says auto, on whichever GPUs they run: that
of the first, so that a child is not compared with a parent of another precision.

The GPUs of a cluster may differ: some train in bf16, older ones do not.
"""

import json
import time
from collections.abc import Callable

import torch

from trainables.node_faults import NodeUnfit
from trainables.storage.layout import precision_file
from trainables.storage.store import Store
from trainables.training.precision import DTYPES, Precision

# Until two trials that begin the study at the same moment see what the other one wrote.
SETTLE_SECONDS = 1.0


def agree_on_precision(
    store: Store,
    model: str,
    own: Precision,
    device: torch.device,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Precision:
    """The precision in which the study trains a network on GPUs; on a CPU, `own`.

    Args:
        model: the network by name. own: what `auto` picks on this device, which all others follow
            where none has come before.

    Raises:
        NodeUnfit: this device does not compute in the precision of the study.
        StoreLost: the study directory cannot be read.
    """
    if device.type == "cpu":
        return own
    path = precision_file(model)
    decided = _read(store, path)
    if decided is None:
        chosen = {"precision": own, "device": torch.cuda.get_device_name(device)}
        store.write(path, json.dumps(chosen).encode())
        sleep(SETTLE_SECONDS)
        decided = _read(store, path) or own
    check_precision(decided, device)
    return decided


def check_precision(precision: Precision, device: torch.device) -> None:
    """Pass if the device computes in a precision.

    Raises:
        NodeUnfit: it does not, or only by imitating it.
    """
    if device.type == "cuda" and precision == "bf16":
        capability = torch.cuda.get_device_capability(device)
        if capability < (8, 0):
            raise NodeUnfit(
                f"{torch.cuda.get_device_name(device)} does not compute in bf16, in which the "
                "study trains; use nodes with newer GPUs only, or set recipe.precision to fp16 "
                "or fp32"
            )


def _read(store: Store, path: str) -> Precision | None:
    """What has been decided; None where nothing has, or nothing that can be read."""
    try:
        decided = json.loads(store.read(path))["precision"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return decided if decided in DTYPES else None
