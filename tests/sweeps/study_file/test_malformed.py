"""Thousands of malformed requests: each is one line and exit 2, or it is really valid; nothing
runs, nothing is started.

What is drawn is fixed, so that CI is stable; the long form, which is marked slow, draws anew each
time.
"""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.cli import study_command, study_request
from sweeps.estimate import time_per_trial
from sweeps.planning import model_check
from sweeps.study_file import study, yaml_reader
from trainables import trial_spec

Raw = dict[str, Any]
SLOW = 8  # times as many in the long form

# A file that is imported when it must not be, and text that creates a file when it is executed,
# leave this behind.
SENTINEL = "executed"

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 10**9, 10**19, -(10**400), 10**400, 1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), "", " ", "x", "all", "1e-3", "yes", "nan", "9" * 5000, "x" * 3000),
    *("../../up", "/etc/passwd", "~", "~nobody-here/x", "a/b", "s3://", "bogus://x", "C:\\x", ".", "-"),
    *(f"$(touch {SENTINEL})", f"`touch {SENTINEL}`", f"; touch {SENTINEL}", "a\nb", "a\r\tb", "\x1b[31mred", "\x9b31m"),
    *("\u202egnp.exe", "\u2028", "\x00", "\ud800", "é", "os:system", "os:nothing", "no.such.module:net", "a:b:c", ":", "a:"),
    *([], [[]], [None], ["x"], [1, 1], {}, {"a": 1}, {1: 2}, {"": ""}, [{}], [{"name": 3}], list(range(300))),
    *({"epochs": 1}, {"name": "magnitude", "knobs": 3}, [["magnitude"]], {"magnitude": {"scope": ["layer"] * 3}}),
    *({"lottery_ticket": {"levels": 10**9}}, {"lottery_ticket": {"levels": "sparsities", "rate": 1e-300}}),
    *({"han_iterative": {"iterations": 10**9}}, {"hrank": {"layer_epochs": 10**9}}, {"magnitude": {"rewind_to": -1}}),
    *({"gmp": {"every": list(range(1, 40)), "start": [i / 100 for i in range(40)]}}, {"random": {"layers": []}}),
]  # fmt: skip

TOKENS = [
    *("name", "dataset", "model", "methods", "seeds", "sparsities", "recipe", "also", ": ", "- ", ", ", "\n", "\n  ", " "),
    *("[", "]", "{", "}", "&a ", "*a", "<<: ", "? ", "| ", "> ", "'", '"', "#", "%YAML 1.2\n", "---\n", "...\n", "\t"),
    *("!!python/object/apply:os.system ", f"['touch {SENTINEL}']", "!!python/name:os.system ", "!!python/module:os "),
    *("!!timestamp ", "!!bool ", "!!int ", "!!float ", "!!binary ", "!!set ", "!!omap ", "!!null ", "!x ", "!", "@", "`"),
    *("0", "1e308", ".nan", ".inf", "0x" + "f" * 9000, "1" * 5000, "1:60:60", "2024-99-99", "~", "digits", "mlp", "true"),
    *("\ufeff", "\x00", "\x1b[31m", "\x85", "\\", "\\ud800", "é", "magnitude", "x" * 200),
]  # fmt: skip


def reduced(name: str) -> Raw:
    """A preset with its long lists cut: what is wrong with it does not hang on how large it is."""
    raw = study.read_preset(name)
    return {
        key: value[:1] if isinstance(value, list) and key != "methods" else value
        for key, value in raw.items()
    }


PRESETS = {name: reduced(name) for name in study.presets()}
TEXTS = {name: yaml.safe_dump(raw) for name, raw in PRESETS.items()}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def change(raw: Raw, path: tuple[Any, ...], kind: str, junk: Any) -> None:
    """Put one thing wrong, in place."""
    holder: Any = raw
    for name in path[:-1]:
        holder = holder[name]
    last = path[-1]
    match kind:
        case "drop":
            del holder[last]
        case "replace":
            holder[last] = junk
        case "wrap":
            holder[last] = [holder[last]]
        case "nest":
            holder[last] = {str(last): holder[last]}
        case "scale":
            old = holder[last]
            holder[last] = old * -(10**9) if isinstance(old, int | float) else junk
        case "repeat":
            holder[last] = [holder[last]] * 3
        case "typo" if isinstance(holder, dict):
            holder[f"{last}s"] = holder.pop(last)
        case "add" if isinstance(holder, dict):
            holder[junk if isinstance(junk, str | int) else "more"] = junk
        case _:
            holder[last] = junk


