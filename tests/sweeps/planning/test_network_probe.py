"""What cannot work is one line before a study starts, and the line says what can be run instead."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models import model_registry, sizes
from pruning import registry
from pruning.user_error import UserError
from sweeps.planning import model_check, network_probe
from sweeps.planning.network_probe import check_networks, check_trials, find_obstacle
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec, build_study
from tests.networks.registry_networks import DEEPER
from trainables.data.data_size import KNOWN
from trainables.trial_spec import TrialSpec

ROOT = Path(__file__).parents[3]


def make_study(kind: str, methods: list[Any], **fields: Any) -> StudySpec:
    raw = {
        "name": "kinds",
        "dataset": "digits",
        "model": f"tests.networks.{kind}",
        "recipe": {"epochs": 2},
        "methods": methods,
        "sparsities": [0.5, 0.9],
        "seeds": [0, 1],
    }
    return build_study({**raw, **fields}, where="x")


def refusal(kind: str, methods: list[Any], **fields: Any) -> str:
    """The line that a study is refused with; "" where it is not."""
    study = make_study(kind, methods, **fields)
    try:
        check_trials(study, [trial.spec for trial in make_plan(study).trials])
    except UserError as error:
        return str(error)
    return ""


NETWORK = "model 'tests.networks.{}' (1x8x8 images, 10 classes) cannot be pruned by {}"
LINES = [
    (
        "forward_passes:deformable",
        ["grasp", "snip"],
        "grasp: it takes second derivatives, which the network does not have: "
        "double backwards on deform_conv2d not supported; "
        "the others can run: --methods snip",
    ),
    (
        "architectures:odd_widths",
        ["wanda", {"sparsegpt": {"pattern": "2:4"}}],
        "sparsegpt: pattern 2:4 fits no layer: 4 divides the input channels of none, "
        "the most are 5 of '6.weight'; the others can run: --methods wanda",
    ),
]


@pytest.mark.parametrize(("kind", "methods", "line"), LINES)
def test_a_method_that_cannot_work_is_one_line(kind: str, methods: list[Any], line: str) -> None:
    assert refusal(kind, methods) == NETWORK.format(kind, line)


def test_methods_with_one_reason_are_named_together_and_the_others_can_be_run() -> None:
    methods = ["l1_filter", "magnitude", "fpgm"]
    assert refusal("weights:frozen", methods) == ""
    assert refusal("weights:frozen", methods, exclude=["2"]) == NETWORK.format(
        "weights:frozen",
        "fpgm, l1_filter: all channels that could be removed are written by weights that are not "
        "pruned; the others can run: --methods magnitude",
    )


def test_the_layers_that_a_study_chooses_are_tried() -> None:
    assert refusal("weights:weight_norm", ["magnitude"], exclude=["2"]) == ""
    line = NETWORK.format(
        "weights:weight_norm", "magnitude: cannot prune layer '2' (Conv2d): its weight is"
    )
    assert refusal("weights:weight_norm", ["magnitude"]).startswith(line)
    assert refusal("x", ["magnitude"], model="mlp", exclude=["conv"]).startswith(
        "model 'mlp' (1x8x8 images, 10 classes) cannot be pruned by magnitude: "
        "exclude: no prunable layer matches 'conv'"
    )


WHOLE = {
    "forward_passes:untrainable": "cannot be trained on 1x8x8 images: NotImplementedError: no "
    "training here",
    "forward_passes:features_first": "must return logits [B, 10], alone or first, but for 2 images "
    "in training mode the first tensor is (2, 16)",
    "weights:all_frozen": "cannot be trained on 1x8x8 images: RuntimeError: element 0 of tensors "
    "does not require grad and does not have a grad_fn",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_network_that_no_method_can_train_is_one_line(kind: str) -> None:
    assert refusal(kind, ["magnitude", "hrank"]) == f"model 'tests.networks.{kind}' {WHOLE[kind]}"


@pytest.mark.parametrize("kind", ["forward_passes:auxiliary", "forward_passes:auxiliary_dict"])
def test_layers_that_run_in_training_only_are_an_obstacle_to_fewer_channels(kind: str) -> None:
    line = refusal(kind, ["l1_filter", "small_from_scratch", "magnitude", "snip"])
    assert line.startswith(
        NETWORK.format(
            kind,
            "l1_filter, small_from_scratch: without some of its channels the network does not run "
            "in training mode, as where it has layers for training only, such as auxiliary "
            "classifiers: ",
        )
    )
    assert line.endswith("; the others can run: --methods magnitude,snip")


@pytest.mark.parametrize("kind", ["weights:lazy", "forward_passes:optional"])
def test_what_used_to_fail_in_training_or_tracing_is_fit_for_all_methods(kind: str) -> None:
    assert refusal(kind, ["all"]) == ""


def test_phases_that_need_the_network_are_refused_with_what_can_be_run() -> None:
    """HRank's phases are a prune for each group: what has none is found when they are laid out."""
    study = make_study("forward_passes:deformable", ["hrank", "magnitude"])
    with pytest.raises(UserError, match="cannot be pruned by hrank: .* --methods magnitude$"):
        make_plan(study)


