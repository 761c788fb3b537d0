"""The confirmation of a search's best: its study is run with other seeds, and only there the test
set is read."""

import json
from typing import Any

from pruning.user_error import UserError
from sweeps.cli.invocation import Invocation
from sweeps.cli.study_launch import RunOptions
from sweeps.cli.study_run import announce_changed_files, run_study, say
from sweeps.planning.plan import make_plan
from sweeps.planning.trial_status import erase_study
from sweeps.search.search_weights import pass_weights_on
from sweeps.study_file.study import build_study
from trainables.storage import layout
from trainables.storage.store import Store


def confirm_best(raw: dict[str, Any], store: Store, how: RunOptions, invocation: Invocation) -> int:
    """Run the study of the best in the directory `best/` of the search; returns the exit code.

    What was confirmed before stays, if it is a part of this study, e.g. with fewer sparsities.

    Args:
        raw: the study, as `best_candidates.study_of_the_best` makes it.
    """
    below = store.below(layout.BEST)
    spec = build_study(raw, where=layout.BEST_FILE)
    plan = make_plan(spec)
    if not _read_keys(below) <= set(plan.by_key):
        say(
            "the best has changed since it was confirmed, with the test set: "
            f"{below.place()} is made anew"
        )
        erase_study(below)
    seeds = ", ".join(map(str, spec.seeds))
    say(f"confirming the best with seeds {seeds} in {below.place()}")
    announce_changed_files(plan, below)
    pass_weights_on(spec, store, below)
    return run_study(spec, plan, below, how, invocation.part("confirmed"))


def _read_keys(below: Store) -> set[str]:
    """The keys of what was confirmed before."""
    try:
        return {str(trial["key"]) for trial in json.loads(below.read(layout.PLAN_FILE))["trials"]}
    except FileNotFoundError:
        return set()
    except (ValueError, TypeError, LookupError):
        raise UserError(
            f"{below.place(layout.PLAN_FILE)} cannot be read; "
            "delete it if what lies beside it is of this search"
        ) from None
