"""Slurm as far as `clusters/slurm.sh` meets it: `srun`, `scontrol`, and jobs that are queued,
signalled and queued again.

It behaves as Slurm does where that matters: a signal to a step reaches every process of the step,
one to the job every process of all steps, one to the batch shell that process alone; `srun` passes
SIGTERM on to its step; a job that is queued again has the same id; several jobs may share a
machine. All nodes are this machine. Processes are known by a variable in their environment, as
Slurm knows them by their control group.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JOB, STEP = "SLURM_STUB_JOB", "SLURM_STUB_STEP"


def marked(name: str, value: str) -> list[int]:
    """Process ids of living processes with a variable in their environment."""
    found, wanted = [], f"{name}={value}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    found.append(int(folder.name))
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal; who is gone is passed over."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass
class Job:
    """One submitted job.

    folder: its log and the stub's commands. launches: how often it was started. codes: of the
    launches that ended by themselves.
    """

    number: int
    folder: Path
    home: Path
    words: list[str]
    nodes: int = 1
    launches: int = 0
    codes: list[int] = field(default_factory=list)
    shell: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What all launches have printed."""
        return (self.folder / f"job-{self.number}.log").read_text(errors="replace")

    def launch(self, **more: str) -> None:
        """Start the batch script, as when the job gets its machines."""
        self.launches += 1
        names = ",".join(f"node{index}" for index in range(self.nodes))
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_ID": str(self.number),
            "SLURM_JOB_NODELIST": names,
            "SLURM_JOB_NUM_NODES": str(self.nodes),
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_STUB_FOLDER": str(self.folder),
            JOB: str(self.number),
            **more,
        }
        environment.pop("RAY_ADDRESS", None)
        with (self.folder / f"job-{self.number}.log").open("ab") as log:  # --open-mode=append
            self.shell = subprocess.Popen(
                ["bash", str(ROOT / "clusters/slurm.sh"), *self.words],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal_shell(self, number: signal.Signals) -> None:
        """To the batch shell alone, as `--signal=B:` and `scancel --batch` do."""
        assert self.shell
        self.shell.send_signal(number)

    def kill(self, *, wait: float = 0) -> None:
        """SIGTERM to every process of the job, and SIGKILL after so many seconds."""
        if wait:
            send(marked(JOB, str(self.number)), signal.SIGTERM)
            until = time.monotonic() + wait
            while marked(JOB, str(self.number)) and time.monotonic() < until:
                time.sleep(0.2)
        while left := marked(JOB, str(self.number)):
            send(left, signal.SIGKILL)
            time.sleep(0.1)
        if self.shell:
            self.shell.wait()

    def wait(self, seconds: float) -> int:
        """The exit code of the batch shell; where it asked to be queued again, its code is not one
        of the job's, and the job is killed as Slurm does."""
        assert self.shell
        until, asked = time.monotonic() + seconds, self.folder / f"requeue-{self.number}"
        while self.shell.poll() is None and not asked.exists():
            assert time.monotonic() < until, self.log[-3000:]
            time.sleep(0.1)
        if asked.exists():
            asked.unlink()
            self.kill(wait=10)
            return -1
        self.codes.append(self.shell.returncode)
        return self.shell.returncode


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """A folder in which jobs can be submitted, with an account's home folder beside it."""
    (folder / "bin").mkdir()
    for name in ("srun", "scontrol"):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        command.chmod(0o755)
    environment = folder / "home" / "venv"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "ray"):
        command = environment / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {Path(sys.executable).with_name(name)} "$@"\n')
        command.chmod(0o755)
    # As installed: `clusters/install.sh` has nothing to do.
    (environment / "installed.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    yield folder


def srun(words: list[str]) -> int:
    """Run a command as one task on each node; options that the script uses."""
    nodes = int(os.environ["SLURM_JOB_NUM_NODES"])
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0).partition("=")
        if name == "--nodes":
            nodes = int(value)
        elif name not in ("--ntasks", "--nodelist", "--kill-on-bad-exit"):
            raise SystemExit(f"srun: unrecognized option '{name}'")
    if words[:2] == ["hostname", "--ip-address"]:
        print("fe80::1 127.0.0.1")
        return 0
    step = f"{os.environ[JOB]}.{os.getpid()}"
    tasks = [
        subprocess.Popen(
            words,
            env={**os.environ, STEP: step, "SLURM_NODEID": str(index)},
            start_new_session=True,
        )
        for index in range(nodes)
    ]
    signal.signal(signal.SIGTERM, lambda number, frame: send(marked(STEP, step), signal.SIGTERM))
    return max(task.wait() for task in tasks)


def scontrol(words: list[str]) -> int:
    """`show hostnames LIST` and `requeue JOB`."""
    if words[:2] == ["show", "hostnames"]:
        print(words[2].replace(",", "\n"))
    elif words[:1] == ["requeue"]:
        Path(os.environ["SLURM_STUB_FOLDER"], f"requeue-{words[1]}").touch()
        time.sleep(60)  # the job is killed meanwhile
    else:
        raise SystemExit(f"scontrol: invalid keyword: {words}")
    return 0


if __name__ == "__main__":
    sys.exit({"srun": srun, "scontrol": scontrol}[sys.argv[1]](sys.argv[2:]))
