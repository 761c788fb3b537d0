"""Where processes of a study find modules: the project's by its folder, the user's last.

Covers: sweeps/running/python_path.py, sweeps/running/import_path/sitecustomize.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.user_modules import USER_PATH
from sweeps.running.python_path import IMPORT_PATH, make_python_path, worker_variables

ROOT = Path(__file__).resolve().parents[3]


def test_what_the_user_has_set_stays_behind_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/mine", str(IMPORT_PATH), ""]))
    monkeypatch.delenv(USER_PATH, raising=False)
    assert make_python_path() == os.pathsep.join([str(IMPORT_PATH), "/mine"])
    monkeypatch.chdir(tmp_path)
    given = os.environ["PYTHONPATH"]
    with worker_variables() as variables:
        assert variables == {"PYTHONPATH": make_python_path(), USER_PATH: str(tmp_path)}
        assert variables.items() <= os.environ.items()
    assert os.environ["PYTHONPATH"] == given and USER_PATH not in os.environ


def test_a_worker_finds_the_projects_packages_and_no_file_of_the_current_folder(
    tmp_path: Path,
) -> None:
    for name in ("models", "analysis", "queue", "sched"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user ran')")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/sitecustomize.py").write_text("print('another one, too')")
    for name in ("models", "analysis"):  # on PYTHONPATH, too
        (tmp_path / f"elsewhere/{name}.py").write_text("raise SystemExit('another one ran')")
    code = "import queue, sched, sys, models.sizes, analysis; print(models.__path__[0])"
    path = os.pathsep.join([str(IMPORT_PATH), str(tmp_path / "elsewhere")])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"another one, too\n{ROOT / 'models'}\n" and done.stderr == ""
