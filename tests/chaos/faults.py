"""The faults of a campaign: which there are, when they come (from a seed alone), and how each is
done."""

import random
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tests.chaos.places import damage
from tests.chaos.processes import Process, below, send

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

T = TypeVar("T")
USER_ERROR = 2  # the driver's exit code
OUTAGES = ("refuse", "hang", "cut", "503", "500", "error")


@dataclass(frozen=True)
class Planned:
    """A fault before it happens; all but what it will meet is drawn from the campaign's seed.

    delay: seconds to wait, counted from when the trials hit by the fault before go on, or at once
    if `hasty`. pick: which of those that can be hit, 0..1. amount: how long it lasts or how bad it
    is, 0..1.
    """

    number: int
    kind: str
    delay: float
    hasty: bool
    pick: float
    amount: float


@dataclass
class Fault:
    """A fault that happened: when (unix time), and to which processes and the trials at work in
    them.

    since: when a fault that processes outlive was over; else `at`.
    """

    planned: Planned
    at: float
    hit: tuple[int, ...]
    keys: tuple[str, ...]
    note: str = ""
    since: float = field(default=0.0)


def draw(seed: int, count: int, shares: dict[str, int]) -> list[Planned]:
    """`count` faults in random order, of each kind a number that follows its share, at least one if
    there is room."""
    moments = random.Random(seed)
    kinds = [kind for kind, share in shares.items() if share]
    deck = kinds[:count]
    while len(deck) < count:
        deck.append(max(kinds, key=lambda kind: shares[kind] / (deck.count(kind) + 1)))
    moments.shuffle(deck)
    return [
        Planned(
            number,
            kind,
            delay=round(moments.uniform(0, 4), 2),
            hasty=moments.random() < 0.15,
            pick=moments.random(),
            amount=round(moments.random(), 3),
        )
        for number, kind in enumerate(deck, start=1)
    ]


def _pick(found: Sequence[T], planned: Planned) -> T:
    return found[int(planned.pick * len(found))]


def _trial(stage: "Stage", planned: Planned) -> None:
    """kill -9 or SIGTERM of one process that runs a trial."""
    victim = _pick(stage.wait_for(stage.working, "a trial at work"), planned)
    stage.begin(planned, [victim])
    send([victim], signal.SIGKILL if planned.kind == "trial killed" else signal.SIGTERM)


def _busy_node(stage: "Stage", planned: Planned) -> list[Process]:
    """All processes of a node on which a trial runs, its raylet first."""

    def busy() -> list[list[Process]]:
        working, everything = set(stage.working()), stage.processes()
        families = [below(everything, node.raylet) for node in stage.living_nodes()]
        return [family for family in families if working & set(family)]

    return _pick(stage.wait_for(busy, "a node with a trial at work"), planned)


def _still(stage: "Stage", family: list[Process]) -> list[Process]:
    """Those of the processes that are still there; the id of one that has gone may be somebody
    else's by now."""
    pids = {process.pid for process in family}
    return [process for process in stage.processes() if process.pid in pids]


def _node_killed(stage: "Stage", planned: Planned) -> None:
    """kill -9 of a raylet and all its workers, as when a machine loses power."""
    family = _busy_node(stage, planned)
    stage.begin(planned, family)
    send(family, signal.SIGKILL)


def _node_drained(stage: "Stage", planned: Planned) -> None:
    """The notice that a machine will be taken back, and a few seconds later the end of it."""
    family = _busy_node(stage, planned)
    seconds = 4 + 4 * planned.amount
    stage.begin(planned, family, f"{seconds:.1f} s notice")
    stage.doomed.add(family[0].pid)
    stage.nodes.drain(stage.node(family[0].pid).name, seconds=seconds)
    stage.watch(seconds)
    send([*below(stage.processes(), family[0].pid), *_still(stage, family)], signal.SIGKILL)


