"""Rows of a replaced list of sparsities are left out; those of a study that is run in parts stay.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.reading.load import Study, load
from analysis.report.study_report import write_report
from analysis.statistics.results import collect
from tests.analysis.synthetic import Writer, make_own_rows, make_row
from trainables.storage.parquet_tables import encode

OLD, NEW, NEWER = (0.5, 0.9), (0.5, 0.8, 0.9), (0.8, 0.9)
TOLD = "left out 2 trials of method 'lottery_ticket' (4 rows): they measured another list of sparsities"


def add_course(
    writer: Writer,
    course: Sequence[float],
    seed: int,
    *,
    plan: bool = False,
    rows: bool = True,
    top1: float = 70.0,
) -> None:
    """A trial that measures all these sparsities; its key says which, and those with more of them
    end later."""
    key = f"lottery_ticket/{'-'.join(map(str, course))}/seed{seed}"
    ends = {"test_top1": top1, "finished": f"2026-01-0{len(course)}"}
    found = [
        make_row("lottery_ticket", one, seed, level=level, **ends)
        for level, one in enumerate(course, 1)
    ]
    if plan:
        names = ("dataset", "model", "method", "knobs", "recipe", "seed")
        entry = {name: found[0][name] for name in names}
        writer.trials.append(entry | {"key": key, "sparsities": list(course), "parents": []})
    if rows:
        writer.store.write(
            f"rows/{key}.parquet", encode("rows", [row | {"key": key} for row in found])
        )


def read_courses(study: Study) -> list[str]:
    """The courses that are left, each with its seed, as the keys say them."""
    return [key.removeprefix("lottery_ticket/") for key in dict.fromkeys(study.rows["key"])]


def test_a_sparsity_that_is_added_replaces_the_course(tmp_path: Path) -> None:
    """Sparsity 0.9 is in both courses: their mean would be 75."""
    writer = Writer(tmp_path)
    for seed in (0, 1):
        add_course(writer, OLD, seed, top1=80.0)
        add_course(writer, NEW, seed, plan=True, top1=70.0)
    study = load(writer.finish())
    assert read_courses(study) == ["0.5-0.8-0.9/seed0", "0.5-0.8-0.9/seed1"]
    cells = collect(study).cells
    assert cells["sparsity"].tolist() == [0.5, 0.8, 0.9] and cells["level"].tolist() == [1, 2, 3]
    assert cells["mean"].tolist() == [70.0] * 3 and cells["n"].tolist() == [2] * 3
    page, _ = write_report(study, formats=("tex",))
    (warning,) = next(section.items for section in page.sections if section.title == "Warnings")
    assert str(warning).startswith(TOLD)


def test_the_planned_course_counts_before_it_ran_and_whatever_ran_last(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (0, 1):
        add_course(writer, NEW, seed)
    add_course(writer, OLD, 0, plan=True)
    add_course(writer, OLD, 1, plan=True, rows=False)
    study = load(writer.finish())
    assert read_courses(study) == ["0.5-0.9/seed0"]
    assert len(study.warnings) == 1
    cells = collect(study).cells
    assert cells["n"].tolist() == [1, 1] and cells["expected"].tolist() == [2, 2]


@pytest.mark.parametrize("planned", [True, False], ids=["another method is planned", "no plan"])
def test_of_courses_that_are_not_planned_the_last_one_counts(tmp_path: Path, planned: bool) -> None:
    writer = Writer(tmp_path)
    for course in (NEWER, NEW, (0.95, 0.99)):
        add_course(writer, course, 0)
    if planned:
        writer.add([make_row("magnitude", 0.9, 0)])
        writer.finish()
    study = load(tmp_path)
    kept = study.rows[study.rows["method"] == "lottery_ticket"]
    assert kept["sparsity"].tolist() == [
        *NEW,
        0.95,
        0.99,
    ]  # the third course has no cell in common with the others
    assert sum("lottery_ticket" in warning for warning in study.warnings) == 1


def test_a_study_in_parts_keeps_them_all(tmp_path: Path) -> None:
    """Launched with one seed and one method after the other, the plan is that of the last part."""
    writer = Writer(tmp_path)
    for seed in (0, 1, 2):
        add_course(writer, NEW, seed, plan=seed == 2)
        writer.add(make_own_rows("han_iterative", (0.4, 0.7), seed), plan=False)
        for sparsity in (0.5, 0.9):
            writer.add([make_row("magnitude", sparsity, seed)], plan=False)
            writer.add(
                [make_row("magnitude", sparsity, seed, knobs='{"scope": "layer"}')], plan=False
            )
    study = load(writer.finish())
    assert study.warnings == []
    assert study.rows["key"].nunique() == 3 * 6
    assert collect(study).cells["n"].eq(3).all()


def test_other_knobs_and_other_settings_have_courses_of_their_own(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    add_course(writer, NEW, 0, plan=True)
    for number, other in enumerate(
        ({"model": "vgg16"}, {"recipe": '{"epochs": 5}'}, {"knobs": '{"rate": 0.5}'})
    ):
        row = make_row("lottery_ticket", 0.9, 0, **other)
        writer.store.write(f"rows/{number}.parquet", encode("rows", [row | {"key": str(number)}]))
    study = load(writer.finish())
    assert study.warnings == [] and study.rows["key"].nunique() == 4
