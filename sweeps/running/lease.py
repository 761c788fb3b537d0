"""The lease on a study directory, so that only one driver runs it: a small file that names the
driver, which renews it every few seconds.

A second driver refuses to start while the first one is alive. The lease of a driver that was killed
or cut off is taken over. A driver that finds its lease taken over, because it was frozen or cut off
for longer than the other waited, stops.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from pruning.user_error import UserError
from trainables.storage import layout
from trainables.storage.store import Store, StoreLost

# All in seconds: between two renewals; how long the lease of another machine is watched for a
# renewal before it counts as abandoned; how long a killed process of this machine may take to end;
# after which time, of two drivers that start at the same moment, the last writer is known.
BEAT = 10.0
PATIENCE = 3.5 * BEAT
DYING = 1.0
SETTLE = 0.3


@dataclass(frozen=True)
class Lease:
    """Who runs a study: the machine (its name, boot and process namespace), the process, and how
    often it has renewed the lease."""

    launch: str
    host: str
    machine: str
    pid: int
    born: str
    since: float
    beat: int = 0

    @classmethod
    def mine(cls) -> "Lease":
        """A lease of this process."""
        pid = os.getpid()
        return cls(
            uuid4().hex,
            socket.gethostname(),
            _identify_machine(),
            pid,
            _read_start(pid),
            time.time(),
        )

    @classmethod
    def parse(cls, content: bytes) -> "Lease | None":
        """A lease as it is stored; None where it cannot be read."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def encode(self) -> bytes:
        """The content of the file."""
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def holder(self) -> str:
        """Who holds it, in words."""
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {since}"


def _identify_machine() -> str:
    """What tells machines and containers with the same name apart; process ids are valid within
    it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _read_start(pid: int) -> str:
    """When a process started, in ticks since boot, so that another process with its id is not taken
    for it; "" where that is unknown, and for a process that has ended but was not waited for."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    except (OSError, IndexError):
        return ""


def _is_alive(lease: Lease) -> bool:
    """Whether the process of a lease of this very machine still runs."""
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _read_start(lease.pid) == lease.born


def is_gone(lease: Lease) -> bool:
    """Whether the process of a lease is known to have ended: one of another machine is not."""
    return lease.machine == _identify_machine() and not _is_alive(lease)


def _read_lease(store: Store) -> Lease | None:
    try:
        return Lease.parse(store.read(layout.LEASE_FILE))
    except FileNotFoundError:
        return None


def _await_end(store: Store, other: Lease, say: Callable[[str], None]) -> None:
    """Return once the holder of a lease is known to be gone.

    Raises:
        UserError: it is alive.
    """
    busy = UserError(
        f"{store.place()} is already being run by {other.holder}; wait for it or stop it first"
    )
    if other.machine == _identify_machine():
        until = time.monotonic() + DYING
        while _is_alive(other):
            if time.monotonic() > until:
                raise busy
            time.sleep(DYING / 20)
        return
    say(f"this study was being run by {other.holder}; watching {PATIENCE:.0f} s for a sign of life")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        time.sleep(PATIENCE / 20)
        now = _read_lease(store)
        if now is None:
            return
        if now != other:
            raise busy
    say("there is none: taking over")


@contextmanager
def hold_lease(
    store: Store, *, say: Callable[[str], None], lost: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lease of a study directory.

    Args:
        say: prints one line on why it takes time.
        lost: called from another thread, with the reason, when the lease cannot be held any longer.

    Raises:
        UserError: another driver holds it.
    """
    if other := _read_lease(store):
        _await_end(store, other, say)
    lease = Lease.mine()
    store.write(layout.LEASE_FILE, lease.encode())
    time.sleep(SETTLE)
    now = _read_lease(store)
    if now is None or now.launch != lease.launch:
        by = f" by {now.holder}" if now else ""
        raise UserError(
            f"{store.place()} was started{by} at the same moment; wait for it or stop it first"
        )
    ended = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(store, lease, ended, lost), daemon=True, name="lease"
    )
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join(timeout=BEAT)
        with suppress(StoreLost):
            now = _read_lease(store)
            if now is not None and now.launch == lease.launch:
                store.delete(layout.LEASE_FILE)


def _renew(store: Store, lease: Lease, ended: threading.Event, lost: Callable[[str], None]) -> None:
    """Renew a lease until the end, or until it cannot be held."""
    while not ended.wait(BEAT):
        try:
            now = _read_lease(store)
            if now is None or now.launch != lease.launch:
                by = f" by {now.holder}" if now else ""
                return lost(f"{store.place()} has been taken over{by}")
            lease = replace(lease, beat=lease.beat + 1)
            store.write(layout.LEASE_FILE, lease.encode())
        except StoreLost as error:
            return lost(str(error))
    return None
