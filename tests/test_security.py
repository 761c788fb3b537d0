"""Nothing that lies in a study directory or a study file is ever executed: what is planted here
would leave a file behind. That no source calls what could is seen in `test_forbidden_calls.py`."""

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.user_error import UserError
from trainables.data import prepared
from trainables.storage import checkpoints, parquet_tables, schema
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec, dense_spec


class Payload:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """The file that a payload creates; it must not be there in the end."""
    return tmp_path / "executed"


def shapes(sentinel: Path) -> dict[str, bytes]:
    """A payload in every way in which it could lie in a `.pt` file."""
    zipped, legacy, hidden = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(Payload(sentinel), zipped)
    torch.save(Payload(sentinel), legacy, _use_new_zipfile_serialization=False)
    torch.save({"step": 3, "course": {"rows": [Payload(sentinel)]}, "format": 2}, hidden)
    plain = pickle.dumps(Payload(sentinel))
    return {
        "zip": zipped.getvalue(),
        "legacy": legacy.getvalue(),
        "hidden": hidden.getvalue(),
        "pickle": plain,
    }


SHAPES = ["zip", "legacy", "hidden", "pickle"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_payload_is_live(shape: str, sentinel: Path) -> None:
    content = shapes(sentinel)[shape]
    pickle.loads(content) if shape == "pickle" else torch.load(
        io.BytesIO(content), weights_only=False
    )
    assert sentinel.exists()


def plant(store: Store, folder: str, stem: str, number: int, content: bytes) -> None:
    """A file as somebody would write it who can write the study directory: its name has the right
    checksum."""
    store.write(
        f"{folder}/{stem}-{number:06d}-{hashlib.sha256(content).hexdigest()[:16]}.pt", content
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("folder", ["checkpoints/k", "artifacts/k"])
def test_a_planted_state_is_passed_over_and_not_executed(
    folder: str, shape: str, tmp_path: Path, sentinel: Path
) -> None:
    store = Store.at(tmp_path / "study")
    checkpoints.publish_state(store, folder, "step", 1, {"step": 1})
    plant(store, folder, "step", 2, shapes(sentinel)[shape])
    with pytest.warns(UserWarning, match=r"step-000002-\w+\.pt: holds no state .*; passed over"):
        found = checkpoints.read_newest_state(store, folder, "step")
    assert found is not None and found[1] == {"step": 1}
    with pytest.warns(UserWarning, match="holds no state"):
        assert checkpoints.read_newest_state(store, folder, "step", 2) is None
    assert not sentinel.exists()


SPEC = TrialSpec(
    dataset="digits",
    model="mlp",
    method="magnitude",
    sparsities=(0.5,),
    seed=0,
    recipe=Recipe(epochs=1),
)


def test_a_trial_whose_checkpoint_was_planted_begins_anew(
    open_trial: Any, tmp_path: Path, sentinel: Path
) -> None:
    spec, store = dense_spec(SPEC), Store.at(tmp_path)
    for number, content in enumerate(shapes(sentinel).values(), 1):
        plant(store, f"checkpoints/{spec.key}", "step", number * 1_000_000, content)
    with pytest.warns(UserWarning, match="holds no state"):
        trial = open_trial(spec)
    assert trial.step == 0
    trial.run()
    assert trial.done and not sentinel.exists()


def test_a_trial_whose_parent_was_planted_fails_without_executing_it(
    open_trial: Any, tmp_path: Path, sentinel: Path
) -> None:
    from trainables.dense_weights import DenseWeightsMissing

    plant(
        Store.at(tmp_path), f"artifacts/{dense_spec(SPEC).key}", "epoch", 1, shapes(sentinel)["zip"]
    )
    with pytest.warns(UserWarning, match="holds no state"), pytest.raises(DenseWeightsMissing):
        open_trial(SPEC)
    assert not sentinel.exists()


# numpy can load pickles from the index; what is not planted quickly is in the slow form.
QUICK = [
    *(("index.npy", shape) for shape in SHAPES),
    ("facts.json", "pickle"),
    ("pixels.bin", "zip"),
]

FILES = ("facts.json", "index.npy", "pixels.bin")

REST = [pair for pair in product(FILES, SHAPES) if pair not in QUICK]


@pytest.mark.parametrize("pairs", [QUICK, pytest.param(REST, marks=pytest.mark.slow)])
def test_planted_prepared_data_are_made_anew_and_not_executed(
    pairs: list[tuple[str, str]], tmp_path: Path, sentinel: Path
) -> None:
    path = prepared.prepare("digits", cache=tmp_path / "cache")
    good = prepared.load_prepared(path).digest
    for file, shape in pairs:
        (path / file).unlink()  # the old file may still be mapped into this process
        (path / file).write_bytes(shapes(sentinel)[shape])
        with pytest.raises(UserError, match="prepare makes them anew"):
            prepared.load_prepared(path)
        with pytest.warns(UserWarning, match="prepare makes them anew"):
            prepared.prepare("digits", cache=tmp_path / "cache")
        assert prepared.load_prepared(path).digest == good and not sentinel.exists()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("table", schema.TABLES)
def test_a_planted_table_is_not_executed(table: str, shape: str, sentinel: Path) -> None:
    with pytest.raises(parquet_tables.DamagedTable):
        parquet_tables.decode_table(table, shapes(sentinel)[shape])
    assert not sentinel.exists()


TAGS = [
    "!!python/object/apply:pathlib.Path.touch [{path}]",
    "name: !!python/object/apply:os.system ['touch {path}']",
    "published: [!!python/object/new:os.system ['touch {path}']]",
    "? !!python/object/apply:os.system ['touch {path}']\n: 1",
    "name: !!python/name:os.system",
    "name: !!python/module:os",
]


@pytest.mark.parametrize("tag", TAGS)
def test_tags_in_a_study_directory_are_not_executed(
    tag: str, tmp_path: Path, sentinel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis.reading.load import load_study
    from sweeps import full_study

    store, text = Store.at(tmp_path / "study"), tag.format(path=sentinel)
    store.write("study.yaml", text.encode())
    words = ["--preset", "cifar10_small", "--out", str(tmp_path / "study"), "--dry-run"]
    assert full_study.main(words) == 2
    assert (
        "study.yaml cannot be read: line 1: could not determine a constructor"
        in capsys.readouterr().err
    )
    assert any("skipped study.yaml" in warning for warning in load_study(store).warnings)
    (tmp_path / "asked.yaml").write_text(text)
    assert full_study.main(["--study", str(tmp_path / "asked.yaml"), "--dry-run"]) == 2
    assert full_study.main(["--preset", "cifar10_small", "--set", f"name={text}", "--dry-run"]) == 2
    assert not sentinel.exists()


def test_a_damaged_state_is_a_warning_and_not_an_error_that_could_hide_a_payload(
    tmp_path: Path, sentinel: Path
) -> None:
    """A zip archive whose pickle is cut in the middle: loading must neither run its beginning nor
    raise."""
    store = Store.at(tmp_path / "study")
    whole = shapes(sentinel)["zip"]
    for length in range(0, len(whole), 97):
        plant(store, "checkpoints/k", "step", length, whole[:length])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert checkpoints.read_newest_state(store, "checkpoints/k", "step") is None
    assert len(told) == len(range(0, len(whole), 97)) and not sentinel.exists()
