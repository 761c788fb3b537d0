"""Worker processes that make batches ahead of the trial: torch's DataLoader, started once and used
for every pass over the images.

The processes come from a fork server, which has one thread: a trial's own process cannot be forked
safely, with the threads of torch and Ray in it. They end with the pool, and with the process of the
trial however that ends.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import parent_process
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from trainables.data.batch_maker import BatchMaker, ImageFailed, Job

PRELOADED = ("torchvision.transforms.v2",)  # once for all workers, which import it when used
PREFETCH = 2  # batches that a worker is ahead
SHARED_MEMORY = "/dev/shm"


class _Jobs(Sampler[Job]):
    """The jobs of the pass in progress, for the DataLoader to hand out."""

    def __init__(self) -> None:
        self.jobs: Sequence[Job] = ()

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)


@dataclass(eq=False)
class WorkerPool:
    """Makes batches in `workers` processes, or with 0 in this one.

    One pass at a time uses the processes. Another that begins meanwhile is made in this process,
    unless it takes them over.

    pin: whether batches come in page-locked memory, for copies to a GPU.
    """

    maker: BatchMaker
    workers: int
    pin: bool = False
    _jobs: _Jobs = field(default_factory=_Jobs, init=False)
    _loader: Any = field(default=None, init=False)
    _pass: object = field(default=None, init=False)  # the pass that uses the processes

    def run(self, jobs: Sequence[Job], *, take_over: bool = False) -> Iterator[Tensor]:
        """The batches of some jobs, in their order.

        Args:
            take_over: end a pass that is in progress; it cannot go on then.

        Raises:
            ImageFailed: an image cannot be made; the message names it.
            RuntimeError: a worker was killed, or another pass has taken over the workers.
        """
        if not self.workers or (self._pass is not None and not take_over):
            yield from (self._pinned(self.maker.make(job)) for job in jobs)
            return
        yield from self._run_in_workers(jobs)

    def _run_in_workers(self, jobs: Sequence[Job]) -> Iterator[Tensor]:
        own = self._pass = object()
        try:
            for answer in self._start(jobs):
                if isinstance(answer, str):
                    raise ImageFailed(answer)
                yield torch.from_numpy(answer) if isinstance(answer, np.ndarray) else answer
                if self._pass is not own:
                    raise RuntimeError("another pass over the images has taken over the workers")
        except RuntimeError:
            self._forget(own)
            raise
        except (OSError, EOFError) as error:
            self._forget(own)
            raise RuntimeError(f"a worker was killed: {type(error).__name__}: {error}") from error
        finally:
            if self._pass is own:
                self._pass = None

    def _forget(self, own: object) -> None:
        """After an error of a pass a worker may be dead: the next one starts new ones."""
        if self._pass is own:
            self.close()

    def _start(self, jobs: Sequence[Job]) -> Iterator[Any]:
        self._jobs.jobs = self._choose_way(jobs)
        if self._loader is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["trainables.data.batch_maker", *PRELOADED])
            self._loader = DataLoader(
                _as_dataset(self.maker),
                batch_size=None,
                sampler=self._jobs,
                num_workers=self.workers,
                collate_fn=_unchanged,
                pin_memory=self.pin,
                multiprocessing_context=context,
                # Its own, because a DataLoader draws a seed from it: the trial's is not touched.
                generator=torch.Generator(),
                persistent_workers=True,
                prefetch_factor=PREFETCH,
                worker_init_fn=end_with_parent,
            )
        return iter(self._loader)

    def _choose_way(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """The jobs, told to answer by their workers' pipes where shared memory is too small for the
        batches in flight, as in containers that have 64 MB of it."""
        if not jobs:
            return jobs
        images = max(len(job.indices) for job in jobs)
        channels = self.maker.images[jobs[0].split].channels
        batch = images * channels * self.maker.size[0] * self.maker.size[1] * 4  # if float
        if _free_shared_memory() >= 2 * batch * (PREFETCH * self.workers + 1):
            return jobs
        return [replace(job, by_pipe=True) for job in jobs]

    def _pinned(self, batch: Tensor) -> Tensor:
        return batch.pin_memory() if self.pin else batch

    def close(self) -> None:
        """End the processes; the next pass starts new ones."""
        self._loader, self._pass = None, None


def _free_shared_memory() -> int:
    """Bytes that can be shared between processes."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return state.f_bavail * state.f_frsize


def _as_dataset(maker: BatchMaker) -> Dataset[Any]:
    """A batch maker is all that a DataLoader asks of a data set of jobs."""
    return maker  # type: ignore[return-value]


def _unchanged(answer: object) -> object:
    """A worker's answer needs no collating."""
    return answer


def end_with_parent(worker: int = 0) -> None:
    """Let this worker end with the process that started it, also where that is killed: torch's own
    watch is over the fork server, which lives as long as a worker does."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
