"""The user's own methods on their way through the study directory, as a worker sees it."""

import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pruning import registry
from pruning.user_error import UserError
from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import build_study
from trainables.environment import Environment
from trainables.ray_trainable import RayTrial
from trainables.storage import parquet_tables
from trainables.storage.layout import method_file
from trainables.storage.store import Store
from trainables.user_method_files import find_changed_methods, load_method_files, store_method_files

METHOD = '''
from pruning.method import Card, Method

class Mine(Method):
    """Keep the largest weights."""
    card = Card("Mine", "-", "keeps the largest", "unstructured", "1 retraining", "never")
    def scores(self, inputs):
        return {name: weight.abs() for name, weight in inputs.weights.items()}
'''


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of its own; a worker's handler of SIGTERM is put back."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(registry, "_USER_METHODS", {})
    yield
    signal.signal(signal.SIGTERM, before)


def plan_for(folder: Path, text: str = METHOD, **change: object) -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(text)
    recipe = {"epochs": 1, "batch": 400, "precision": "fp32"}
    asked = {
        "name": "own",
        "dataset": "digits",
        "model": "mlp",
        "recipe": recipe,
        "sparsities": [0.5],
        "seeds": [0],
    }
    asked |= {
        "method_path": str(folder / "mine.py"),
        "methods": ["mine", {"reinitialised": {"of": "mine"}}],
    }
    return make_plan(build_study({**asked, **change}, where="test"))


def test_a_worker_that_knows_nothing_runs_the_method_from_the_study_directory(
    tmp_path: Path,
) -> None:
    plan, store = plan_for(tmp_path / "mine"), Store.at(tmp_path / "study")
    store_method_files(plan.sources, store)
    registry._USER_METHODS.clear()
    environment = Environment(store=store.uri)
    for trial in plan.trials:
        worker = RayTrial(
            {"spec": trial.spec.model_dump(mode="json"), "environment": environment.model_dump()}
        )
        while not (told := worker.step())["done"]:
            pass
        assert told["status"] == "done", told
    digest = sha256(METHOD.encode()).hexdigest()
    for trial in plan.trials:
        row = parquet_tables.decode_table(
            "rows", store.read(f"rows/{trial.key}.parquet")
        ).to_pylist()[-1]
        assert (f", mine sha256:{digest[:12]}" in row["versions"]) == (trial.spec.method != "dense")
        assert trial.spec.method == "dense" or row["sparsity_reached"] == pytest.approx(
            0.5, abs=1e-4
        )
    own = registry.find_user_method("mine")
    assert own is not None and own.path.startswith(str(tmp_path / "study" / "methods"))


def test_a_file_that_is_not_the_planned_one_is_not_run(tmp_path: Path) -> None:
    plan, store = plan_for(tmp_path / "mine"), Store.at(tmp_path / "study")
    registry._USER_METHODS.clear()
    with pytest.raises(UserError, match="is missing; launch the study again"):
        load_method_files(plan.sources, store)
    (path,) = (method_file(*item) for item in plan.sources.items())
    store.write(path, (METHOD + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n").encode())
    with pytest.raises(UserError, match="is not the file that the study was planned with"):
        load_method_files(plan.sources, store)
    assert not (tmp_path / "ran").exists() and registry.find_user_method("mine") is None


def test_a_worker_of_an_earlier_content_takes_the_planned_one(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "study")
    plan = plan_for(tmp_path / "new", METHOD + "\nNEW = True\n")
    store_method_files(plan.sources, store)
    registry._USER_METHODS.clear()
    plan_for(tmp_path / "old")
    load_method_files(plan.sources, store)
    assert {name: own.digest for name, own in registry._USER_METHODS.items()} == plan.sources


def test_a_changed_file_makes_new_trials_of_its_own_methods_only(tmp_path: Path) -> None:
    before, after = plan_for(tmp_path / "a"), plan_for(tmp_path / "b", METHOD + "# changed\n")
    kept = {trial.spec.method for trial in before.trials if trial.key in after.by_key}
    assert kept == {"dense"} and len(after.trials) == 3
    store = Store.at(tmp_path / "study")
    assert find_changed_methods(after.sources, store) == []
    store_method_files(after.sources, store)
    assert find_changed_methods(after.sources, store) == []
    assert find_changed_methods(before.sources, store) == ["mine"]


def test_keys_of_the_projects_methods_do_not_know_of_own_ones(tmp_path: Path) -> None:
    alone = make_plan(
        build_study(
            {
                "name": "x",
                "dataset": "digits",
                "model": "mlp",
                "methods": ["magnitude"],
                "sparsities": [0.5],
                "seeds": [0],
            },
            where="test",
        )
    )
    beside = plan_for(tmp_path / "mine", methods=["mine", "magnitude"], recipe={})
    assert set(alone.by_key) < set(beside.by_key)
