"""Reading study directories in every state they can be in."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.columns import LATENCY_COLUMNS
from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.statistics.results import collect_results
from pruning.user_error import UserError
from tests.analysis.synthetic import Writer, make_row, write_study
from trainables.storage.parquet_tables import encode_table
from trainables.storage.schema import ROW_SCHEMA
from trainables.storage.store import Store


def test_reads_all_rows_in_order(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s", methods=("magnitude", "lottery_ticket")))
    assert study.name == "synthetic"
    assert len(study.rows) == 3 + 18 + 30
    assert len(study.plan) == 3 + 18 + 3
    assert list(study.rows.columns) == [*ROW_SCHEMA.names, *LATENCY_COLUMNS]
    assert str(study.rows["seed"].dtype) == "Int64"
    paths = study.store.list("rows", ".parquet")
    assert list(dict.fromkeys(study.rows["key"])) == [
        path[len("rows/") : -len(".parquet")] for path in paths
    ]
    assert study.warnings == []


def test_a_broken_file_is_named_and_skipped(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    key = writer.add([make_row("magnitude", 0.5, 2)], outcome="broken")
    study = load_study(writer.finish())
    assert study.rows["seed"].tolist() == [1]
    (warning,) = study.warnings
    assert f"rows/{key}.parquet" in warning
    assert find_missing_trials(study).missing == (key,)


@pytest.mark.parametrize("name", ["study.yaml", "plan.json", "failures/x.json"])
def test_a_broken_text_is_named_and_skipped(tmp_path: Path, name: str) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,))
    Store.at(folder).write(name, b'{"unfinished": [')
    study = load_study(folder)
    assert len(study.rows) == 7
    assert any(f"skipped {name}" in warning for warning in study.warnings)


def test_rows_of_an_older_schema(tmp_path: Path) -> None:
    row = make_row("magnitude", 0.5, 1)
    old = pq.read_table(io.BytesIO(encode_table("rows", [row | {"key": "old"}]))).drop_columns(
        ["val_top1", "seed"]
    )
    buffer = io.BytesIO()
    pq.write_table(old, buffer)
    store = Store.at(tmp_path)
    store.write("rows/old.parquet", buffer.getvalue())
    store.write("rows/new.parquet", encode_table("rows", [row | {"key": "new"}]))
    study = load_study(store)
    assert study.rows["seed"].tolist()[0] == 1
    assert study.rows["val_top1"].isna().tolist() == [False, True]
    assert study.rows["test_top1"].notna().all()


def test_rows_of_a_newer_schema_are_named(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("dense", 0.0, 1, schema_version=99)])
    assert any("schema version 99" in warning for warning in load_study(writer.finish()).warnings)


def test_knobs_are_compared_by_value(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1, knobs='{"b":1,"a":2}', recipe=None)])
    study = load_study(writer.finish())
    assert study.rows["knobs"].tolist() == study.plan["knobs"].tolist() == ['{"a": 2, "b": 1}']
    assert study.rows["recipe"].tolist() == study.plan["recipe"].tolist() == ["{}"]


def test_curves_and_layers_are_read_when_asked_for(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,))
    store = Store.at(folder)
    store.write(
        "curves/a.parquet",
        encode_table("curves", [{"key": "a", "epoch": epoch} for epoch in range(3)]),
    )
    store.write("curves/b.parquet", b"PAR1")
    study = load_study(folder)
    assert study.warnings == []
    assert study.curves["epoch"].tolist() == [0, 1, 2]
    assert len(study.warnings) == 1
    assert study.curves is study.curves
    assert len(study.warnings) == 1
    assert study.layers.empty
    assert "weights" in study.layers.columns


def test_no_plan_is_said(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,))
    (folder / "plan.json").unlink()
    study = load_study(folder)
    assert len(study.rows) == 7
    assert study.plan.empty
    assert any("no readable plan.json" in warning for warning in study.warnings)
    missing = find_missing_trials(study)
    assert (missing.done, missing.planned, missing.total) == (7, 0, 7)


def test_an_empty_study_is_a_study(tmp_path: Path) -> None:
    Store.at(tmp_path).write("study.yaml", b"name: young\n")
    study = load_study(tmp_path)
    assert study.name == "young"
    assert study.rows.empty
    assert list(study.rows.columns) == [*ROW_SCHEMA.names, *LATENCY_COLUMNS]


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no directory"):
        load_study(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not a study directory"):
        load_study(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        load_study(tmp_path / "file")
    Store.at(tmp_path / "digits").write("study.yaml", b"name: digits\n")
    with pytest.raises(UserError, match=r"did you mean '.*digits'"):
        load_study(tmp_path)
    Store.at(tmp_path / "a_copy").write("study.yaml", b"name: copy\n")
    (tmp_path / "digits" / "rows").mkdir()
    with pytest.raises(UserError, match=r"; it holds '.*/digits', '.*/a_copy'$"):
        load_study(tmp_path)
    with pytest.raises(UserError, match=r"no directory '.*/digit';.* did you mean '.*/digits'\?"):
        load_study(tmp_path / "digit")


def test_one_method_retrained_by_two_recipes_is_two_series(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    rows = [
        {"key": f"k{n}", "method": "magnitude", "knobs": "{}", "retrain": retrain, "seed": 0}
        for n, retrain in enumerate(['{"lr": 0.1}', '{"lr": 0.01}'])
    ]
    rows.append({"key": "k2", "method": "random", "knobs": "{}", "retrain": None, "seed": 0})
    for row in rows:
        store.write(f"rows/{row['key']}.parquet", encode_table("rows", [row]))
    told = load_study(store).rows.set_index("key")["knobs"]
    assert told.tolist() == ['{"retrain": {"lr": 0.1}}', '{"retrain": {"lr": 0.01}}', "{}"]


def test_a_retrain_recipe_that_differs_with_the_setting_is_one_series(tmp_path: Path) -> None:
    """resnet56 is trained for longer, so retrained for longer; on resnet18, random was retrained in
    two ways."""
    writer = Writer(tmp_path)
    short, long = '{"epochs": 160}', '{"epochs": 200}'
    for model, retrain in (("resnet18", short), ("resnet56", long)):
        writer.add([make_row("magnitude", 0.5, 1, model=model, retrain=retrain)])
    writer.add([make_row("random", 0.5, 1, retrain=short)])
    writer.add([make_row("random", 0.5, 2, retrain=long)])
    found = collect_results(load_study(writer.finish()))
    assert [one.label for one in found.series] == [
        "Magnitude",
        "Random (retrain.epochs=160)",
        "Random (retrain.epochs=200)",
    ]
    assert [len(found.list_measured_series(setting)) for setting in found.settings] == [3, 1]


@pytest.mark.parametrize(
    ("column", "starts"),
    [
        ("weights", (None, "12fca82f", "4bfd9763")),
        ("normalise", (None, "[[0.5], [0.5]]", "[[0.4], [0.2]]")),
        ("image_size", (None, 32, 224)),
    ],
)
def test_settings_that_begin_with_other_weights_or_images_are_held_apart(
    tmp_path: Path, column: str, starts: tuple[object, ...]
) -> None:
    writer = Writer(tmp_path)
    for start in starts:
        for seed in (1, 2, 3):
            writer.add([make_row("magnitude", 0.5, seed, **{column: start})])
    study = load_study(writer.finish())
    assert len(study.rows) == len(study.plan) == 9
    cells = collect_results(study).cells
    assert cells.groupby("recipe")["n"].sum().tolist() == [3, 3, 3]
