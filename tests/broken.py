"""Environments that are broken in one way each, for the catalogue of errors: `BROKEN` has them by
name.

Each takes the test's empty folder, which is the working directory, and monkeypatch. Nothing outside
of it is touched.
"""

import builtins
import errno
import importlib
import importlib.util
import io
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from pruning.user_error import UserError

Patch = pytest.MonkeyPatch
Study = dict[str, Any]
SMALL = ["--preset", "digits", "--methods", "magnitude", "--sparsities", "0.5", "--seeds", "0"]


def raising(error: BaseException) -> Callable[..., NoReturn]:
    """A function that only raises."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


# Packages


def forbid(patch: Patch, package: str, error: BaseException | None = None) -> None:
    """Let every import of a package fail as if it were not installed, or with an error of its own.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        patch.delitem(sys.modules, name)
    known, found = builtins.__import__, importlib.util.find_spec
    missing = error or ModuleNotFoundError(f"No module named '{package}'", name=package)

    def load(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == package:
            raise missing
        return known(name, *rest, **named)

    patch.setattr(builtins, "__import__", load)
    patch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == package else found(name, *rest),
    )
    patch.setitem(sys.modules, package, None)


def no_timm(here: Path, patch: Patch) -> None:
    patch.setitem(sys.modules, "timm", None)
    patch.setattr(
        "models.zoo.import_module",
        raising(ModuleNotFoundError("No module named 'timm'", name="timm")),
    )


def no_such_network(here: Path, patch: Patch) -> None:
    zoo = ModuleType("zoo")
    zoo.list_models = lambda module: ["resnet18", "resnet50"]  # type: ignore[attr-defined]
    patch.setattr("models.zoo.import_module", lambda name: zoo)


def torchvision_of_another_torch(here: Path, patch: Patch) -> None:
    fault = RuntimeError("operator torchvision::nms does not exist")
    patch.setattr("models.zoo.import_module", raising(fault))
    forbid(patch, "torchvision", fault)


def no_network(here: Path, patch: Patch) -> None:
    datasets = ModuleType("torchvision.datasets")
    datasets.CIFAR10 = raising(
        OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")
    )  # type: ignore[attr-defined]
    library = ModuleType("torchvision")
    library.datasets = datasets  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "torchvision", library)


def no_pandas(here: Path, patch: Patch) -> None:
    study_without_rows(here, patch)
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "analysis" and name != "analysis"
    ]:
        if name != "analysis.__main__":
            patch.delitem(sys.modules, name)
    forbid(patch, "pandas")


def no_ray(here: Path, patch: Patch) -> None:
    patch.delitem(sys.modules, "sweeps.running.cluster", raising=False)
    forbid(patch, "ray")


def torch_without_its_libraries(here: Path, patch: Patch) -> None:
    text = "libcudart.so.12: cannot open shared object file: No such file or directory"
    patch.setattr("trainables.data.prepare", raising(ImportError(text, name="torch._C")))


def no_optuna(here: Path, patch: Patch) -> None:
    forbid(patch, "optuna")


def without(package: str, *places: str) -> Callable[[Path, Patch], None]:
    """An environment in which `find_spec` of some modules does not find a package."""

    def hide(here: Path, patch: Patch) -> None:
        for place in places:
            patch.setattr(f"{place}.find_spec", lambda name: None if name == package else object())

    return hide


def half_of_tensorboard(here: Path, patch: Patch) -> None:
    known = importlib.import_module
    fault = ImportError("cannot import name 'event_pb2' from 'tensorboard.compat.proto'")
    patch.setattr("sweeps.loggers.selection.find_spec", lambda name: object())
    patch.setattr(
        importlib,
        "import_module",
        lambda name: raising(fault)() if "_sink" in name else known(name),
    )


def nobody_logged_in(here: Path, patch: Patch) -> None:
    sink = ModuleType("sweeps.loggers.wandb_logger")

    text = "--log wandb: nobody is logged in here: run `wandb login`, or set WANDB_MODE=offline"
    sink.check = raising(UserError(text))  # type: ignore[attr-defined]
    patch.setattr("sweeps.loggers.selection.find_spec", lambda name: object())
    patch.setitem(sys.modules, "sweeps.loggers.wandb_logger", sink)


