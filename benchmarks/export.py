"""What a physically smaller network gains outside of PyTorch: its ONNX file and its time in
onnxruntime.

    python benchmarks/export.py [MODEL] [--ratio R] [--threads N] [--rounds N]

Claims: with half of the channels removed from all groups, the ONNX file of a ResNet-18 is about a
quarter of the dense one's and takes less than half of the time; the same number of zeros in the
dense shapes gains nothing. Each file is written and checked against PyTorch as an export is.
Networks take turns, and a ratio is the median over the rounds of (dense / other) within one round,
so that a machine that is busy slows all of them. Images are 3x32x32, weights random.
"""

import argparse
import platform
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnxruntime
import torch
from torch import nn

from models.model_registry import build_model
from pruning.masks import all_kept, apply_masks, keep_best, prunable, sparsity_of
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.shrink import shrink
from trainables.export.export_config import ExportConfig
from trainables.export.exported_folder import NETWORK_FILES, load_network, write_network
from trainables.export.formats import ExportForm
from trainables.export.output_check import TOLERANCE, output_difference
from trainables.timing.stopwatch import summarise_times, threads_set, time_once, warm_up

IMAGE = (3, 32, 32)
BATCHES = (1, 32)
CPU = torch.device("cpu")


def make_networks(model: str, ratio: float) -> dict[str, tuple[nn.Module, ExportForm]]:
    """The dense network, one without a share of its channels, and one with as many zeros in the
    dense shapes."""
    torch.manual_seed(0)
    dense = build_model(model, image=IMAGE, classes=10).eval()
    groups = find_groups(dense, IMAGE)
    keep = {name: torch.arange(width) for name, width in kept_widths(groups, ratio).items()}
    slim = shrink(dense, keep, image=IMAGE)
    left = sum(weight.numel() for weight in prunable(slim).values())
    masked = build_model(model, image=IMAGE, classes=10).eval()
    masked.load_state_dict(dense.state_dict())
    sparsity = 1 - left / sum(weight.numel() for weight in prunable(dense).values())
    scores = {name: weight.detach().abs() for name, weight in prunable(masked).items()}
    masks = keep_best(scores, sparsity)
    apply_masks(masked, masks)
    name = f"dense shapes, {sparsity_of(masks):.1%} zeros"
    return {
        "dense": (dense, "dense"),
        name: (masked, "dense"),
        f"slim, {ratio:.0%} of the channels gone": (slim, "slim"),
    }


def write_onnx(
    folder: Path, model: str, network: nn.Module, form: ExportForm
) -> tuple[nn.Module, float, int]:
    """The network as onnxruntime computes it, how far that is from PyTorch, and the bytes of its
    file."""
    folder.mkdir()
    config = ExportConfig(
        to="onnx",
        form=form,
        model=model,
        image=IMAGE,
        classes=10,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        key=folder.name,
        level=0,
        study="benchmark",
    )
    write_network(folder, config, network, all_kept(network))
    loaded = load_network(folder)
    size = (folder / NETWORK_FILES["onnx"]).stat().st_size
    return loaded, output_difference(network, loaded, IMAGE), size


def time_turns(networks: list[nn.Module], batch: int, rounds: int) -> list[list[float]]:
    """Milliseconds of each network in each round."""
    images = torch.randn(batch, *IMAGE, generator=torch.Generator().manual_seed(batch))
    calls = [lambda network=network: network(images) for network in networks]
    for call in calls:
        warm_up(call, CPU, seconds=1)
    return [[time_once(call, CPU) for call in calls] for _ in range(rounds)]


def main() -> None:
    """Write the files, check them, and time them at every batch size."""
    parser = argparse.ArgumentParser(description="smaller networks in onnxruntime")
    parser.add_argument("model", nargs="?", default="resnet18")
    parser.add_argument("--ratio", type=float, default=0.5, help="of the channels of every group")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    what = platform.processor() or platform.machine()
    print(
        f"{options.model}, {what}, {options.threads} threads, torch {torch.__version__}, "
        f"onnxruntime {onnxruntime.__version__}"
    )
    made = make_networks(options.model, options.ratio)
    with threads_set(options.threads), tempfile.TemporaryDirectory() as scratch:
        written = {
            name: write_onnx(Path(scratch, str(index)), options.model, network, form)
            for index, (name, (network, form)) in enumerate(made.items())
        }
        for name, (_, difference, size) in written.items():
            verdict = "as PyTorch" if difference <= TOLERANCE else "NOT as PyTorch"
            print(f"{name:36}{size / 1e6:8.2f} MB   {verdict}, largest difference {difference:.1e}")
        for batch in BATCHES:
            rounds = time_turns(
                [network for network, _, _ in written.values()], batch, options.rounds
            )
            print(f"\nbatch {batch}, {len(rounds)} rounds")
            for name, times in zip(written, zip(*rounds, strict=True), strict=True):
                timing = summarise_times(times, batch)
                gain = median(
                    dense / other for (dense, *_), other in zip(rounds, times, strict=True)
                )
                print(
                    f"{name:36}{timing.median_ms:9.2f} ms, IQR {timing.iqr_ms:7.2f}{gain:8.2f}x",
                    flush=True,
                )


if __name__ == "__main__":
    main()
