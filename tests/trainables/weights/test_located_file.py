"""Where a file of weights is found: at its path, beside the data, or at an address."""

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from pruning.user_error import UserError
from trainables.weights.located_file import find_file, is_address

CONTENT = b"weights" * 100
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server here, with one file; downloads go to a folder of the test's."""
    served = tmp_path / "served"
    served.mkdir()
    (served / NAME).write_bytes(CONTENT)
    (served / "net-00000000.pth").write_bytes(CONTENT)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_path_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "data" / "weights"
    beside.mkdir(parents=True)
    (beside / "net.pth").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    assert find_file("net.pth", None) == Path("net.pth")
    assert find_file("runs/net.pth", str(tmp_path / "data")) == beside / "net.pth"
    Path("net.pth").touch()
    assert find_file("net.pth", str(tmp_path / "data")) == Path("net.pth")


def test_an_address_is_downloaded_once(address: str, tmp_path: Path) -> None:
    file = find_file(f"{address}/{NAME}?raw=true", None)
    assert file == tmp_path / "hub" / "checkpoints" / NAME and file.read_bytes() == CONTENT
    file.write_bytes(b"here")
    assert find_file(f"{address}/{NAME}", None).read_bytes() == b"here"


def test_a_file_beside_the_data_spares_the_download(address: str, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / NAME).touch()
    assert find_file(f"{address}/{NAME}", str(tmp_path)) == tmp_path / "weights" / NAME


@pytest.mark.parametrize(
    ("name", "reason"), [("not_there.pth", "404"), ("net-00000000.pth", "invalid hash value")]
)
def test_what_cannot_be_downloaded_is_one_line(
    address: str, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        find_file(f"{address}/{name}", None)
    line = str(caught.value)
    assert line.startswith(f"cannot download '{address}/{name}' (") and reason in line
    assert "put the file into" in line and "\n" not in line
    assert not list((tmp_path / "hub").rglob("*.pth"))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("http://127.0.0.1:1/a b.pth", r"^cannot download .*can't contain control characters"),
        ("http://127.0.0.1:port/a.pth", r"^cannot download .*nonnumeric port"),
        ("http://[::1/a.pth", r"^'http://\[::1/a.pth' is no address: Invalid IPv6 URL"),
        ("https://x\x00y/a.pth", r"x\\x00y"),
    ],
)
def test_an_address_that_is_none_is_one_line(
    wrong: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(UserError, match=line) as caught:
        find_file(wrong, None)
    assert str(caught.value).isprintable()


class BreaksOff(Quiet):
    """Ends its answer in the middle."""

    def do_GET(self) -> None:
        """The first bytes."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nwei")


def test_an_answer_that_breaks_off_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(BreaksOff, "protocol_version", "HTTP/1.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff)
    Thread(target=server.handle_request, daemon=True).start()
    with pytest.raises(UserError, match=r"^cannot download .*IncompleteRead"):
        find_file(f"http://127.0.0.1:{server.server_port}/a.pth", None)
    server.server_close()
    assert not list(tmp_path.rglob("*.pth"))


def test_what_is_an_address() -> None:
    assert is_address("https://x.org/a.pth") and is_address("http://x")
    assert not is_address("s3://x/a.pth") and not is_address("a.pth")
