"""The checklist, on a study that has much and one that has little."""

from pathlib import Path

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.checklist import make_checklist
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import write_study


def test_the_checklist_is_ticked_from_the_data(tmp_path: Path) -> None:
    full = load_study(
        write_study(tmp_path / "s", methods=("magnitude", "random", "synflow", "snip"))
    )
    poor = load_study(
        write_study(tmp_path / "p", methods=("hrank",), seeds=(1,), sparsities=(0.5,), gaps=True)
    )
    checklists = []
    for study in (full, poor):
        checklists.append(
            {
                point.asks: point.met
                for point in make_checklist(collect_results(study), find_missing_trials(study))
            }
        )
    for asks, expected in {
        "a random pruning baseline": [True, False],
        "several runs with separate seeds": [True, False],
        "nothing left out": [True, False],
        "top-1 and top-5 accuracy": [True, True],
        "at least 3 pairs of data set and architecture": [False, False],
        "a random baseline with the same proportions in each layer": [False, False],
        "a range of compression ratios, at least 5 operating points for each method": [True, False],
        "extreme ratios, at which accuracy falls substantially": [True, False],
        "measured speed where speed is claimed": [False, False],
        "claims that go no further than the experiments": [None, None],
    }.items():
        assert [checklist[asks] for checklist in checklists] == expected, asks


def test_a_control_is_no_method_beside_the_proposed_one(tmp_path: Path) -> None:
    asks = "other methods beside the proposed one"
    found = []
    for name, others in (("a", ("dense_longer", "random_ticket")), ("b", ("snip",))):
        methods = ("synflow", *others)
        study = load_study(
            write_study(tmp_path / name, methods=methods, seeds=(1,), sparsities=(0.5,))
        )
        points = make_checklist(collect_results(study), find_missing_trials(study))
        found += [(point.met, point.evidence) for point in points if point.asks == asks]
    assert found == [(False, "1: synflow"), (True, "2: snip, synflow")]
