"""The replication command: what its options mean, and that it runs studies, continues them and
writes their pages.

Covers: sweeps/cli/replicate_command.py.
"""

import shutil
from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps import replicate
from sweeps.cli import replicate_command
from sweeps.study_file import study_reader
from trainables.storage.store import Store

SMALL = """
name: lth_lenet
dataset: digits
model: lenet_300_100
recipe: {epochs: 2, batch: 100, lr: 1.2e-3, optimizer: adam, schedule: constant, augment: none,
         precision: fp32, evaluate_every: 4}
methods:
  - lottery_ticket: {levels: 7, scope: layer, output_rate: half, beside: reinitialised}
  - random_ticket: {levels: 7, scope: layer, output_rate: half}
sparsities: [0.5]
seeds: [0, 1]
"""


def test_set_is_divided_among_the_presets() -> None:
    divide = replicate_command._divide_changes
    given = ["snip_lenet.recipe.epochs=8", "lth_lenet.seeds=[0]", "snip_lenet.also=[]"]
    assert divide(given, ["lth_lenet", "snip_lenet"]) == {
        "lth_lenet": ["seeds=[0]"],
        "snip_lenet": ["recipe.epochs=8", "also=[]"],
    }
    for wrong in ("recipe.epochs=8", "snip_lenet", "han_lenet.seeds=[0]"):
        with pytest.raises(UserError, match="--set begins with one of the presets"):
            divide([wrong], ["snip_lenet"])


def test_presets_are_those_with_claims() -> None:
    choose = replicate_command._choose_presets
    assert choose(None, replicate.REPLICATIONS) == list(replicate.REPLICATIONS)
    assert choose("snip_lenet, lth_lenet,snip_lenet", replicate.REPLICATIONS) == [
        "snip_lenet",
        "lth_lenet",
    ]
    with pytest.raises(UserError, match="no replication 'lth_lenett'; did you mean 'lth_lenet'"):
        choose("lth_lenett", replicate.REPLICATIONS)
    with pytest.raises(UserError, match="--presets names none"):
        choose(",", replicate.REPLICATIONS)


def test_the_page_names_the_command_without_the_places_of_this_machine() -> None:
    named = replicate_command._name_command("snip_lenet", ["recipe.epochs=8", "also=[]"])
    assert named == (
        "python sweeps/replicate.py --presets snip_lenet --set snip_lenet.recipe.epochs=8 "
        "--set 'snip_lenet.also=[]'"
    )
    assert "cores" in replicate_command.describe_machine()


def test_a_page_that_fails_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = replicate.make_parser().parse_args(["--pages", str(tmp_path / "pages")])
    replicate_command._write_page("lth_lenet", [], options, Store.at(tmp_path))
    assert capsys.readouterr().out.startswith("warning: the page was not made: error: ")


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_it_runs_a_study_writes_its_page_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "lth_lenet.yaml").write_text(SMALL)
    monkeypatch.setattr(study_reader, "PRESETS", presets)
    pages = tmp_path / "pages"
    words = ["--presets", "lth_lenet", "--out", str(tmp_path), "--pages", str(pages)]
    words += ["--set", "lth_lenet.recipe.epochs=1", "--address", "local"]
    assert replicate.main([*words, "--dry-run"]) == 0
    assert "6 trials, 0 done" in capsys.readouterr().out and not pages.exists()
    assert replicate.main(words) == 0
    first = (pages / "lth_lenet.md").read_text()
    assert "not run" in first  # the claims of rounds 9 and 12
    assert "`recipe.epochs=1`" in first and "lottery_ticket 2 of 2" in first
    assert str(tmp_path) not in first
    assert len(list(pages.glob("lth_lenet-*.png"))) == 2
    shutil.rmtree(pages)
    capsys.readouterr()
    assert replicate.main(words) == 0  # all is done: only the page is made
    assert "6 of 6 trials done" in capsys.readouterr().out
    assert (pages / "lth_lenet.md").read_text() == first
