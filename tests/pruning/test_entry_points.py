"""A method, a network and a data set of another package, which is found as if it were installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pruning
from models.model_registry import build_model
from pruning import registry
from pruning.entry_points import list_entry_points, load_function
from pruning.testing import CHECKS
from pruning.user_error import UserError
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.pruning.own_code.small_cnn import IMAGE, seeded_cnn
from tests.trainables.data.folder_images import write_folders
from trainables.data.catalog import ImageFolders, find_files

METHOD = '''
"""A method of another package."""

from __future__ import annotations

from outside_package.helping import score
from pruning.method import Card, Method


class Outside(Method):
    """Keeps the weights that a helper of the package likes."""

    card = Card(title="Outside", paper="-", summary="s", kind="unstructured", cost="c", when="w")

    def scores(self, inputs):
        return {name: score(weight) for name, weight in inputs.weights.items()}
'''
NETWORKS = '''
from torch import nn


def flat(image, classes):
    """A linear network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(image[0] * image[1] * image[2], classes))
'''
IMAGES = """
from pathlib import Path


def find():
    return Path(__file__).parent / "images"


def lose():
    raise OSError("the server is gone")


def count():
    return 3
"""
POINTS = """
[pruning_studies.methods]
outside = outside_package.method_file
absent = outside_package.no_such_file

[pruning_studies.networks]
flat = outside_package.networks:flat

[pruning_studies.datasets]
outside_images = outside_package.images:find
lost_images = outside_package.images:lose
odd_images = outside_package.images:count
unnamed_images = outside_package.images:missing
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, and what tells Python that it is installed."""
    folder = tmp_path / "outside_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helping.py").write_text("def score(weight):\n    return weight.abs()\n")
    (folder / "method_file.py").write_text(METHOD)
    (folder / "networks.py").write_text(NETWORKS)
    (folder / "images.py").write_text(IMAGES)
    notes = tmp_path / "outside_package-1.0.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-package\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    list_entry_points.cache_clear()
    yield folder
    list_entry_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside_package"]:
        del sys.modules[name]


def test_a_method_is_one_of_the_registry_and_keeps_the_rules() -> None:
    assert "outside" in registry.list_methods()
    pruned = pruning.prune(seeded_cnn(), "outside", 0.5, image=IMAGE)
    assert (pruned.method, pruned.sparsity) == ("outside", 0.5)
    CHECKS[0]("outside")
    method = registry.find_user_method("outside")
    assert method is not None and method.source.decode() == METHOD


def test_a_method_is_planned_with_its_digest_and_all_does_not_mean_it() -> None:
    fields = {"name": "n", "dataset": "digits", "model": "mlp", "sparsities": [0.5], "seeds": [0]}
    plan = make_plan(StudySpec.model_validate({**fields, "methods": ["outside"]}))
    method = registry.find_user_method("outside")
    assert method is not None and plan.sources == {"outside": method.digest}
    everything = StudySpec.model_validate({**fields, "methods": "all"})
    assert "outside" not in [entry.name for entry in everything.methods]


def test_a_network_is_known_by_its_short_name() -> None:
    fields = {"name": "n", "dataset": "digits", "methods": ["magnitude"], "sparsities": [0.5]}
    spec = StudySpec.model_validate({**fields, "seeds": [0], "model": "flat"})
    assert spec.model == "outside_package.networks:flat"
    model = build_model(spec.model, image=(1, 4, 4), classes=3)
    assert sum(weight.numel() for weight in model.parameters()) == 16 * 3 + 3


def test_a_data_set_lies_where_its_function_says(package: Path) -> None:
    write_folders(package / "images", train=4, test=2, classes=2)
    files = find_files("outside_images", None)
    assert isinstance(files, ImageFolders)
    assert files.train == package / "images" / "train"
    fields = {"name": "n", "methods": ["magnitude"], "sparsities": [0.5], "seeds": [0]}
    spec = StudySpec.model_validate({**fields, "model": "mlp", "dataset": "outside_images"})
    spec.check_data()
    with pytest.raises(ValueError, match="did you mean 'outside_images'"):
        StudySpec.model_validate({**fields, "model": "mlp", "dataset": "outside_image"})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("lost_images", "data set 'lost_images' of an installed package: OSError: the server"),
        ("odd_images", "must be a folder, but its function returns int"),
        ("unnamed_images", "cannot import 'outside_package.images:missing' of datasets"),
        ("other_images", "no data set 'other_images'"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said_in_one_line(dataset: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_files(dataset, None)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="cannot find 'outside_package.no_such_file' of methods"):
        registry.find_method_class("absent")
    with pytest.raises(UserError, match="no installed package announces datasets 'none'"):
        load_function("datasets", "none")


def test_two_packages_with_one_name_are_refused(tmp_path: Path) -> None:
    notes = tmp_path / "second-1.0.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: second\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text("[pruning_studies.methods]\noutside = second:method\n")
    list_entry_points.cache_clear()
    with pytest.raises(UserError, match="'outside' of methods is announced twice"):
        registry.list_methods()


def test_a_name_that_comes_with_the_project_is_not_announced_silently(tmp_path: Path) -> None:
    """Which of the two would run is not for us to guess."""
    notes = tmp_path / "third-1.0.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text(
        "[pruning_studies.methods]\nsnip = third.snip\n"
        "[pruning_studies.networks]\nmlp = third.networks:mlp\n"
        "[pruning_studies.datasets]\ndigits = third.images:digits\n"
    )
    list_entry_points.cache_clear()
    with pytest.raises(UserError, match="'snip' of methods comes with the project, and an inst"):
        registry.build_method("snip", {})
    assert registry.find_method_class("magnitude")
    fields = {"name": "n", "dataset": "digits", "methods": ["magnitude"], "sparsities": [0.5]}
    with pytest.raises(ValueError, match=r"announces third\.networks:mlp by the same name"):
        StudySpec.model_validate({**fields, "seeds": [0], "model": "mlp"})
    with pytest.raises(UserError, match="'digits' of datasets comes with the project"):
        find_files("digits", None)
