"""Methods in files of the user's own: found by their file's name, and refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from pruning import registry
from pruning.user_error import UserError
from pruning.user_methods import load_user_method

ROOT = Path(__file__).parents[2]

METHOD = '''
from __future__ import annotations
from typing import TYPE_CHECKING, Literal
from pruning.method import Card, Method
if TYPE_CHECKING:
    from torch import Tensor

class First(Method):
    """Keep the weights that come first."""
    card = Card("First", "-", "keeps what comes first", "unstructured", "1 retraining", "never")
    scope: Literal["global", "layer"] = "layer"

    def scores(self, inputs) -> dict[str, Tensor]:
        return {
            name: -weight.flatten().argsort().view_as(weight).float()
            for name, weight in inputs.weights.items()
        }
'''


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_USER_METHODS", {})
    monkeypatch.delitem(sys.modules, "user_methods.mine", raising=False)


def write(folder: Path, name: str, text: str = METHOD) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_is_a_method_under_its_name(tmp_path: Path) -> None:
    assert registry.add_user_files(write(tmp_path, "first_come.py")) == ["first_come"]
    assert "first_come" in registry.list_methods() and "magnitude" in registry.list_methods()
    method = registry.build_method("first_come", {"scope": "global"})
    assert method.card.title == "First" and method.model_dump() == {"scope": "global"}
    with pytest.raises(UserError, match="did you mean 'first_come'?"):
        registry.find_method_class("first_com")


def test_a_folder_is_its_files_without_those_that_begin_with_an_underscore(tmp_path: Path) -> None:
    for name in ("one.py", "two.py", "_shared.py", "notes.txt"):
        write(tmp_path, name, METHOD if name in ("one.py", "two.py") else "raise SystemExit")
    assert registry.add_user_files(str(tmp_path)) == ["one", "two"]


def test_a_file_is_read_once_by_a_process(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py")
    registry.add_user_files(path)
    before = registry.find_method_class("mine")
    write(tmp_path, "mine.py", METHOD.replace("First", "Second"))
    registry.add_user_files(path)
    assert registry.find_method_class("mine") is before
    (tmp_path / "elsewhere").mkdir()
    registry.add_user_files(write(tmp_path / "elsewhere", "mine.py"))
    assert registry.find_method_class("mine") is not before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py", "x = 1", "mine.py must define exactly one Method, but defines none"),
        ("mine.py", METHOD + "\nclass Other(First):\n    pass\n", "but defines 2 (First, Other)"),
        ("mine.py", "from pruning.methods.magnitude import Magnitude", "but defines none"),
        (
            "mine.py",
            METHOD.replace("    card =", "    _card ="),
            "First must tell what it is: card = Card(title=",
        ),
        (
            "mine.py",
            METHOD.replace('"unstructured"', '"unstructred"'),
            "must be one of baseline, unstructured, structured, control, but got 'unstructred'",
        ),
        (
            "mine.py",
            METHOD.replace("def scores", "def score"),
            "First must say which weights to keep: define scores(self, inputs) or prune(self, inp",
        ),
        ("mine.py", "class X(\n", "(SyntaxError: '(' was never closed (mine.py, line 1))"),
        ("mine.py", "import not_there", "(ModuleNotFoundError: No module named 'not_there')"),
        ("mine.py", "raise SystemExit(3)", "(SystemExit: 3)"),
        ("mine.py", "raise RuntimeError('first line\\nsecond line')", "(RuntimeError: first line)"),
        ("magnitude.py", METHOD, "a method 'magnitude' comes with the project; give "),
        (
            "my-method.py",
            METHOD,
            "letters, digits and _, then .py, and neither all.py nor _ at the beginning, but got "
            "'my-",
        ),
        ("all.py", METHOD, "but got 'all.py'"),
        ("_mine.py", METHOD, "but got '_mine.py'"),
        ("mine.txt", METHOD, "but got 'mine.txt'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        registry.add_user_files(write(tmp_path, name, text))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert registry.list_methods() == sorted(registry._list_built_in())
    assert "user_methods.mine" not in sys.modules or name != "mine.py"


@pytest.mark.parametrize("place", ["nowhere.py", "nowhere", "\0.py", "~nobody_here/x.py"])
def test_a_place_that_is_not_there_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(UserError, match="no file or folder|must be a path"):
        registry.add_user_files(place if place[0] == "~" else f"{tmp_path}/{place}")


def test_an_empty_folder_and_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no method"):
        registry.add_user_files(str(tmp_path))
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="are both method 'mine'; rename one"):
        registry.add_user_files(write(tmp_path, "mine.py"), write(tmp_path / "other", "mine.py"))


def test_sources_are_of_own_methods_alone_and_of_those_that_are_controlled(tmp_path: Path) -> None:
    registry.add_user_files(
        write(tmp_path, "mine.py"), write(tmp_path, "global.py".replace("global", "layer"))
    )
    own = registry.find_user_method("mine")
    assert (
        own is not None and own.digest == load_user_method("mine", METHOD.encode(), "here").digest
    )
    assert sys.modules[own.kind.__module__].__file__ == "here"
    assert registry.digest_user_files("mine", {}) == {"mine": own.digest}
    assert registry.digest_user_files("reinitialised", {"of": "mine"}) == {"mine": own.digest}
    # A knob of a built-in method whose value is the name of a method of the user's own says nothing
    # of that method.
    assert registry.digest_user_files("magnitude", {"scope": "layer"}) == {}


def test_learning_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pruning import registry; registry.add_user_files(sys.argv[1]); "
        "registry.build_method('mine', {});"
        "assert 'torch' not in sys.modules and not {'ray', 'trainables'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, write(tmp_path, "mine.py")], cwd=ROOT, check=True, timeout=60
    )
