"""The latency pass: every form that a study's trials have left is timed, alone on a node of the
cluster.

A trial is measured when `latency/<key>.parquet` exists; the pass takes up the others. Trials train
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
from sweeps.running.cluster import connected, lack
from sweeps.running.latency_pending import (
    Unmeasured,
    find_forms,
    find_images,
    find_keys,
    one_line,
    path,
)
from sweeps.study_file.study import Resources, StudySpec
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.timing import latency
from trainables.timing.network_structure import Form

ATTEMPTS = 3  # nodes that a pass may lose

Result = list[dict[str, Any]] | str
"""What timing one form gave: its columns, one entry per batch size; or why it could not be timed, in one line."""


def measure_study(
    spec: StudySpec, plan: Plan, done: frozenset[str], store: Store, *, address: str | None
) -> bool:
    """Measure what is done and not measured, on one node of a Ray cluster, and print what comes of
    it.

    Args:
        done: keys of the trials whose rows are there; the others are counted and left out.
        address: of the cluster, see `cluster.connected`.

    Returns:
        Whether everything that is done is measured.

    Raises:
        UserError: data that cannot be had, a cluster that cannot be reached or has no node for a
            trial of this study, or one that lost its node `ATTEMPTS` times.
    """
    if len(done) < len(plan.trials):
        _say(
            f"latency: {len(plan.trials) - len(done)} of {len(plan.trials)} trials are not done and left out"
        )
    if not find_keys(plan, done, store):
        _say(f"latency: all {len(done)} trials are measured")
        return True
    images = find_images(spec)
    with connected(address) as own:
        if (reason := lack(spec.resources)) and own:
            raise UserError(reason)
        for _ in range(ATTEMPTS):
            found = find_forms(plan, find_keys(plan, done, store), store, images)
            try:
                refused = measure(
                    found, store, lambda forms: time_alone(forms, spec.resources), say=_say
                )
            except RayTaskError:
                raise
            except RayError as error:
                _say(f"latency: the node was lost; going on with what is left ({one_line(error)})")
                continue
            for key, reason in refused.items():
                _say(f"latency not measured: {key}: {reason}")
            return not refused
    raise UserError(
        f"measuring latency lost its node {ATTEMPTS} times; the same command goes on where it stopped"
    )


def measure(
    unmeasured: Unmeasured,
    store: Store,
    time_all: Callable[[Sequence[Form]], Iterator[Result]],
    *,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Time every form once and write a trial's file as soon as all its levels are timed.

    Returns:
        Why trials could not be measured, by key.
    """
    refused, forms = dict(unmeasured.refused), list(unmeasured.forms.values())
    left = Counter(level.key for levels in unmeasured.levels.values() for level in levels)
    rows: dict[str, list[dict[str, Any]]] = {key: [] for key in left}
    width = len(str(len(forms)))
    timed = zip(forms, unmeasured.levels.values(), time_all(forms), strict=True)
    for index, (form, levels, result) in enumerate(timed, start=1):
        say(f"[{index:{width}d}/{len(forms)}] {describe(form, result, len(levels))}")
        for level in levels:
            left[level.key] -= 1
            if isinstance(result, str):
                refused.setdefault(level.key, result)
                continue
            same = {
                "key": level.key,
                "level": level.level,
                "stage": level.stage,
                "measured_on": levels[0].key,
            }
            rows[level.key] += [{**same, **columns} for columns in result]
            if not left[level.key] and level.key not in refused:
                store.write(path(level.key), parquet_tables.encode("latency", rows.pop(level.key)))
    return refused


def describe(form: Form, result: Result, levels: int) -> str:
    """One line on what timing a form gave."""
    where = f"{form.model} on {'x'.join(map(str, form.image))}, {form.precision}"
    shared = f"; for {levels} levels" if levels > 1 else ""
    if isinstance(result, str):
        return f"{where}: NOT MEASURED: {result}{shared}"
    zeros = f", {form.percent} % zeros" if form.zeros else ""
    batches = [
        f"batch {columns['batch']} {columns['median_ms']:.3g} ms "
        f"(IQR {columns['iqr_ms']:.2g}, {columns['runs']} runs, {columns['images_per_second']:,.0f} images/s)"
        if columns.get("median_ms")
        else f"batch {columns['batch']} not measured: {columns['notes']}"
        for columns in result
    ]
    return f"{where}, {result[0]['form']}{zeros}: {', '.join(batches)}{shared}"


def time_forms(
    forms: Sequence[Form],
    *,
    gpu: bool,
    threads: int,
    runs: int = latency.RUNS,
    seconds: float = latency.SECONDS,
) -> Iterator[Result]:
    """Time forms one after the other in this process; a fault is the result of its form, and the
    rest goes on."""
    device = torch.device("cuda" if gpu else "cpu")
    for form in forms:
        try:
            yield latency.measure_form(
                form, device=device, threads=threads, runs=runs, seconds=seconds
            )
        except Exception as error:
            yield one_line(error)


def time_alone(forms: Sequence[Form], resources: Resources) -> Iterator[Result]:
    """Time forms in one task that has a node of the connected cluster for itself: all its CPUs, and
    a GPU if wanted.

    The node is one on which a trial of the study fits. The task waits until nothing else runs
    there; while it runs, nothing else can start there.

    Raises:
        ray.exceptions.RayError: the node was lost.
    """
    gpus = 1 if resources.gpus_per_trial else 0
    as_task: Any = ray.remote  # its types know neither keyword arguments nor streams
    chosen = ray.get(
        as_task(_node).options(num_cpus=resources.cpus_per_trial, num_gpus=gpus).remote()
    )
    (cpus,) = (node["Resources"]["CPU"] for node in ray.nodes() if node["NodeID"] == chosen)
    task = as_task(time_forms).options(
        num_cpus=cpus,
        num_gpus=gpus,
        num_returns="streaming",
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(chosen, soft=False),
    )
    _say(
        f"latency: {len(forms)} forms to measure, alone on a node with {cpus:g} CPUs{' and a GPU' if gpus else ''}"
    )
    for reference in task.remote(
        list(forms), gpu=bool(gpus), threads=max(1, int(resources.cpus_per_trial))
    ):
        yield ray.get(reference)


def _node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def _say(line: str) -> None:
    print(line, flush=True)