def old_python(here: Path, patch: Patch) -> None:
    patch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    patch.setattr(sys, "executable", "/usr/bin/python3")


# The study directory


def store_failing(number: int, *, writing: bool = True) -> Callable[[Path, Patch], None]:
    """An environment in which the disk of the study directory answers with an error of the
    operating system."""

    def fail(here: Path, patch: Patch) -> None:
        verbs = ("write",) if writing else ("write", "read", "files", "exists")
        for verb in verbs:
            patch.setattr(
                f"trainables.storage.local_disk.Disk.{verb}",
                raising(OSError(number, os.strerror(number))),
            )
        patch.setenv("PRUNING_STORE_PATIENCE", "0.01")

    return fail


def bucket_failing(text: str) -> Callable[[Path, Patch], None]:
    """An environment in which a bucket answers as pyarrow says it."""

    def fail(here: Path, patch: Patch) -> None:
        patch.setattr("trainables.storage.object_store.Bucket._files", raising(OSError(text)))
        patch.setenv("PRUNING_STORE_PATIENCE", "0.01")

    return fail


def held_by_another(here: Path, patch: Patch) -> None:
    """The lease of a process that lives: this one."""
    from sweeps.running.lease import FILE, Lease
    from trainables.storage.store import Store

    since = time.mktime((2026, 1, 2, 3, 4, 0, 0, 0, -1))
    Store.at(here / "out").write(FILE, replace(Lease.mine(), host="other", since=since).encode())
    patch.setattr("sweeps.running.lease.DYING", 0.01)


def taken_over(here: Path, patch: Patch) -> None:
    """Another driver takes the directory over while the study runs."""
    run_here(patch)
    patch.setattr(
        "trainables.trial.Trial.advance",
        lambda *_: stop("/here/out has been taken over by process 7 on other"),
    )


def stop(reason: str) -> None:
    from sweeps.running.stop_request import Stop

    Stop.ask(reason.replace("/here", str(Path.cwd())))


def study_without_rows(here: Path, patch: Patch) -> None:
    for name in ("one", "two"):
        (here / name).mkdir()
        (here / name / "study.yaml").write_text(f"name: {name}\n")


def study_of_another_length(here: Path, patch: Patch) -> None:
    from sweeps import full_study
    from sweeps.cli.study_request import read_study
    from sweeps.planning import study_directory
    from sweeps.planning.plan import make_plan
    from trainables.storage.store import Store

    spec = read_study(full_study.parser().parse_args(SMALL), default_preset="")
    study_directory.describe(spec, make_plan(spec), Store.at(here / "out"))


def made_up_studies(here: Path, patch: Patch) -> None:
    """A study with a failed, a missing and a damaged trial, and one of another network."""
    from tests.analysis.synthetic import write_study

    write_study(
        here / "one",
        methods=("magnitude", "synflow", "random"),
        sparsities=(0.5, 0.9),
        seeds=(1, 2),
        gaps=True,
    )
    write_study(
        here / "two", methods=("snip",), sparsities=(0.5,), seeds=(1, 2), setting={"model": "vgg16"}
    )


# The machine


def run_here(patch: Patch) -> None:
    """Run trials in this process instead of on a cluster, one after the other."""
    from sweeps.planning import trial_status
    from sweeps.running import run
    from sweeps.running.stop_request import Stop
    from trainables import ray_trainable
    from trainables.storage.store import Store

    def run_plan(
        plan: Any, environment: Any, resources: Any, progress: Any, *, watchers: Any = ()
    ) -> str:
        for key in trial_status.read(plan, Store.at(environment.store)).missing:
            config = {
                "spec": plan.by_key[key].spec.model_dump(mode="json"),
                "environment": environment.model_dump(),
            }
            trial, result = ray_trainable.RayTrial(config), {"done": False}
            while not result["done"] and not Stop.reason:
                result = trial.step()
            if result.get("status") == "store_lost":
                Stop.ask(str(result["error"]))
            if Stop.reason:
                break
        reason, Stop.reason = Stop.reason, ""
        return reason

    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield True

    patch.setattr(run, "run", run_plan)
    patch.setattr("sweeps.running.cluster.connected", connected)
    patch.setattr("sweeps.running.cluster.lack", lambda resources: None)
    patch.setattr("sweeps.running.cluster.find_dashboard", lambda: "")
    patch.setattr(ray_trainable, "_is_draining", lambda: False)
    patch.setattr("signal.signal", lambda number, handler: None)


