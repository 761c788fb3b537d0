"""How long a network takes for one batch, as rows of the *latency* table.

Meant for a device that has nothing else to do: a number taken beside other work is noise. The
networks are rebuilt from their structure (`trainables.timing.network_structure`); no trained
weights are needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from trainables.provenance import git_commit, host_and_process, package_versions, utc_now
from trainables.timing.cuda_graph import capture
from trainables.timing.network_structure import NetworkStructure
from trainables.timing.sparse_kernels import use_sparse_kernels
from trainables.timing.stopwatch import RUNS, SECONDS, measure_peak, threads_set, time_calls
from trainables.training.precision import DTYPES, Precision, autocast

BATCH_SIZES = (1, 256)


def make_forward_call(
    model: nn.Module,
    image: tuple[int, int, int],
    *,
    batch: int,
    precision: Precision,
    device: torch.device,
) -> Callable[[], Tensor]:
    """A forward pass of the model, which is on the device already, on one batch of random images in
    channels_last.

    Weights of convolutions and linear layers are held in the precision, as a network in use holds
    them. The trial's own evaluation under autocast computes the same, but casts every weight anew
    at every batch.
    """
    cast_weights(model, precision)
    model.eval()
    images = torch.randn(batch, *image, generator=torch.Generator().manual_seed(batch))
    images = images.to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> Tensor:
        with autocast(precision, device):
            logits: Tensor = model(images)
        return logits

    return call


def cast_weights(model: nn.Module, precision: Precision) -> None:
    """Hold the weights and biases of convolutions and linear layers in a precision; all else stays
    as it is."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            module.to(DTYPES[precision])


def time_structure(
    structure: NetworkStructure,
    *,
    device: torch.device,
    threads: int,
    batches: Sequence[int] = BATCH_SIZES,
    runs: int = RUNS,
    seconds: float = SECONDS,
) -> list[dict[str, Any]]:
    """Rebuild a network and time it: for each batch size the columns of the *latency* table that do
    not name the trial. On a GPU a forward pass is timed as one CUDA graph, where that can be had.

    A batch that does not fit into the GPU's memory has no times, and a note that says so.

    Raises:
        UserError: see `NetworkStructure.rebuild`.
    """
    with threads_set(threads):
        rebuilt, rebuilt_form = structure.rebuild()
        model, form, notes = rebuilt.to(device), str(rebuilt_form), ""
        cast_weights(model, structure.precision)
        if structure.patterned_layers:
            form, notes = use_sparse_kernels(model, structure, device)
        same = {
            "form": form,
            "zeros": structure.zeros,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": threads,
            "precision": structure.precision,
            "commit": git_commit(),
            "versions": package_versions(),
            "host": host_and_process(),
            "notes": notes,
        }

        def time_batch(batch: int) -> dict[str, Any]:
            try:
                call = make_forward_call(
                    model,
                    structure.image,
                    batch=batch,
                    precision=structure.precision,
                    device=device,
                )
                peak = measure_peak(call, device)
                run, how = capture(call, device)
                timing = time_calls(
                    run, batch, device=device, runs=runs, seconds=seconds, peak_bytes=peak
                )
                said = {"notes": "; ".join(filter(None, [notes, how])), "finished": utc_now()}
                return {**same, **asdict(timing), **said}
            except torch.OutOfMemoryError:
                no_memory = "; ".join(filter(None, [notes, "out of GPU memory"]))
                return {**same, "batch": batch, "notes": no_memory, "finished": utc_now()}

        return [time_batch(batch) for batch in batches]
