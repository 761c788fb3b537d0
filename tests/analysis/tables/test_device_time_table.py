"""The time on the device by method."""

from pathlib import Path

import yaml

from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from analysis.tables.device_time_table import make_device_time_table
from tests.analysis.synthetic import Writer, make_row


def test_costs_are_of_the_device(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    spec = {"name": "s", "resources": {"gpus_per_trial": 0.25}}
    writer.store.write("study.yaml", yaml.safe_dump(spec).encode())
    for seed in (1, 2):
        dense = writer.add([make_row("dense", 0.0, seed, trial_seconds=400.0, train_seconds=300.0)])
        for sparsity in (0.5, 0.9):
            spent = {"trial_seconds": 100.0 * seed, "train_seconds": 60.0 * seed}
            writer.add([make_row("magnitude", sparsity, seed, **spent)], parents=[dense])
        rows = [
            make_row(
                "lottery_ticket", s, seed, level=n, trial_seconds=800.0, train_seconds=300.0 * n
            )
            for n, s in enumerate((0.5, 0.9))
        ]
        writer.add(rows)
    table = make_device_time_table(collect_results(load_study(writer.finish())))
    assert table.head[-1] == "Total (GPU hours)"
    assert table.cells == (
        ("Dense", "2", "75.00", "25.00", "0.00", "0.0556"),
        ("Magnitude", "4", "22.50", "15.00", "100.00", "0.0417"),
        ("Lottery ticket", "2", "75.00", "125.00", "0.00", "0.1111"),
    )
