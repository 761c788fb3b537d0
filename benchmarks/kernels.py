"""Kernels that a training step starts, counted without a GPU by the instrument of the tests.

    python benchmarks/kernels.py [MODEL ...]        default: resnet20 resnet18 resnet56

A step of the method `random` (masks are held on all weights) in bf16 at batch 128 on a pretended
H200. How many kernels there are does not depend on the size of the images; these are 8 x 8. The
counts are lower bounds: batch-norm and reductions start several. `launches` are those of the host:
of a replayed step the graph is one. Needs Linux, the C compiler `cc` and a torch built with CUDA.
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiled code would run on no device

from tests.pretended_gpu import cuda_runtime

cuda_runtime.load()

import torch

from tests.contract import trials_on_two_devices as devices
from tests.pretended_gpu.graphs import Graph
from tests.pretended_gpu.instrument import PretendedGpu
from tests.pretended_gpu.torch_cuda import hide_device
from trainables.training import step_graph
from trainables.trial import Trial

MODELS = ["resnet20", "resnet18", "resnet56"]


def count(model: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """The kernels of an eager step, the launches of a replayed one, and the kernels in its graph,
    by operation."""
    specs = devices.trials_of("random", "bf16", model=model, recipe={"batch": 128})
    with tempfile.TemporaryDirectory() as folder, PretendedGpu() as gpu:
        trial = Trial(specs[-1], devices.environment(Path(folder), "cuda"))
        trial.advance()  # it prunes before it trains
        steps = []
        for _ in range(step_graph.WARM_UP + step_graph.COMPARED + 1):
            gpu.clear()
            trial.advance(lambda: True)
            steps.append(gpu.kernels)
        graph = trial.runner._epochs.graph
        assert graph is not None
        captured = graph._graph
        assert isinstance(captured, Graph)
        return steps[step_graph.WARM_UP - 1], steps[-1], captured.kernels


def main() -> None:
    """Print a line for each network, and what the kernels of the first are."""
    hide_device()
    torch.set_num_threads(1)
    for model in sys.argv[1:] or MODELS:
        eager, launches, graphed = count(model)
        print(
            f"{model:10} eager {eager.total()} kernels; replayed {launches.total()} launches, "
            f"{graphed.total()} kernels",
            flush=True,
        )
        print("   ", ", ".join(f"{name} {number}" for name, number in graphed.most_common(12)))


if __name__ == "__main__":
    main()
