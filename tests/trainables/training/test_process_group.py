"""A process group is joined on the loopback interface alone, and left."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from trainables.environment import Environment
from trainables.training.process_group import find_loopback, join_group, leave_group


def test_the_interface_of_the_machine_with_itself_is_found() -> None:
    assert find_loopback() == ("lo0" if sys.platform == "darwin" else "lo")


@pytest.mark.parametrize("failed", [False, True])
def test_a_group_is_joined_and_left(
    failed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.delenv("NCCL_SOCKET_IFNAME", raising=False)
    join_group(Environment(store=str(tmp_path)), 0, str(tmp_path))
    assert distributed.get_backend() == "gloo" and distributed.get_world_size() == 1
    assert os.environ["GLOO_SOCKET_IFNAME"] == find_loopback()
    value = torch.ones(3)
    distributed.all_reduce(value)
    assert value.tolist() == [1, 1, 1]
    leave_group(failed=failed)
    assert not distributed.is_initialized()
    leave_group(failed=failed)


def test_between_gpus_each_rank_joins_with_the_one_of_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[tuple[str, int, int, torch.device]] = []

    def init_process_group(backend: str, **how: Any) -> None:
        joined.append((backend, how["rank"], how["world_size"], how["device_id"]))

    monkeypatch.setattr(distributed, "init_process_group", init_process_group)
    for rank in range(2):
        join_group(Environment(store="", device="cuda", ranks=2), rank, str(tmp_path))
    assert joined == [("nccl", rank, 2, torch.device("cuda", rank)) for rank in range(2)]
