"""How long trials take: by the table of devices, by trials that are done, by timed epochs."""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.estimate import devices, time_per_trial
from sweeps.planning.trial_status import read_trial_status
from tests.sweeps.estimate.small_study import plan_small_study, write_rows
from tests.trainables.data.parquet_images import draw_images, encode, write_parquet
from trainables.storage.store import Store


def test_the_table_of_devices_counts_six_operations_a_multiply_accumulate() -> None:
    spec, plan = plan_small_study()
    dense = plan.trials[0]
    macs, weights = time_per_trial.network_cost("mlp", "digits", None)
    epoch = 6 * macs * 1295 / devices.RATES["cpu"] + time_per_trial.STEP * 1295 / 128
    assert time_per_trial.time_from_device_table(spec, "cpu").seconds([dense]) == pytest.approx(
        time_per_trial.TRIAL + 10 * epoch
    )
    assert 0.95 * weights < macs < weights, (
        "a linear network multiplies once by each of its weights, but not biases"
    )


def test_trials_that_are_done_set_the_time_of_their_method_and_scale_the_others(
    tmp_path: Path,
) -> None:
    spec, plan = plan_small_study()
    store = Store.at(tmp_path)
    write_rows(store, plan, "dense", 40.0)
    write_rows(store, plan, "magnitude_post", 3.0)
    found = time_per_trial.time_from_done_trials(spec, plan, read_trial_status(plan, store))
    assert found is not None and found.basis == "6 trials that are done"
    by_method = plan.by_method()
    assert found.seconds(by_method["dense"]) == pytest.approx(2 * 40)
    assert found.seconds(by_method["magnitude_post"]) == pytest.approx(4 * 3)
    table = time_per_trial.time_from_device_table(spec, "cpu")
    factor = (2 * 40 + 4 * 3) / (
        table.seconds(by_method["dense"]) + table.seconds(by_method["magnitude_post"])
    )
    assert found.seconds(by_method["magnitude"]) == pytest.approx(
        factor * table.seconds(by_method["magnitude"])
    )


def test_nothing_done_or_no_seconds_is_no_time(tmp_path: Path) -> None:
    spec, plan = plan_small_study()
    store = Store.at(tmp_path)
    assert time_per_trial.time_from_done_trials(spec, plan, read_trial_status(plan, store)) is None
    for seconds in (0.0, float("nan"), float("inf"), -1.0):
        write_rows(store, plan, "dense", seconds)
        assert (
            time_per_trial.time_from_done_trials(spec, plan, read_trial_status(plan, store)) is None
        )


def test_timed_epochs_give_the_time_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.timing import epoch_time

    spec, plan = plan_small_study()
    monkeypatch.setattr(epoch_time, "time_epoch", lambda spec, environment: 7.0)
    found = time_per_trial.time_from_timed_epochs(spec, plan)
    dense = [trial for trial in plan.trials if trial.spec.method == "dense"]
    assert found.seconds(dense) == pytest.approx(2 * (time_per_trial.TRIAL + 10 * 7.0))
    assert found.basis == "epochs timed on this machine" and list(tmp_path.iterdir()) == []


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
def test_timing_epochs_on_a_gpu_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, plan = plan_small_study(resources={"gpus_per_trial": 1})
    with pytest.raises(UserError, match="has no GPU"):
        time_per_trial.time_from_timed_epochs(spec, plan)
    assert full_study.main(["--preset", "digits", "--time-epochs", "--out", str(tmp_path)]) == 2
    assert "give both" in capsys.readouterr().err


def test_own_data_are_planned_with_their_real_size(tmp_path: Path) -> None:
    pictures = [encode(picture) for picture in draw_images(60, (8, 8, 3), seed=0)]
    for split, count in (("train", 60), ("test", 10)):
        write_parquet(
            tmp_path / "mine" / f"{split}.parquet", pictures[:count], [0, 1] * (count // 2)
        )
    spec, plan = plan_small_study(dataset="mine", data_dir=str(tmp_path))
    table = time_per_trial.time_from_device_table(spec, "cpu")
    macs, _ = time_per_trial.network_cost("mlp", "mine", str(tmp_path))
    assert macs < time_per_trial.network_cost("mlp", "cifar10", None)[0]
    epoch = 6 * macs * 54 / devices.RATES["cpu"] + time_per_trial.STEP * 54 / 128
    assert table.seconds([plan.trials[0]]) == pytest.approx(time_per_trial.TRIAL + 10 * epoch)
    assert table.basis == "a table of devices"


def test_data_that_are_not_here_are_planned_as_a_guess(tmp_path: Path) -> None:
    spec, _ = plan_small_study(dataset="mine", data_dir=str(tmp_path))
    basis = time_per_trial.time_from_device_table(spec, "cpu").basis
    assert basis == "a table of devices, as if mine were like CIFAR-10: its files are not here"
