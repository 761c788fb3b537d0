"""A study over networks of many kinds: its rows have the zeros that they say, or it is refused in
one line before anything is trained."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pruning.masks import prunable
from pruning.prunable_layers import select_weights
from pruning.user_error import UserError
from sweeps.cli.study_launch import make_environment
from sweeps.planning.network_probe import check_trials
from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import StudySpec, build_study
from tests.sweeps.test_full_study import ROOT, finish, start
from trainables.saved_networks import SavedNetwork, build_untrained, find_saved_network
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

torch.set_num_threads(1)

METHODS = ["magnitude", "snip", "grasp", "synflow", "rigl", "wanda", "sparsegpt", "l1_filter"]
KINDS = [
    "architectures:cat",
    "architectures:groups",
    "architectures:excited",
    "architectures:layer_norm",
    "architectures:attention",
    "architectures:conv1d",
    "weights:tied",
    "weights:weight_norm",
    "weights:frozen",
    "forward_passes:auxiliary",
]


def make_study(kind: str, methods: list[str], **changes: Any) -> StudySpec:
    raw = {
        "name": "kinds",
        "dataset": "digits",
        "model": f"tests.networks.{kind}",
        "recipe": {"epochs": 1, "batch": 400, "augment": "none", "precision": "fp32"},
        "retrain": {"epochs": 1},
        "methods": methods,
        "sparsities": [0.7],
        "seeds": [0],
    }
    return build_study({**raw, **changes}, where="x")


def plan_what_can_run(kind: str) -> tuple[StudySpec, Plan | None, str]:
    """The study of one network, planned with the methods that its line leaves, and that line."""
    study = make_study(kind, METHODS)
    line = ""
    try:
        plan = make_plan(study)
        check_trials(study, [trial.spec for trial in plan.trials])
    except UserError as error:
        line = str(error)
        _, advised, names = line.partition("; the others can run: --methods ")
        if not advised:
            return study, None, line
        study = make_study(kind, names.split(","))
        plan = make_plan(study)
        check_trials(study, [trial.spec for trial in plan.trials])
    return study, plan, line


def count_real_zeros(trial: Trial) -> tuple[int, int]:
    """Zeros of the weights that a trial pruned, with those that went with their channels, and how
    many weights there were; from the network itself, not from its masks."""
    network = trial.runner.network
    weights = prunable(network.model, only=network.selection.names)
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    left = sum(weight.numel() for weight in weights.values())
    return zeros + network.dense_prunable - left, network.dense_prunable


def check_row(spec: TrialSpec, trial: Trial) -> None:
    (row,) = [row for row in trial.records.rows if row["stage"] in ("final", "recalibrated")]
    zeros, total = count_real_zeros(trial)
    if "of the kept weights are zero" not in str(row["notes"]):  # regrown ones, not trained yet
        assert row["sparsity_reached"] == pytest.approx(zeros / total, abs=1e-12), spec.method
    wanted = 0.0 if spec.method == "dense" else 0.7
    near = 0.02 if spec.build_method().reaches == "nearest" else 1 / total
    if told := re.search(r"that whole channels allow is ([\d.]+)", row["notes"]):
        wanted, near = float(told[1]), 1e-4
    assert zeros / total == pytest.approx(wanted, abs=near), spec.method
    left = zeros - (total - row["prunable"])  # those that did not go with their channels
    assert (row["zeros"], row["connected"]) == (left, True), spec.method


# Of each way to prune one is trained on every kind; the others are, quickly, on one kind.
QUICK = ["synflow", "rigl", "sparsegpt", "l1_filter"]


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_zeros_that_they_say_or_there_is_one_line(
    kind: str, slow: bool, tmp_path: Path
) -> None:
    study, plan, line = plan_what_can_run(kind)
    trained = METHODS if slow or kind == "architectures:cat" else QUICK
    if line:
        assert line.startswith(f"model 'tests.networks.{kind}' (1x8x8 images, 10 classes)")
        assert "\n" not in line
    if plan is None:
        assert kind == "weights:weight_norm", line
        return
    environment = make_environment(study, Store.at(tmp_path))
    for planned in plan.trials:
        if planned.spec.method in ("dense", *trained):
            trial = Trial(planned.spec, environment)
            trial.run()
            check_row(planned.spec, trial)


def test_a_study_over_all_of_them_names_each_network_that_cannot_be_pruned() -> None:
    """Ten networks in one study: one line, with the methods that all of them take."""
    methods = ["magnitude", "l1_filter"]
    also = [{"model": f"tests.networks.{kind}"} for kind in KINDS if kind != "weights:weight_norm"]
    study = make_study("mlp", methods, model="mlp", also=also)
    with pytest.raises(UserError) as caught:
        check_trials(study, [trial.spec for trial in make_plan(study).trials])
    line = str(caught.value)
    assert line.startswith("model 'tests.networks.") and "\n" not in line
    assert line.endswith("; the others can run: --methods magnitude")
    study = make_study("mlp", ["magnitude"], model="mlp", also=also)
    check_trials(study, [trial.spec for trial in make_plan(study).trials])


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_ten_kinds_in_one_study_from_the_command_line(tmp_path: Path) -> None:
    """Either one line before anything runs, or rows whose zeros are in the networks."""
    raw = {
        "name": "kinds",
        "dataset": "digits",
        "model": "tests.networks.architectures:cat",
        "recipe": {"epochs": 1, "batch": 400, "augment": "none", "precision": "fp32"},
        "retrain": {"epochs": 1},
        "methods": ["magnitude", "wanda", "l1_filter"],
        "sparsities": [0.7],
        "seeds": [0],
        "keep_networks": "all",
        "also": [{"model": f"tests.networks.{kind}"} for kind in KINDS[1:]],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    code, told = finish(start(tmp_path, PYTHONPATH=str(ROOT)))
    assert code == 2 and not Store.at(tmp_path / "out").list("rows"), told
    (line,) = told.splitlines()
    refused = dict(
        re.findall(r"model 'tests\.networks\.(\S+)' .*? cannot be pruned by (.*?): ", line)
    )
    assert refused == {
        "architectures:layer_norm": "l1_filter",
        "weights:weight_norm": "l1_filter, magnitude, wanda",
        "forward_passes:auxiliary": "l1_filter",
    }

    for setting in raw["also"]:
        kind = setting["model"].removeprefix("tests.networks.")
        if kind == "weights:weight_norm":
            setting["exclude"] = ["2"]  # its other layers can be pruned
        if kind in refused:
            setting["methods"] = ["magnitude", "wanda"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    code, told = finish(start(tmp_path, PYTHONPATH=str(ROOT)), 900)
    assert code == 0, told
    store, plan = Store.at(tmp_path / "out"), make_plan(build_study(raw, where="x"))
    assert len(plan.trials) == 40 - len(refused)
    for key, trial in plan.by_key.items():
        rows = parquet_tables.decode_table("rows", store.read(f"rows/{key}.parquet")).to_pylist()
        saved = find_saved_network(store, key, rows[-1]["level"], rows[-1]["digest"])
        assert saved is not None
        check_saved(trial.spec, rows[-1], saved)


def check_saved(spec: TrialSpec, row: dict[str, Any], saved: SavedNetwork) -> None:
    """The zeros of a network, counted in what was saved of it."""
    network = saved.rebuild()
    whole, selected = (
        build_untrained(spec.model, saved.image, saved.classes),
        {"method": spec.build_method(), "exclude": spec.exclude},
    )
    names = select_weights(whole, saved.image, **selected).names
    before = sum(weight.numel() for weight in prunable(whole, only=names).values())
    left = prunable(network, only=names)
    zeros = sum(int((weight == 0).sum()) for weight in left.values())
    weights = sum(weight.numel() for weight in left.values())
    assert (row["zeros"], row["prunable"]) == (zeros, weights), spec.model
    if spec.method == "dense":
        return
    gone = (zeros + before - weights) / before
    assert gone == pytest.approx(row["sparsity_reached"], abs=1e-12), spec.model
    if spec.build_method().reaches == "exact":
        assert gone == pytest.approx(0.7, abs=1 / before), spec.model