def test_a_trial_that_is_done_is_not_tried() -> None:
    study = make_study("forward_passes:deformable", ["grasp", "snip"])
    specs = [trial.spec for trial in make_plan(study).trials if trial.spec.method != "grasp"]
    check_trials(study, specs)


def test_a_method_of_the_user_says_itself_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    study = make_study("x", ["picky"], model="mlp", method_path=[str(tmp_path / "picky.py")])
    plan = make_plan(study)
    with pytest.raises(UserError) as caught:
        check_trials(study, [trial.spec for trial in plan.trials])
    assert str(caught.value) == (
        "model 'mlp' (1x8x8 images, 10 classes) cannot be pruned by picky: "
        "ZeroDivisionError: division by zero"
    )


PICKY = """
from pruning.method import Card, Method


class Picky(Method):
    card = Card(title="Picky", paper="", summary="", kind="unstructured", cost="", when="")

    def find_obstacle(self, inputs):
        (x, y), = inputs.images(1000)
        assert x.shape == (2, 1, 8, 8) and y.tolist() == [0, 9] and inputs.sparsity is None
        return 1 / 0

    def scores(self, inputs):
        return {}
"""


RANKED = """
from pruning.method import Card, Method


class Ranked(Method):
    card = Card(title="Ranked", paper="", summary="", kind="unstructured", cost="", when="")

    def scores(self, inputs):
        return {name: SCORE for name, weight in inputs.weights.items()}
"""


@pytest.mark.parametrize(
    ("score", "line"),
    [
        ("weight.abs()", ""),
        (
            "weight.abs().sum(0)",
            "scores of 'fc1.weight' must have the shape of the weight, (300, 64), but got (64,)",
        ),
        ("weight.absolut()", "AttributeError: 'Tensor' object has no attribute 'absolut'"),
        # Two random images are no proof that a trained network has none of these.
        ("weight.abs() / 0 * 0", ""),
        ("weight @ weight", ""),
    ],
)
def test_a_method_of_the_user_is_rehearsed(score: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "ranked.py").write_text(RANKED.replace("SCORE", score))
    study = make_study("x", ["ranked"], model="mlp", method_path=[str(tmp_path / "ranked.py")])
    before = {name: value.clone() for name, value in probed_weights().items()}
    specs = [trial.spec for trial in make_plan(study).trials]
    network_probe._find_obstacle.cache_clear()
    if line:
        with pytest.raises(UserError) as caught:
            check_trials(study, specs)
        told = "model 'mlp' (1x8x8 images, 10 classes) cannot be pruned by ranked: "
        assert str(caught.value) == told + line
    else:
        check_trials(study, specs)
    after = probed_weights()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def probed_weights() -> dict[str, torch.Tensor]:
    return model_check.build_and_train("mlp", (1, 8, 8), 10).state_dict()


def test_it_is_tried_once_and_draws_no_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TrialSpec(
        dataset="digits", model="tests.networks.forward_passes:deformable", method="grasp", seed=0
    )
    network_probe.forget_networks()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = find_obstacle(spec, (1, 8, 8), 10)
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr("pruning.prunable_layers.select_weights", None)
    again = spec.model_copy(update={"seed": 5, "sparsities": (0.9,)})
    assert first and find_obstacle(again, (1, 8, 8), 10) == first


def test_a_network_is_built_once_for_all_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    network_probe.forget_networks()
    model_check.count_macs_and_parameters.cache_clear()
    built = []
    build = model_registry.build_model

    def counted(name: str, **sizes: Any) -> Any:
        built.append(name)
        return build(name, **sizes)

    monkeypatch.setattr(model_registry, "build_model", counted)
    model = "tests.networks.architectures:cat"
    for method in ("magnitude", "wanda", "l1_filter", "fpgm"):
        spec = TrialSpec(dataset="digits", model=model, method=method, seed=0, sparsities=(0.5,))
        assert find_obstacle(spec, (1, 8, 8), 10) is None
    assert built == [model]


def test_the_projects_networks_are_planned_without_torch() -> None:
    code = (
        "import sys; from sweeps import full_study; "
        "code = full_study.main(['--preset', 'full', '--dry-run', '--out', '/nowhere/x'])\n"
        "assert code == 0 and not {'torch', 'ray'} & set(sys.modules), code"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    "model",
    [
        name if name in ("resnet8", "simple_cnn") else pytest.param(name, marks=pytest.mark.slow)
        for name in dict.fromkeys(name for name, _, _ in sizes.COSTS)
        if name not in DEEPER
    ],
)
def test_the_projects_networks_are_fit_for_all_methods(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not tried when a study is planned, so here they are."""
    monkeypatch.setattr(network_probe, "COSTS", {})
    built_in = [name for name in registry.list_methods() if not registry.find_user_method(name)]
    dataset = "mnist" if model == "lenet5_caffe" else "digits"  # it needs 16 x 16
    specs = [
        TrialSpec(dataset=dataset, model=model, method=name, seed=0, sparsities=(0.5,))
        for name in ["dense", *built_in]
    ]
    check_networks(specs, {(name, None): size for name, size in KNOWN.items()}, built_in)
