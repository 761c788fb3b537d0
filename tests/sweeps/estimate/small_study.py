"""A small study, planned, and rows as its trials would leave them."""

from typing import Any

from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import StudySpec, build_study
from trainables.storage import parquet_tables
from trainables.storage.store import Store

RAW: dict[str, Any] = {
    "name": "cost",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 10, "precision": "fp32"},
    "retrain": {"epochs": 5},
    "methods": ["magnitude", "magnitude_post"],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}


def plan_small_study(**change: Any) -> tuple[StudySpec, Plan]:
    spec = build_study({**RAW, **change}, where="x")
    return spec, make_plan(spec)


def write_rows(store: Store, plan: Plan, method: str, seconds: float, device: str = "cpu") -> None:
    """Rows as trials of this method that took so long would leave them."""
    for trial in plan.trials:
        if trial.spec.method == method:
            row = {
                **trial.spec.columns(),
                "trial_seconds": seconds,
                "device": device,
                "epochs": trial.epochs,
            }
            store.write(f"rows/{trial.key}.parquet", parquet_tables.encode_table("rows", [row]))
