"""The worker processes of a loader: what they make, and when they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainables.data.images_in_memory import (
    MEAN,
    draw_images,
    hold_images,
    make_maker,
    mixed_sizes,
)
from trainables.data import worker_pool
from trainables.data.batch_maker import BatchMaker, ImageFailed, Job
from trainables.data.worker_pool import WorkerPool

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[3]


def make_jobs(count: int = 12) -> list[Job]:
    return [
        Job("training", np.arange(4 * i, 4 * i + 4), augment="resized_crop", seed=3)
        for i in range(count)
    ]


def pids(pool: WorkerPool) -> list[int]:
    return [worker.pid for worker in pool._loader._iterator._workers]


def wait_for_end(numbers: list[int]) -> bool:
    """Whether processes end before long."""
    for _ in range(600):
        if not any(Path(f"/proc/{number}").exists() for number in numbers):
            return True
        time.sleep(0.1)
    return False


def test_processes_are_used_again_and_end_with_the_pool() -> None:
    expected = list(WorkerPool(make_maker(), 0).run(make_jobs()))
    pool = WorkerPool(make_maker(), 2)
    found = list(pool.run(make_jobs()))
    assert all(map(torch.equal, found, expected)) and len(found) == 12
    first = pids(pool)
    again = list(pool.run(make_jobs()[5:], take_over=True))
    assert all(map(torch.equal, again, expected[5:])) and pids(pool) == first
    assert list(pool.run([])) == []
    pool.close()
    assert wait_for_end(first)


def test_a_pool_that_is_dropped_ends_its_processes() -> None:
    pool = WorkerPool(make_maker(), 1)
    batches = pool.run(make_jobs())
    next(batches)
    numbers = pids(pool)
    del pool, batches
    assert wait_for_end(numbers)


def test_a_second_pass_does_not_disturb_the_first_unless_it_takes_over() -> None:
    expected = list(WorkerPool(make_maker(), 0).run(make_jobs()))
    pool = WorkerPool(make_maker(), 1)
    first = pool.run(make_jobs())
    found = [next(first)]
    assert all(map(torch.equal, pool.run(make_jobs()[:2]), expected))
    found += [next(first), next(first)]
    assert all(map(torch.equal, found, expected))
    second = pool.run(make_jobs(), take_over=True)
    assert torch.equal(next(second), expected[0])
    with pytest.raises(RuntimeError, match="another pass over the images has taken over"):
        next(first)
    assert all(map(torch.equal, second, expected[1:]))
    # One that is given up makes room.
    third = pool.run(make_jobs())
    next(third)
    third.close()
    assert all(map(torch.equal, pool.run(make_jobs()), expected))
    pool.close()


def test_an_image_that_fails_in_a_worker_is_named_and_the_pool_goes_on() -> None:
    images = hold_images(draw_images(48, mixed_sizes), broken=9)
    pool = WorkerPool(BatchMaker({"training": images}, (16, 16), MEAN), 1)
    with pytest.raises(ImageFailed, match="^training image 9: OSError: the file ends too early$"):
        list(pool.run(make_jobs()))
    assert len(list(pool.run(make_jobs()[3:]))) == 9
    pool.close()


def test_a_worker_that_is_killed_is_an_error_and_is_replaced() -> None:
    pool = WorkerPool(make_maker(400), 1)
    batches = pool.run(make_jobs(100))
    next(batches)
    (number,) = pids(pool)
    os.kill(number, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=f"worker .*{number}.* exited unexpectedly|killed"):
        list(batches)
    found = list(pool.run(make_jobs()[:3]))
    assert len(found) == 3 and pids(pool) != [number]
    pool.close()


def test_batches_come_by_pipe_where_shared_memory_is_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = WorkerPool(make_maker(), 2)
    assert not any(job.by_pipe for job in pool._choose_way(make_jobs()))
    monkeypatch.setattr(worker_pool, "SHARED_MEMORY", str(tmp_path / "missing"))
    assert all(job.by_pipe for job in pool._choose_way(make_jobs()))
    expected = list(WorkerPool(make_maker(), 0).run(make_jobs()))
    assert all(map(torch.equal, pool.run(make_jobs()), expected))
    pool.close()


KILLED = """
import os, signal
from tests.trainables.data.test_worker_pool import make_jobs, make_maker, pids
from trainables.data.worker_pool import WorkerPool

if __name__ == "__main__":
    pool = WorkerPool(make_maker(), 2)
    batches = pool.run(make_jobs())
    next(batches)
    print(*pids(pool), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False
    )
    numbers = [int(number) for number in run.stdout.split()]
    assert run.returncode == -signal.SIGKILL and len(numbers) == 2, run.stderr
    assert wait_for_end(numbers)