def gpu_too_small(here: Path, patch: Patch) -> None:
    import torch

    run_here(patch)
    text = (
        "CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 3.94 GiB."
    )
    patch.setattr("trainables.trial.Trial.advance", raising(torch.OutOfMemoryError(text)))


def disk_full_in_a_trial(here: Path, patch: Patch) -> None:
    run_here(patch)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    patch.setattr(
        "trainables.trial.Trial.advance",
        lambda *_: store_failing(errno.ENOSPC)(here, patch) or (_ for _ in ()).throw(full),
    )


def no_gpu(here: Path, patch: Patch) -> None:
    patch.setattr("torch.cuda.is_available", lambda: False)
    patch.setattr("torch.cuda.device_count", lambda: 0)
    patch.setattr("sweeps.running.cluster.is_running", lambda: False)
    patch.setattr("sweeps.estimate.plan_cost.cpu_seconds", lambda *_: 3.6e5)


def two_cores(here: Path, patch: Patch) -> None:
    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield True

    patch.setattr("sweeps.running.cluster.connected", connected)
    patch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])


def ray_failing(error: Exception, *, reachable: bool = True) -> Callable[[Path, Patch], None]:
    """An environment in which Ray does not start, or its cluster cannot be used."""

    def fail(here: Path, patch: Patch) -> None:
        import ray

        patch.setattr(ray, "init", raising(error))
        patch.setattr("sweeps.running.cluster.is_running", lambda: False)
        if reachable:
            patch.setattr(socket, "create_connection", lambda *_, **__: io.BytesIO())

    return fail


def ray_of_another_version(here: Path, patch: Patch) -> None:
    """What Ray itself says of a cluster with other versions."""
    from ray._private.utils import check_version_info

    patch.setattr("ray._private.utils.compute_version_info", lambda: ("2.60.0", "3.11.7"))
    try:
        check_version_info({"ray_version": "2.9.0", "python_version": "3.10.4"}, "node 10.0.0.1")
    except RuntimeError as error:
        ray_failing(error)(here, patch)


def interrupted(here: Path, patch: Patch) -> None:
    patch.setattr("sweeps.cli.study_command.make_plan", raising(KeyboardInterrupt()))
    patch.setattr("sweeps.search.search_command.check", raising(KeyboardInterrupt()))
    patch.setattr("analysis.reading.load.load", raising(KeyboardInterrupt()))
    patch.setattr("trainables.export.command.export", raising(KeyboardInterrupt()))


# Data


def picture(side: int = 4, mode: str = "RGB") -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, "png")
    return stream.getvalue()


def write_data(
    columns: dict[str, list[Any]], *, rows: int | None = None, test: bool = True, cut: bool = False
) -> Callable[[Path, Patch], None]:
    """A data set in data/mine, the same for both splits."""

    def write(here: Path, patch: Patch) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = here / "data" / "mine"
        folder.mkdir(parents=True)
        for split in ("train", "test") if test else ("train",):
            path = folder / f"{split}.parquet"
            pq.write_table(pa.table(columns).slice(0, rows), path)
            if cut:
                path.write_bytes(path.read_bytes()[:-50])

    return write


def images(*sides: int, mode: str = "RGB", content: bytes = b"") -> list[dict[str, bytes]]:
    return [{"bytes": content or picture(side, mode)} for side in sides]


