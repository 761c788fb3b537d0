"""What stopping early saves: a whole grid of SynFlow's iterations and schedules, and ASHA over the
same points.

    python benchmarks/search.py [SPARSITY] [POINTS] [FOLDER]

Claim: ASHA reaches the grid's best validation accuracy, within its interval, with at most 40 % of
the grid's epochs. Both searches run on the embedded digits with the same seed, each in a directory
of its own; then the best of both are trained anew with the confirming seeds. The interval is the 95
% t-interval of the validation accuracy of the grid's best over those seeds. How well the accuracy
at ASHA's rungs tells the end is taken from the grid. With a FOLDER, what is there is continued and
kept.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

from sweeps.search.candidate_records import Candidate, read_candidates

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scipy.stats import spearmanr

from analysis.statistics.intervals_and_tests import t_interval
from sweeps import synflow_search
from trainables.storage import parquet_tables
from trainables.storage.store import Store

CLAIM = 0.40
GRACE, FACTOR = 2, 3  # of 12 epochs: rungs after 2 and 6


def main(sparsity: float, points: int, folder: Path) -> None:
    """Run both searches and print what each has found and cost."""
    epochs, means = {}, {}
    for name, stop in (("grid", "none"), ("asha", "asha")):
        store = Store.at(folder / name)
        words = [
            "--preset",
            "synflow_digits",
            "--strategy",
            "grid",
            "--set",
            f"strategy.stop={stop}",
        ]
        words += ["--set", f"strategy.grace={GRACE}", "--set", f"strategy.factor={FACTOR}"]
        words += [
            "--set",
            f"space.iterations.points={points}",
            "--set",
            "budget.trials=null",
            "--address",
            "local",
        ]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            code = synflow_search.main([*words, "--sparsities", str(sparsity), "--out", store.uri])
        if code:
            sys.exit(f"the search '{name}' ended with {code}:\n{output.getvalue()}")
        candidates = read_candidates(store)
        best = max(
            (candidate for candidate in candidates if candidate.outcome == "done"), key=_rank
        )
        epochs[name] = sum(candidate.epochs for candidate in candidates)
        seconds = sum(candidate.seconds for candidate in candidates)
        again = t_interval(read_validation(store.below("best")))
        means[name] = again
        counts = {
            what: sum(candidate.outcome == what for candidate in candidates)
            for what in ("done", "stopped", "disconnected")
        }
        if name == "grid":
            print_rungs([candidate for candidate in candidates if candidate.outcome == "done"])
        print(
            f"{name}: {len(candidates)} candidates "
            f"({', '.join(f'{n} {what}' for what, n in counts.items())}), "
            f"{epochs[name]} epochs, {seconds:.0f} s in workers; best {best.configuration}: "
            f"{best.val_top1:.2f} % of {best.images} validation images; "
            f"anew with n = {again.n} seeds "
            f"{again.mean:.2f} ± {again.half_width:.2f} %"
        )
    share, grid = epochs["asha"] / epochs["grid"], means["grid"]
    inside = means["asha"].mean >= grid.mean - (grid.half_width or 0.0)
    print(
        f"ASHA trained {100 * share:.1f} % of the grid's epochs "
        f"(claim: at most {100 * CLAIM:.0f} %)"
    )
    print(
        f"validation accuracy of ASHA's best {means['asha'].mean:.2f} %, of the grid's "
        f"{grid.mean:.2f} ± {grid.half_width:.2f} %: "
        f"{'within the interval or above' if inside else 'BELOW the interval'}"
    )


def print_rungs(candidates: list[Candidate]) -> None:
    """Print how the accuracies at ASHA's rungs go with those at the end."""
    for epoch in (GRACE, GRACE * FACTOR):
        rho = spearmanr(
            [candidate.values[epoch - 1] for candidate in candidates],
            [candidate.val_top1 for candidate in candidates],
        )[0]
        print(
            f"accuracy after {epoch} epochs and at the end: Spearman's rho {rho:+.2f} (n = "
            f"{len(candidates)})"
        )


def _rank(candidate: Candidate) -> tuple[float, float, int]:
    return candidate.val_top1 or 0.0, -(candidate.effective_macs or 0.0), -candidate.number


def read_validation(store: Store) -> list[float]:
    """The validation accuracies of the pruned trials of a study."""
    paths = [path for path in store.list("rows", ".parquet") if "/dense/" not in path]
    return [
        parquet_tables.decode_table("rows", store.read(path)).to_pylist()[-1]["val_top1"]
        for path in paths
    ]


if __name__ == "__main__":
    given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(given[2]) if len(given) > 2 else Path(scratch)
        main(float(given[0]) if given else 0.95, int(given[1]) if len(given) > 1 else 12, place)
