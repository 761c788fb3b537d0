"""The cluster files: accepted by Ray and by GCP's own schema, safe by default, and refused while
something is missing."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLOUDS = ("cluster.yaml", "clusters/gcp.yaml")
FILES = (*CLOUDS, "clusters/local.yaml")


def load(name: str) -> Any:
    """A script of clusters/ as a module."""
    spec = spec_from_file_location(name, ROOT / "clusters" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load("check")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with a token, in the project's folder."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("a key")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return tmp_path


def filled(name: str, folder: Path, *, change: tuple[str, str] = ("", "")) -> Path:
    """A copy of a cluster file with the user's values in it, and one more change."""
    text = (ROOT / name).read_text().replace("FILL-IN", "mine")
    assert change[0] in text
    path = folder / Path(name).name
    path.write_text(text.replace(*change) if change[0] else text)
    return path


def read(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return raw


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(filled(name, home))]) == 0
    assert "complete; at most" in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
def test_unfilled_values_are_found(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main([str(ROOT / name)]) == 2
    told = capsys.readouterr().err
    line = int(told.split("line ")[1].split(":")[0])
    assert told.count("\n") == 1
    assert "FILL-IN" in (ROOT / name).read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("max_workers: 4    ", "max_worker: 4     "),
            "Additional properties are not allowed ('max_worker' was unexpected)",
        ),
        (("head_node_type: head", "head_node_type: heed"), "`head_node_type` must be one of"),
        (
            ('resources: {"CPU": 8, "GPU": 1}', 'resources: {"CPU": 8, "GPU": 0.5}'),
            "0.5 is not of type 'integer'",
        ),
        (
            ("~/pruning/models: models", "~/pruning/models: modells"),
            "'modells', which goes to ~/pruning/models, is missing",
        ),
        (
            ("~/.ray/auth_token: ~/.ray/auth_token", "~/.ray/auth_token: ~/.ray/none"),
            "ray get-auth-token --generate",
        ),
    ],
)
def test_mistakes_are_one_line(
    change: tuple[str, str], told: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main([str(filled("cluster.yaml", home, change=change))]) == 2
    error = capsys.readouterr().err
    assert [
        line for line in error.splitlines() if line.startswith("error: ")
    ] == error.splitlines()[-1:]
    assert told in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is no cluster file of `ray up`: it has no provider"),
        (b"[1, 2]", "is no cluster file of `ray up`: it has no provider"),
        (b"apiVersion: ray.io/v1\nkind: RayJob\n", "is no cluster file of `ray up`"),
        (b"a: 1\na: 2\n", "line 2: the key 'a' is there twice"),
        (b"\xff\xfea", "it is not UTF-8 text; save it as UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_cluster_is_told_in_one_line(
    text: bytes | None, told: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "other.yaml"
    if text is not None:
        path.write_bytes(text)
    assert check.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_key_that_is_not_there_is_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".ssh" / "id_ed25519").unlink()
    assert check.main([str(filled("clusters/local.yaml", home))]) == 2
    assert "ssh_private_key: '~/.ssh/id_ed25519' is missing" in capsys.readouterr().err


# The GPUs of families of machines, by their compute capability; A100s and newer compute in bf16.
CAPABILITIES = {"g4dn": 7.5, "n1": 7.5, "p3": 7.0, "g5": 8.6, "g6": 8.9, "g2": 8.9, "a2": 8.0}


@pytest.mark.parametrize("name", CLOUDS)
def test_all_gpus_of_a_cluster_compute_in_the_precision_of_a_study(name: str) -> None:
    families = set()
    for node in read(name)["available_node_types"].values():
        if node["resources"].get("GPU"):
            config = node["node_config"]
            kind = config.get("InstanceType") or config["machineType"]
            families.add(re.split(r"[.-]", kind)[0])
    assert families and all(CAPABILITIES[family] >= 8.0 for family in families)


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_start_small_and_stay_capped(name: str) -> None:
    config = read(name)
    types = config["available_node_types"]
    workers = {key: value for key, value in types.items() if key != config["head_node_type"]}
    assert types["head"]["resources"] == {"CPU": 0}
    assert len(workers) >= 2, "fall-backs"
    assert len({json.dumps(worker["resources"]) for worker in workers.values()}) == 1, (
        "alike, or priority is not looked at"
    )
    assert len({worker["priority"] for worker in workers.values()}) == len(workers)
    assert all(
        worker["min_workers"] == 0 < worker["max_workers"] <= config["max_workers"]
        for worker in workers.values()
    )
    assert config["provider"]["cache_stopped_nodes"] is False
    assert 0 < config["idle_timeout_minutes"] <= 10
    market = {
        "aws": lambda node: node.get("InstanceMarketOptions", {}).get("MarketType") == "spot",
        "gcp": lambda node: node["scheduling"]["provisioningModel"] == "SPOT",
    }[config["provider"]["type"]]
    assert all(market(worker["node_config"]) for worker in workers.values())
    assert not market(types["head"]["node_config"])


def test_the_longest_study_is_two_days() -> None:
    assert any(
        "shutdown -h +2880" in command for command in read("cluster.yaml")["head_setup_commands"]
    )
    for kind in read("clusters/gcp.yaml")["available_node_types"].values():
        assert kind["node_config"]["scheduling"]["maxRunDuration"] == {"seconds": str(2880 * 60)}
        assert kind["node_config"]["scheduling"]["instanceTerminationAction"] == "DELETE"


@pytest.mark.parametrize("name", FILES)
def test_ray_asks_for_the_token_and_notices_frozen_nodes(name: str) -> None:
    config = read(name)
    (head,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    (worker,) = [
        command for command in config["worker_start_ray_commands"] if "ray start" in command
    ]
    assert "RAY_AUTH_MODE=token" in head and "RAY_AUTH_MODE=token" in worker
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "--dashboard-host=127.0.0.1" in head
    for setting in (
        "initial_delay_ms=1000",
        "period_ms=1000",
        "timeout_ms=2000",
        "failure_threshold=3",
    ):
        assert f"RAY_health_check_{setting}" in head
    assert ("spot_watcher.py --cloud " + config["provider"]["type"] in worker) == (name in CLOUDS)


@pytest.mark.parametrize("name", FILES)
def test_commands_are_shell(name: str) -> None:
    config = read(name)
    for key in (key for key in config if key.endswith("_commands")):
        for command in config[key]:
            # As Ray wraps them.
            subprocess.run(
                ["bash", "-n", "-c", f"export RAY_HEAD_IP=10.0.0.1; ({command})"], check=True
            )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "clusters").glob("*.sh")), ids=lambda path: path.name
)
def test_scripts_are_shell(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.parametrize("name", FILES)
def test_nodes_get_every_package(name: str) -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    wanted = {pattern.rstrip("*") for pattern in setuptools["packages"]["find"]["include"]}
    mounted = set(read(name)["file_mounts"].values())
    assert wanted | {"clusters", "requirements.lock"} <= mounted
    assert all((ROOT / path).exists() for path in mounted if not path.startswith("~"))


def test_gcps_schema_knows_every_value() -> None:
    """The node configurations against the description of compute's API that comes with Google's
    client."""
    if find_spec("googleapiclient") is None:
        pytest.skip("google-api-python-client is not installed")
    import googleapiclient

    documents = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    schemas = json.loads((documents / "compute.v1.json").read_text())["schemas"]
    for name, kind in read("clusters/gcp.yaml")["available_node_types"].items():
        _conforms(kind["node_config"], {"$ref": "Instance"}, schemas, name)


def _conforms(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> None:
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if schema["type"] == "object":
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            assert known, f"{where}.{key}"
            _conforms(inner, known, schemas, f"{where}.{key}")
    elif schema["type"] == "array":
        for inner in value:
            _conforms(inner, schema["items"], schemas, f"{where}[]")
    else:
        kinds = {"string": str, "boolean": bool, "integer": int}
        kind = (int, str) if schema.get("format") == "int64" else kinds[schema["type"]]
        assert isinstance(value, kind), f"{where} = {value!r}"
        assert value in schema.get("enum", [value]), f"{where} = {value!r}"


def test_check_says_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        check.main([])
    assert "arguments are required: FILE; see --help" in capsys.readouterr().err


def test_check_runs_as_a_script(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "clusters" / "check.py"), "cluster.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "sg-FILL-IN" in done.stderr
