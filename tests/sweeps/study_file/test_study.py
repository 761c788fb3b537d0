"""Study files: what they mean, and the one line that answers every mistake in them.

Covers: sweeps/study_file/study_reader.py, sweeps/study_file/study_fields.py,
sweeps/study_file/inherited_fields.py, sweeps/study_file/method_entry.py,
sweeps/study_file/strict_model.py, pruning/validation_errors.py.
"""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pruning.user_error import UserError
from sweeps.study_file.study import build_study
from sweeps.study_file.study_fields import Published
from sweeps.study_file.study_reader import find_study_presets, read_study_file, read_study_preset

GOOD: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "methods": ["magnitude"],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}

MISTAKES = [
    ({"sparsitys": [0.5]}, "x: unknown key 'sparsitys'; did you mean 'sparsities'?"),
    ({"recipe": {"epoch": 3}}, "x: unknown key 'recipe.epoch'; did you mean 'epochs'?"),
    ({"sparsities": [0.5, 1.2]}, "x: sparsities.1: sparsity must be in [0, 1), but got 1.2"),
    ({"sparsities": [1.0]}, "x: sparsities.0: sparsity must be in [0, 1), but got 1"),
    ({"sparsities": [-0.1]}, "x: sparsities.0: sparsity must be in [0, 1), but got -0.1"),
    ({"sparsities": []}, "x: sparsities: must have at least 1 entry"),
    ({"sparsities": ["half"]}, "x: sparsities.0: must be a number"),
    ({"sparsities": [0.5, 0.5]}, "x: sparsities: 0.5 is listed twice"),
    ({"seeds": [1, 1]}, "x: seeds: 1 is listed twice"),
    ({"seeds": [-1]}, "x: seeds.0: must be at least 0, but got -1"),
    ({"methods": ["sinflow", "magnitude"]}, "x: methods.0: no method 'sinflow'"),
    ({"methods": ["magnitud"]}, "x: methods.0: no method 'magnitud'; did you mean 'magnitude'?"),
    ({"methods": {"magnitude": {"scoop": "layer"}}}, "has no knob 'scoop'; did you mean 'scope'?"),
    (
        {"methods": {"magnitude": {"scope": "everywhere"}}},
        "method 'magnitude': scope: must be 'global'",
    ),
    ({"methods": {"dense": {"scope": "layer"}}}, "method 'dense' has no knob 'scope'; it has none"),
    (
        {"methods": 3},
        "x: methods: methods is a list of names or a mapping of names to knobs, but got 3",
    ),
    ({"model": "vgg61"}, "x: model: no model 'vgg61'; did you mean 'vgg16'?"),
    ({"model": "a:b:c d"}, "x: model: a model of your own is named 'package.module:function'"),
    ({"name": "../up"}, "x: name: must be at most 100 letters"),
    ({"recipe": {"schedule": "multistep"}}, "schedule 'multistep' needs milestones"),
    ({"recipe": 3}, "x: recipe: "),
    (
        {"resources": {"cpus_per_trial": 0}},
        "x: resources.cpus_per_trial: must be above 0, but got 0",
    ),
    ({"dataset": None}, "x: dataset: must be a text, but got nothing"),
    ({"exclude": [""]}, "x: exclude.0: must have at least 1 character"),
    ({"exclude": {"fc": 1}}, "x: exclude: must be a list"),
    ({"layer_sparsity": {"fc": 1.2}}, "sparsity must be in [0, 1), but got 1.2"),
    (
        {"also": [{"exclude": ["fc"]}]},
        "exclude and layer_sparsity must be the same in all settings with mlp on digits and one "
        "recipe; make two studies of them",
    ),
]