KINDS = ["drop", "replace", "replace", "wrap", "nest", "scale", "repeat", "typo", "add"]


@st.composite
def mutated(draw: st.DrawFn, base: Raw | None = None) -> str:
    """A valid study with one to three things put wrong."""
    raw = deepcopy(base or PRESETS[draw(st.sampled_from(sorted(PRESETS)))])
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(raw))
        if not found:
            break
        change(
            raw,
            draw(st.sampled_from(found)),
            draw(st.sampled_from(KINDS)),
            deepcopy(draw(st.sampled_from(JUNK))),
        )
    return yaml.safe_dump(raw, sort_keys=False)


@st.composite
def scratched(draw: st.DrawFn) -> bytes:
    """The text of a valid study with a hole, an insertion or another encoding."""
    text = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
    added = draw(st.lists(st.sampled_from(TOKENS), max_size=3).map("".join))
    text = text[:at] + added + text[at + length :]
    encoding = draw(
        st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp500"])
    )
    return text.encode(encoding, "replace")


FILES: dict[str, tuple[st.SearchStrategy[str | bytes], int]] = {
    "bytes": (st.binary(max_size=200), 150),
    "text": (st.text(max_size=200), 150),
    "tokens": (st.lists(st.sampled_from(TOKENS), max_size=25).map("".join), 350),
    "scratched": (scratched(), 200),
    "mutated": (mutated(), 400),
}


def call(words: list[str]) -> tuple[int, str, str]:
    """The exit code of the command line in this process, and what it printed to stdout and stderr.
    """
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
    asked = study_request.read_study(full_study.parser().parse_args(words), default_preset="full")
    kept = yaml_reader.parse(
        yaml.safe_dump(asked.model_dump(mode="json"), sort_keys=False), large=True
    )
    settings = [{key: one[key] for key in study._PER_SETTING} for one in kept["also"]]
    assert study.build({**kept, "also": settings}, where="x") == asked


def assert_one_line(out: str, err: str) -> None:
    assert err.startswith("error: ") and err.endswith("\n") and len(err) < 1200, err[:300]
    assert err[:-1].isprintable(), ascii(err[:300])
    assert out == ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a request; whatever starts a trial or a process in it fails the
    test."""
    started = []

    def launch(*arguments: object) -> None:
        started.append(arguments)
        raise AssertionError("a trial was started")

    def system(command: str) -> int:
        started.append(command)
        raise AssertionError("a process was started")

    import torch._dynamo  # noqa: F401  imported now: torch asks the system for its compilers

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_command, "_launch", launch)
    monkeypatch.setattr(os, "system", system)
    monkeypatch.setattr(subprocess, "Popen", system)
    yield tmp_path
    assert started == []


def quick(count: int, *, slow: bool = False) -> settings:
    return settings(
        max_examples=count * (SLOW if slow else 1),
        derandomize=not slow,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", FILES)
def test_a_malformed_study_file_is_one_line_and_starts_nothing(
    kind: str, slow: bool, folder: Path
) -> None:
    strategy, count = FILES[kind]
    refused = []
    path = folder / "study.yaml"
    path.touch()

    @quick(count, slow=slow)
    @given(strategy)
    def check(content: str | bytes) -> None:
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        )
        refused.append(judge(["--study", "study.yaml"], folder, twice=len(refused) % 4 == 0) == 2)

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
    st.sampled_from([str(value) for value in JUNK if not isinstance(value, str) or "\x00" not in value]),
    st.sampled_from(["nan", "inf", "-inf", "-1", "0", "", ",", "1,1", "0.5,0.5", "1e400", "0x10", "1_0", "١", "1;2", "[1]"]),
    st.sampled_from(["=", "a=", "=1", "a.b.c=1", "..=1", "methods.x=1", "methods..=", "recipe=1", "seeds.0=1", "a=[", "a=*b"]),
    st.sampled_from(["seeds=2024-99-99", "methods=!!python/name:os.system", "recipe.epochs=!!int", "also=3", "also={a: 1}"]),
    st.sampled_from(["recipe.lr=.inf", "recipe.epochs=true", "resources.gpus_per_trial=0.33333", "data_dir=~no-one/x"]),
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=30),
)  # fmt: skip


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_malformed_option_is_one_line_and_starts_nothing(slow: bool, folder: Path) -> None:
    refused = []

    @quick(500, slow=slow)
    @given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), min_size=1, max_size=2))
    def check(given: list[tuple[str, str]]) -> None:
        words = [f"{option}={value}" for option, value in given]
        if not any(option in ("--preset", "--study") for option, _ in given):
            words += ["--preset", "cifar10_small"]
        refused.append(judge(words, folder) == 2)

    check()
    assert sum(refused) > 250


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
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
                         nn.Flatten(), nn.Linear(4 * height * width, classes))
"""


