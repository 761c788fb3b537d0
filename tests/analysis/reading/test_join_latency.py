"""Latencies beside the rows: the right row, the right baseline, and nothing where nothing was
timed."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import load_study
from tests.analysis.synthetic import Writer, make_row
from trainables.storage.parquet_tables import encode_table


def read_rows(writer: Writer) -> pd.DataFrame:
    study = load_study(writer.finish())
    assert study.warnings == []
    return study.rows


def test_each_row_has_the_times_of_its_level_and_the_gain_over_the_dense_network(
    tmp_path: Path,
) -> None:
    writer = Writer(tmp_path)
    writer.add(
        [
            make_row(
                "dense", 0.0, 1, latency_ms_b1=12.0, latency_iqr_ms_b1=0.5, latency_ms_b256=900.0
            )
        ]
    )
    levels = [
        make_row("lottery_ticket", s, 1, level=n, latency_ms_b1=12.0 / n)
        for n, s in ((1, 0.2), (2, 0.36))
    ]
    writer.add(levels)
    writer.add([make_row("magnitude", 0.5, 1)])
    rows = read_rows(writer).set_index(["method", "level"])
    assert rows["latency_ms_b1"].to_dict() == {
        ("dense", 0): 12.0,
        ("lottery_ticket", 1): 12.0,
        ("lottery_ticket", 2): 6.0,
        ("magnitude", 1): pytest.approx(float("nan"), nan_ok=True),
    }
    assert rows.loc[("lottery_ticket", 2), "speedup_b1"] == 2.0
    assert rows.loc[("dense", 0), "latency_iqr_ms_b1"] == 0.5
    assert rows.loc[("dense", 0), ["latency_ms_b256", "speedup_b256"]].tolist() == [900.0, 1.0]
    assert rows.loc[("lottery_ticket", 1), ["latency_ms_b256", "speedup_b256"]].isna().all()


def test_the_baseline_is_of_the_same_network_data_and_device(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed, model, time in ((1, "resnet18", 10.0), (2, "resnet18", 14.0), (1, "vgg16", 30.0)):
        writer.add([make_row("dense", 0.0, seed, model=model, latency_ms_b1=time)])
    writer.add([make_row("l1_filter", 0.5, 1, latency_ms_b1=6.0)])
    writer.add([make_row("l1_filter", 0.5, 1, model="vgg16", latency_ms_b1=6.0)])
    key = writer.add([make_row("l1_filter", 0.5, 2)])
    elsewhere = {
        "key": key,
        "level": 1,
        "stage": "final",
        "form": "smaller",
        "batch": 1,
        "median_ms": 1.0,
    }
    writer.store.write(
        f"latency/{key}.parquet",
        encode_table(
            "latency", [elsewhere | {"device": "A GPU", "threads": 1, "precision": "fp32"}]
        ),
    )
    study = load_study(writer.finish())
    rows = study.rows
    (warning,) = study.warnings
    assert warning.startswith(
        "the networks of cifar10, resnet18 were timed in 2 ways (A GPU, threads 1, fp32; cpu, "
    )
    small = rows[rows["method"] == "l1_filter"].set_index(["model", "seed"])
    assert small.loc[("resnet18", 1), "speedup_b1"] == 12.0 / 6.0, (
        "two dense networks: the median of both"
    )
    assert small.loc[("vgg16", 1), "speedup_b1"] == 30.0 / 6.0
    assert small.loc[("resnet18", 2), "latency_ms_b1"] == 1.0
    assert pd.isna(small.loc[("resnet18", 2), "speedup_b1"]), (
        "no dense network was timed on that device"
    )


def test_no_row_is_lost_or_doubled_and_order_stays(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in range(5):
        rows = [
            make_row("lottery_ticket", s, seed, level=n, latency_ms_b1=1.0)
            for n, s in ((1, 0.2), (2, 0.36))
        ]
        writer.add(
            rows
            if seed != 3
            else [row | {"stage": stage} for row in rows for stage in ("raw", "final")]
        )
    timed = read_rows(writer)
    for path in writer.store.list("latency"):
        writer.store.delete(path)
    plain = read_rows(writer)
    assert timed[["key", "level", "stage"]].equals(plain[["key", "level", "stage"]])
    assert len(timed) == 4 * 2 + 4 and timed["latency_ms_b1"].notna().all()
    assert plain["latency_ms_b1"].isna().all()


def test_a_damaged_latency_file_is_named_and_the_rows_stay(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    key = writer.add([make_row("dense", 0.0, 1)])
    writer.store.write(f"latency/{key}.parquet", b"PAR1")
    study = load_study(writer.finish())
    assert len(study.rows) == 1 and pd.isna(study.rows["latency_ms_b1"][0])
    assert [f"latency/{key}.parquet" in warning for warning in study.warnings] == [True]