@pytest.mark.parametrize(("change", "line"), MISTAKES, ids=[line[:60] for _, line in MISTAKES])
def test_every_mistake_is_one_line_with_the_nearest_fix(change: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        build_study({**GOOD, **change}, where="x")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UserError, match="x: dataset is missing"):
        build_study({name: value for name, value in GOOD.items() if name != "dataset"}, where="x")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: [1", "is not YAML"),
        ("- a\n- b", "must be a mapping of keys to values, but is a list"),
        ("", "must be a mapping of keys to values, but is empty"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(UserError, match=line) as caught:
        read_study_file(tmp_path / "study.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_preset_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot read the study file /nowhere.yaml: No such file"):
        read_study_file("/nowhere.yaml")
    with pytest.raises(UserError, match="no preset 'digit'; did you mean 'digits'?"):
        read_study_preset("digit")


@pytest.mark.parametrize("name", find_study_presets())
def test_every_preset_is_a_valid_study_of_its_own_name(name: str) -> None:
    spec = build_study(read_study_preset(name), where=name)
    assert spec.name == name and spec.description


def test_retraining_inherits_what_it_does_not_say() -> None:
    spec = build_study(
        {**GOOD, "recipe": {"epochs": 9, "lr": 0.4, "batch": 32}, "retrain": {"epochs": 3}},
        where="x",
    )
    assert (spec.retrain.epochs, spec.retrain.batch, spec.retrain.lr) == (3, 32, 0.04)
    assert build_study({**GOOD, "recipe": {"lr": "5e-2"}}, where="x").retrain.lr == 0.005, (
        "YAML takes 5e-2 for text"
    )
    recipe = {"schedule": "multistep", "milestones": [3], "epochs": 5}
    assert (
        build_study(
            {**GOOD, "recipe": recipe, "retrain": {"schedule": "cosine"}}, where="x"
        ).retrain.milestones
        == ()
    )


def test_retraining_by_another_schedule_leaves_out_what_belongs_to_the_first() -> None:
    onecycle = {"schedule": "onecycle", "pct_start": 0.2, "cycle_momentum": True, "epochs": 5}
    cosine = {"schedule": "cosine", "warmup": 2, "epochs": 5, "ema": 0.9}
    study = build_study({**GOOD, "recipe": onecycle, "retrain": {"schedule": "cosine"}}, where="x")
    assert (study.retrain.pct_start, study.retrain.cycle_momentum) == (0.3, False)
    assert study.retrain.epochs == 5
    study = build_study({**GOOD, "recipe": cosine, "retrain": {"schedule": "onecycle"}}, where="x")
    assert (study.retrain.warmup, study.retrain.ema) == (0, 0.9)
    study = build_study({**GOOD, "recipe": cosine, "retrain": {"schedule": "constant"}}, where="x")
    assert study.retrain.warmup == 2, "as before there was onecycle"


def test_a_list_of_values_is_an_axis_and_defaults_leave_the_key_alone() -> None:
    spec = build_study(
        {**GOOD, "methods": {"magnitude": {"scope": ["global", "layer"], "rewind_to": [0, 2]}}},
        where="x",
    )
    assert spec.methods[0].choices() == [
        {},
        {"rewind_to": 2},
        {"scope": "layer"},
        {"scope": "layer", "rewind_to": 2},
    ]


def test_all_stands_for_the_methods_not_named() -> None:
    from pruning import registry

    spec = build_study({**GOOD, "methods": ["all", {"random": {"layers": "erk"}}]}, where="x")
    named = {"dense_longer", "magnitude_init", "random_ticket", "reinitialised_ticket"}
    included = [name for name in registry.list_methods() if name not in named]
    assert sorted(entry.name for entry in spec.methods) == included
    assert next(entry for entry in spec.methods if entry.name == "random").knobs == {
        "layers": "erk"
    }


def test_dense_longer_is_named_beside_all() -> None:
    spec = build_study({**GOOD, "methods": ["all", "dense_longer"]}, where="x")
    names = [entry.name for entry in spec.methods]
    assert names.count("dense_longer") == 1 and len(names) > 20


def test_unknown_data_sets_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cifar11"):
        build_study({**GOOD, "dataset": "cifar11"}, where="x").check_data()
    with pytest.raises(UserError, match="no-such-folder"):
        build_study(
            {**GOOD, "dataset": "cifar10", "data_dir": str(tmp_path / "no-such-folder")}, where="x"
        ).check_data()


def test_further_settings_change_what_they_say() -> None:
    raw = {
        **GOOD,
        "recipe": {"epochs": 9, "lr": 0.2},
        "also": [{"model": "simple_cnn", "recipe": {"epochs": 3}}],
    }
    spec = build_study(raw, where="x")
    first, second = spec.settings
    assert (first.model, first.recipe.epochs) == ("mlp", 9)
    assert (second.model, second.recipe.epochs, second.recipe.lr, second.seeds) == (
        "simple_cnn",
        3,
        0.2,
        [0, 1],
    )
    with pytest.raises(
        UserError,
        match="also may change dataset, exclude, image_size, layer_sparsity, methods, model",
    ):
        build_study({**GOOD, "also": [{"seeds": [3]}]}, where="x")


def test_layers_are_chosen_by_name_for_a_study_and_its_settings() -> None:
    study = build_study(
        {
            **GOOD,
            "exclude": "first",
            "layer_sparsity": {"last": 0.5},
            "also": [{"model": "resnet8"}, {"model": "resnet20", "exclude": ["conv1", "fc"]}],
        },
        where="x",
    )
    assert [setting.exclude for setting in study.settings] == [
        ["first"],
        ["first"],
        ["conv1", "fc"],
    ]
    assert all(setting.layer_sparsity == {"last": 0.5} for setting in study.settings)
    assert build_study(GOOD, where="x").exclude == []


def test_a_published_number_may_have_a_spread_of_a_named_kind_and_a_number_of_runs() -> None:
    entry = {"dataset": "digits", "model": "mlp", "method": "dense", "sparsity": 0.0}
    entry |= {"value": 97.0, "source": "A 2020"}
    given = {"spread": 0.3, "spread_is": "standard deviation", "n": 3}
    published = Published.model_validate(entry | given)
    assert (published.spread, published.spread_is, published.n) == (0.3, "standard deviation", 3)
    plain = Published.model_validate(entry)
    assert (plain.spread, plain.spread_is, plain.n) == (None, None, None)
    for wrong in ({"spread": 0.3}, {"spread_is": "reading"}):
        with pytest.raises(ValidationError, match="spread and spread_is belong together"):
            Published.model_validate(entry | wrong)
    unfit = ({"spread": -1, "spread_is": "reading"}, {"n": 0}, {"spread": 1, "spread_is": "?"})
    for wrong in unfit:
        with pytest.raises(ValidationError):
            Published.model_validate(entry | wrong)
