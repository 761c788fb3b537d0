"""Hundreds of malformed requests: each is one line and exit 2, or it is really valid; nothing
runs, nothing is started.

What is drawn is fixed, so that CI is stable; the long form, which is marked slow, draws anew each
time.

Covers: sweeps/study_file/yaml_reader.py.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweeps.malformed_requests import judge, quick
from tests.sweeps.study_file.malformed_files import FILES, JUNK


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FILES)
def test_a_malformed_study_file_is_one_line_and_starts_nothing(
    kind: str, slow: bool, request_folder: Path
) -> None:
    strategy, count = FILES[kind]
    refused = []
    path = request_folder / "study.yaml"
    path.touch()

    @quick(count, slow=slow)
    @given(strategy)
    def check(content: str | bytes) -> None:
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        )
        refused.append(
            judge(["--study", "study.yaml"], request_folder, twice=len(refused) % 4 == 0) == 2
        )

    check()
    assert sum(refused) > count / 2  # these strategies do make mistakes


OPTIONS = [
    "--set",
    "--methods",
    "--sparsities",
    "--seeds",
    "--out",
    "--data-dir",
    "--cpus-per-trial",
    "--gpus-per-trial",
]
OPTIONS += ["--preset", "--study"]
VALUES = st.one_of(
    st.sampled_from(
        [str(value) for value in JUNK if not isinstance(value, str) or "\x00" not in value]
    ),
    st.sampled_from(
        [
            "nan",
            "inf",
            "-inf",
            "-1",
            "0",
            "",
            ",",
            "1,1",
            "0.5,0.5",
            "1e400",
            "0x10",
            "1_0",
            "١",
            "1;2",
            "[1]",
        ]
    ),
    st.sampled_from(
        [
            "=",
            "a=",
            "=1",
            "a.b.c=1",
            "..=1",
            "methods.x=1",
            "methods..=",
            "recipe=1",
            "seeds.0=1",
            "a=[",
            "a=*b",
        ]
    ),
    st.sampled_from(
        [
            "seeds=2024-99-99",
            "methods=!!python/name:os.system",
            "recipe.epochs=!!int",
            "also=3",
            "also={a: 1}",
        ]
    ),
    st.sampled_from(
        [
            "recipe.lr=.inf",
            "recipe.epochs=true",
            "resources.gpus_per_trial=0.33333",
            "data_dir=~no-one/x",
        ]
    ),
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=30),
)


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_malformed_option_is_one_line_and_starts_nothing(
    slow: bool, request_folder: Path
) -> None:
    refused = []

    @quick(200, slow=slow)
    @given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), min_size=1, max_size=2))
    def check(given: list[tuple[str, str]]) -> None:
        words = [f"{option}={value}" for option, value in given]
        if not any(option in ("--preset", "--study") for option, _ in given):
            words += ["--preset", "cifar10_small"]
        refused.append(judge(words, request_folder) == 2)

    check()
    assert sum(refused) > 100
