"""Output that cannot be written: with real pipes, full disks, closed descriptors and terminals."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.troubles import check_trouble
from trainables.safe_output import SafeStream, safe_output

ROOT = Path(__file__).resolve().parents[2]
WORK = """
import contextlib, os, sys
from trainables.command_line import run_command
def work():
    for number in range(3):
        print("line", number, flush=True)
        print("warning", number, file=sys.stderr, flush=True)
    with open(sys.argv[1], "w") as file, contextlib.suppress(OSError):
        file.write("done")
        file.flush()
        os.write(1, b"of a library\\n")  # which must not get into the file
    return 7
sys.exit(run_command(work, interrupted=lambda: "interrupted"))
"""


def run(tmp_path: Path, shell: str) -> tuple[int, str, str]:
    """Exit code and output of a shell line, in which "$@" is a command that prints and works."""
    command = [sys.executable, "-c", WORK, str(tmp_path / "done")]
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell, "bash", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (tmp_path / "done").read_text() == "done"
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("shell", "out", "err"),
    [
        ('"$@" 2> /dev/null | head -n 1', "line 0\n", ""),
        ('"$@" 2> /dev/null | true', "", ""),
        ('{ "$@" 3>&1 1>&2 2>&3 3>&- | true; } 2> /dev/null', "", ""),
        ('"$@" > /dev/full 2> /dev/full', "", ""),
        ('"$@" >&- 2>&-', "", ""),
        ('"$@" <&- >&-', "", "warning 0\nwarning 1\nwarning 2\n"),
    ],
)
def test_the_work_is_done_and_its_code_stays(
    shell: str, out: str, err: str, tmp_path: Path
) -> None:
    assert run(tmp_path, shell) == (7, out, err)


def test_a_full_disk_is_said_where_it_can_be(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, '"$@" > /dev/full')
    assert (code, out) == (7, "")
    last = "warning: not all output could be written (No space left on device)"
    assert err.splitlines() == ["warning 0", "warning 1", "warning 2", last]
    check_trouble("the output's reader is gone", err)


def test_a_closed_terminal_is_no_reason_to_stop(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    wait = "import sys; sys.stdin.readline()\n"
    running = subprocess.Popen(
        [sys.executable, "-c", wait + WORK, str(tmp_path / "done")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.close(ours)
    running.communicate(b"go\n", timeout=60)
    assert running.returncode == 7 and (tmp_path / "done").exists()


def test_lines_that_come_after_a_full_disk_has_room_again_are_written(tmp_path: Path) -> None:
    class Disk:
        full, text = True, ""

        def write(self, text: str) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            self.text += text

        def flush(self) -> None:
            pass

    disk = Disk()
    stream = SafeStream(disk)
    stream.write("lost\n")
    disk.full = False
    stream.write("kept\n")
    assert disk.text == "kept\n" and stream.reason == "No space left on device"


def test_the_streams_are_those_from_before_afterwards() -> None:
    before = sys.stdout, sys.stderr
    with safe_output():
        assert sys.stdout is not before[0] and sys.stdout.isatty() == before[0].isatty()
    assert (sys.stdout, sys.stderr) == before


def test_text_that_the_stream_cannot_encode_is_still_an_error(tmp_path: Path) -> None:
    with (tmp_path / "ascii").open("w", encoding="ascii") as file, pytest.raises(UnicodeError):
        SafeStream(file).write("≈")
