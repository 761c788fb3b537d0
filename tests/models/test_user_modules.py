"""Modules of the user: found last, beside the project's packages, and known by their content."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import user_modules
from models.user_modules import (
    PROJECT,
    PROJECT_PACKAGES,
    USER_PATH,
    digest_user_module,
    find_module_file,
    import_user_module,
    list_user_folders,
)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the user's modules; what is imported from it is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)
    monkeypatch.setenv(USER_PATH, str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.path[:] = path
    user_modules._aside.pop(tmp_path, None)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Write `a__b="..."` as a/b.py."""
    for name, content in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_the_folder_is_the_one_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(USER_PATH, raising=False)
    monkeypatch.chdir(tmp_path)
    assert list_user_folders() == [tmp_path]
    monkeypatch.chdir(PROJECT)
    assert list_user_folders() == [], "the project's own folder is on the path anyway"
    monkeypatch.setenv(USER_PATH, os.pathsep.join([str(tmp_path), "/elsewhere"]))
    assert list_user_folders() == [tmp_path, Path("/elsewhere")]


def test_no_file_of_the_folder_takes_the_place_of_pythons(mine: Path) -> None:
    write(mine, sched="raise SystemExit('the user file ran')", net="import sched\nVALUE = sched")
    sys.modules.pop("sched", None)
    module = import_user_module("net")
    assert hasattr(module.VALUE, "scheduler")
    assert sys.path[-2:] == [str(mine), str(PROJECT)] or sys.path[-1] == str(mine)


def test_a_folder_called_models_is_found_beside_the_projects(mine: Path) -> None:
    """As most repositories of pruning have it: a package that imports itself by its name."""
    import models.vgg

    write(
        mine,
        models__resnet="from models.layers import WIDTH\n"
        "from models.vgg import MARK\nfrom models.model_registry import list_models\n"
        "def net():\n    from models import late\n    return WIDTH, MARK, late.VALUE\n",
        models__layers="WIDTH = 7",
        models__late="VALUE = 'late'",
        models__vgg="MARK = 'mine'",
    )
    theirs = import_user_module("models.resnet")
    with user_modules.user_imports("models.resnet"):
        assert theirs.net() == (7, "mine", "late")
    assert "vgg16" in theirs.list_models(), "what only the project has is still to be had"
    assert sys.modules["models.vgg"] is models.vgg and not hasattr(models.vgg, "MARK")
    assert import_user_module("models.resnet") is theirs
    own = import_user_module("models.vgg")
    assert own.MARK == "mine", "a name that both have means the user's"
    assert theirs.MARK is own.MARK


def test_the_digest_covers_what_a_module_imports_of_the_users_files_and_nothing_else(
    mine: Path,
) -> None:
    write(
        mine,
        pack____init__="from . import net",
        pack__net="import json\nimport torch\nfrom pack.blocks import block\n"
        "def build():\n    from .heads import head",
        pack__blocks="from ..pack import sizes\nimport beside",
        pack__sizes="N = 1",
        pack__heads="",
        beside="",
        unused="",
        alone="N = 1",
    )
    before = digest_user_module("pack.net")
    assert len(before) == 64
    for name in ("pack__net", "pack__blocks", "pack__sizes", "pack__heads", "beside"):
        file = mine.joinpath(*name.split("__")).with_suffix(".py")
        content = file.read_text()
        file.write_text(content + "\n# another\n")
        assert digest_user_module("pack.net") != before, name
        file.write_text(content)
    (mine / "unused.py").write_text("N = 2")
    assert digest_user_module("pack.net") == before
    assert digest_user_module("alone") == hashlib.sha256(b"N = 1").hexdigest()


def test_what_is_installed_or_the_projects_has_no_digest(mine: Path) -> None:
    for name in ("torchvision.models", "json", "models.vgg", "no_such_module"):
        assert digest_user_module(name) == ""
    assert find_module_file("no_such_module") is None


def test_nothing_is_imported_to_find_a_digest(mine: Path) -> None:
    write(mine, net="raise SystemExit", other="import net")
    assert digest_user_module("other") and "net" not in sys.modules


def test_the_names_of_the_projects_packages_are_those_that_it_has() -> None:
    code = "import models.user_modules as m, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "False\n"
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks"} == set(PROJECT_PACKAGES)