@pytest.fixture
def own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network of the user's own, which tells when it is imported."""
    (folder / "boom.py").write_text(BOOM)
    (folder / SENTINEL).touch()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def imports(words: list[str], folder: Path) -> tuple[int, bool]:
    """The exit code of a request, and whether it imported the network."""
    sys.modules.pop("boom", None)
    trial_spec.structure.cache_clear()
    model_check.cost.cache_clear()
    time_per_trial.network_cost.cache_clear()
    os.utime(folder / SENTINEL, (0, 0))
    code = judge([*words], folder)
    return code, (folder / SENTINEL).stat().st_mtime > 0


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_of_the_users_own_is_imported_only_where_all_else_is_right(
    slow: bool, own: Path
) -> None:
    seen = []
    (own / "study.yaml").write_text(yaml.safe_dump(OWN))
    assert imports(["--study", "study.yaml"], own) == (0, True)

    @quick(150, slow=slow)
    @given(mutated(OWN))
    def check(content: str) -> None:
        (own / "study.yaml").write_text(content)
        code, imported = imports(["--study", "study.yaml"], own)
        assert code == 0 or not imported
        seen.append(imported)

    check()
    assert 0 < sum(seen) < len(seen) / 2


GOOD: Raw = {
    "name": "s",
    "dataset": "digits",
    "model": "mlp",
    "methods": ["magnitude"],
    "sparsities": [0.5],
    "seeds": [0],
}


def bomb(first: str, inner: str) -> str:
    """Twelve lines, each of which stands for nine times the one before it."""
    lines = [f"a0: &a0 {first}"]
    lines += [
        f"a{n}: &a{n} {inner.replace('...', ', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, 12)
    ]
    return "\n".join(lines)