def _node_frozen(stage: "Stage", planned: Planned) -> None:
    """A machine that stops answering until it is declared dead; then it comes back and goes on, or
    never does."""
    family = _busy_node(stage, planned)
    name, returns = stage.node(family[0].pid).name, planned.amount < 0.6
    stage.begin(planned, family, "and came back" if returns else "for good")
    stage.doomed.add(family[0].pid)
    stage.frozen |= {process.pid for process in family}
    send(family, signal.SIGSTOP)
    stage.wait_for(
        lambda: name not in stage.nodes.alive(), "Ray to see that a node is frozen", every=0.5
    )
    if returns:
        send(_still(stage, family), signal.SIGCONT)
        stage.watch(2 + 5 * planned.amount)
    send(_still(stage, family), signal.SIGKILL)
    stage.frozen -= {process.pid for process in family}


def _out_of_memory(stage: "Stage", planned: Planned) -> None:
    """A machine has no memory left until Ray has ended a trial on it."""
    family = _busy_node(stage, planned)
    memory = stage.node(family[0].pid).memory
    assert memory
    victims = {process for process in family if process.is_trial}
    stage.begin(planned, victims)
    memory.run_out()
    try:
        stage.wait_for(
            lambda: not victims <= set(stage.processes()), "Ray to end a worker for want of memory"
        )
    finally:
        memory.come_back()


def _driver(stage: "Stage", planned: Planned) -> None:
    """kill -9 or SIGTERM of the driver."""
    stage.wait_for(lambda: stage.driver.pid and stage.working(), "a driver with a trial at work")
    stage.begin(planned, stage.trials())
    killed = planned.kind == "driver killed"
    stage.driver.signal(signal.SIGKILL if killed else signal.SIGTERM)
    launches = stage.driver.launches
    stage.wait_for(
        lambda: stage.driver.launches > launches, "the driver to end and to be launched again"
    )


def _driver_asked(stage: "Stage", planned: Planned) -> None:
    """SIGTERM to the driver's whole process group, as `timeout` and systemd send it, or SIGHUP, as
    a terminal does that is closed."""
    stage.wait_for(lambda: stage.driver.pid and stage.working(), "a driver with a trial at work")
    stage.begin(planned, stage.trials())
    if planned.kind == "group terminated":
        stage.driver.signal_group(signal.SIGTERM)
    else:
        stage.driver.signal(signal.SIGHUP)
    launches = stage.driver.launches
    stage.wait_for(
        lambda: stage.driver.launches > launches, "the driver to end and to be launched again"
    )


def _output_closed(stage: "Stage", planned: Planned) -> None:
    """Whoever read the driver's output is gone; the study goes on."""
    stage.wait_for(lambda: stage.driver.pid and stage.working(), "a driver with a trial at work")
    fault = stage.begin(planned, stage.trials())
    stage.driver.close_output()
    stage.watch(2)
    fault.since = stage.now()


def _listing_lags(stage: "Stage", planned: Planned) -> None:
    """Listings of the study directory show files only some seconds after they were written."""
    stage.wait_for(stage.working, "a trial at work")
    seconds = 2 + 8 * planned.amount
    fault = stage.begin(planned, stage.trials(), f"by {seconds:.1f} s")
    stage.lag.write_text(f"{seconds}")
    try:
        stage.watch(2 * seconds)
    finally:
        stage.lag.unlink()
        fault.since = stage.now()


def _folder_not_shared(stage: "Stage", planned: Planned) -> None:
    """All nodes are lost, and the one that comes in their place has another folder in place of the
    study directory: the study stops before anything trains there. Then that node goes, too, and the
    study is launched again."""
    assert stage.disk
    stage.wait_for(
        lambda: stage.driver.pid and stage.working() and len(stage.living_nodes()) >= stage.workers,
        "a driver with a trial at work and all nodes",
    )
    everything = stage.processes()
    lost = [process for node in stage.living_nodes() for process in below(everything, node.raylet)]
    fault = stage.begin(planned, lost)
    stopped = stage.driver.codes[USER_ERROR]
    with stage.outage():
        send(lost, signal.SIGKILL)
        node = stage.nodes.add_apart(str(stage.disk.path))
        stage.doomed.add(node.raylet)
        stage.wait_for(
            lambda: stage.driver.codes[USER_ERROR] > stopped,
            "the study to stop at a folder that is not shared",
            patience=240,
        )
        send(below(stage.processes(), node.raylet), signal.SIGKILL)
    fault.since = stage.now()


