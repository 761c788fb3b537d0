"""requirements.lock against what it locks; the Dockerfile, which is built nowhere here, against its
parts."""

import fnmatch
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"


def locked() -> dict[str, list[tuple[Version, Requirement]]]:
    """Exact versions by name; several where they depend on Python's."""
    found: dict[str, list[tuple[Version, Requirement]]] = {}
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            (pin,) = one.specifier
            assert pin.operator == "==", line
            found.setdefault(one.name.lower(), []).append((Version(pin.version), one))
    return found


def wanted() -> list[Requirement]:
    """What the project and the clusters ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    clusters = (ROOT / "clusters" / "requirements.in").read_text().splitlines()
    return [
        Requirement(line)
        for line in [*project, *(text.split("#")[0].strip() for text in clusters)]
        if line
    ]


@pytest.mark.parametrize("requirement", wanted(), ids=lambda requirement: requirement.name)
def test_the_lock_has_what_is_asked_for(requirement: Requirement) -> None:
    versions = locked().get(requirement.name.lower())
    assert versions, "run make lock"
    assert all(requirement.specifier.contains(version) for version, _ in versions), "run make lock"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_one_version_of_each_for_a_given_python(python: str) -> None:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    for name, versions in locked().items():
        fitting = [
            v for v, one in versions if one.marker is None or one.marker.evaluate(environment)
        ]
        assert len(fitting) <= 1, name


def test_the_lock_names_no_host() -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|\bfile:", LOCK.read_text())


def dockerfile() -> list[str]:
    """The Dockerfile's instructions, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [
        " ".join(line.split())
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def test_dockerfile_has_a_fixed_base_and_no_root() -> None:
    instructions = dockerfile()
    assert {line.split()[0] for line in instructions} <= {
        "FROM",
        "ARG",
        "RUN",
        "WORKDIR",
        "COPY",
        "ENV",
        "USER",
        "VOLUME",
        "ENTRYPOINT",
        "CMD",
    }
    (base,) = [line.split()[1] for line in instructions if line.startswith("FROM ")]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")


def test_dockerfile_copies_what_is_there_and_the_ignore_file_lets_through() -> None:
    ignored = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert ignored[0] == "*", "nothing gets in that is not named"
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source for line in dockerfile() if line.startswith("COPY ") for source in line.split()[1:-1]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {pattern.rstrip("*") for pattern in setuptools["packages"]["find"]["include"]} <= copied


def test_the_image_has_what_compiling_needs() -> None:
    from trainables.training.compile import COMPILERS

    (packages,) = [line for line in dockerfile() if "apt-get install" in line]
    assert set(packages.split()) & set(COMPILERS)


def test_dockerfile_runs_the_embedded_study() -> None:
    from sweeps import full_study
    from sweeps.cli.study_request import read_study

    words = next(line for line in dockerfile() if line.startswith("CMD ")).removeprefix("CMD ")
    options = full_study.make_parser().parse_args(json.loads(words))
    assert read_study(options, default_preset="full").resources.gpus_per_trial == 0


def test_what_the_cpu_image_leaves_out_is_cuda_only() -> None:
    """The Dockerfile's patterns on the lock: torch comes from elsewhere, CUDA's parts not at all,
    the rest as locked."""
    (run,) = [line for line in dockerfile() if "--only-matching" in line]
    first = re.search(r"--extended-regexp '(\^\(torch\|torchvision\)==[^']*)'", run)
    left_out = re.search(r"--invert-match --extended-regexp '([^']*)'", run)
    assert first and left_out
    lines = LOCK.read_text().splitlines()
    assert len([line for line in lines if re.search(first[1], line)]) == 2
    gone = {line.split("==")[0] for line in lines if re.search(left_out[1], line)}
    assert {"torch", "torchvision", "triton"} < gone
    assert all(
        fnmatch.fnmatch(name, "nvidia-*") or fnmatch.fnmatch(name, "cuda-*")
        for name in gone - {"torch", "torchvision", "triton"}
    )
