"""What is recorded of where a result comes from: commit, versions, machine and time. Imports
neither torch nor Ray."""

import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def git_commit() -> str:
    """The project's git commit, with a + where files differ from it; empty outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    # The checkout may have been copied here by another user, as `ray up` does, which git distrusts
    # by default.
    command = ["git", "-c", "safe.directory=*", "-C", str(root)]
    command += ["describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def package_versions() -> str:
    """Versions that can change a number, e.g. "python 3.11.7, torch 2.15.0, ray 2.60.0"."""
    versions = [f"python {platform.python_version()}"]
    for package in ("torch", "ray", "numpy"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(versions)


def host_and_process() -> str:
    """This machine's name and the process, to distinguish attempts."""
    return f"{socket.gethostname()}:{os.getpid()}"


def utc_now() -> str:
    """This moment in UTC, to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
