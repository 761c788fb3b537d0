"""A small study whose networks are exported in the tests of this folder, and what is read of it."""

from pathlib import Path
from typing import Any

import torch

from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")
RETRAIN = RECIPE.model_copy(update={"lr": 0.005})


def make_spec(method: str, *sparsities: float, **knobs: Any) -> TrialSpec:
    """A trial of one epoch."""
    return TrialSpec(
        dataset="digits",
        model="resnet8",
        method=method,
        knobs=knobs,
        sparsities=sparsities or (0.6,),
        seed=4,
        recipe=RECIPE,
        retrain=None if method == "lottery_ticket" else RETRAIN,
    )


MASKED, SLIM, TICKETS = (
    make_spec("magnitude"),
    make_spec("l1_filter"),
    make_spec("lottery_ticket", 0.2, 0.36, levels=2),
)
DENSE = dense_spec(MASKED)


def original(study: Path, spec: TrialSpec, level: int = 1) -> torch.nn.Module:
    """The network that the study saved."""
    from trainables import saved_networks

    digest = read_row(study, spec, level)["digest"]
    saved = saved_networks.find_saved_network(Store.at(study), spec.key, level, digest)
    assert saved is not None
    return saved.rebuild()


def read_row(study: Path, spec: TrialSpec, level: int = 1) -> dict[str, Any]:
    """The row of a level."""
    rows = parquet_tables.decode_table(
        "rows", (study / f"rows/{spec.key}.parquet").read_bytes()
    ).to_pylist()
    return next(row for row in rows if row["level"] == level)


def images(batch: int) -> torch.Tensor:
    """Random images of the size of digits."""
    return torch.randn(batch, 1, 8, 8, generator=torch.Generator().manual_seed(100 + batch))
