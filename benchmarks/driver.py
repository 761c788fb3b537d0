"""What the driver costs: wall seconds per trial beyond the work of the trials themselves.

    python benchmarks/driver.py [TRIALS]

Claim: a trial costs the driver less than 50 ms, Ray's start apart. The trials are real ones (build the network, prune
at random, measure on digits, write rows) with no epoch to train; their own seconds, divided by the slots, are taken
off.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ray

from sweeps import ledger, run, study
from sweeps.cluster import connected
from sweeps.plan import make_plan
from sweeps.progress import Progress
from trainables import record
from trainables.environment import Environment
from trainables.store import Store


def main(count: int) -> None:
    """Run `count` trivial trials and print the overhead of each."""
    raw = {
        "name": "driver",
        "dataset": "digits",
        "model": "mlp",
        "recipe": {"epochs": 0},
        "methods": ["random"],
        "sparsities": [0.5, 0.9],
        "seeds": list(range(count // 3)),
    }
    spec = study.build(raw, where="benchmark")
    plan = make_plan(spec)
    with tempfile.TemporaryDirectory() as folder, connected("local"):
        store = Store.at(folder)
        slots = ray.cluster_resources()["CPU"]
        warm = make_plan(spec.model_copy(update={"seeds": [10**6 + i for i in range(4)]}))
        environment = Environment(store=store.uri)
        for trials in (warm, plan):
            state = ledger.read(trials, store)
            names = {key: key for key in state.missing}
            began = time.perf_counter()
            progress = Progress(names, dict.fromkeys(names, 0), quiet=True)
            run.run(trials, environment, spec.resources, progress)
            wall = time.perf_counter() - began
        state = ledger.read(plan, store)
        assert len(state.done) == len(plan.trials), "some trials failed"
        rows = [record.decode("rows", store.read(f"rows/{key}.parquet")).to_pylist()[0] for key in plan.by_key]
    busy = sum(row["trial_seconds"] for row in rows) / slots
    overhead = 1000 * (wall - busy) / len(plan.trials)
    print(f"{len(plan.trials)} trials on {slots:g} slots: {wall:.1f} s wall, of it {busy:.1f} s work of the trials")
    print(f"driver overhead {overhead:.1f} ms per trial (claim: under 50)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
