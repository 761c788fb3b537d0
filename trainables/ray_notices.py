"""What a worker learns from Ray: where it runs, whether its node is about to be taken away, and
whether the command wants its trials to save and end.

When a command ends, Tune waits ten seconds for its workers, which is too little for a large network
and a slow store. So trials that a command wants to stop are told, and it waits until they have
saved.
"""

from contextlib import suppress

import ray
from ray._private.state import state
from ray.experimental import internal_kv

_NAMESPACE = b"pruning"


def describe_node() -> str:
    """This node by its id and, in brackets, its address, as the command reads it."""
    if not ray.is_initialized():
        return "this node"
    context = ray.get_runtime_context()
    return f"node {context.get_node_id()} ({ray.util.get_node_ip_address()})"


def is_draining() -> bool:
    """Whether Ray is about to take this node away; False where Ray does not say."""
    if ray.is_initialized():  # otherwise asking would start a Ray
        with suppress(Exception):  # private, and the cluster may be going down at this moment
            return ray.get_runtime_context().get_node_id() in state.get_draining_nodes()
    return False


def request_stop(wanted: bool) -> None:
    """Tell the workers of this command that their trials are to save and end, or take that back."""
    if ray.is_initialized():
        with suppress(Exception):
            value = b"1" if wanted else b""
            internal_kv._internal_kv_put(_key(), value, True, namespace=_NAMESPACE)


def is_stop_requested() -> bool:
    """Whether the command that started this worker wants its trials to save and end; False where
    Ray does not say."""
    if ray.is_initialized():
        with suppress(Exception):
            return bool(internal_kv._internal_kv_get(_key(), namespace=_NAMESPACE))
    return False


def _key() -> bytes:
    """Of the command, whose workers have the same job of Ray's."""
    return f"stop-{ray.get_runtime_context().get_job_id()}".encode()
