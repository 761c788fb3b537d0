"""The device time of methods: of their own trials, and of the dense trainings they start from."""

from pathlib import Path

import yaml

from analysis.reading.load import Study, load_study
from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row


def write_study(folder: Path, resources: dict[str, object]) -> Study:
    """Two seeds of magnitude, which start from dense trainings of 100 s, and take 10 and 20 s."""
    writer = Writer(folder)
    for seed in (1, 2):
        dense = writer.add([make_row("dense", 0.0, seed, trial_seconds=100.0)])
        row = make_row("magnitude", 0.5, seed, trial_seconds=10.0 * seed)
        writer.add([row], parents=[dense])
    writer.store.write("study.yaml", yaml.safe_dump({"resources": resources}).encode())
    return load_study(writer.finish())


def test_a_trial_counts_for_the_part_of_the_device_that_it_occupies(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"gpus_per_trial": 0.5})
    assert find_trial_device(study) == ("GPU", 0.5)
    results = collect_results(study)
    times = find_device_times(results, results.settings[0]).set_index("method")
    columns = ["trials", "seconds", "shared", "total"]
    assert times.loc["dense", columns].tolist() == [2, 50.0, 0.0, 100.0]
    assert times.loc["magnitude", columns].tolist() == [2, 7.5, 50.0, 15.0]


def test_without_a_gpu_the_device_is_a_core(tmp_path: Path) -> None:
    assert find_trial_device(write_study(tmp_path / "a", {})) == ("CPU core", 1.0)
    study = write_study(tmp_path / "b", {"cpus_per_trial": 2})
    assert find_trial_device(study) == ("CPU core", 2.0)


def test_rows_without_times_have_no_device_time(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    assert find_device_times(results, results.settings[0]).empty


def test_the_first_trial_of_a_process_is_not_typical(tmp_path: Path) -> None:
    """Two processes; each first trial takes 5 s more to begin. Both dense trials are first ones."""
    writer = Writer(tmp_path)
    for seed, host in enumerate(("vm:1", "vm:2")):
        same = {"host": host, "train_seconds": 3.0}
        dense = writer.add(
            [make_row("dense", 0.0, seed, trial_seconds=9.0, started="2026-01-01T00:00:00", **same)]
        )
        for number, sparsity in enumerate((0.5, 0.9)):
            started = f"2026-01-01T00:01:0{number}"
            row = make_row("magnitude", sparsity, seed, trial_seconds=4.0, started=started, **same)
            writer.add([row], parents=[dense])
        late = make_row("snip", 0.5, seed, trial_seconds=6.0, started="2026-01-01T00:02:00", **same)
        late["host"] = "vm:3"
        writer.add([late])
    results = collect_results(load_study(writer.finish()))
    times = find_device_times(results, results.settings[0]).set_index("method")
    columns = ["trials", "timed", "training", "rest", "shared", "total"]
    assert times.loc["magnitude", columns].tolist() == [4, 4, 3.0, 1.0, 9.0, 16.0]
    assert times.loc["dense", columns].tolist() == [2, 2, 3.0, 6.0, 0.0, 18.0], "it has no others"
    assert times.loc["snip", columns].tolist() == [2, 1, 3.0, 3.0, 0.0, 12.0]
