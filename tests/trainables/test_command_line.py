"""What all commands share: errors in one line, exit codes and the JSON output."""

import ast
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pruning.user_error import UserError
from tests.troubles import check_trouble
from trainables import command_line
from trainables.command_line import INTERRUPTED, USER_ERROR, Parser, run_command
from trainables.storage.retry import StoreForbidden, StoreLost, StoreUnreachable

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


def run(work: Callable[[], int], **options: object) -> int:
    return run_command(work, interrupted=lambda: "interrupted here", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no\nsuch thing"), USER_ERROR, "error: no such thing\n"),
        (StoreForbidden("not allowed"), USER_ERROR, "error: not allowed\n"),
        (StoreUnreachable("it is away"), 3, "error: it is away\n"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted here\n"),
        (
            ModuleNotFoundError("No module named 'ray'", name="ray"),
            USER_ERROR,
            "error: cannot import 'ray' (it is not installed): "
            "run pip install --editable . in the project's checkout\n",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error), lost=3) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        MemoryError(),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error), lost=3) == 3
    printed = capsys.readouterr().err
    assert f"({str(error) or 'MemoryError'}): raise its limits" in printed
    check_trouble("they are reached later", printed)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        RuntimeError("a bug"),
        ImportError("a bug", name="sweeps.cli"),
        OSError("a bug"),
    ],
)
def test_a_fault_of_the_project_is_no_user_error(error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"):
        run(raising(error))


def test_a_command_may_count_more_as_user_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(FileExistsError("it is there")), user_errors=(OSError,)) == USER_ERROR
    assert run(raising(StoreLost("it is away")), user_errors=(OSError,)) == USER_ERROR
    assert capsys.readouterr().err == "error: it is there\nerror: it is away\n"


def test_the_json_output_is_one_object_whatever_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output: dict[str, object] = {}

    def work() -> int:
        print("for people")
        output["trials"] = 3
        return 1

    assert run(work, output=output) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"trials": 3, "exit_code": 1} and err == "for people\n"
    assert run(raising(UserError("wrong")), output={"trials": 0}) == USER_ERROR
    out, err = capsys.readouterr()
    assert json.loads(out) == {"trials": 0, "error": "wrong", "exit_code": 2}
    assert err == "error: wrong\n"


def test_a_broken_pipe_of_something_else_than_the_output_is_a_fault() -> None:
    with pytest.raises(BrokenPipeError):
        run(raising(BrokenPipeError()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_end_is_an_interruption_and_its_handler_is_put_back(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)

    def work() -> int:
        os.kill(os.getpid(), number)
        return 0

    assert run(work) == INTERRUPTED and signal.getsignal(number) == before
    assert capsys.readouterr().err == "interrupted here\n"


def test_sighup_stays_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def work() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 5

    try:
        assert run(work) == 5
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_library_that_takes_the_signals_does_not_keep_them() -> None:
    def work() -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(15))  # as Ray's import does
        command_line.raise_on_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert run(work) == INTERRUPTED


def test_a_current_folder_that_was_deleted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(lambda: 0) == USER_ERROR
    line = "the current folder cannot be used (No such file or directory): change to one that is"
    printed = capsys.readouterr().err
    assert printed == f"error: {line} there\n"
    check_trouble("the current folder was deleted", printed)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--jsn"], "error: unrecognized arguments: --jsn; did you mean --json?\n"),
        (["x"], "error: unrecognized arguments: x; see --help\n"),
    ],
)
def test_an_unknown_option_names_the_nearest(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="command")
    parser.add_argument("--json", action="store_true")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(words)
    assert capsys.readouterr().err == line
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([*words, "--json"])
    error = line.removeprefix("error: ").strip()
    assert json.loads(capsys.readouterr().out) == {"error": error, "exit_code": 2}


def test_a_python_that_is_too_old_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.check_python()
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match="2"):
        command_line.check_python()
    assert "error: Python must be at least 3.11, but this is 3.9" in capsys.readouterr().err


def read_before_the_check() -> set[Path]:
    """The files of the project that a command has imported when it checks its Python."""
    found: set[Path] = set()
    open_names = ["trainables.command_line"]
    while open_names:
        path = ROOT / f"{open_names.pop().replace('.', '/')}.py"
        if path in found or not path.is_file():
            continue
        found.add(path)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                open_names.append(node.module)
    return found


def test_what_is_imported_before_the_check_is_read_by_an_old_python() -> None:
    """Python 3.9 evaluates `str | None` in a signature, and knows no such type, unless annotations
    are left as text."""
    paths = read_before_the_check()
    assert {path.name for path in paths} >= {"command_line.py", "user_error.py", "safe_output.py"}
    for path in paths:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        ahead = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert "__future__" in ahead, path
