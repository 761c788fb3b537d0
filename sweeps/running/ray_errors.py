"""Errors of Ray's that end a call to a worker, for Ray Tune: it knows the end of an actor and the
exception of a task, and would end the study at any other, such as the one for a worker that Ray's
memory monitor has ended while it trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError


def as_lost_worker(error: Exception) -> Exception:
    """An error of a call to a worker, as the end of that worker where Tune does not know it."""
    if not isinstance(error, RayError) or isinstance(error, (RayActorError, RayTaskError)):
        return error
    return RayActorError(error_msg=f"{type(error).__name__}: {error}")


@contextmanager
def lost_workers_for_tune() -> Iterator[None]:
    """While this lasts, whatever ends a call to a worker is a lost worker to Tune."""
    from ray.tune.execution import tune_controller

    # Private, since Tune has no switch for it; where it is absent such an error stops the study.
    controller: Any = tune_controller
    kind: Any = getattr(controller, "RayActorManager", None)
    if not hasattr(kind, "_actor_task_failed"):
        yield
        return

    class Manager(kind):  # type: ignore[misc]
        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            super()._actor_task_failed(tracked_actor_task, as_lost_worker(exception))

    controller.RayActorManager = Manager
    try:
        yield
    finally:
        controller.RayActorManager = kind


def find_ray_error(error: BaseException) -> RayError | None:
    """The error of Ray's that has caused an exception, or that it is; None where there is none."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RayError):
        seen = seen.__cause__ or seen.__context__
    return seen
