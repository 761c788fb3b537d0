"""Networks that a study did not save are made again, equal where that is possible."""

import shutil
from pathlib import Path

import pytest

from pruning.user_error import UserError
from tests.trainables.export.small_study import DENSE, MASKED, SLIM, original
from trainables.export import export, load_pruned
from trainables.export.output_check import output_difference
from trainables.storage import checkpoints
from trainables.storage.store import Store
from trainables.trial import Trial


def test_a_trial_is_trained_again_to_the_same_network(
    bare: Path, study: Path, tmp_path: Path
) -> None:
    before = (bare / f"rows/{SLIM.key}.parquet").read_bytes()
    out = export(SLIM.key, bare, again=True, out=tmp_path / "out")
    assert output_difference(original(study, SLIM), load_pruned(out), (1, 8, 8)) == 0
    assert "trained again" not in (out / "README.md").read_text()
    assert (bare / f"rows/{SLIM.key}.parquet").read_bytes() == before, "rows are written once"
    assert [path.parent.name for path in (bare / "networks").rglob("*.pt")] == [
        SLIM.key.rpartition("/")[2]
    ]
    export(SLIM.key, bare, out=tmp_path / "second")  # it is saved from now on


def test_a_dense_network_is_read_from_what_other_trials_start_from(
    bare: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "run", lambda trial: pytest.fail("nothing needs to be trained"))
    out = export(DENSE.key, bare, again=True, out=tmp_path / "out")
    assert output_difference(original(study, DENSE, 0), load_pruned(out), (1, 8, 8)) == 0


def test_dense_weights_of_another_training_are_not_exported_under_the_row(
    bare: Path, study: Path, tmp_path: Path
) -> None:
    store, folder = Store.at(bare), f"artifacts/{DENSE.key}"
    found = checkpoints.read_newest_state(store, folder, "epoch", 1)
    assert found is not None
    other = {
        name: value + 1 if name.endswith("bias") else value for name, value in found[1].items()
    }
    checkpoints.delete_states(store, folder, "epoch", 1)
    checkpoints.publish_state(
        store, folder, "epoch", 1, other
    )  # the artifacts were lost, and made anew on another machine
    out = export(DENSE.key, bare, again=True, out=tmp_path / "out")
    assert output_difference(original(study, DENSE, 0), load_pruned(out), (1, 8, 8)) == 0


def test_a_damaged_saved_network_is_made_again(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    (path,) = (folder / "networks" / SLIM.key).glob("level-*.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="does not match its checksum"):
        out = export(SLIM.key, folder, again=True, out=tmp_path / "out")
    assert output_difference(original(study, SLIM), load_pruned(out), (1, 8, 8)) == 0
    export(SLIM.key, folder, out=tmp_path / "second")  # it is saved again


def test_a_trial_whose_dense_weights_are_gone_says_so(bare: Path, tmp_path: Path) -> None:
    shutil.rmtree(bare / "artifacts")
    with pytest.raises(
        UserError, match="cannot be trained again: .* holds no valid weights of epoch 1"
    ):
        export(MASKED.key, bare, again=True, out=tmp_path / "out")
