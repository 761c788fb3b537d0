"""Weights from another study: networks that it kept, and dense weights that it stores."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.user_error import UserError
from trainables.environment import Environment
from trainables.saved_networks import build_untrained
from trainables.storage import layout
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec
from trainables.weights.sources import read_weights
from trainables.weights.study_weights import read_study_weights

torch.set_num_threads(1)

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")
OWN: dict[str, Any] = {"dataset": "digits", "model": "resnet8", "seed": 2, "recipe": RECIPE}
SNIP = TrialSpec(**OWN, method="snip", sparsities=(0.9,))
DENSE = TrialSpec(**OWN, method="dense", rewind_epochs=(0,))
L1 = TrialSpec(**OWN, method="l1_filter", sparsities=(0.4,), retrain=RECIPE)
IMAGE = (1, 8, 8)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Trial]]:
    """A study with three trials: masked and kept, dense and stored, with channels removed."""
    folder = tmp_path_factory.mktemp("study")
    trials = {}
    for spec, keep in ((DENSE, "none"), (SNIP, "all"), (L1, "all")):
        trials[spec.method] = Trial(spec, Environment(store=str(folder), keep_networks=keep))
        trials[spec.method].run()
    return folder, trials


def read(source: str, **changed: Any) -> Any:
    asked: dict[str, Any] = {"model": "resnet8", "image": IMAGE, "classes": 10, **changed}
    return read_weights(source, **asked)


def test_a_kept_network_gives_its_weights_and_its_normalisation(
    study: tuple[Path, dict[str, Trial]],
) -> None:
    folder, trials = study
    network = trials["snip"].runner.network
    given = read(f"{folder}#{SNIP.key}")
    for name, tensor in network.model.state_dict().items():
        assert torch.equal(given.tensors[name], tensor), name
    data = trials["snip"].runner.loader.data
    assert given.normalise == (tuple(data.mean), tuple(data.std))
    assert f"level 1 of {SNIP.key}, a 'resnet8'" in given.notes
    zeros = sum(int((~mask).sum()) for mask in network.masks.values())
    assert zeros and f"{zeros} of its weights are zero: they were pruned" in given.notes
    assert read(f"{folder}#{SNIP.key}@1").digest == given.digest
    assert read(f"{folder}#digits-resnet8/snip").digest == given.digest


def test_dense_weights_are_those_after_the_last_epoch(
    study: tuple[Path, dict[str, Trial]],
) -> None:
    folder, trials = study
    stored = layout.state_folder(layout.ARTIFACTS, DENSE.key)
    assert len(list((folder / stored).glob("epoch-*.pt"))) == 2, "epoch 0 and the last"
    given = read(f"{folder}#{DENSE.key}")
    for name, tensor in trials["dense"].runner.network.model.state_dict().items():
        assert torch.equal(given.tensors[name], tensor), name
    assert given.normalise is None
    assert f"the dense weights of {DENSE.key} after epoch 1" in given.notes
    assert read(f"{folder}#{DENSE.key}@0").digest == given.digest


def test_they_fit_another_number_of_classes_with_a_fresh_head(
    study: tuple[Path, dict[str, Trial]],
) -> None:
    source = f"{study[0]}#{SNIP.key}"
    with pytest.raises(UserError, match="trained on 10 classes, and the data has 7: draw the last"):
        read(source, classes=7)
    given = read(source, classes=7, fresh=("head",))
    assert given.fresh == ("fc.weight", "fc.bias")
    network = build_untrained("resnet8", IMAGE, 7)
    assert network.load_state_dict(given.tensors, strict=False).unexpected_keys == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (SNIP.key + "@3", f"keeps no level 3 of {SNIP.key}; there are: 1"),
        (DENSE.key + "@2", f"keeps no level 2 of {DENSE.key}"),
        ("digits-resnet8", "begins 3 keys, e.g. digits-resnet8/dense/"),
        ("digits-resnet8/synflow", "keeps no weights of 'digits-resnet8/synflow'"),
        (L1.key, "so its weights do not fit 'resnet8'; take a dense or masked network"),
    ],
)
def test_what_is_not_kept_or_does_not_fit_is_one_line(
    study: tuple[Path, dict[str, Trial]], place: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(f"{study[0]}#{place}")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study with weights in"):
        read_study_weights(str(tmp_path), "digits", None)


def test_of_a_study_in_a_bucket(study: tuple[Path, dict[str, Trial]], remote: Store) -> None:
    folder = study[0]
    for file in folder.rglob("*.*"):
        if file.is_file():
            remote.write(file.relative_to(folder).as_posix(), file.read_bytes())
    expected = read(f"{folder}#{SNIP.key}")
    assert read(f"{remote.uri}#{SNIP.key}").digest == expected.digest


def test_a_damaged_network_is_one_line(tmp_path: Path) -> None:
    Trial(SNIP, Environment(store=str(tmp_path), keep_networks="all")).run()
    (file,) = (tmp_path / "networks").rglob("*.pt")
    file.write_bytes(file.read_bytes()[:-5])
    with (
        pytest.warns(UserWarning, match="does not match its checksum"),
        pytest.raises(UserError, match="is damaged; run that study again"),
    ):
        read(f"{tmp_path}#{SNIP.key}")