def full_cache(here: Path, patch: Patch) -> None:
    patch.setenv("PRUNING_DATA_CACHE", str(here / "cache"))
    patch.setattr("torch.save", raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


def search_with_a_damaged_record(here: Path, patch: Patch) -> None:
    path = here / "out" / "candidates" / "s0.900" / "0000.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"number": 0})[:-1])


LABELS = [0, 1, 2]
BROKEN: dict[str, Callable[[Path, Patch], None]] = {
    "no timm": no_timm,
    "no such network": no_such_network,
    "torchvision of another torch": torchvision_of_another_torch,
    "no network": no_network,
    "no pandas": no_pandas,
    "no ray": no_ray,
    "torch without its libraries": torch_without_its_libraries,
    "no optuna": no_optuna,
    "no mlflow": without("mlflow", "sweeps.loggers.selection"),
    "no wandb": without("wandb", "sweeps.loggers.selection"),
    "no tensorboard": without("tensorboard", "sweeps.loggers.selection"),
    "no safetensors": without("safetensors", "trainables.export.choice"),
    "no onnx": without("onnx", "trainables.export.choice"),
    "no onnxruntime": without("onnxruntime", "trainables.export.choice"),
    "half of tensorboard": half_of_tensorboard,
    "nobody logged in": nobody_logged_in,
    "old python": old_python,
    "disk full": store_failing(errno.ENOSPC),
    "quota used up": store_failing(errno.EDQUOT),
    "folder closed": store_failing(errno.EACCES),
    "folder closed to readers": store_failing(errno.EACCES, writing=False),
    "read-only disk": store_failing(errno.EROFS),
    "network disk away": store_failing(errno.ESTALE, writing=False),
    "bucket forbidden": bucket_failing(
        "When reading information for key 'study.yaml' in bucket 'mine': AWS Error ACCESS_DENIED during HeadObject "
        "operation: No response body."
    ),
    "no credentials": bucket_failing(
        "When reading information for key 'study.yaml' in bucket 'mine': AWS Error MISSING_AUTHENTICATION_TOKEN during "
        "HeadObject operation: Missing Authentication Token"
    ),
    "no such bucket": bucket_failing("Bucket 'mine' not found"),
    "bucket away": bucket_failing(
        "When reading information for key 'study.yaml' in bucket 'mine': AWS Error NETWORK_CONNECTION during HeadObject "
        "operation: curlCode: 7, Couldn't connect to server"
    ),
    "held by another": held_by_another,
    "taken over": taken_over,
    "study without rows": study_without_rows,
    "study of another length": study_of_another_length,
    "made-up studies": made_up_studies,
    "gpu too small": gpu_too_small,
    "disk full in a trial": disk_full_in_a_trial,
    "no gpu": no_gpu,
    "two cores": two_cores,
    "port in use": ray_failing(
        ValueError(
            "Ray component gcs_server is trying to use a port number 6379 that is used by other components.\n"
        )
    ),
    "folder of ray closed": ray_failing(
        PermissionError(errno.EACCES, "Permission denied", "/tmp/ray")
    ),
    "address without a port": ray_failing(ValueError("Invalid address format: 10.0.0.1")),
    "no room for ray": ray_failing(
        OSError(errno.ENOSPC, "No space left on device", "/tmp/ray/session")
    ),
    "ray of another version": ray_of_another_version,
    "interrupted": interrupted,
    "text in place of images": write_data({"text": ["a", "b"], "label": [0, 1]}),
    "no label": write_data({"image": images(4, 4), "class": [0, 1]}),
    "images of two sizes": write_data({"image": images(4, 4, 5), "label": LABELS}),
    "images of 16 bits": write_data({"image": images(4, 4, 4, mode="I;16"), "label": LABELS}),
    "negative labels": write_data({"image": images(4, 4, 4), "label": [0, 1, -1]}),
    "damaged images": write_data({"image": images(4, 4, 4, content=b"GIF"), "label": LABELS}),
    "no images": write_data({"image": images(4, 4, 4), "label": LABELS}, rows=0),
    "one image": write_data({"image": images(4), "label": [0]}),
    "truncated parquet": write_data({"image": images(4, 4, 4), "label": LABELS}, cut=True),
    "no test split": write_data({"image": images(4, 4, 4), "label": LABELS}, test=False),
    "full cache": full_cache,
    "damaged record": search_with_a_damaged_record,
}
