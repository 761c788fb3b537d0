"""The rows of a study as one frame for those who plot themselves."""

from pathlib import Path

import pytest

import analysis
from pruning.user_error import UserError
from tests.analysis.synthetic import Writer, make_row


def test_a_row_for_each_level_with_labels_and_fields_of_knobs_and_recipe(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed, recipe='{"epochs":5,"milestones":[2,3]}')])
        for scope in ("global", "layer"):
            row = make_row("gmp", 0.9, seed, knobs=f'{{"scope":"{scope}"}}', test_top1=80.0 + seed)
            writer.add([row])
    frame = analysis.load(writer.finish())
    assert len(frame) == 6
    assert frame.groupby("label")["seed"].nunique().eq(2).all() and frame["label"].nunique() == 3
    gmp = frame[frame["method"] == "gmp"]
    assert sorted(gmp["knobs.scope"].unique()) == ["global", "layer"]
    assert all(
        scope in label for scope, label in zip(gmp["knobs.scope"], gmp["label"], strict=True)
    )
    magnitude = frame[frame["method"] == "magnitude"]
    assert magnitude["knobs.scope"].isna().all()
    assert magnitude["recipe.epochs"].tolist() == [5, 5]
    assert magnitude["recipe.milestones"].tolist() == ["[2, 3]"] * 2
    means = frame.groupby(["label", "sparsity"])["test_top1"].mean()
    assert means.loc[gmp["label"].iloc[0], 0.9] == 81.5
    assert frame.attrs["warnings"] == []


def test_damaged_files_are_named_and_an_empty_study_has_all_columns(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    folder = writer.finish()
    next((Path(folder) / "rows").rglob("*.parquet")).write_bytes(b"no table")
    frame = analysis.load(folder)
    assert frame.empty and {"label", "sparsity", "test_top1"} <= set(frame.columns)
    assert len(frame.attrs["warnings"]) == 1


def test_a_place_without_a_study_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a study directory"):
        analysis.load(tmp_path)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        analysis.lode  # noqa: B018
