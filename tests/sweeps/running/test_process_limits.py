"""Limits under which Ray cannot work are said before it starts; the command under such limits is in
test_out_of_resources.py."""

import os
import resource
import threading
from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps.running import process_limits
from sweeps.running.process_limits import SHARED_MEMORY, THREADS, check_limits
from tests.troubles import check_trouble

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """The limits that the system says, by number, of a user who is not root; none at first."""
    known: dict[int, int] = {}
    monkeypatch.setattr(process_limits, "CONTAINER", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # who runs nothing
    monkeypatch.setattr(
        resource, "getrlimit", lambda number: (known[number],) * 2 if number in known else UNLIMITED
    )
    return known


def test_without_limits_ray_starts_as_ever(limits: dict[int, int]) -> None:
    assert check_limits() == {}


def test_too_few_threads_of_the_user(limits: dict[int, int]) -> None:
    limits[resource.RLIMIT_NPROC] = THREADS
    assert check_limits() == {}
    limits[resource.RLIMIT_NPROC] = THREADS - 1
    with pytest.raises(UserError, match="but ulimit -u leaves 199: ") as caught:
        check_limits()
    check_trouble("ulimit -u, ulimit -v or a container", str(caught.value), 0)


def test_threads_that_run_count(limits: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before, end = process_limits._count_threads(os.getuid()), threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(50)]
    for thread in threads:
        thread.start()
    after = process_limits._count_threads(os.getuid())
    end.set()
    assert after > before


@pytest.mark.parametrize("place", [".", "pids"])  # cgroups of version 2, and of version 1
def test_too_few_threads_of_a_container(place: str, tmp_path: Path, limits: dict[int, int]) -> None:
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    (folder / "pids.current").write_text("30\n")
    (folder / "pids.max").write_text("max\n")
    assert check_limits() == {}
    (folder / "pids.max").write_text("100\n")
    limits[resource.RLIMIT_NPROC] = 10000
    with pytest.raises(UserError, match=r"limit of this container \(pids.max\) leaves 70: "):
        check_limits()


def test_too_little_address_space(limits: dict[int, int]) -> None:
    limits[resource.RLIMIT_AS] = 40 * 10**9
    assert check_limits() == {"object_store_memory": SHARED_MEMORY}
    limits[resource.RLIMIT_AS] = 4 * 10**9
    with pytest.raises(UserError, match=r"but ulimit -v allows 4\.0 GB: raise it") as caught:
        check_limits()
    check_trouble("ulimit -u, ulimit -v or a container", str(caught.value), 1)
