"""What Ray tells a worker; where no Ray runs, none is started by asking."""

from types import SimpleNamespace

import pytest

from trainables import ray_notices


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The context of a worker, as Ray gives it."""
    context = SimpleNamespace(get_node_id=lambda: "3f2a", get_job_id=lambda: "01000000")
    monkeypatch.setattr(ray_notices.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray_notices.ray, "get_runtime_context", lambda: context)
    return context


def test_without_ray_nothing_is_told() -> None:
    assert not ray_notices.is_draining() and not ray_notices.is_stop_requested()
    ray_notices.request_stop(True)
    assert ray_notices.describe_node() == "this node"
    assert not ray_notices.ray.is_initialized()


@pytest.mark.usefixtures("here")
def test_ray_is_asked_whether_it_drains_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for draining in ({"3f2a": 0}, {"77b1": 0}, {}):
        told = SimpleNamespace(get_draining_nodes=lambda draining=draining: draining)
        monkeypatch.setattr(ray_notices, "state", told)
        assert ray_notices.is_draining() == ("3f2a" in draining)
    monkeypatch.setattr(ray_notices, "state", None)
    assert not ray_notices.is_draining(), "Ray does not say"


def test_a_stop_reaches_the_workers_of_the_same_command_until_it_is_taken_back(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[tuple[bytes, bytes], bytes] = {}
    table = SimpleNamespace(
        _internal_kv_put=lambda key, value, overwrite, *, namespace: kept.update(
            {(namespace, key): value} if overwrite else {}
        ),
        _internal_kv_get=lambda key, *, namespace: kept.get((namespace, key)),
    )
    monkeypatch.setattr(ray_notices, "internal_kv", table)
    assert not ray_notices.is_stop_requested()
    ray_notices.request_stop(True)
    assert ray_notices.is_stop_requested()
    here.get_job_id = lambda: "02000000"
    assert not ray_notices.is_stop_requested(), "another command's"
    here.get_job_id = lambda: "01000000"
    ray_notices.request_stop(False)
    assert not ray_notices.is_stop_requested()
    monkeypatch.setattr(ray_notices, "internal_kv", None)
    assert not ray_notices.is_stop_requested(), "Ray does not say"
