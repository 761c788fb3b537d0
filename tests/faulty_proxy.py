"""A proxy that forwards HTTP, or fails on demand as networks and servers do; its threads belong to
this process."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args

Mode = Literal["ok", "refuse", "hang", "cut", "500", "503", "507", "403", "error"]

_ANSWERS = {  # status, code and message of what S3 and its likes answer
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "507": (507, "InsufficientStorage", "The storage behind this bucket is full."),
    "403": (403, "AccessDenied", "Access Denied"),
    "error": (400, "QuotaExceeded", "The quota of this bucket is used up."),
}


@dataclass(frozen=True)
class Request:
    """One request that reached the proxy, and the mode it met."""

    method: str
    path: str
    mode: str


@dataclass
class FaultyProxy:
    """Forwards HTTP from a port of its own to `target`, or fails as `mode` says; safe to switch
    from any thread.

    Modes: "ok"; "refuse" connections; "hang": accept, take the request, never answer; "cut": reset
    the connection in the middle of the body (of the upload, which then does not reach the server,
    else of the download; a request without any body is never answered); "500", "503" (SlowDown),
    "507", "403", "error" (QuotaExceeded): answer so. Only requests that `only(method, path)`
    accepts are touched, except by "refuse", where nothing gets through.
    """

    target: int
    only: Callable[[str, str], bool] = lambda method, path: True
    requests: list[Request] = field(default_factory=list)
    _mode: Mode = "ok"
    _server: ThreadingHTTPServer | None = None
    _released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __post_init__(self) -> None:
        self._listen()

    @property
    def mode(self) -> Mode:
        """What happens to requests at the moment."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, but got '{mode}'")
        self._mode = mode
        if mode == "refuse":
            self._deafen()
        elif self._server is None:
            self._listen()
        if mode != "hang":
            self._released.set()  # hanging requests are reset
            self._released = threading.Event()

    def reset(self) -> None:
        """Everything goes through again; forgets the requests so far."""
        self.mode, self.only = "ok", lambda method, path: True
        self.requests.clear()

    @contextmanager
    def outage(self, mode: Mode, seconds: float) -> Iterator[None]:
        """`mode` from now on, "ok" again after some seconds, in the background, or when the block
        is left."""
        self.mode = mode
        timer = threading.Timer(seconds, lambda: setattr(self, "mode", "ok"))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            self.mode = "ok"

    def close(self) -> None:
        """End the proxy; hanging requests are reset."""
        self._deafen()
        self._released.set()

    def _listen(self) -> None:
        proxy = self

        class Handler(_Handler):
            faults = proxy

        class Server(ThreadingHTTPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away in the middle is what we are here for."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _deafen(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faults: FaultyProxy

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the proxy keeps its own list."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        faults = self.faults
        mode = (
            faults.mode if faults.mode == "refuse" or faults.only(self.command, self.path) else "ok"
        )
        faults.requests.append(Request(self.command, self.path, mode))
        upload = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = int(self.headers.get("Content-Length") or 0)
        if mode == "refuse" or (mode == "cut" and (upload or length)):
            if mode == "cut":
                self.rfile.read(length // 2 or 1)
            self._drop()
            return
        body = self._chunks() if upload else self.rfile.read(length)
        if mode == "hang":
            faults._released.wait()
            self._drop()
        elif mode in _ANSWERS:
            status, code, message = _ANSWERS[mode]
            inside = f"<Code>{code}</Code><Message>{message}</Message>"
            text = f'<?xml version="1.0"?><Error>{inside}</Error>'
            self._send(status, [("Content-Type", "application/xml")], text.encode())
        else:
            self._forward(body, cut=mode == "cut")

    def _forward(self, body: bytes, *, cut: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.faults.target, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in (
                    "connection",
                    "transfer-encoding",
                    "content-length",
                    "expect",
                ):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            headers = [
                (k, v)
                for k, v in answer.getheaders()
                if k.lower() not in ("connection", "transfer-encoding")
            ]
        finally:
            connection.close()
        if not cut:
            self._send(answer.status, headers, content)
        elif self.command == "HEAD" or not content:
            self._drop()
        else:
            self._send(answer.status, headers, content, sent=len(content) // 2)
            self._drop()

    def _send(
        self, status: int, headers: list[tuple[str, str]], content: bytes, sent: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])
            self.wfile.flush()

    def _chunks(self) -> bytes:
        """A request body in chunked encoding."""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _drop(self) -> None:
        """Reset the connection, as a dying machine or a cable pulled does."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.01)  # let what was sent arrive: a reset discards it
            self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
