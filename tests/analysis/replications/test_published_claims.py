"""The claims of the papers: each is about cells that its preset runs, and no tolerance has moved.

Covers: analysis/replications/papers.py.
"""

from analysis.replications.claim import Claim
from analysis.replications.papers import PAPERS
from analysis.replications.published_claims import CLAIMS
from analysis.replications.quantities import Cell, LastWhole, Quantity
from sweeps.planning.plan import make_plan
from sweeps.replicate import REPLICATIONS
from sweeps.study_file.study import build_study
from sweeps.study_file.study_reader import read_study_preset

# As they were written before the first run: published number and tolerance, claim by claim.
WRITTEN_BEFORE = {
    "lth_lenet": [
        *((38, 15), (0.3, 0.15), (2.51, 0.75), (0.5, 0.25), (0, 0.1), (1, 0), (0, 0), (1, 0)),
        *((0, 0), (0, 0.1)),
    ],
    "snip_lenet": [
        (1.7, 0.3),
        (1.6, 0.3),
        (2.4, 0.5),
        (0, 0.2),
        (0.9, 0.2),
        (0.8, 0.2),
        (1.1, 0.3),
    ],
    "han_lenet": [(1.64, 0.3), (1.59, 0.3), (0, 0.1), (0.8, 0.2), (0.77, 0.2), (0, 0.1)],
    "synflow_collapse": [*[(0.25, 0)] * 4, *[(0, 0)] * 3],
}


def test_no_tolerance_was_widened() -> None:
    found = {
        preset: [(claim.published, claim.tolerance) for claim in claims]
        for preset, claims in CLAIMS.items()
    }
    assert found == WRITTEN_BEFORE


def test_every_replication_has_claims_words_and_a_preset() -> None:
    assert tuple(CLAIMS) == tuple(PAPERS) == REPLICATIONS


def cells_of(quantity: Quantity) -> list[Cell]:
    if isinstance(quantity, LastWhole):
        names = [name for name in (quantity.method, quantity.other) if name]
        return [Cell(quantity.model, name, 0.9) for name in names]
    return [cell for cell in vars(quantity).values() if isinstance(cell, Cell)]


def test_every_claim_is_about_cells_that_its_preset_runs() -> None:
    for preset, claims in CLAIMS.items():
        plan = make_plan(build_study(read_study_preset(preset), where=preset))
        measured = {
            (trial.spec.model, trial.spec.method, stage, round(sparsity, 6))
            for trial in plan.trials
            for sparsity in trial.spec.sparsities
            for stage in (
                ("final", "reinitialised") if "beside" in trial.spec.knobs else ("final",)
            )
        }
        for claim in claims:
            assert isinstance(claim, Claim)
            cells = cells_of(claim.quantity)
            assert cells
            for cell in cells:
                place = (cell.model, cell.method, cell.stage, round(cell.sparsity, 6))
                assert place in measured, claim.says
