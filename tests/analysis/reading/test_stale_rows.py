"""Rows that do not count any more are left out, and the report says so.

They are those of an earlier content of a user's method file, and those of a replaced list of
sparsities.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import Study, load_study
from analysis.reading.stale_rows import drop_rows_of_old_method_files
from analysis.report.study_report import write_report
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_own_rows, make_row
from trainables.storage.parquet_tables import encode_table

BASE = "python 3.11.7, torch 2.15.0, ray 2.60.0"
OLD, NEW = "0" * 12, "1" * 12


def rows(*trials: tuple[str, str | None, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"key": key, "versions": versions, "finished": finished}
            for key, versions, finished in trials
        ]
    )


def test_the_planned_content_is_kept_even_if_another_ran_later() -> None:
    all_rows = rows(
        ("a", f"{BASE}, mine sha256:{OLD}", "2026-01-02"),
        ("b", f"{BASE}, mine sha256:{NEW}", "2026-01-01"),
        ("c", BASE, "2026-01-01"),
        ("d", None, "2026-01-01"),
    )
    warnings: list[str] = []
    kept = drop_rows_of_old_method_files(all_rows, {"sources": {"mine": NEW + "2" * 52}}, warnings)
    assert list(kept["key"]) == ["b", "c", "d"] and list(kept.index) == [0, 1, 2]
    assert warnings == [
        "left out 1 trials of method 'mine' that ran with another content of its file"
    ]


def test_without_a_plan_the_last_content_is_kept_and_methods_do_not_mix() -> None:
    all_rows = rows(
        ("a", f"{BASE}, mine sha256:{OLD}", "2026-01-01"),
        ("b", f"{BASE}, mine sha256:{NEW}", "2026-01-02"),
        ("c", f"{BASE}, other sha256:{OLD}", "2026-01-01"),
    )
    for planned in (None, {}, {"sources": 3}):
        assert list(drop_rows_of_old_method_files(all_rows, planned, [])["key"]) == ["b", "c"]


def test_studies_without_own_methods_stay_as_they_are() -> None:
    all_rows, warnings = rows(("a", BASE, "2026-01-01"), ("b", None, "2026-01-01")), list[str]()
    assert drop_rows_of_old_method_files(all_rows, None, warnings) is all_rows and warnings == []


FEW, MORE, LATER = (0.5, 0.9), (0.5, 0.8, 0.9), (0.8, 0.9)
WARNING = (
    "left out 2 trials of method 'lottery_ticket' (4 rows): they measured another list of "
    "sparsities"
)


def add_trial(
    writer: Writer,
    sparsities: Sequence[float],
    seed: int,
    *,
    plan: bool = False,
    rows: bool = True,
    top1: float = 70.0,
) -> None:
    """A trial that measures all these sparsities; its key says which, and those with more of them
    end later."""
    key = f"lottery_ticket/{'-'.join(map(str, sparsities))}/seed{seed}"
    ends = {"test_top1": top1, "finished": f"2026-01-0{len(sparsities)}"}
    measured = [
        make_row("lottery_ticket", sparsity, seed, level=level, **ends)
        for level, sparsity in enumerate(sparsities, 1)
    ]
    if plan:
        names = ("dataset", "model", "method", "knobs", "recipe", "seed")
        entry = {name: measured[0][name] for name in names}
        writer.trials.append(entry | {"key": key, "sparsities": list(sparsities), "parents": []})
    if rows:
        writer.store.write(
            f"rows/{key}.parquet", encode_table("rows", [row | {"key": key} for row in measured])
        )


def list_trials(study: Study) -> list[str]:
    """The sparsities and seeds of the trials that are left, as the keys name them."""
    return [key.removeprefix("lottery_ticket/") for key in dict.fromkeys(study.rows["key"])]


def test_a_trial_with_a_longer_list_replaces_the_one_before(tmp_path: Path) -> None:
    """Sparsity 0.9 is in both trials: their mean would be 75."""
    writer = Writer(tmp_path)
    for seed in (0, 1):
        add_trial(writer, FEW, seed, top1=80.0)
        add_trial(writer, MORE, seed, plan=True, top1=70.0)
    study = load_study(writer.finish())
    assert list_trials(study) == ["0.5-0.8-0.9/seed0", "0.5-0.8-0.9/seed1"]
    cells = collect_results(study).cells
    assert cells["sparsity"].tolist() == [0.5, 0.8, 0.9] and cells["level"].tolist() == [1, 2, 3]
    assert cells["mean"].tolist() == [70.0] * 3 and cells["n"].tolist() == [2] * 3
    page, _ = write_report(study, formats=("tex",))
    (warning,) = next(section.items for section in page.sections if section.title == "Warnings")
    assert str(warning).startswith(WARNING)


def test_the_planned_list_counts_before_it_ran_and_whatever_ran_last(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (0, 1):
        add_trial(writer, MORE, seed)
    add_trial(writer, FEW, 0, plan=True)
    add_trial(writer, FEW, 1, plan=True, rows=False)
    study = load_study(writer.finish())
    assert list_trials(study) == ["0.5-0.9/seed0"]
    assert len(study.warnings) == 1
    cells = collect_results(study).cells
    assert cells["n"].tolist() == [1, 1] and cells["expected"].tolist() == [2, 2]


@pytest.mark.parametrize("planned", [True, False], ids=["another method is planned", "no plan"])
def test_of_lists_that_are_not_planned_the_last_one_counts(tmp_path: Path, planned: bool) -> None:
    writer = Writer(tmp_path)
    for sparsities in (LATER, MORE, (0.95, 0.99)):
        add_trial(writer, sparsities, 0)
    if planned:
        writer.add([make_row("magnitude", 0.9, 0)])
        writer.finish()
    study = load_study(tmp_path)
    kept = study.rows[study.rows["method"] == "lottery_ticket"]
    assert kept["sparsity"].tolist() == [
        *MORE,
        0.95,
        0.99,
    ]  # the third trial has no cell in common with the others
    assert sum("lottery_ticket" in warning for warning in study.warnings) == 1


def test_a_study_in_parts_keeps_them_all(tmp_path: Path) -> None:
    """Launched with one seed and one method after the other, the plan is that of the last part."""
    writer = Writer(tmp_path)
    for seed in (0, 1, 2):
        add_trial(writer, MORE, seed, plan=seed == 2)
        writer.add(make_own_rows("han_iterative", (0.4, 0.7), seed), plan=False)
        for sparsity in (0.5, 0.9):
            writer.add([make_row("magnitude", sparsity, seed)], plan=False)
            writer.add(
                [make_row("magnitude", sparsity, seed, knobs='{"scope": "layer"}')], plan=False
            )
    study = load_study(writer.finish())
    assert study.warnings == []
    assert study.rows["key"].nunique() == 3 * 6
    assert collect_results(study).cells["n"].eq(3).all()


def test_other_knobs_and_other_settings_replace_nothing(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    add_trial(writer, MORE, 0, plan=True)
    for number, other in enumerate(
        ({"model": "vgg16"}, {"recipe": '{"epochs": 5}'}, {"knobs": '{"rate": 0.5}'})
    ):
        row = make_row("lottery_ticket", 0.9, 0, **other)
        writer.store.write(
            f"rows/{number}.parquet", encode_table("rows", [row | {"key": str(number)}])
        )
    study = load_study(writer.finish())
    assert study.warnings == [] and study.rows["key"].nunique() == 4


def add_repeated(
    writer: Writer, seed: int, digest: str, top1: float, *, plan: bool = False
) -> None:
    """A trial of magnitude whose key ends in that digest; later digests ran later."""
    finished = {"test_top1": top1, "finished": f"2026-01-0{digest[-1]}"}
    row = make_row("magnitude", 0.5, seed, **finished)
    row["key"] = f"cifar10-resnet18/magnitude/s0.500/seed{seed}-{digest}"
    if plan:
        names = ("dataset", "model", "method", "knobs", "recipe", "seed", "key")
        entry = {name: row[name] for name in names}
        writer.trials.append(entry | {"sparsities": [0.5], "parents": []})
    writer.store.write(f"rows/{row['key']}.parquet", encode_table("rows", [row]))


def test_trials_that_ran_again_for_a_reason_that_no_column_names_are_not_averaged(
    tmp_path: Path,
) -> None:
    """Two keys of one cell and seed, as after an edit of an augmentation file: the mean of both
    would be 75. The plan counts, not what ran last; without it, what ran last."""
    for planned, expected in ((True, 80.0), (False, 70.0)):
        writer = Writer(tmp_path / str(planned))
        for seed in (0, 1):
            add_repeated(writer, seed, "aaaaaaa1", 80.0, plan=planned)
            add_repeated(writer, seed, "aaaaaaa2", 70.0)
        study = load_study(writer.finish())
        cells = collect_results(study).cells
        assert cells["mean"].tolist() == [expected] and cells["n"].tolist() == [2]
        assert [warning.partition(":")[0] for warning in study.warnings] == [
            "left out 2 trials of method 'magnitude' (2 rows)"
        ]


def test_a_seed_of_another_digest_is_kept_where_nothing_repeats_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    add_repeated(writer, 0, "aaaaaaa1", 80.0)
    add_repeated(writer, 1, "aaaaaaa2", 70.0, plan=True)
    study = load_study(writer.finish())
    assert study.warnings == [] and study.rows["seed"].tolist() == [0, 1]
