"""What a worker looks at before it opens a trial."""

import json
from pathlib import Path

import pytest

from models.user_modules import digest_user_module
from tests.troubles import check_trouble
from trainables import worker_checks
from trainables.environment import Environment
from trainables.node_faults import NodeUnfit
from trainables.storage import launch_token as launch_tokens
from trainables.storage.launch_token import launch_token
from trainables.storage.store import Store
from trainables.worker_checks import check_network, find_other_directory, read_verdict


def test_a_worker_that_sees_another_folder_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_tokens, "SECONDS", 0.1)
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    with launch_token(Store.at(here)) as launch:
        assert find_other_directory(Environment(store=here, launch=launch), "node x") == ""
        assert find_other_directory(Environment(store=there), "node x") == "", "not launched"
        told = find_other_directory(Environment(store=there, launch=launch), "node x (10.0.0.7)")
    assert told == (
        f"node x (10.0.0.7) does not see the study directory {there} of this launch: with several "
        "machines, --out must name a folder that they share, or a bucket (s3://...)"
    )


def test_a_node_with_another_file_of_the_network_is_unfit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_USER_PATH", str(tmp_path))
    monkeypatch.setattr(worker_checks, "_checked_models", set())
    (tmp_path / "mynet.py").write_text("N = 1")
    planned = {"mynet:net": digest_user_module("mynet")}
    environment = Environment(store=str(tmp_path), model_sources=planned)
    (tmp_path / "mynet.py").write_text("N = 2")
    with pytest.raises(NodeUnfit) as caught:
        check_network("mynet:net", environment)
    check_trouble("a machine has another version of that file", str(caught.value))
    (tmp_path / "mynet.py").write_text("N = 1")
    check_network("mynet:net", environment)
    (tmp_path / "mynet.py").write_text("N = 3")
    check_network("mynet:net", environment)  # this process has imported the planned one
    check_network("resnet20", environment)


def test_what_the_driver_gave_up_is_read(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    assert read_verdict("k", store) == ""
    store.write("failures/k.json", json.dumps({"error": "lost 5 times"}).encode())
    assert read_verdict("k", store) == "lost 5 times"
