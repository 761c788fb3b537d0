"""The listing of `pruning/methods/` is the registry."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pruning import methods, registry
from pruning.user_error import UserError

FORTY_LINES = '''
"""Keep the weights that came first."""

from pruning.method import Card, Method


class First(Method):
    """Keep the weights with the lowest index in each layer."""

    card = Card("First", "-", "keeps what comes first", "control", "1 retraining", "never")
    scope: str = "layer"

    def scores(self, inputs):
        return {
            name: -weight.flatten().argsort().view_as(weight).float()
            for name, weight in inputs.weights.items()
        }
'''


def test_a_new_file_is_a_method_without_an_edit_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first_come.py").write_text(FORTY_LINES)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "first_come" in registry.list_methods()
    assert registry.build_method("first_come", {}).card.title == "First"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no method 'magnitud'; did you mean 'magnitude'?"):
        registry.find_method_class("magnitud")
    with pytest.raises(UserError, match="there are: dense"):
        registry.find_method_class("xyzzy")


@pytest.mark.parametrize("knobs", [{"scoop": "layer"}, {"scope": "everywhere"}, {"scope": 3}])
def test_a_knob_it_does_not_have_or_take_is_an_error(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        registry.build_method("magnitude", knobs)


def test_listing_and_laying_out_methods_does_not_import_torch() -> None:
    code = (
        "import sys; from pruning import registry; [registry.find_method_class(name).card for "
        "name in registry.list_methods()];"
        "assert 'torch' not in sys.modules, 'a method file imports torch at its top'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_table_of_methods_has_a_row_for_each() -> None:
    text, _, table = registry.as_markdown().partition("\n\n| ")
    head, _, *rows = f"| {table}".splitlines()
    assert text.startswith("# Methods\n\nA study file names a method") and "--list-methods" in text
    assert head == "| method | kind | what it does | paper | cost | when to use it |"
    card = registry.find_method_class("snip").card
    assert (
        f"| `snip` | {card.kind} | {card.summary} | {card.paper} | {card.cost} | {card.when} |"
        in rows
    )
    assert [row.split("`")[1] for row in rows] == registry.list_methods()
