"""What checkpoints cost: seconds to publish one, as a share of the default time between two.

    python benchmarks/checkpoints.py [MODEL ...]

Claim: at the default interval checkpoints take less than 2 % of the training time. A checkpoint in
the middle of an epoch is the largest there is: weights, buffers, masks, momentum. Its size does not
depend on the images, so the networks stand on digits here.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sweeps.study_file.study import StudySpec
from trainables.environment import Environment
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

REPEATS = 9


def main(models: list[str]) -> None:
    """Time checkpoints of each network in the middle of an epoch."""
    interval = StudySpec.model_fields["checkpoint_seconds"].default
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            recipe = Recipe(epochs=1, batch=8, precision="fp32")
            spec = TrialSpec(dataset="digits", model=model, method="dense", seed=0, recipe=recipe)
            trial = Trial(spec, Environment(store=folder, checkpoint_seconds=1e9))
            seconds = []
            for _ in range(REPEATS):
                trial.advance(lambda: True)  # one batch
                began = time.perf_counter()
                trial.save()
                seconds.append(time.perf_counter() - began)
            size = max(path.stat().st_size for path in Path(folder, "checkpoints").rglob("*.pt"))
        median = statistics.median(seconds)
        spread = statistics.quantiles(seconds, n=4)
        print(
            f"{model}: {size / 1e6:.1f} MB, median {1000 * median:.0f} ms "
            f"(quartiles {1000 * spread[0]:.0f}-{1000 * spread[2]:.0f}, n = {REPEATS}), "
            f"{100 * median / interval:.2f} % of {interval:g} s (claim: under 2 %)"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["resnet8", "resnet20", "resnet18", "vgg16"])
