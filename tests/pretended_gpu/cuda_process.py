"""Runs tests in a process that pretends to have a GPU, and tells pytest what became of them.

    @in_cuda_process
    def test_something(tmp_path):           # runs there, one test after the other
        with PretendedGpu() as gpu: ...

What pytest hands to such a test (fixtures, parameters) is pickled. The process is started by the
first test and serves all others of a pytest process; importing this module does not import torch.
"""

import functools
import importlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import pytest

from tests.pretended_gpu import cuda_runtime

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# By name and arguments what is to be run; back come one of these words and a text.
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def in_cuda_process(test: Callable[..., None]) -> Callable[..., None]:
    """Let a test function run in the process with the pretended GPU."""

    @functools.wraps(test)
    def run_there(*args: Any, **kwargs: Any) -> None:
        if cuda_runtime.is_loaded():
            test(*args, **kwargs)
            return
        if reason := cuda_runtime.why_unavailable():
            pytest.skip(reason)
        outcome, text = _CudaProcess.get().run(test.__module__, test.__qualname__, args, kwargs)
        if outcome == SKIPPED:
            pytest.skip(text)
        if outcome == FAILED:
            pytest.fail(f"in the process with the pretended GPU:\n{text}", pytrace=False)

    return run_there


class _CudaProcess:
    """The process, seen from pytest's."""

    _only: "_CudaProcess | None" = None

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, ROOT), daemon=True)
        self._process.start()
        theirs.close()

    @classmethod
    def get(cls) -> "_CudaProcess":
        """The one of this pytest process, which is started when there is none yet."""
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def run(self, module: str, name: str, args: Any, kwargs: Any) -> tuple[str, str]:
        """Run a test there: PASSED, FAILED or SKIPPED, and why."""
        try:
            self._pipe.send((module, name, args, kwargs))
            answer: tuple[str, str] = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            type(self)._only = None
            return FAILED, f"the process died with exit code {self._process.exitcode}"
        return answer


def _serve(pipe: Connection, root: str) -> None:
    """Run the tests that are asked for until nobody asks any more."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiled code would run on no device
    sys.path.insert(0, root)
    cuda_runtime.load()
    import torch

    from tests.pretended_gpu.torch_cuda import hide_device
    from trainables.data.worker_pool import end_with_parent

    hide_device()
    end_with_parent()
    with suppress(EOFError):
        while True:
            module, name, args, kwargs = pipe.recv()
            torch.set_num_threads(1)
            torch.set_flush_denormal(False)
            pipe.send(_run(module, name, args, kwargs))


def _run(module: str, name: str, args: Any, kwargs: Any) -> tuple[str, str]:
    try:
        test = getattr(importlib.import_module(module), name)
        test(*args, **kwargs)
    except pytest.skip.Exception as skipped:
        return SKIPPED, str(skipped)
    except BaseException:  # of pytest.fail, too
        return FAILED, traceback.format_exc()
    return PASSED, ""
