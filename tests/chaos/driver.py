"""The command line under test: started, and started again with the same words when it has died."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Driver:
    """`sweeps/full_study.py` on a study file and a cluster. `codes` counts how its
    launches ended."""

    study: Path
    out: str
    address: str
    environment: Mapping[str, str]
    launches: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    _process: subprocess.Popen[bytes] | None = None
    _reader: subprocess.Popen[bytes] | None = None
    _ended_at: float = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        """What the present launch prints."""
        return self.study.parent / f"driver{self.launches}.log"

    def start(self, *words: str) -> None:
        """Launch it."""
        self.launches += 1
        command = [
            sys.executable,
            str(ROOT / "sweeps/full_study.py"),
            "--study",
            str(self.study),
            "--out",
            self.out,
        ]
        with self.log.open("wb") as log:
            self._reader = subprocess.Popen(
                ["cat"], stdin=subprocess.PIPE, stdout=log, start_new_session=True
            )
        assert self._reader.stdin
        with self._reader.stdin as output:
            self._process = subprocess.Popen(
                [*command, "--address", self.address, *words],
                env=dict(self.environment),
                cwd=self.study.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """The exit code of the launch that has just ended, told once; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        if self._reader:
            with suppress(subprocess.TimeoutExpired):  # a process of Ray's may hold the pipe
                self._reader.wait(2)
            self._reader.kill()
            self._reader.wait()
        self.codes[code] += 1
        self._process, self._ended_at = None, time.monotonic()
        return code

    def rested(self, seconds: float) -> bool:
        """Whether it has not run for some seconds."""
        return self._process is None and time.monotonic() - self._ended_at >= seconds

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process:
            self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send its whole process group a signal, if it runs."""
        if self._process:
            os.killpg(self._process.pid, number)

    def close_output(self) -> None:
        """End whoever reads what it prints."""
        if self._reader:
            self._reader.kill()

    def last_words(self) -> str:
        """The last line it printed, or its error where it says what to do after that."""
        lines = self.log.read_text(errors="replace").splitlines() if self.launches else []
        told = [line.strip()[:300] for line in lines[-5:] if line.strip()]
        return next((line for line in told if line.startswith("error:")), told[-1] if told else "")

    def tracebacks(self) -> list[str]:
        """Logs of launches that printed a traceback."""
        logs = self.study.parent.glob("driver*.log")
        return sorted(
            path.name
            for path in logs
            if "Traceback (most recent call last)" in path.read_text("utf-8", "replace")
        )
