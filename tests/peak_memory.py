"""The most memory that a process has held."""

from pathlib import Path


def peak_memory() -> int:
    """Bytes of this process, at most at once, so far. `ru_maxrss` begins with what the process held
    that started this one: gigabytes, in a test run."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
