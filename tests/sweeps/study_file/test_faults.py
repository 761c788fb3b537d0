"""What is wrong with a study file or an option, and the words that say it.

Covers: sweeps/study_file/yaml_reader.py, sweeps/planning/model_check.py.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import full_study
from tests.sweeps.malformed_requests import assert_one_line, call, judge
from tests.sweeps.study_file.faults import FAULTS, GOOD, OPTION_FAULTS


@pytest.mark.parametrize(("content", "line"), FAULTS, ids=[line[:50] for _, line in FAULTS])
def test_what_is_wrong_is_said(
    content: Any, line: str, request_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request_folder / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (request_folder / "fails.py").write_text("def net(image, classes):\n    return 1 / 0\n")
    (request_folder / "wrong.py").write_text(
        "from torch import nn\ndef net(image, classes):\n    return nn.Flatten(0, 1)\n"
    )
    monkeypatch.syspath_prepend(request_folder)
    text = yaml.safe_dump({**GOOD, **content}) if isinstance(content, dict) else content
    (request_folder / "study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = call(["--study", "study.yaml", "--dry-run"])
    assert code == 2
    assert_one_line(out, err)
    assert line in err


def test_what_is_no_file_is_said_at_once(request_folder: Path) -> None:
    os.mkfifo(request_folder / "pipe")
    for name, line in (
        ("pipe", "a pipe or a device"),
        ("/dev/zero", "a pipe or a device"),
        (".", "Is a directory"),
    ):
        code, out, err = call(["--study", name, "--dry-run"])
        assert code == 2 and line in err
        assert_one_line(out, err)


@pytest.mark.parametrize(
    ("words", "line"), OPTION_FAULTS, ids=[line[:50] for _, line in OPTION_FAULTS]
)
def test_what_is_wrong_with_an_option_is_said(
    words: list[str], line: str, request_folder: Path
) -> None:
    code, out, err = call(["--preset", "digits", *words, "--dry-run"])
    assert code == 2
    assert_one_line(out, err)
    assert line in err


@pytest.mark.parametrize("option", ["--preset=", "--study="])
def test_an_empty_name_is_not_the_default(option: str, request_folder: Path) -> None:
    assert judge([option], request_folder) == 2


def test_a_mistake_does_not_cost_the_old_results(
    request_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request_folder / "studies/s/rows").mkdir(parents=True)
    (request_folder / "studies/s/rows/row.parquet").touch()
    for change in (
        {"methods": {"magnitude": {"rewind_to": 500}}},
        {"data_dir": "nowhere"},
        {"model": "a:b"},
    ):
        (request_folder / "study.yaml").write_text(
            yaml.safe_dump({**GOOD, **change, "methods": ["hrank"], **change})
        )
        assert call(["--study", "study.yaml", "--fresh"])[0] == 2
    assert (request_folder / "studies/s/rows/row.parquet").exists()


def test_an_error_line_is_printable_whatever_it_quotes() -> None:
    line = str(UserError("a\x1b[31m\nb\u202ec\ud800 \x00 \x9b31m é\u2028x " + "y" * 5000))
    assert (
        line.startswith(r"a\x1b[31m b\u202ec\ud800 \x00 \x9b31m é x yyy")
        and line.isprintable()
        and len(line) < 1000
    )


def test_a_terminal_without_our_letters_is_no_reason_to_stop(tmp_path: Path) -> None:
    words = [
        sys.executable,
        full_study.__file__,
        "--preset",
        "cifar10_small",
        "--methods",
        "random",
        "--dry-run",
    ]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0 and b"10 trials" not in done.stderr and rb"\u2248" in done.stdout


def test_every_method_can_be_set_where_a_study_asks_for_all(request_folder: Path) -> None:
    code, out, _ = call(
        ["--preset", "digits", "--set", "methods.magnitude.scope=layer", "--dry-run"]
    )
    assert code == 0 and "267 trials" in out


@pytest.mark.slow
def test_from_a_shell_and_without_dry_run(tmp_path: Path) -> None:
    """As above, but as users meet it: the whole program, asked to run the study."""
    wanted = [content for content, _ in FAULTS if isinstance(content, str | bytes)]
    wanted += [
        yaml.safe_dump({**GOOD, **content})
        for content, _ in FAULTS[12::4]
        if isinstance(content, dict)
    ]
    assert len(wanted) >= 24
    running = []
    for number, content in enumerate(wanted):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "study.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for number in range(len(wanted) + 2):
        if number < len(wanted):
            words = [
                sys.executable,
                full_study.__file__,
                "--study",
                "study.yaml",
                "--address",
                "local",
            ]
            where, both = tmp_path / str(number), subprocess.PIPE
            running.append(subprocess.Popen(words, cwd=where, stdout=both, stderr=both, text=True))
        if number >= 2:
            out, err = running[number - 2].communicate(timeout=60)
            assert running[number - 2].returncode == 2, err
            assert_one_line(out, err)
            assert not [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".pt")]
