"""The command line: its surface is frozen, its mistakes are one line and exit 2, and looking needs
no torch.

Covers: sweeps/cli/options.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps import full_study

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "sweeps" / "full_study.py"


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, cwd=cwd, timeout=120
    )


def test_the_surface_is_frozen() -> None:
    """A change here changes what users have in their scripts: say so in the changelog, then renew
    the file."""
    from argparse import HelpFormatter

    parser = full_study.make_parser()
    parser.formatter_class = lambda prog: HelpFormatter(prog, width=100)  # type: ignore
    assert parser.format_help() == (Path(__file__).parent / "full_study_help.txt").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--preset", "digit"], "error: no preset 'digit'; did you mean 'digits'?"),
        (
            ["--preset", "digits", "--sparsities", "0.5,1.2"],
            "sparsity must be in [0, 1), but got 1.2",
        ),
        (
            ["--preset", "digits", "--sparsities", "a"],
            "--sparsities takes numbers separated by commas, but got 'a'",
        ),
        (
            ["--preset", "digits", "--seeds", "1.5"],
            "--seeds takes numbers separated by commas, but got '1.5'",
        ),
        (["--preset", "digits", "--methods", "sinflow"], "no method 'sinflow'"),
        (
            ["--preset", "digits", "--set", "recipe.epoch=3"],
            "unknown key 'recipe.epoch'; did you mean 'epochs'?",
        ),
        (["--preset", "digits", "--set", "recipe"], "--set takes key=value"),
        (["--preset", "digits", "--cpus-per-trial", "0"], "resources.cpus_per_trial"),
        (
            ["--study", "/nowhere/x.yaml"],
            "cannot read the study file /nowhere/x.yaml: No such file",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert full_study.main([*words, "--out", str(tmp_path / "study")]) == 2
    told = capsys.readouterr()
    assert line in told.err and told.err.count("\n") == 1 and told.out == ""
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--epochs", "5"], "--epochs 5; did you mean --set recipe.epochs=5?"),
        (["--dataset=mnist"], "--dataset=mnist; did you mean --set dataset=mnist?"),
        (["--sparsity", "0.5"], "--sparsity 0.5; did you mean --sparsities?"),
        (["--sparsities", "0.5", "0.9"], "0.9; did you mean --sparsities 0.5,0.9?"),
        (["--seeds", "0", "1", "2"], "1 2; did you mean --seeds 0,1,2?"),
        (["--set", "recipe.epochs", "5"], "5; did you mean --set recipe.epochs=5?"),
        (["digits"], "digits; see --help"),
    ],
)
def test_words_that_are_no_options_are_one_line_with_what_was_meant(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        full_study.main(words)
    told = capsys.readouterr()
    assert end.value.code == 2 and told.out == ""
    assert told.err == f"error: unrecognized arguments: {line}\n"


def test_data_that_cannot_be_had_is_a_mistake_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [
        "--preset",
        "cifar10_small",
        "--data-dir",
        str(tmp_path / "none"),
        "--out",
        str(tmp_path / "study"),
    ]
    assert full_study.main(words) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_looking_and_mistakes_import_neither_torch_nor_ray() -> None:
    check = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\nfrom sweeps import full_study\n"
    for words, code in (
        (["--list-methods"], 0),
        (["--list-presets"], 0),
        (["--preset", "digits", "--sparsities", "7"], 2),
        (["--study", "missing.yaml", "--dry-run"], 2),
    ):
        check += f"assert full_study.main({words}) == {code}\n"
        check += f"found = {{'torch', 'ray', 'pandas'}} & set(sys.modules), {words}\n"
        check += "assert not found[0], found\n"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, capture_output=True)


def test_help_imports_nothing_heavy() -> None:
    check = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
        "from sweeps import full_study\nfull_study.make_parser().format_help()\n"
        "assert not {'torch', 'ray', 'pydantic', 'yaml', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_it_runs_from_any_folder_uninstalled(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.argv = ['x', '--help']; "
    code += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    words = [sys.executable, "-S", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and "--preset NAME" in done.stdout


def test_a_dry_run_tells_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    words = ["--preset", "digits", "--methods", "magnitude,random", "--out", "study", "--dry-run"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "39 trials, 0 done, 39 missing" in done.stdout
    assert "shared work: 396 epochs instead of 540 (0.73), if every sparsity" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
def test_the_full_study_without_a_gpu_says_what_it_would_cost_and_what_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert full_study.main(["--methods", "magnitude", "--seeds", "42"]) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.count("\n") == 1 and line.startswith(
        "error: study 'full' wants GPUs and this machine has none"
    )
    assert " d " in line and "--gpus-per-trial 0" in line and "--preset digits" in line
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    asked = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--list-methods"], stdout=-1, stderr=-1, text=True
    )
    assert asked.stdout and asked.stderr
    asked.stdout.close()
    assert asked.stderr.read() == "" and asked.wait(60) == 0
    asked.stderr.close()


def test_another_broken_pipe_than_that_of_the_output_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(options: object, invocation: object) -> int:
        raise BrokenPipeError("of a socket")

    monkeypatch.setattr(full_study, "_work", work)
    with pytest.raises(BrokenPipeError, match="of a socket"):
        full_study.main(["--list-methods"])


@pytest.mark.parametrize("words", [["--fres"], ["--pres", "digits"]])
def test_half_an_option_is_none(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        full_study.main(words)
    assert "did you mean --" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["- a\n", "just text", "a: [1", b"\xff\xfe"])
def test_a_damaged_study_file_in_the_directory_is_one_line(
    content: str | bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    assert full_study.main(["--preset", "digits", "--out", str(tmp_path), "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert "study.yaml cannot be read" in told and told.count("\n") == 1


def test_a_directory_that_is_a_file_or_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert full_study.main(["--preset", "digits", "--out", str(tmp_path / "file")]) == 2
    assert "is a file; --out names a directory" in capsys.readouterr().err
    assert full_study.main(["--preset", "digits", "--out", "/proc/study"]) == 2
    assert "/proc/study cannot be used" in capsys.readouterr().err