# What is found out late: by laying out the courses of all methods, by counting trials, by looking
# for the data.
LATE: list[Raw] = [
    {"methods": ["hrank", {"magnitude": {"rewind_to": 500}}]},
    {"methods": [{"hrank": {"rewind_to": 500, "retrain": "weight_rewind"}}]},
    {"methods": ["hrank", "gmp"], "recipe": {"epochs": 0}},
    {"methods": ["hrank", {"l1_filter": {"rewind_to": 4}}]},
    {"methods": ["hrank"], "data_dir": "nowhere"},
    {"methods": ["hrank"], "seeds": list(range(50_001))},
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


FAULTS = [
    (bomb("[x]", "[...]"), "is not YAML: line 6: it holds more than 100,000 values"),
    (bomb("{x: 1}", "{<<: [...]}"), "is not YAML: line 6: it holds more than 100,000 values"),
    ("a: &a [*a]", "line 1: an alias stands for something that contains it"),
    ("name: a\nname: b", "line 2: the key 'name' is there twice"),
    ("seeds: " + "[" * 5000, "it is nested too deeply"),
    ("seeds: !!timestamp soon", "a value does not fit its tag"),
    ("seeds: !!bool maybe", "a value does not fit its tag"),
    ("seeds: !!int ''", "a value does not fit its tag"),
    ("seeds: 2024-99-99", "a value does not fit its tag (month must be in 1..12)"),
    ("seeds: " + "9" * 5000, "a value does not fit its tag (Exceeds the limit (4300 digits)"),
    ("#" * 1_000_001, "cannot read the study file study.yaml: it has 1,000,001 bytes, which is more than 1,000,000"),
    ("a: 1".encode("utf-16"), "it is not UTF-8 text"),
    ({"seeds": [10**400]}, "seeds.0: input should be less than or equal to 9223372036854775807, but got 1000"),
    ("seeds: [0x" + "f" * 9000 + "]", "field required"),
    ({"recipe": {"lr": 10**400}}, "recipe.lr: input should be a valid number, but got 1000"),
    ({"recipe": {"lr": -(10**400)}}, "recipe.lr: input should be a valid number, but got -1000"),
    ({"recipe": {"lr": float("inf")}}, "recipe.lr: input should be a finite number, but got inf"),
    ({"recipe": {"epochs": True}}, "recipe.epochs: input should be a number, but got true"),
    ({"seeds": [False]}, "seeds.0: input should be a number, but got false"),
    ({"recipe": {"epochs": 10**9}}, "recipe.epochs: input should be less than or equal to 100000, but got 1000000000"),
    ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds: input should be a finite number, but got nan"),
    ({"recipe": [1], "also": [{"recipe": {}}]}, "recipe: a recipe is a mapping of keys to values, but got [1]"),
    ({"also": 5}, "also is a list of at most 100 mappings, but got 5"),
    ({"also": [{1: 2, "a": 3}]}, "also may change dataset, methods, model, recipe, retrain, sparsities, but got '1'"),
    ({"methods": [["magnitude"]]}, "methods.0: input should be a mapping, but got ['magnitude']"),
    ({"methods": [{"name": ["magnitude"]}]}, "methods.0.name: input should be a valid string, but got ['magnitude']"),
    ({"methods": {"magnitude": {"scope": []}}}, "method 'magnitude': scope must have at least 1 value, but got []"),
    ({"methods": {"magnitude": {"rewind_to": list(range(1001))}}}, "must have at most 1,000 combinations of its knobs"),
    ({"methods": {"magnitude": {"rewind_to": 500}}}, "error: method 'magnitude': rewind_to must be in [0, 160]"),
    ({"methods": {"grasp": {"temperature": float("inf")}}}, "methods.0.knobs: temperature must be finite, but got inf"),
    ({"methods": {"obc": {"images": 10**30}}}, "methods.0.knobs: images must lie within 64 bits, but got 1000"),
    ({"methods": {"gmp": None}, "recipe": {"epochs": 0}}, "recipe.epochs must be at least 1, but got 0"),
    ({"methods": {"lottery_ticket": {"levels": 10**9}}}, "levels: input should be less than or equal to 1000"),
    ({"methods": {"lottery_ticket": {"levels": 0}}}, "levels: input should be greater than or equal to 1, but got 0"),
    ({"methods": {"lottery_ticket": {"levels": 200}}}, "200 levels of rate 0.2 leave no weight; lower one of them"),
    ({"methods": {"lottery_ticket": {"levels": "sparsities", "rate": 1e-17}}}, "rate: input should be greater than or equal"),
    ({"methods": {"han_iterative": {"iterations": 10**9}}}, "iterations: input should be less than or equal to 1000"),
    ({"methods": {"hrank": {"layer_epochs": 10**8}}}, "layer_epochs: input should be less than or equal to 1000"),
    ({"methods": {"lottery_ticket": {1: 2}}}, "methods.0.knobs: the name of a knob must be a word, but got 1"),
    (
        {"methods": {"lottery_ticket": {"levels": 20, "rate": 0.1}}, "recipe": {"epochs": 100_000}},
        "a trial must train at most 1,000,000 epochs",
    ),
    ({"data_dir": ""}, "data_dir must name a folder, but got ''"),
    ({"data_dir": "~nobody-here/x"}, "data_dir must name a folder, but got '~nobody-here/x': Could not determine home"),
    ({"data_dir": "a\0b"}, "data_dir must name a folder, but got 'a\\x00b': embedded null byte"),
    ({"data_dir": "x" * 5000}, "--data-dir must be a folder, but"),
    ({"dataset": "cifar11"}, "no data set 'cifar11'; did you mean 'cifar10'?"),
    ({"dataset": "a\x1b[31mb"}, "but got 'a\\x1b[31mb'"),
    ({"x\x1b[31m": 1}, "unknown key 'x\\x1b[31m'; there are: name"),
    ({"methods": ["\u202eynas"]}, "no method '\\u202eynas'; there are: dense"),
    ({"description": "\ud800"}, "text must be whole characters"),
    ({"methods": "\ud800"}, "text must be whole characters"),
    ({"model": "no.such:net"}, "cannot import 'no.such' for model 'no.such:net' (ModuleNotFoundError"),
    ({"model": "os:system"}, "model 'os:system' must take (image, classes), but: missing a required argument: 'command'"),
    ({"model": "ends:net"}, "cannot import 'ends' for model 'ends:net' (SystemExit: 3)"),
    ({"model": "fails:net"}, "model 'fails:net' does not take 1x8x8 images: ZeroDivisionError: division by zero"),
    ({"model": "fails:net", "methods": ["hrank"]}, "model 'fails:net' cannot be built: ZeroDivisionError: division by zero"),
    ({"model": "wrong:net"}, "model 'wrong:net' must return logits [B, 10], but for one image returned (1, 8, 8)"),
    ({"resources": {"gpus_per_trial": 1.5}}, "resources: gpus_per_trial must be whole above 1, but got 1.5"),
    ({"resources": {"cpus_per_trial": 1 / 3}}, "resources: cpus_per_trial must have at most 4 decimals, but got 0.333333"),
    ({"name": "x" * 300}, "name: string should have at most 100 characters"),
    ({"seeds": list(range(20_000)), "sparsities": [n / 1000 for n in range(1, 500)]}, "this one has 10,000,000"),
    ({"also": [{}] * 50, "seeds": list(range(2000))}, "a study must have at most 100,000 trials, but this one has 204,000"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line"), FAULTS, ids=[line[:50] for _, line in FAULTS])
def test_what_is_wrong_is_said(
    content: Any, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "fails.py").write_text("def net(image, classes):\n    return 1 / 0\n")
    (folder / "wrong.py").write_text(
        "from torch import nn\ndef net(image, classes):\n    return nn.Flatten(0, 1)\n"
    )
    monkeypatch.syspath_prepend(folder)
    text = yaml.safe_dump({**GOOD, **content}) if isinstance(content, dict) else content
    (folder / "study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = call(["--study", "study.yaml", "--dry-run"])
    assert code == 2
    assert_one_line(out, err)
    assert line in err


def test_what_is_no_file_is_said_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name, line in (
        ("pipe", "a pipe or a device"),
        ("/dev/zero", "a pipe or a device"),
        (".", "Is a directory"),
    ):
        code, out, err = call(["--study", name, "--dry-run"])
        assert code == 2 and line in err
        assert_one_line(out, err)


OPTION_FAULTS = [
    (["--cpus-per-trial", "nan"], "resources.cpus_per_trial: input should be a finite number, but got 'nan'"),
    (["--cpus-per-trial", ""], "resources.cpus_per_trial: input should be a valid number, but got None"),
    (["--gpus-per-trial=-1"], "resources.gpus_per_trial: input should be greater than or equal to 0, but got -1"),
    (["--gpus-per-trial", "inf"], "resources.gpus_per_trial: input should be a finite number"),
    (["--sparsities", "nan"], "sparsities.0: input should be a finite number, but got nan"),
    (["--seeds", ""], "seeds: list should have at least 1 item"),
    (["--seeds", "9" * 5000], "--seeds takes numbers separated by commas, but got '9999"),
    (["--methods", ","], "methods: list should have at least 1 item"),
    (["--out", ""], "--out must name a folder, but got ''"),
    (["--out", "~nobody-here/x"], "--out must name a folder, but got '~nobody-here/x'"),
    (["--out", "bogus://x"], "--out: "),
    (["--data-dir", ""], "--data-dir must name a folder, but got ''"),
    (["--data-dir", "nowhere"], "--data-dir must be a folder, but"),
    (["--set", "seeds=2024-99-99"], "seeds: input should be a valid list, but got '2024-99-99'"),
    (["--set", "methods=[[x]]", "--set", "methods.x=1"], "methods is a list of names, but holds the list ['x']"),
    (["--nothing\x1b[31m"], "error: unrecognized arguments: --nothing\\x1b[31m; see --help"),
    (["--fresh=yes"], "ignored explicit argument 'yes'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"), OPTION_FAULTS, ids=[line[:50] for _, line in OPTION_FAULTS]
)
def test_what_is_wrong_with_an_option_is_said(words: list[str], line: str, folder: Path) -> None:
    code, out, err = call(["--preset", "digits", *words, "--dry-run"])
    assert code == 2
    assert_one_line(out, err)
    assert line in err


@pytest.mark.parametrize("option", ["--preset=", "--study="])
def test_an_empty_name_is_not_the_default(option: str, folder: Path) -> None:
    assert judge([option], folder) == 2


def test_a_mistake_does_not_cost_the_old_results(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "studies/s/rows").mkdir(parents=True)
    (folder / "studies/s/rows/row.parquet").touch()
    for change in (
        {"methods": {"magnitude": {"rewind_to": 500}}},
        {"data_dir": "nowhere"},
        {"model": "a:b"},
    ):
        (folder / "study.yaml").write_text(
            yaml.safe_dump({**GOOD, **change, "methods": ["hrank"], **change})
        )
        assert call(["--study", "study.yaml", "--fresh"])[0] == 2
    assert (folder / "studies/s/rows/row.parquet").exists()


def test_an_error_line_is_printable_whatever_it_quotes() -> None:
    line = str(UserError("a\x1b[31m\nb\u202ec\ud800 \x00 \x9b31m é\u2028x " + "y" * 5000))
    assert (
        line.startswith(r"a\x1b[31m b\u202ec\ud800 \x00 \x9b31m é x yyy")
        and line.isprintable()
        and len(line) < 1000
    )


def test_a_terminal_without_our_letters_is_no_reason_to_stop(tmp_path: Path) -> None:
    words = [
        sys.executable,
        full_study.__file__,
        "--preset",
        "cifar10_small",
        "--methods",
        "random",
        "--dry-run",
    ]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0 and b"10 trials" not in done.stderr and rb"\u2248" in done.stdout


def test_every_method_can_be_set_where_a_study_asks_for_all(folder: Path) -> None:
    code, out, _ = call(
        ["--preset", "digits", "--set", "methods.magnitude.scope=layer", "--dry-run"]
    )
    assert code == 0 and "264 trials" in out


@pytest.mark.slow
def test_from_a_shell_and_without_dry_run(tmp_path: Path) -> None:
    """As above, but as users meet it: the whole program, asked to run the study."""
    wanted = [content for content, _ in FAULTS if isinstance(content, str | bytes)]
    wanted += [
        yaml.safe_dump({**GOOD, **content})
        for content, _ in FAULTS[12::4]
        if isinstance(content, dict)
    ]
    assert len(wanted) >= 24
    running = []
    for number, content in enumerate(wanted):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "study.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for number in range(len(wanted) + 2):
        if number < len(wanted):
            words = [
                sys.executable,
                full_study.__file__,
                "--study",
                "study.yaml",
                "--address",
                "local",
            ]
            where, both = tmp_path / str(number), subprocess.PIPE
            running.append(subprocess.Popen(words, cwd=where, stdout=both, stderr=both, text=True))
        if number >= 2:
            out, err = running[number - 2].communicate(timeout=60)
            assert running[number - 2].returncode == 2, err
            assert_one_line(out, err)
            assert not [path for path in tmp_path.rglob("*") if path.suffix in (".parquet", ".pt")]
