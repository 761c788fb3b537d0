"""A study directory and a request for it: what may change, what a fresh start forgets, who may
write."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.cli.study_launch import make_environment
from sweeps.cli.study_request import read_study
from sweeps.planning.plan import make_plan
from sweeps.planning.study_directory import (
    check_same_study,
    find_changed_augmentations,
    write_study_description,
)
from sweeps.planning.trial_status import record_failure
from sweeps.running import lease
from sweeps.running.lease import hold_lease
from sweeps.study_file.study import build_study
from trainables.storage.store import Store
from trainables.trial import Trial

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 0, "batch": 400, "augment": "none"},
    "methods": ["random"],
    "sparsities": [0.5],
    "seeds": [0, 1],
}


def describe(words: list[str], store: Store) -> int:
    """Describe the study of a command line in a directory; returns its number of trials."""
    spec = read_study(full_study.make_parser().parse_args(words), default_preset="full")
    plan = make_plan(spec)
    write_study_description(spec, plan, store)
    return len(plan.trials)


def test_another_study_in_the_same_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", "digits", "--methods", "magnitude", "--out", str(tmp_path)]
    describe(words, Store.at(tmp_path))
    assert full_study.main([*words, "--set", "recipe.epochs=3", "--dry-run"]) == 2
    assert "holds a study with recipe.epochs = 12, but now it is 3" in capsys.readouterr().err
    assert full_study.main([*words, "--seeds", "7", "--dry-run"]) == 0


def test_an_edited_augmentation_is_named_and_makes_new_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file, name = tmp_path / "edited_augmentation.py", "edited_augmentation:flipped"
    file.write_text("def flipped(image):\n    return image.flip(2)\n")
    recipe = TINY["recipe"] | {"augment": name}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"recipe": recipe}))
    store = Store.at(tmp_path / "out")
    words = ["--study", str(tmp_path / "tiny.yaml"), "--out", store.uri]
    spec = read_study(full_study.make_parser().parse_args(words), default_preset="full")
    before = make_plan(spec)
    assert find_changed_augmentations(before, store) == []
    write_study_description(spec, before, store)
    assert find_changed_augmentations(make_plan(spec), store) == []
    file.write_text("def flipped(image):\n    return image.flip(1)\n")
    after = make_plan(spec)
    assert find_changed_augmentations(after, store) == [name]
    assert not set(before.by_key) & set(after.by_key)
    assert full_study.main([*words, "--dry-run"]) == 0
    assert f"augmentation '{name}' is not as it was at the last launch" in capsys.readouterr().out
    store.write("plan.json", b"[]")
    assert find_changed_augmentations(after, store) == []


def test_a_dry_run_of_a_fresh_start_knows_of_nothing_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--preset",
        "digits",
        "--methods",
        "magnitude",
        "--out",
        str(tmp_path),
        "--fresh",
        "--dry-run",
    ]
    store = Store.at(tmp_path)
    count = describe(words, store)
    record_failure(store, f"{count}", "it was full")
    assert full_study.main([*words, "--set", "recipe.epochs=3"]) == 0
    assert f"{count} trials, 0 done, {count} missing" in capsys.readouterr().out
    assert len(store.list("failures")) == 1


def test_what_a_version_without_a_field_wrote_is_the_same_study(tmp_path: Path) -> None:
    store, spec = Store.at(tmp_path), build_study(TINY, where="test")
    write_study_description(spec, make_plan(spec), store)
    older = yaml.safe_load(store.read("study.yaml"))
    for recipe in (older["recipe"], older["retrain"]):
        del recipe["compile"]
    store.write("study.yaml", yaml.safe_dump(older).encode())
    check_same_study(spec, store)
    older["recipe"]["epochs"] += 1
    store.write("study.yaml", yaml.safe_dump(older).encode())
    with pytest.raises(UserError, match=r"recipe\.epochs = 1, but now it is 0"):
        check_same_study(spec, store)


def test_beside_another_driver_nothing_is_written_even_if_nothing_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "DYING", 0.1)
    monkeypatch.setattr(lease, "SETTLE", 0.01)
    path, store, spec = (
        tmp_path / "study.yaml",
        Store.at(tmp_path / "out"),
        build_study(TINY, where="test"),
    )
    path.write_text(yaml.safe_dump(TINY))
    words = ["--study", str(path), "--out", store.uri]
    for trial in make_plan(spec).trials:
        Trial(trial.spec, make_environment(spec, store)).run()
    assert full_study.main(words) == 0
    told = store.read("plan.json")
    with hold_lease(store, say=print, lost=print):
        assert full_study.main([*words, "--seeds", "0"]) == 2
    assert "is already being run by" in capsys.readouterr().err
    assert store.read("plan.json") == told


def test_other_choices_of_layers_are_another_study(tmp_path: Path) -> None:
    store, spec = Store.at(tmp_path), build_study(TINY, where="test")
    write_study_description(spec, make_plan(spec), store)
    older = yaml.safe_load(store.read("study.yaml"))
    del older["exclude"], older["layer_sparsity"]  # as an older version wrote it
    store.write("study.yaml", yaml.safe_dump(older).encode())
    check_same_study(spec, store)
    other = build_study({**TINY, "exclude": ["last"]}, where="test")
    with pytest.raises(
        UserError, match=r"holds a study with exclude = \[\], but now it is \['last'"
    ):
        check_same_study(other, store)
