"""A request that may be wrong: its answer is either the plan, or one line and exit code 2."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml
from hypothesis import HealthCheck, settings

from sweeps import full_study
from sweeps.cli.study_request import read_study
from sweeps.study_file.inherited_fields import SETTING_FIELDS
from sweeps.study_file.study import build_study
from sweeps.study_file.yaml_reader import parse_yaml

SLOW = 4  # times as many in the long form


def call(words: list[str]) -> tuple[int, str, str]:
    """The exit code of the command in this process, and what it printed to stdout and stderr."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = full_study.main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def judge(words: list[str], folder: Path, *, twice: bool = True) -> int:
    """Make a request and see that its answer is either the plan or one line; the exit code.

    With `twice`, a request that is refused is made again without `--dry-run`, and must be refused
    again.
    """
    before = sorted(folder.iterdir())
    code, out, err = call([*words, "--dry-run"])
    assert code in (0, 2), f"exit code {code}"
    if code == 0:
        assert err == "" and " trials, 0 done, " in out
        assert_storable(words)
    else:
        assert_one_line(out, err)
        assert not twice or call(words) == (code, out, err)
    assert sorted(folder.iterdir()) == before
    return code


def assert_storable(words: list[str]) -> None:
    """What the study directory would keep of a valid request is that very request."""
    asked = read_study(full_study.make_parser().parse_args(words), default_preset="full")
    kept = parse_yaml(yaml.safe_dump(asked.model_dump(mode="json"), sort_keys=False), large=True)
    settings = [{key: one[key] for key in SETTING_FIELDS} for one in kept["also"]]
    assert build_study({**kept, "also": settings}, where="x") == asked


def assert_one_line(out: str, err: str) -> None:
    assert err.startswith("error: ") and err.endswith("\n") and len(err) < 1200, err[:300]
    assert err[:-1].isprintable(), ascii(err[:300])
    assert out == ""


def quick(count: int, *, slow: bool = False) -> settings:
    return settings(
        max_examples=count * (SLOW if slow else 1),
        derandomize=not slow,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
