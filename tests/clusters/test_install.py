"""clusters/install.sh with a stand-in for uv, which notes how it is called."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UV = """#!/bin/sh
echo "$@" >> "$HOME/uv.log"
[ -e "$HOME/offline" ] && exit 1
[ "$1" = venv ] && mkdir -p "$HOME/venv/bin"
exit 0
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A node's home with uv and the project in it."""
    for folder in (".local/bin", "pruning/clusters"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".local/bin/uv").write_text(UV)
    (tmp_path / ".local/bin/uv").chmod(0o755)
    (tmp_path / "pruning/clusters/install.sh").write_bytes(
        (ROOT / "clusters" / "install.sh").read_bytes()
    )
    (tmp_path / "pruning/requirements.lock").write_text("ray==2.60.0\n")
    return tmp_path


def install(home: Path, *words: str) -> int:
    command = ["bash", str(home / "pruning/clusters/install.sh"), *words]
    return subprocess.run(command, env={**os.environ, "HOME": str(home)}, check=False).returncode


def calls(home: Path) -> list[str]:
    return (home / "uv.log").read_text().splitlines()


def test_installs_once_and_again_when_the_lock_changes(home: Path) -> None:
    assert install(home, "--bashrc") == 0
    assert calls(home) == [
        f"venv --quiet --clear --python 3.11 {home}/venv",
        f"pip install --quiet --python {home}/venv/bin/python --requirement "
        f"{home}/pruning/requirements.lock",
    ]
    assert install(home, "--bashrc") == 0
    assert len(calls(home)) == 2
    assert (home / ".bashrc").read_text().count("export PATH=") == 1
    (home / "pruning/requirements.lock").write_text("ray==2.61.0\n")
    assert install(home, "--bashrc") == 0
    assert len(calls(home)) == 4


def test_a_broken_installation_is_made_again(home: Path) -> None:
    (home / "offline").touch()
    assert install(home) != 0
    (home / "offline").unlink()
    assert install(home) == 0
    assert (home / "venv/installed.lock").read_text() == "ray==2.60.0\n"


def test_leaves_the_users_own_shell_alone(home: Path) -> None:
    assert install(home) == 0
    assert not (home / ".bashrc").exists()


def test_every_shell_finds_it(home: Path) -> None:
    assert install(home, "--bashrc") == 0
    (home / "venv/bin/ray").write_text("#!/bin/sh\necho found $RAY_AUTH_MODE\n")
    (home / "venv/bin/ray").chmod(0o755)
    # As Ray opens a shell on a node.
    told = subprocess.run(
        ["bash", "--login", "-c", "-i", "source ~/.bashrc; export OMP_NUM_THREADS=1 && (ray)"],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    assert told.stdout.splitlines()[-1] == "found token"
