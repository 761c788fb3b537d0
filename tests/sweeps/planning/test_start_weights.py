"""Studies that begin with trained weights: read, named by a digest, put into the study directory,
and gone on with where the file is gone.

Covers: sweeps/planning/start_weights.py
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.model_registry import build_model
from pruning.user_error import UserError
from sweeps import full_study
from sweeps.planning.plan import make_plan
from sweeps.planning.start_weights import describe_start, put_weights, resolve_weights
from sweeps.study_file.study import StudySpec, build_study
from trainables.environment import Environment
from trainables.storage.parquet_tables import read_table
from trainables.storage.store import Store
from trainables.trial import Trial
from trainables.weights.given_weights import read_given_weights

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 0, "batch": 400, "augment": "none", "compile": False},
    "methods": ["magnitude_post"],
    "sparsities": [0.5],
    "seeds": [0, 1],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of the tiny study's network, as training scripts save them."""
    return save_weights(tmp_path / "trained.pth", seed=5)


def save_weights(path: Path, *, seed: int, classes: int = 10) -> Path:
    """A file of weights of an mlp for digits."""
    torch.manual_seed(seed)
    model = build_model("mlp", image=(1, 8, 8), classes=classes)
    names = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": names, "epoch": 7}, path)
    return path


def study(**fields: Any) -> StudySpec:
    """The tiny study with some fields."""
    return build_study({**TINY, **fields}, where="test")


def run(spec: StudySpec, folder: Path) -> list[dict[str, Any]]:
    """All trials of a resolved study in this process; the rows of each."""
    store = Store.at(folder)
    put_weights(spec, store)
    environment = Environment(store=store.uri)
    rows = []
    for trial in make_plan(spec).trials:
        Trial(trial.spec, environment).run()
        rows += read_table(store, "rows", trial.key).to_pylist()
    return rows


def test_the_dense_network_is_the_given_one_with_every_seed(file: Path, tmp_path: Path) -> None:
    spec = resolve_weights(study(weights=str(file)), Store.at(tmp_path / "study"))
    rows = run(spec, tmp_path / "study")
    dense = [row for row in rows if row["method"] == "dense"]
    assert spec.weights is not None
    assert {row["weights"] for row in rows} == {spec.weights.digest} and len(dense) == 2
    assert len({row["digest"] for row in dense}) == 1
    tensors = read_given_weights(Store.at(tmp_path / "study"), str(spec.weights.digest))
    names = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(tensors[name.removeprefix("module.")], names[name]) for name in names)


def test_methods_at_initialisation_score_the_given_weights(file: Path, tmp_path: Path) -> None:
    """What magnitude keeps of an untrained network with random weights differs with the seed; of
    the given weights it does not."""
    fields: dict[str, Any] = {"methods": ["synflow"], "weights": str(file)}
    spec = resolve_weights(study(**fields), Store.at(tmp_path / "study"))
    rows = [row for row in run(spec, tmp_path / "study") if row["method"] == "synflow"]
    assert len({row["digest"] for row in rows}) == 1 and len(rows) == 2


def test_rewinding_goes_back_to_the_given_weights(file: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "methods": [{"lottery_ticket": {"levels": 1}}],
        "recipe": {**TINY["recipe"], "epochs": 1},
        "weights": str(file),
    }
    store = Store.at(tmp_path / "study")
    spec = resolve_weights(study(**fields, seeds=[0]), store)
    put_weights(spec, store)
    dense, ticket = (trial.spec for trial in make_plan(spec).trials)
    given = torch.load(file, weights_only=True)["state_dict"]
    for trial_spec in (dense, ticket):
        trial = Trial(trial_spec, Environment(store=store.uri))
        while trial.label.startswith(("train", "prune")) and trial_spec is ticket:
            trial.advance()
            if trial.label.startswith("rewind"):
                trial.advance()
                weights = trial.runner.network.copy_weights()
                mask = trial.runner.network.masks
                for name, tensor in weights.items():
                    kept = mask.get(name, torch.ones_like(tensor, dtype=torch.bool))
                    assert torch.equal(tensor, given[f"module.{name}"] * kept)
                return
        trial.run()
    pytest.fail("the ticket was never rewound")


def test_a_fresh_head_differs_with_the_seed(tmp_path: Path) -> None:
    file = save_weights(tmp_path / "other.pth", seed=5, classes=7)
    with pytest.raises(UserError, match="head: fresh"):
        resolve_weights(study(weights=str(file)), Store.at(tmp_path / "study"))
    weights = {"file": str(file), "head": "fresh"}
    spec = resolve_weights(study(weights=weights), Store.at(tmp_path / "study"))
    rows = [row for row in run(spec, tmp_path / "study") if row["method"] == "dense"]
    assert len({row["digest"] for row in rows}) == 2


def test_the_study_goes_on_where_the_file_is_gone(file: Path, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "study")
    first = resolve_weights(study(weights=str(file)), store)
    put_weights(first, store)
    file.unlink()
    again = resolve_weights(study(weights=str(file)), store)
    assert again == first
    put_weights(again, store)
    with pytest.raises(UserError, match="there is no file of weights"):
        resolve_weights(study(weights=str(file)), Store.at(tmp_path / "another"))


def test_another_content_in_the_file_is_another_study(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(study(weights=str(file)).model_dump_json())
    words = ["--study", str(path), "--out", str(tmp_path / "study"), "--dry-run"]
    assert full_study.main(words) == 0
    assert "begins with: mlp with trained.pth (" in capsys.readouterr().out
    from sweeps.planning.study_directory import write_study_description

    store = Store.at(tmp_path / "study")
    spec = resolve_weights(study(weights=str(file)), store)
    write_study_description(spec, make_plan(spec), store)
    assert full_study.main(words) == 0
    save_weights(file, seed=6)
    capsys.readouterr()
    assert full_study.main(words) == 2
    assert "holds a study with weights = " in capsys.readouterr().err


def test_a_digest_in_the_study_file_is_checked(file: Path, tmp_path: Path) -> None:
    weights = {"source": str(file), "digest": "0" * 16}
    with pytest.raises(UserError, match="weights.digest is 0{16}, but the tensors of "):
        resolve_weights(study(weights=weights), Store.at(tmp_path))


def test_the_command_line_names_the_weights(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative path is one of the working folder."""
    monkeypatch.chdir(file.parent)
    path = tmp_path / "study.yaml"
    path.write_text(study(weights={"file": "nowhere.pth", "head": "fresh"}).model_dump_json())
    words = ["--study", str(path), "--out", str(tmp_path / "study"), "--dry-run"]
    assert full_study.main([*words, "--weights", "trained.pth"]) == 0
    assert "trained.pth" in (out := capsys.readouterr().out) and "head drawn" in out
    assert full_study.main([*words, "--weights", "lost.pth"]) == 2
    assert "there is no file of weights 'lost.pth'" in capsys.readouterr().err


def test_a_study_without_weights_needs_neither_torch_nor_a_line() -> None:
    spec = study()
    assert resolve_weights(spec, Store.at("nowhere")) is spec and describe_start(spec) == []


def give_random_weights() -> dict[str, torch.Tensor]:
    """Other weights at every call."""
    return build_model("mlp", image=(1, 8, 8), classes=10).state_dict()


def test_a_source_that_changes_by_itself_is_refused(tmp_path: Path) -> None:
    spec = study(weights="tests.sweeps.planning.test_start_weights:give_random_weights")
    resolved = resolve_weights(spec, Store.at(tmp_path))
    with pytest.raises(UserError, match="gave other weights a moment ago"):
        put_weights(resolved, Store.at(tmp_path))
