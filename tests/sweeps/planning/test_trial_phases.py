"""Networks of the user are imported only when everything else of a study is in order.

Covers: sweeps/planning/model_check.py.
"""

import os
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from sweeps.estimate import time_per_trial
from sweeps.planning import model_check, network_probe
from tests.sweeps.malformed_requests import judge, quick
from tests.sweeps.study_file.malformed_files import SENTINEL, Raw, mutated
from trainables import trial_spec

OWN: Raw = {
    "name": "own",
    "dataset": "digits",
    "model": "boom:net",
    "data_dir": ".",
    "recipe": {"epochs": 3},
    "methods": ["magnitude", {"hrank": {"rewind_to": 1, "retrain": "weight_rewind"}}],
    "sparsities": [0.5],
    "seeds": [0],
}
BOOM = f"""
from pathlib import Path
from torch import nn
Path({SENTINEL!r}).touch()

def net(image, classes):
    channels, height, width = image
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
                         nn.Flatten(), nn.Linear(4 * height * width, classes))
"""


@pytest.fixture
def own(request_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network of the user's own, which tells when it is imported."""
    (request_folder / "boom.py").write_text(BOOM)
    (request_folder / SENTINEL).touch()
    monkeypatch.syspath_prepend(request_folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return request_folder


def imports(words: list[str], request_folder: Path) -> tuple[int, bool]:
    """The exit code of a request, and whether it imported the network."""
    sys.modules.pop("boom", None)
    trial_spec.build_without_storage.cache_clear()
    model_check.count_macs_and_parameters.cache_clear()
    network_probe.forget_networks()
    time_per_trial.network_cost.cache_clear()
    os.utime(request_folder / SENTINEL, (0, 0))
    code = judge([*words], request_folder)
    return code, (request_folder / SENTINEL).stat().st_mtime > 0


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_of_the_users_own_is_imported_only_where_all_else_is_right(
    slow: bool, own: Path
) -> None:
    seen = []
    (own / "study.yaml").write_text(yaml.safe_dump(OWN))
    assert imports(["--study", "study.yaml"], own) == (0, True)

    @quick(60, slow=slow)
    @given(mutated(OWN))
    def check(content: str) -> None:
        (own / "study.yaml").write_text(content)
        code, imported = imports(["--study", "study.yaml"], own)
        assert code == 0 or not imported
        seen.append(imported)

    check()
    assert 0 < sum(seen) < len(seen) / 2


# What is found out late: by laying out the courses of all methods, by counting trials, by looking
# for the data.
LATE: list[Raw] = [
    {"methods": ["hrank", {"magnitude": {"rewind_to": 500}}]},
    {"methods": [{"hrank": {"rewind_to": 500, "retrain": "weight_rewind"}}]},
    {"methods": ["hrank", "gmp"], "recipe": {"epochs": 0}},
    {"methods": ["hrank", {"l1_filter": {"rewind_to": 4}}]},
    {"methods": ["hrank"], "data_dir": "nowhere"},
    {"methods": ["hrank"], "seeds": list(range(1100)), "sparsities": [n / 200 for n in range(100)]},
    {
        "methods": ["hrank"],
        "also": [{"model": "resnet8", "recipe": {"epochs": 0}, "methods": ["gmp"]}],
    },
]


@pytest.mark.parametrize("change", LATE, ids=lambda change: str(change)[:60])
def test_what_is_found_out_late_is_found_out_before_a_network_is_imported(
    change: Raw, own: Path
) -> None:
    (own / "study.yaml").write_text(yaml.safe_dump({**OWN, **change}))
    assert imports(["--study", "study.yaml"], own) == (2, False)
