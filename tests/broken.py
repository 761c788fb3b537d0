"""Environments that are broken in one way each, for the catalogue of errors: `BROKEN` has them by
name.

Each takes the test's empty folder, which is the working directory, and monkeypatch. Nothing outside
of it is touched.
"""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broken_data import full_cache, images, write_data
from tests.broken_directories import (
    bucket_failing,
    held_by_another,
    made_up_studies,
    search_with_a_damaged_record,
    store_failing,
    study_of_another_length,
    study_without_rows,
)
from tests.broken_machines import (
    disk_full_in_a_trial,
    gpu_too_small,
    interrupted,
    no_gpu,
    ray_failing,
    ray_of_another_version,
    taken_over,
    two_cores,
)
from tests.broken_packages import (
    half_of_tensorboard,
    no_network,
    no_optuna,
    no_pandas,
    no_ray,
    no_such_network,
    no_timm,
    nobody_logged_in,
    old_python,
    torch_without_its_libraries,
    torchvision_of_another_torch,
    without,
)

Patch = pytest.MonkeyPatch
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
    "no onnx": without("onnx", "trainables.export.formats"),
    "no onnxruntime": without("onnxruntime", "trainables.export.formats"),
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
        "When reading information for key 'study.yaml' in bucket 'mine': "
        "AWS Error ACCESS_DENIED during HeadObject "
        "operation: No response body."
    ),
    "no credentials": bucket_failing(
        "When reading information for key 'study.yaml' in bucket 'mine': "
        "AWS Error MISSING_AUTHENTICATION_TOKEN during "
        "HeadObject operation: Missing Authentication Token"
    ),
    "no such bucket": bucket_failing("Bucket 'mine' not found"),
    "bucket away": bucket_failing(
        "When reading information for key 'study.yaml' in bucket 'mine': "
        "AWS Error NETWORK_CONNECTION during HeadObject "
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
            "Ray component gcs_server is trying to use a port number 6379 "
            "that is used by other components.\n"
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
    "huge labels": write_data({"image": images(4, 4, 4), "label": [0, 2**31 - 1, 1]}),
    "damaged images": write_data({"image": images(4, 4, 4, content=b"GIF"), "label": LABELS}),
    "no images": write_data({"image": images(4, 4, 4), "label": LABELS}, rows=0),
    "one image": write_data({"image": images(4), "label": [0]}),
    "truncated parquet": write_data({"image": images(4, 4, 4), "label": LABELS}, cut=True),
    "no test split": write_data({"image": images(4, 4, 4), "label": LABELS}, test=False),
    "full cache": full_cache,
    "damaged record": search_with_a_damaged_record,
}
