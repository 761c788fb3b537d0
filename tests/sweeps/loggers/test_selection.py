"""What `--log` can name: errors are one line, before anything starts."""

import sys
from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.loggers import selection


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tensorbord", "--log: no logger 'tensorbord'; did you mean 'tensorboard'?"),
        (",", "--log takes names separated by commas: tensorboard, mlflow, wandb"),
    ],
)
def test_a_name_that_there_is_not_is_one_line(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full_study.main(["--preset", "digits", "--log", text, "--dry-run"]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize("name", selection.PACKAGES)
def test_a_missing_package_is_one_line_with_the_command_before_anything_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda module: None)
    assert (
        full_study.main(["--preset", "digits", "--log", name, "--out", str(tmp_path / "out")]) == 2
    )
    text = capsys.readouterr().err
    assert text.startswith(
        f"error: --log {name} needs a package that is not installed: pip install '{name}"
    )
    assert text.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_package_that_is_there_by_half_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sweeps.loggers.tensorboard_logger", None)
    with pytest.raises(
        UserError,
        match="--log tensorboard: .*; pip install --upgrade 'tensorboard.*', or leave it out",
    ):
        selection.check_loggers("tensorboard")


def test_wandb_asks_nobody_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "login", lambda *, prompt: False)
    with pytest.raises(
        UserError, match="nobody is logged in here: run `wandb login`, or set WANDB_MODE=offline"
    ):
        selection.check_loggers("wandb")