def _checkpoint_damaged(stage: "Stage", planned: Planned) -> None:
    """The newest checkpoint of a trial is cut off or has a bit flipped, and its process dies."""

    def newest() -> list[tuple[Process, str]]:
        found = []
        files = stage.place.files()
        for process in stage.working():
            start = f"checkpoints/{stage.key_of(process)}/"
            paths = [path for path in files if path.startswith(start) and path.endswith(".pt")]
            if paths:
                found.append((process, max(paths, key=_number)))
        return found

    while True:
        victim, path = _pick(stage.wait_for(newest, "a trial with a checkpoint"), planned)
        send([victim], signal.SIGSTOP)  # else it writes another one meanwhile
        still = [(process, newer) for process, newer in newest() if process.pid == victim.pid]
        if still:
            path = still[0][1]
            break
        send([victim], signal.SIGCONT)
    content, how = damage(stage.place.read(path), how=planned.amount)
    stage.place.overwrite(path, content)
    stage.begin(planned, [victim], how)
    send([victim], signal.SIGKILL)


def _number(path: str) -> int:
    """The position in the name of a checkpoint."""
    found = re.search(r"-(\d+)-[0-9a-f]+\.pt$", path)
    return int(found[1]) if found else -1


def _disk_full(stage: "Stage", planned: Planned) -> None:
    """No byte is left on the disk of the study for some seconds."""
    assert stage.disk
    stage.wait_for(stage.working, "a trial at work")
    seconds = 1 + 5 * planned.amount
    fault = stage.begin(planned, stage.trials(), f"{seconds:.1f} s")
    try:
        with stage.outage():
            for _ in range(round(seconds / 0.2)):
                stage.disk.fill()
                stage.watch(0.2)
    finally:
        stage.disk.free()
        fault.since = stage.now()


def _store_unreachable(stage: "Stage", planned: Planned) -> None:
    """Every request to the object store fails for some seconds, in one of several ways."""
    assert stage.proxy
    stage.wait_for(stage.working, "a trial at work")
    seconds, mode = 1 + 7 * planned.amount, _pick(OUTAGES, planned)
    fault = stage.begin(planned, stage.trials(), f"{seconds:.1f} s, {mode}")
    try:
        with stage.outage():
            stage.proxy.mode = mode
            stage.watch(seconds)
    finally:
        stage.proxy.mode = "ok"
        fault.since = stage.now()


KINDS: dict[str, Callable[["Stage", Planned], None]] = {
    "trial killed": _trial,
    "trial terminated": _trial,
    "checkpoint damaged": _checkpoint_damaged,
    "node killed": _node_killed,
    "node drained": _node_drained,
    "node frozen": _node_frozen,
    "out of memory": _out_of_memory,
    "driver killed": _driver,
    "driver terminated": _driver,
    "group terminated": _driver_asked,
    "terminal closed": _driver_asked,
    "output closed": _output_closed,
    "listing lags": _listing_lags,
    "folder not shared": _folder_not_shared,
    "disk full": _disk_full,
    "store unreachable": _store_unreachable,
}
MOUNTED = ("disk full", "folder not shared", "out of memory")  # which need root
LOCAL = {
    "trial killed": 14,
    "trial terminated": 10,
    "checkpoint damaged": 11,
    "node killed": 9,
    "node drained": 7,
    "node frozen": 6,
    "out of memory": 6,
    "driver killed": 7,
    "driver terminated": 5,
    "group terminated": 4,
    "terminal closed": 4,
    "output closed": 4,
    "listing lags": 4,
    "folder not shared": 3,
    "disk full": 6,
}
REMOTE = {
    "store unreachable": 50,
    "trial killed": 15,
    "checkpoint damaged": 15,
    "node killed": 10,
    "driver killed": 10,
}
