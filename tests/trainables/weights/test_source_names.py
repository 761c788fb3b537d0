"""Sources of weights, told apart by their form, without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from pruning.user_error import UserError
from trainables.weights.source_names import WeightsSource, parse_source

ROOT = Path(__file__).parents[3]
KEY = "cifar10-resnet20/dense/s0.000/seed0-0123abcd"


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("best.pth", "resnet20", WeightsSource("file", "best.pth")),
        ("  runs/best.pth ", "resnet20", WeightsSource("file", "runs/best.pth")),
        ("runs/best", "resnet20", WeightsSource("file", "runs/best")),
        ("best.pth#ema", "resnet20", WeightsSource("file", "best.pth", "ema")),
        ("https://x.org/a.pth", "resnet20", WeightsSource("file", "https://x.org/a.pth")),
        (
            "https://x.org/a.pth#state_dict",
            "resnet20",
            WeightsSource("file", "https://x.org/a.pth", "state_dict"),
        ),
        (
            "torchvision:default",
            "torchvision:resnet18",
            WeightsSource("library", "torchvision", "default"),
        ),
        (
            "torchvision:IMAGENET1K_V2",
            "torchvision:resnet50+cifar_stem",
            WeightsSource("library", "torchvision", "IMAGENET1K_V2"),
        ),
        ("timm:a1_in1k", "timm:resnet18", WeightsSource("library", "timm", "a1_in1k")),
        ("timm:resnet18.a1_in1k", "timm:resnet18", WeightsSource("library", "timm", "a1_in1k")),
        (f"studies/one#{KEY}", "resnet20", WeightsSource("study", "studies/one", KEY)),
        (f"studies/one#{KEY}@3", "resnet20", WeightsSource("study", "studies/one", KEY, 3)),
        (
            f"s3://bucket/one?endpoint_override=x#{KEY}@1",
            "resnet20",
            WeightsSource("study", "s3://bucket/one?endpoint_override=x", KEY, 1),
        ),
        ("own.weights:load", "resnet20", WeightsSource("function", "own.weights:load")),
    ],
)
def test_each_form_is_told_apart(text: str, model: str, expected: WeightsSource) -> None:
    assert parse_source(text, model) == expected


def test_a_file_that_is_there_is_a_file_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.b:c", "run#3"):
        Path(name).touch()
        assert parse_source(name, "resnet20") == WeightsSource("file", name)
    assert parse_source("run#3#ema", "resnet20") == WeightsSource("file", "run#3", "ema")


@pytest.mark.parametrize(
    ("text", "model", "message"),
    [
        ("", "resnet20", "name a file, torchvision:default, timm:TAG, or STUDY_DIR#KEY"),
        ("torchvision:", "torchvision:resnet18", "name the weights: 'torchvision:default'"),
        (
            "torchvision:default",
            "resnet20",
            "the model must be 'torchvision:NAME', but it is 'resnet20'",
        ),
        ("timm:default", "torchvision:resnet18", "the model must be 'timm:NAME'"),
        ("timm:resnet18", "timm:resnet18", "names a network; its weights are 'timm:default'"),
        ("s3://bucket/best.pth", "resnet20", "a study in a bucket is named 'URI#KEY'"),
    ],
)
def test_what_names_no_source_is_one_line(text: str, model: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_source(text, model)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_sources_are_read_without_torch() -> None:
    code = (
        "import sys; from trainables.weights.source_names import parse_source as parse;"
        "import trainables.weights.given_weights;"
        "parse('a.pth', 'resnet20'); parse('timm:default', 'timm:resnet18');"
        "assert not {'torch', 'torchvision', 'timm', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
