"""The spot watcher against a metadata service made here, with processes of its own
instead of Ray."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WATCHER = ROOT / "clusters" / "spot_watcher.py"
ACTION = json.dumps({"action": "terminate", "time": "2026-01-01T12:00:00Z"})

# Instead of Ray: says when it is up, and on SIGTERM takes a moment to leave in good order.
NODE = """
import signal, sys, time
def leave(number, frame):
    open(sys.argv[1] + "/sigterm", "a").write("x")
    time.sleep(0.2)
    open(sys.argv[1] + "/drained", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open(sys.argv[1] + "/up", "w").close()
while True:
    time.sleep(0.05)
"""


class Metadata:
    """A metadata service: `answers` by path, the requests it saw, and whether it insists on
    IMDSv2's token."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.seen: list[str] = []
        self.broken = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                known = (
                    self.path == "/latest/api/token"
                    and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
                )
                self._answer(200 if known else 400, "a-token")

            def do_GET(self) -> None:
                outer.seen.append(self.path)
                if outer.broken:
                    self._answer(500, "")
                elif (
                    self.path.startswith("/latest/")
                    and self.headers["X-aws-ec2-metadata-token"] != "a-token"
                ):
                    self._answer(401, "")
                elif (
                    self.path.startswith("/computeMetadata/")
                    and self.headers["Metadata-Flavor"] != "Google"
                ):
                    self._answer(403, "")
                elif self.path in outer.answers:
                    self._answer(200, outer.answers[self.path])
                else:
                    self._answer(404, "")

            def _answer(self, code: int, text: str) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *words: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    service = Metadata()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def start(metadata: Metadata, tmp_path: Path) -> Iterator[Any]:
    """Starts the watcher with a node; ends both after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(cloud: str, *command: str) -> subprocess.Popen[str]:
        words = [
            sys.executable,
            str(WATCHER),
            "--cloud",
            cloud,
            "--metadata",
            metadata.url,
            "--every",
            "0.05",
        ]
        words += [
            "--then",
            f"touch {tmp_path}/then",
            "--",
            *(command or (sys.executable, "-c", NODE, str(tmp_path))),
        ]
        running = subprocess.Popen(
            words,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(running)
        return running

    yield begin
    for running in started:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("cloud", "quiet", "notice"),
    [
        ("aws", {}, {"/latest/meta-data/spot/instance-action": ACTION}),
        (
            "gcp",
            {
                "/computeMetadata/v1/instance/preempted": "FALSE",
                "/computeMetadata/v1/instance/maintenance-event": "NONE",
            },
            {"/computeMetadata/v1/instance/preempted": "TRUE"},
        ),
        (
            "gcp",
            {
                "/computeMetadata/v1/instance/preempted": "FALSE",
                "/computeMetadata/v1/instance/maintenance-event": "MIGRATE_ON_HOST_MAINTENANCE",
            },
            {"/computeMetadata/v1/instance/maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"},
        ),
    ],
)
def test_a_notice_ends_the_node_in_good_order(
    cloud: str,
    quiet: dict[str, str],
    notice: dict[str, str],
    metadata: Metadata,
    start: Any,
    tmp_path: Path,
) -> None:
    metadata.answers.update(quiet)
    running = start(cloud)
    wait_for(lambda: (tmp_path / "up").exists() and len(metadata.seen) > 4)
    assert not (tmp_path / "sigterm").exists(), "nothing is announced yet"
    metadata.answers.update(notice)
    told, _ = running.communicate(timeout=30)
    assert running.returncode == 0
    assert (tmp_path / "sigterm").read_text() == "x", "asked once"
    assert (tmp_path / "drained").exists(), "left to finish"
    assert (tmp_path / "then").exists()
    assert "this machine will be taken away" in told


def test_a_service_that_does_not_answer_is_no_notice(
    metadata: Metadata, start: Any, tmp_path: Path
) -> None:
    metadata.broken = True
    running = start("aws")
    wait_for(lambda: (tmp_path / "up").exists() and len(metadata.seen) > 4)
    assert not (tmp_path / "sigterm").exists()
    metadata.broken = False
    metadata.answers["/latest/meta-data/spot/instance-action"] = ACTION
    told, _ = running.communicate(timeout=30)
    assert (tmp_path / "drained").exists()
    assert told.count("does not answer") == 1, "said once, not at every look"


def test_a_node_that_ends_by_itself_ends_the_machine(start: Any, tmp_path: Path) -> None:
    """As when the head is gone: the raylet exits, and nobody should pay for the machine
    any longer."""
    running = start("aws", sys.executable, "-c", "raise SystemExit(7)")
    assert running.wait(timeout=30) == 7
    assert (tmp_path / "then").exists()


def test_sigterm_is_handed_on(metadata: Metadata, start: Any, tmp_path: Path) -> None:
    running = start("gcp")
    wait_for(lambda: (tmp_path / "up").exists() and metadata.seen)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 0
    assert (tmp_path / "drained").exists()


def test_needs_nothing_but_python() -> None:
    """On a node it may run before anything is installed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(WATCHER), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--cloud" in done.stdout
