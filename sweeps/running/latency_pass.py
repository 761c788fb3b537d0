"""The latency pass: every network structure that a study's trials have left is timed, alone on a
node of the cluster.

A trial is timed when `latency/<key>.parquet` exists; the pass takes up the others. Trials train
side by side, and a time taken then would be noise, so the pass follows them, as one Ray task that
holds all CPUs of its node.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pruning.user_error import UserError
from sweeps.planning.plan import Plan
from sweeps.running.cluster import connected, find_shortage
from sweeps.running.latency_pending import (
    PendingLatency,
    error_in_one_line,
    find_pending,
    find_pending_keys,
    read_image_sizes,
)
from sweeps.study_file.study import StudySpec
from sweeps.study_file.study_fields import Resources
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store
from trainables.timing import latency, stopwatch
from trainables.timing.network_structure import NetworkStructure
from trainables.training.process import set_up_gpu

ATTEMPTS = 3  # of a pass, each of which may lose its node

TimingResult = list[dict[str, Any]] | str
"""The result of timing one structure: its columns, one entry per batch size; or why it could not be
timed, in one line."""


def run_latency_pass(
    spec: StudySpec, plan: Plan, done: frozenset[str], store: Store, *, address: str | None
) -> bool:
    """Time what is done and not timed, on one node of a Ray cluster, and print the results.

    Args:
        done: keys of the trials whose rows are there; the others are counted and left out.
        address: of the cluster, see `cluster.connected`.

    Returns:
        Whether everything that is done is timed.

    Raises:
        UserError: data that cannot be had, a cluster that cannot be reached or has no node for a
            trial of this study, or one that lost its node `ATTEMPTS` times.
    """
    if len(done) < len(plan.trials):
        left_out = len(plan.trials) - len(done)
        _say(f"latency: {left_out} of {len(plan.trials)} trials are not done and left out")
    if not find_pending_keys(plan, done, store):
        _say(f"latency: all {len(done)} trials are timed")
        return True
    images = read_image_sizes(spec)
    with connected(address) as started_here:
        if (reason := find_shortage(spec.resources)) and started_here:
            raise UserError(reason)
        for _ in range(ATTEMPTS):
            pending = find_pending(plan, find_pending_keys(plan, done, store), store, images)
            try:
                refused = time_pending(
                    pending,
                    store,
                    lambda structures: time_on_free_node(structures, spec.resources),
                    say=_say,
                )
            except RayTaskError:
                raise
            except RayError as error:
                reason = error_in_one_line(error)
                _say(f"latency: the node was lost; going on with what is left ({reason})")
                continue
            for key, reason in refused.items():
                _say(f"latency: {key} could not be timed: {reason}")
            return not refused
    raise UserError(
        f"the latency pass lost its node {ATTEMPTS} times; "
        "the same command goes on where it stopped"
    )


def time_pending(
    pending: PendingLatency,
    store: Store,
    time_all: Callable[[Sequence[NetworkStructure]], Iterator[TimingResult]],
    *,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Time every structure once and write a trial's file as soon as all its levels are timed.

    Returns:
        Why trials could not be timed, by key.
    """
    refused, structures = dict(pending.refused), list(pending.structures.values())
    levels_left = Counter(level.key for levels in pending.levels.values() for level in levels)
    rows: dict[str, list[dict[str, Any]]] = {key: [] for key in levels_left}
    width = len(str(len(structures)))
    timed = zip(structures, pending.levels.values(), time_all(structures), strict=True)
    for number, (structure, levels, result) in enumerate(timed, start=1):
        timing = describe_timing(structure, result, len(levels))
        say(f"[{number:{width}d}/{len(structures)}] {timing}")
        for level in levels:
            levels_left[level.key] -= 1
            if isinstance(result, str):
                refused.setdefault(level.key, result)
                continue
            row = {
                "key": level.key,
                "level": level.level,
                "stage": level.stage,
                "measured_on": levels[0].key,
            }
            rows[level.key] += [{**row, **columns} for columns in result]
            if not levels_left[level.key] and level.key not in refused:
                parquet_tables.write_table(store, layout.LATENCY, level.key, rows.pop(level.key))
    return refused


def describe_timing(structure: NetworkStructure, result: TimingResult, levels: int) -> str:
    """The result of timing a structure in one line."""
    size = "x".join(map(str, structure.image))
    where = f"{structure.model} on {size}, {structure.precision}"
    shared = f"; for {levels} levels" if levels > 1 else ""
    if isinstance(result, str):
        return f"{where}: NOT TIMED: {result}{shared}"
    zeros = f", {structure.percent_zeros} % zeros" if structure.zeros else ""
    batches = ", ".join(_describe_batch(columns) for columns in result)
    return f"{where}, {result[0]['form']}{zeros}: {batches}{shared}"


def _describe_batch(columns: dict[str, Any]) -> str:
    if not columns.get("median_ms"):
        return f"batch {columns['batch']} not timed: {columns['notes']}"
    return (
        f"batch {columns['batch']} {columns['median_ms']:.3g} ms (IQR {columns['iqr_ms']:.2g}, "
        f"{columns['runs']} runs, {columns['images_per_second']:,.0f} images/s)"
    )


def time_structures(
    structures: Sequence[NetworkStructure],
    *,
    gpu: bool,
    threads: int,
    runs: int = stopwatch.RUNS,
    seconds: float = stopwatch.SECONDS,
) -> Iterator[TimingResult]:
    """Time structures one after the other in this process; an error is the result of its structure,
    and the rest goes on. On a GPU fp32 is fp32, as in trials: no TF32."""
    device = torch.device("cuda" if gpu else "cpu")
    for structure in structures:
        try:
            if gpu:
                set_up_gpu(sharing=1, deterministic=False)
            yield latency.time_structure(
                structure, device=device, threads=threads, runs=runs, seconds=seconds
            )
        except Exception as error:
            yield error_in_one_line(error)


def time_on_free_node(
    structures: Sequence[NetworkStructure], resources: Resources
) -> Iterator[TimingResult]:
    """Time structures in one task that has a node of the connected cluster for itself: all its
    CPUs, and a GPU if wanted.

    The node is one on which a trial of the study fits. The task waits until nothing else runs
    there; while it runs, nothing else can start there.

    Raises:
        ray.exceptions.RayError: the node was lost.
    """
    gpus = 1 if resources.gpus_per_trial else 0
    as_task: Any = ray.remote  # its types know neither keyword arguments nor streams
    find_node = as_task(_get_node_id).options(num_cpus=resources.cpus_per_trial, num_gpus=gpus)
    chosen = ray.get(find_node.remote())
    (cpus,) = (node["Resources"]["CPU"] for node in ray.nodes() if node["NodeID"] == chosen)
    task = as_task(time_structures).options(
        num_cpus=cpus,
        num_gpus=gpus,
        num_returns="streaming",
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(chosen, soft=False),
    )
    has = f"{cpus:g} CPUs{' and a GPU' if gpus else ''}"
    _say(f"latency: {len(structures)} networks to time, alone on a node with {has}")
    threads = max(1, int(resources.cpus_per_trial))
    for reference in task.remote(list(structures), gpu=bool(gpus), threads=threads):
        yield ray.get(reference)


def _get_node_id() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _say(line: str) -> None:
    print(line, flush=True)
