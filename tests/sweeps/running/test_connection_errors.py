"""Ray clusters that do not answer or are another user's, and what stops Ray from starting."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps.running.connection_errors import (
    check_answer,
    check_owner,
    explain_connection_error,
)
from tests.troubles import check_trouble


def test_who_answers_is_passed_and_who_does_not_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_answer(f"127.0.0.1:{port}")
        check_answer("auto")
    with pytest.raises(UserError, match="check the address, start one there with ray start"):
        check_answer(f"127.0.0.1:{port}")


def test_a_dead_cluster_in_the_environment_names_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError) as caught:
        check_answer(f"127.0.0.1:{port}", from_variable=True)
    assert str(caught.value) == (
        f"no Ray cluster answers at '127.0.0.1:{port}' (Connection refused), which the environment "
        "variable RAY_ADDRESS names: unset it, or give --address local to use this machine"
    )
    check_trouble("RAY_ADDRESS names a cluster that is gone", str(caught.value))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            PermissionError(13, "Permission denied", "/home/me/.ray"),
            "set HOME to a folder that you",
        ),
        (RuntimeError("Could not determine home directory."), "set HOME to a folder that you can"),
        (PermissionError(13, "Permission denied", "/tmp/ray"), "set RAY_TMPDIR to a folder with"),
        (OSError(28, "No space left on device", "/home/mean/ray"), "set RAY_TMPDIR to a folder"),
        (RuntimeError("it timed out"), "name a running cluster by --address, or try again"),
    ],
)
def test_the_advice_is_of_the_folder_that_failed(
    error: Exception, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    line = explain_connection_error(error, "")
    assert line.startswith("cannot start Ray on this machine: ") and f"; {advice}" in line
    if "HOME" in advice:
        check_trouble("HOME cannot be written", line, 0)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists() or os.getuid(), reason="needs root")
def test_the_cluster_of_another_user_is_named_with_the_ways_out(tmp_path: Path) -> None:
    other_user = ["setpriv", "--reuid=65534", "--clear-groups"]
    sleeping = subprocess.Popen(
        [*other_user, *_sleep_as(tmp_path / "gcs_server")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sleeping.stdout and sleeping.stdout.readline() == "ready\n"
        check_owner("127.0.0.1:7777")
        with pytest.raises(UserError) as caught:
            check_owner("127.0.0.1:6399")
        assert str(caught.value).startswith(
            "the Ray cluster on this machine at 127.0.0.1:6399 belongs to user 'nobody': give "
            "--address local to start one of your own, or --address 127.0.0.1:6399"
        )
        check_trouble("another user's Ray is on the machine", str(caught.value))
    finally:
        sleeping.kill()
        sleeping.communicate()


def _sleep_as(name: Path) -> list[str]:
    """A shell that has the name and an argument of Ray's control process, and waits."""
    return [
        "bash",
        "-c",
        f'exec -a {name} bash -c "echo ready; read; :" --gcs_server_port=6399',
    ]


def test_our_own_cluster_is_passed() -> None:
    sleeping = subprocess.Popen(
        _sleep_as(Path(sys.executable).with_name("gcs_server")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sleeping.stdout and sleeping.stdout.readline() == "ready\n"
        check_owner("127.0.0.1:6399")
    finally:
        sleeping.kill()
        sleeping.communicate()
