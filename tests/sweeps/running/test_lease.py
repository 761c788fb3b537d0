"""One driver at a time: the living are respected, the dead are replaced, and who was replaced is
told."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.running import lease
from sweeps.running.lease import Lease, hold_lease
from trainables.storage.layout import LEASE_FILE
from trainables.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    monkeypatch.setattr(lease, "PATIENCE", 0.6)
    monkeypatch.setattr(lease, "SETTLE", 0.02)
    monkeypatch.setattr(lease, "DYING", 0.1)


def ignore(line: str) -> None:
    pass


def elsewhere(**change: object) -> Lease:
    """A lease of a driver on another machine."""
    there: dict[str, Any] = {"host": "far", "machine": "far 1 pid:[2]", **change}
    return replace(Lease.mine(), **there)


def test_it_is_renewed_while_held_and_gone_afterwards(store: Store) -> None:
    with hold_lease(store, say=ignore, lost=pytest.fail):
        first = Lease.parse(store.read(LEASE_FILE))
        time.sleep(0.3)
        later = Lease.parse(store.read(LEASE_FILE))
        assert first and later and first.launch == later.launch and later.beat > first.beat
        assert later.pid == os.getpid()
    assert not store.exists(LEASE_FILE)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_second_driver_on_the_same_machine_is_refused(store: Store) -> None:
    with (
        hold_lease(store, say=ignore, lost=pytest.fail),
        pytest.raises(
            UserError,
            match=rf"is already being run by process {os.getpid()} on .*; wait for it or stop it",
        ),
        hold_lease(store, say=ignore, lost=pytest.fail),
    ):
        pytest.fail("both hold it")


def test_the_lease_of_a_killed_process_is_taken_over_at_once(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    store.write(LEASE_FILE, replace(Lease.mine(), pid=dead.pid).encode())
    with hold_lease(store, say=pytest.fail, lost=pytest.fail):
        now = Lease.parse(store.read(LEASE_FILE))
        assert now and now.pid == os.getpid()


def test_a_killed_process_that_nobody_waited_for_is_dead(store: Store) -> None:
    zombie = subprocess.Popen(["sleep", "60"])
    holder = replace(Lease.mine(), pid=zombie.pid, born=lease._read_start(zombie.pid))
    store.write(LEASE_FILE, holder.encode())
    zombie.kill()  # and not waited for
    with hold_lease(store, say=pytest.fail, lost=pytest.fail):
        pass
    zombie.wait()


def test_a_process_that_is_about_to_end_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "DYING", 6.0)
    dying = subprocess.Popen(["sleep", "0.3"])
    store.write(
        LEASE_FILE, replace(Lease.mine(), pid=dying.pid, born=lease._read_start(dying.pid)).encode()
    )
    with hold_lease(store, say=pytest.fail, lost=pytest.fail):
        pass
    dying.wait()


def test_a_reused_process_id_is_not_taken_for_the_holder(store: Store) -> None:
    if not Lease.mine().born:
        pytest.skip("this system does not say when a process began")
    store.write(LEASE_FILE, replace(Lease.mine(), born="1").encode())
    with hold_lease(store, say=pytest.fail, lost=pytest.fail):
        pass


def test_another_machine_that_gives_a_sign_of_life_is_respected(store: Store) -> None:
    other = elsewhere()
    store.write(LEASE_FILE, other.encode())
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.1):
            count += 1
            store.write(LEASE_FILE, replace(other, beat=count).encode())

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with (
            pytest.raises(UserError, match="on far"),
            hold_lease(store, say=ignore, lost=pytest.fail),
        ):
            pytest.fail("taken from the living")
    finally:
        ended.set()
        beating.join()


def test_another_machine_that_gives_none_is_replaced_after_a_while(store: Store) -> None:
    store.write(LEASE_FILE, elsewhere().encode())
    printed: list[str] = []
    with hold_lease(store, say=printed.append, lost=pytest.fail):
        now = Lease.parse(store.read(LEASE_FILE))
        assert now and now.host != "far"
    assert (
        "watching" in printed[0]
        and "sign of life" in printed[0]
        and printed[1] == "there is none: taking over"
    )


def test_a_damaged_lease_holds_nobody_up(store: Store) -> None:
    for content in (b"", b"[1]", b"{}", b"\xff"):
        store.write(LEASE_FILE, content)
        with hold_lease(store, say=pytest.fail, lost=pytest.fail):
            pass


def test_who_was_replaced_is_told_and_leaves_the_lease_alone(store: Store) -> None:
    printed: list[str] = []
    with hold_lease(store, say=ignore, lost=printed.append):
        store.write(LEASE_FILE, elsewhere().encode())
        until = time.monotonic() + 20
        while not printed and time.monotonic() < until:
            time.sleep(0.02)
    assert (
        len(printed) == 1
        and "has been taken over by process" in printed[0]
        and "on far" in printed[0]
    )
    other = Lease.parse(store.read(LEASE_FILE))
    assert other and other.host == "far"


def test_of_two_that_start_at_the_same_moment_one_wins(store: Store) -> None:
    won, refused = [], []
    ready = threading.Barrier(2)

    def start() -> None:
        ready.wait()
        try:
            with hold_lease(store, say=ignore, lost=ignore):
                won.append(1)
                time.sleep(0.3)
        except UserError as mistake:
            refused.append(str(mistake))

    both = [threading.Thread(target=start) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(won) == len(refused) == 1
