"""Workers come as the plan needs them and go when it is done: cluster.yaml with nodes that are
processes of this machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.services import get_node_ip_address

ROOT = Path(__file__).resolve().parents[2]
HEAD = "f" * 51 + "00000"  # the name that Ray's imitated provider gives the head
MARK = "PRUNING_STUDY_TEST"

STUDY: dict[str, Any] = {
    "name": "scaled",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 4},
    "methods": ["magnitude", "random"],
    "sparsities": [0.9],
    "seeds": [0, 1],
}

# Prints how many nodes are there besides the head, and of which types, whenever that changes.
WATCH = """
import sys, time, ray
ray.init(sys.argv[1], logging_level="ERROR", log_to_driver=False)
last = None
while True:
    workers = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    now = sorted(name for node in workers for name in node["Resources"] if name.startswith("type_"))
    if now != last:
        print("nodes", len(now), *now, flush=True)
    last = now
    time.sleep(0.2)
"""


def config(address: str) -> dict[str, Any]:
    """cluster.yaml with Ray's imitated provider in place of AWS; a node has 1 CPU and goes after 6
    idle seconds."""
    raw = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    types = raw["available_node_types"]
    for name, kind in types.items():
        kind["node_config"] = {}
        kind["resources"] = {
            "CPU": 1,
            f"type_{name}": 1,
        }  # by which a node can be told from another
    types["ray.head.default"] = {**types.pop("head"), "resources": {"CPU": 0}}
    return {
        "cluster_name": raw["cluster_name"],
        "max_workers": raw["max_workers"],
        "idle_timeout_minutes": 0.1,
        "provider": {
            # By its class: under its own name Ray looks for an example file that its wheels do not
            # have.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "launch_multiple": True,
            "head_node_id": HEAD,
            "gcs_address": address,
        },
        "available_node_types": types,
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


def marked(mark: str) -> list[int]:
    """Ids of the processes that carry our mark in their environment: all that this test started,
    and only those."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def ray_folder(mark: str) -> Path:
    """Where Ray keeps logs and sockets, whose path must be short."""
    return Path("/tmp") / f"scaling-{mark[:8]}"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """The environment of all that is started; what carries its mark is ended after the test."""
    mark = uuid.uuid4().hex
    yield {
        **os.environ,
        MARK: mark,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2,
    }
    for _ in range(50):
        left = marked(mark)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not left:
            break
        time.sleep(0.1)
    shutil.rmtree(ray_folder(mark), ignore_errors=True)


@pytest.fixture
def address(tmp_path: Path, environment: dict[str, str]) -> str:
    """A head without CPUs, with an autoscaler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = f"{get_node_ip_address()}:{port}"
    (tmp_path / "cluster.json").write_text(json.dumps(config(found)))
    subprocess.run(
        [
            str(Path(sys.executable).parent / "ray"),
            "start",
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--temp-dir={ray_folder(environment[MARK])}",
            f"--autoscaling-config={tmp_path / 'cluster.json'}",
        ],
        env={
            **environment,
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "RAY_NODE_TYPE_NAME": "ray.head.default",
        },
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return found


@pytest.mark.slow
@pytest.mark.cluster
def test_from_none_to_the_plans_need_and_back(
    tmp_path: Path, address: str, environment: dict[str, str]
) -> None:
    log = tmp_path / "nodes.log"
    with log.open("w") as stream:
        subprocess.Popen([sys.executable, "-c", WATCH, address], env=environment, stdout=stream)
    wait_for(lambda: counts(log) == [0])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "sweeps/full_study.py"),
            "--study",
            str(tmp_path / "study.yaml"),
            "--out",
            str(tmp_path / "out"),
            "--address",
            address,
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waiting for the cluster to grow" in done.stdout
    assert "6 of 6 trials done" in done.stdout
    wait_for(lambda: counts(log)[-1] == 0)
    # Two dense trainings first, then four trials at once; never more than the cap.
    assert 2 <= max(counts(log)) <= 4
    assert counts(log)[0] == counts(log)[-1] == 0
    kinds = {kind for line in seen(log) for kind in line[1:]}
    assert kinds == {"type_l4"}, "the type of highest priority, as long as there is some"


def counts(log: Path) -> list[int]:
    """How many workers there were, one after the other."""
    return [int(line[0]) for line in seen(log)]


def seen(log: Path) -> list[list[str]]:
    """How many workers there were and of which types; Ray writes into the log, too."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [words[1:] for words in lines if words[:1] == ["nodes"]]


def wait_for(condition: Any, seconds: float = 400) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.2)
