"""A Ray cluster of several nodes on this machine, in a process of its own that survives the drivers
it serves.

    with Nodes.started(folder, environment) as nodes:
        node = nodes.add()
        nodes.drain(node.name, seconds=5)

The process ends when the pipe to its standard input closes, so also when the campaign is killed,
and takes everything of the campaign with it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.chaos.memory import Memory

HERE = Path(__file__).resolve().parent
HEALTH = {  # a frozen node counts as dead after about 8 s instead of 60
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


@dataclass(frozen=True)
class Node:
    """A node of the cluster: Ray's id of it, the process id of its raylet, and its memory, where it
    has one of its own."""

    name: str
    raylet: int
    memory: Memory | None = None


@dataclass
class Nodes:
    """The cluster as the campaign sees it. `added` are all worker nodes so far, dead
    ones included; each has a memory of its own, described in `memories`, if that is a folder."""

    process: subprocess.Popen[str]
    memories: Path | None = None
    address: str = ""
    added: list[Node] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    @contextmanager
    def started(
        cls, folder: Path, environment: Mapping[str, str], *, own_memory: bool = False
    ) -> Iterator["Nodes"]:
        """A cluster with a head that runs no trials; what Ray prints goes to `folder`/nodes.log.

        own_memory: nodes can run out of memory, each for itself, which needs root.
        """
        with (folder / "nodes.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "nodes.py"), environment["RAY_TMPDIR"]],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        nodes = cls(process, folder if own_memory else None)
        try:
            nodes.address = nodes._ask("head")["address"]
            yield nodes
        finally:
            assert process.stdin and process.stdout
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def add(self) -> Node:
        """Add a node with one CPU."""
        memory = None
        if self.memories:
            memory = Memory(self.memories / f"meminfo{len(self.added)}")
        answer = self._ask("add", meminfo=str(memory.path) if memory else None)
        node = Node(answer["name"], answer["raylet"], memory)
        self.added.append(node)
        return node

    def add_apart(self, folder: str) -> Node:
        """A node with one CPU that sees another, empty folder in the place of one; it is not among
        `added`."""
        answer = self._ask("apart", folder=folder)
        return Node(answer["name"], answer["raylet"])

    def drain(self, name: str, *, seconds: float) -> None:
        """Announce that a node will be preempted, as a cloud does before it takes a
        machine back."""
        self._ask("drain", name=name, seconds=seconds)

    def alive(self) -> set[str]:
        """Ids of the nodes that Ray takes to be alive."""
        return set(self._ask("alive")["names"])

    def actors(self) -> list[str]:
        """Actors that are not dead, each as `class state`."""
        return list(self._ask("actors")["actors"])

    def end(self) -> list[str]:
        """Shut the cluster down as Ray does it; returns the command lines of what lives on. Nothing
        may follow."""
        return list(self._ask("end")["left"])

    def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        with self._turn:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process that keeps the Ray cluster has ended; see nodes.log")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the Ray cluster could not do '{do}': {answer['error']}")
        return answer


def serve() -> bool:
    """Keep a cluster and do what is asked on standard input, one line of JSON each, until it
    closes.

    Returns: whether the end was asked for; else the campaign has died.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Ray prints does not get between the answers
    from ray.cluster_utils import Cluster

    cluster, ends = Cluster(), False
    for line in sys.stdin:
        request = json.loads(line)
        ends = request["do"] == "end"
        try:
            answer = _do(cluster, request)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        try:
            answers.write(json.dumps(answer) + "\n")
        except BrokenPipeError:  # the campaign died while it waited for this
            return False
    return ends


def _do(cluster: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "head":
            _start_head(cluster)
            return {"address": cluster.address}
        case "add":
            meminfo = request["meminfo"]
            return _add(cluster, f"mount --bind {meminfo} /proc/meminfo" if meminfo else None)
        case "apart":
            return _add(cluster, f"mount -t tmpfs none {request['folder']}")
        case "drain":
            _drain(cluster, request["name"], request["seconds"])
            return {}
        case "alive":
            return {
                "names": [
                    node["NodeID"] for node in cluster.global_state.node_table() if node["Alive"]
                ]
            }
        case "actors":
            table = cluster.global_state.actor_table(None).values()
            return {
                "actors": [
                    f"{a['ActorClassName']} {a['State']}" for a in table if a["State"] != "DEAD"
                ]
            }
        case "end":
            with suppress(Exception):  # it complains of nodes that were killed
                cluster.shutdown()
            return {"left": _survivors(20)}
    raise ValueError(f"nothing is called '{request['do']}'")


def _start_head(cluster: Any) -> None:
    """Start a head without CPUs, in which no trial runs; on a machine that is very busy Ray may
    need several tries."""
    for tries_left in (2, 1, 0):
        try:
            cluster.add_node(num_cpus=0, include_dashboard=False, _system_config=HEALTH)
            return
        except Exception:
            if not tries_left:
                raise
            end(os.environ[MARK])


def _add(cluster: Any, mount: str | None) -> dict[str, Any]:
    """Add a node with one CPU; its processes see what the command mounts, and no other does."""
    with _mounted(mount) if mount else nullcontext():
        node = cluster.add_node(num_cpus=1, wait=False)
    return {"name": node.node_id, "raylet": node.all_processes["raylet"][0].process.pid}


@contextmanager
def _mounted(mount: str) -> Iterator[None]:
    """Processes that Ray starts meanwhile carry out a mount of their own first."""
    from ray._private import services

    kind: Any = services.ConsolePopen
    apart = [
        "unshare",
        "--mount",
        "--propagation",
        "slave",
        "sh",
        "-c",
        f'{mount} && exec "$@"',
        "sh",
    ]

    class Apart(kind):  # type: ignore[misc]
        def __init__(self, command: list[str], *words: Any, **how: Any) -> None:
            super().__init__([*apart, *command], *words, **how)

    services.ConsolePopen = Apart
    try:
        yield
    finally:
        services.ConsolePopen = kind


def _drain(cluster: Any, name: str, seconds: float) -> None:
    from ray.core.generated import autoscaler_pb2

    accepted, reason = cluster.head_node.get_gcs_client().drain_node(
        name,
        autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,  # type: ignore[attr-defined]
        "preempted by the chaos campaign",
        int(1000 * (time.time() + seconds)),
    )
    if not accepted:
        raise RuntimeError(f"the node will not be drained: {reason}")


def _survivors(seconds: float) -> list[str]:
    """Command lines of the campaign's processes that are still there after some seconds, without
    this one."""
    until = time.monotonic() + seconds
    while True:
        left = [process.words for process in marked(os.environ[MARK]) if process.pid != os.getpid()]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.2)


if __name__ == "__main__":
    from tests.chaos.disk import release
    from tests.chaos.processes import MARK, end, marked

    if not serve():
        end(os.environ[f"{MARK}_BESIDE"])
        release(Path(sys.argv[1]))
    end(os.environ[MARK])
    os._exit(0)  # Ray's own handlers at exit wait for nodes that are no more
