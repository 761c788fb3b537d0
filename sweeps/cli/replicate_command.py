"""What the replication command does, from the options to the exit code: one study after the other,
each with its page."""

import os
import platform
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pruning.user_error import UserError, nearest
from sweeps.cli.exit_codes import DONE, FAILED
from sweeps.cli.invocation import Invocation
from sweeps.cli.study_command import show_plan
from sweeps.cli.study_launch import RunOptions
from sweeps.cli.study_request import find_store, read_study, split_list
from sweeps.cli.study_run import plan_study, run_study, say
from sweeps.live_view.watch import make_environment
from sweeps.loggers.selection import check_loggers
from sweeps.planning.start_weights import resolve_weights
from trainables.storage.store import Store

PAGE_MODULE = "analysis.replications"
PAGE_SECONDS = 600  # that a page may take


def run_replicate_command(
    options: Namespace, invocation: Invocation, *, known: Sequence[str]
) -> int:
    """Do what the options ask for and return the exit code: that of the first study that was
    stopped, else FAILED where trials of any failed.

    Raises:
        UserError: something the user can put right.
    """
    presets = _choose_presets(options.presets, known)
    changes = _divide_changes(options.set, presets)
    check_loggers(options.log)
    codes = []
    for preset in presets:
        say(f"== {preset}")
        code = _replicate(preset, changes[preset], options, invocation)
        if code not in (DONE, FAILED):
            return code
        codes.append(code)
    return max(codes, default=DONE)


def _replicate(
    preset: str, changes: Sequence[str], options: Namespace, invocation: Invocation
) -> int:
    """Run one study and write its page, also where it was stopped; returns its exit code."""
    nothing = dict.fromkeys(("study", "methods", "sparsities", "seeds", "model", "weights"))
    asked = {"preset": preset, "set": list(changes), "method_path": []}
    request = Namespace(**{**vars(options), **nothing, **asked})
    request.out = f"{options.out.rstrip('/')}/{preset}"
    spec = read_study(request, default_preset=preset)
    store = find_store(request, spec.name)
    spec = resolve_weights(spec, store)
    plan = plan_study(spec, store)
    part = invocation.part(preset)
    if options.dry_run:
        request.fresh = request.time_epochs = False
        return show_plan(request, part, spec, plan, store)
    how = RunOptions(
        address=options.address,
        log=options.log,
        watch=options.watch,
        retry_failed=options.retry_failed,
    )
    code = run_study(spec, plan, store, how, part)
    _write_page(preset, changes, options, store)
    return code


def _choose_presets(text: str | None, known: Sequence[str]) -> list[str]:
    """The presets that are asked for, each once, in the order given.

    Raises:
        UserError: one of them has no published claims, or there is none.
    """
    chosen = list(known) if text is None else list(dict.fromkeys(split_list(text)))
    for name in chosen:
        if name not in known:
            raise UserError(f"no replication '{name}'{nearest(name, list(known))}")
    if not chosen:
        raise UserError(f"--presets names none; there are: {', '.join(known)}")
    return chosen


def _divide_changes(assignments: Sequence[str], presets: Sequence[str]) -> dict[str, list[str]]:
    """What `--set` changes of each preset, without the preset's name.

    Raises:
        UserError: an assignment names none of the presets.
    """
    changes: dict[str, list[str]] = {preset: [] for preset in presets}
    for assignment in assignments:
        preset, _, rest = assignment.partition(".")
        if preset not in changes or not rest:
            raise UserError(
                "--set begins with one of the presets that run "
                f"({', '.join(presets)}), as {presets[0]}.recipe.epochs=8, but got '{assignment}'"
            )
        changes[preset].append(rest)
    return changes


def _write_page(preset: str, changes: Sequence[str], options: Namespace, store: Store) -> None:
    """Write the page of what there is now, in a process of its own; an error in it is one line, for
    the study is done or not whatever becomes of its page."""
    command = [sys.executable, "-m", PAGE_MODULE, preset, "--study", store.uri]
    command += ["--pages", str(Path(options.pages).expanduser().resolve())]
    command += ["--command", _name_command(preset, changes), "--hardware", describe_machine()]
    command += [word for change in changes for word in ("--changed", change)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=make_environment(),
            timeout=PAGE_SECONDS,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"warning: the page was not made: {error}")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        say(f"warning: the page was not made: {reason}")
    else:
        say(f"page: {done.stdout.strip()}")


def _name_command(preset: str, changes: Sequence[str]) -> str:
    """The command that runs this replication, without the places of this machine."""
    words = ["python", "sweeps/replicate.py", "--presets", preset]
    return shlex.join([*words, *(w for c in changes for w in ("--set", f"{preset}.{c}"))])


def describe_machine() -> str:
    """The processor and the number of cores of this machine, e.g. `AMD EPYC, 2 cores`."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass  # no Linux, or one that does not say it so
    return f"{name}, {os.cpu_count()} cores"
