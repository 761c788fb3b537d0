"""What a process asks of glibc before it trains."""

from types import SimpleNamespace

import pytest

from trainables.training import process

TRIM, MMAP = -1, -3


@pytest.mark.parametrize(
    ("most", "asked"),
    [
        (2**31, [(MMAP, 2**30), (TRIM, 2**30)]),
        (
            2**25,
            [(MMAP, 2**30), (MMAP, 2**25), (TRIM, 2**30)],
        ),  # older glibc refuses more than 32 MiB
        (0, [(MMAP, 2**30), (MMAP, 2**25)]),
    ],
)
def test_freed_memory_is_retained_only_where_large_tensors_may_lie_in_it(
    most: int, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(name: int, size: int) -> int:
        calls.append((name, size))
        return int(name == TRIM or size <= most)

    monkeypatch.setattr(process.platform, "libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    process._retain_memory.__wrapped__()
    assert calls == asked
