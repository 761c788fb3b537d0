"""docs/running.md: every command in it exists, with these options; the manifest and the Slurm
script likewise."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps import full_study
from sweeps.cli.study_request import read_study
from tests.troubles import check_trouble, find_trouble, read_troubles

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "running.md").read_text()
SLURM = (ROOT / "clusters" / "slurm.sh").read_text()


def told() -> list[str]:
    """Every command in the guide's shell blocks, and in `code` that runs a study."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line] + re.findall(r"`([^`\n]*full_study\.py[^`]*)`", GUIDE)


def words_of(line: str) -> list[str]:
    """The words of a command without the variables set in front of it."""
    words = shlex.split(line)
    while re.fullmatch(r"[A-Za-z_]+=\S*", words[0]):
        words.pop(0)
    return words


def studies() -> list[str]:
    """The arguments of every full_study.py in the guide, also inside `ray exec '...'` and for the
    image and Slurm."""
    found = [
        line.split("full_study.py", 1)[1].split("'")[0]
        for line in told()
        if "full_study.py" in line
    ]
    found += [line.split("slurm.sh", 1)[1] for line in told() if line.startswith("sbatch ")]
    found += re.findall(r"pruning-study:0\.1\.0-gpu (--.*)", "\n".join(told()))
    manifest = yaml.safe_load((ROOT / "clusters" / "kuberay.yaml").read_text())
    return [*found, manifest["spec"]["entrypoint"].split("full_study.py", 1)[1]]


@pytest.mark.parametrize("line", studies())
def test_study_commands_are_understood(line: str) -> None:
    options = full_study.make_parser().parse_args(shlex.split(line))
    read_study(options, default_preset=full_study.DEFAULT_PRESET)


def rays() -> list[str]:
    """Every command of Ray's in the guide, the cluster files and the Slurm script."""
    found = [shlex.join(words_of(line)) for line in told() if words_of(line)[0] == "ray"]
    for name in ("cluster.yaml", "clusters/gcp.yaml", "clusters/local.yaml"):
        config = yaml.safe_load((ROOT / name).read_text())
        for one in config["head_start_ray_commands"] + config["worker_start_ray_commands"]:
            found += re.findall(r"\bray (?:start|stop)[^;>]*", one)
    return sorted({line.strip() for line in found})


@pytest.fixture
def cli() -> Any:
    """Ray's command line; it takes a second to import."""
    from ray.scripts.scripts import cli

    return cli


@pytest.mark.parametrize("line", rays())
def test_rays_commands_are_understood(line: str, cli: Any) -> None:
    name, *arguments = shlex.split(line)[1:]
    named = cli.commands[name]
    named.make_context(name, list(arguments))  # fails on an unknown option or a missing argument


def test_the_slurm_script_and_the_manifest_call_ray_with_options_it_has(cli: Any) -> None:
    start = {option for parameter in cli.commands["start"].params for option in parameter.opts}
    called = SLURM.replace("\\\n", " ")
    ray = called.split("ray start --block")[1].split("&")[0] + called.split("place=(")[2]
    assert set(re.findall(r"(?<!-)--[a-z-]+", ray.split(")")[0])) <= start
    assert {"--num-cpus", "--head", "--temp-dir"} <= set(re.findall(r"--[a-z-]+", ray)) <= start
    known = {
        option for action in full_study.make_parser()._actions for option in action.option_strings
    }
    words = called.split("python sweeps/full_study.py")[1].split("&")[0]
    assert set(re.findall(r"--[a-z-]+", words)) <= known
    hook = (ROOT / "clusters" / "kuberay.yaml").read_text().split("ray drain-node")[1].split(";")[0]
    assert set(re.findall(r"--[a-z-]+", hook)) <= {
        o for p in cli.commands["drain-node"].params for o in p.opts
    }


@pytest.mark.parametrize(
    "line", [line for line in told() if re.match(r"(python|bash) (?!sweeps)", line)]
)
def test_scripts_are_there(line: str) -> None:
    words = line.split()
    assert words[1] == "-m" or (ROOT / words[1]).is_file()
    for word in words[2:]:
        if word.endswith(".yaml"):
            assert (ROOT / word).is_file()


def test_links_and_mentioned_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"(?<![\w/.-])(?:clusters|docs|tests)/[\w./-]+\w", GUIDE):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", GUIDE)) <= set(targets)


def test_numbers_in_the_guide_are_those_of_the_files() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert f"`max_workers` ({config['max_workers']}) workers" in GUIDE
    assert "for 48 hours" in GUIDE and "+2880" in config["head_setup_commands"][0]
    assert (
        "five minutes later" in GUIDE
        and "shutdown -h +5'" in config["worker_start_ray_commands"][1]
    )


def test_the_manifest_hangs_together() -> None:
    manifest = yaml.safe_load((ROOT / "clusters" / "kuberay.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = manifest["spec"], manifest["spec"]["rayClusterSpec"]
    assert spec["shutdownAfterJobFinishes"] and spec["activeDeadlineSeconds"] == 48 * 3600
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "requirements.lock").read_text()
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]
    pods = [part["template"]["spec"] for part in (cluster["headGroupSpec"], group)]
    for pod in pods:
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert re.fullmatch(r".*:\d+\.\d+\.\d+-gpu", container["image"])
        assert {mount["name"] for mount in container.get("volumeMounts", [])} == {
            v["name"] for v in pod.get("volumes", [])
        }
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > 20


def list_produced_messages() -> set[tuple[str, int]]:
    """The messages of the table of troubles that tests hold against what is printed: by calling
    `check_trouble`, or as cases of tests/errors.yaml."""
    messages = read_troubles()
    calls: list[tuple[str, list[int]]] = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path == Path(__file__) or "check_trouble" not in (source := path.read_text()):
            continue
        tests = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        for call in (node for test in tests for node in ast.walk(test)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "check_trouble":
                start, _, *numbers = call.args
                if isinstance(start, ast.Constant):
                    calls.append((start.value, [ast.literal_eval(number) for number in numbers]))
    catalogue = yaml.safe_load((ROOT / "tests" / "errors.yaml").read_text())
    for case in (case for cases in catalogue.values() for case in cases):
        if "trouble" in case:
            calls.append((case["trouble"], case.get("messages", [])))
    found = set()
    for start, numbers in calls:
        trouble = find_trouble(start)
        all_of_it = range(max(1, len(messages[trouble])))
        found |= {(trouble, number) for number in numbers or all_of_it}
    return found


def test_every_message_of_the_table_of_troubles_is_printed_in_a_test() -> None:
    wanted = {
        (trouble, number)
        for trouble, messages in read_troubles().items()
        for number in range(max(1, len(messages)))
    }
    assert len(wanted) >= 30
    assert wanted == list_produced_messages()


def test_a_trouble_is_checked_by_the_words_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"a disk is full": ["no room on …", "again in … s"], "a reader is gone": []}
    monkeypatch.setattr("tests.troubles.read_troubles", lambda: table)
    check_trouble("a disk", "error: no room on /x\nagain in 3 s")
    check_trouble("a disk", "again in 3 s", 1)
    check_trouble("a reader", "2 of 2 trials done")
    for start, printed in (
        ("a disk", "again in 3 s"),
        ("a disk", "again in 3 s, no room on /x"),
        ("a reader", "warning: x"),
    ):
        with pytest.raises(AssertionError):
            check_trouble(start, printed)
