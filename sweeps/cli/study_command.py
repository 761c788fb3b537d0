"""What the study command does, from the options to the exit code."""

from argparse import Namespace

from pruning.user_error import UserError
from sweeps.cli.exit_codes import DONE
from sweeps.cli.invocation import Invocation
from sweeps.cli.json_output import plan_as_json, status_as_json
from sweeps.cli.listings import list_methods, list_presets
from sweeps.cli.python_study import Study, check_status
from sweeps.cli.study_launch import RunOptions
from sweeps.cli.study_request import find_store, read_study, register_listed_methods
from sweeps.cli.study_run import announce_changed_files, run_study, say
from sweeps.loggers.selection import check_loggers
from sweeps.planning.plan import Plan
from sweeps.study_file.study import StudySpec
from sweeps.study_file.study_reader import find_study_presets
from trainables.storage.store import Store


def run_study_command(options: Namespace, invocation: Invocation, *, default_preset: str) -> int:
    """Do what the options ask for and return the exit code.

    Raises:
        UserError: something the user can put right.
    """
    if options.list_presets:
        invocation.output.update(list_presets(find_study_presets()))
        return DONE
    if options.list_methods:
        register_listed_methods(options)
        invocation.output.update(list_methods())
        return DONE
    check_loggers(options.log)
    if options.time_epochs and not options.dry_run:
        raise UserError("--time-epochs times this machine for --dry-run: give both")
    spec = read_study(options, default_preset=default_preset)
    study = Study.of(spec, find_store(options, spec.name), fresh=options.fresh)
    spec, store, plan = study.spec, study.store, study.planned
    if options.tune_packing:
        spec = _tune_packing(options, invocation, spec, plan)
    if not options.fresh:
        announce_changed_files(plan, store)
    if options.dry_run:
        return show_plan(options, invocation, spec, plan, store)
    how = RunOptions(
        address=options.address,
        log=options.log,
        watch=options.watch,
        measure_latency=options.measure,
        retry_failed=options.retry_failed,
        fresh=options.fresh,
    )
    return run_study(spec, plan, store, how, invocation)


def _tune_packing(
    options: Namespace, invocation: Invocation, spec: StudySpec, plan: Plan
) -> StudySpec:
    """The study with the resources that serve this machine best.

    Raises:
        UserError: the command also says what a trial takes, or where it runs; or see
            `packing.tune_packing`.
    """
    from sweeps.estimate.packing import tune_packing

    if options.cpus_per_trial or options.gpus_per_trial or options.address:
        raise UserError(
            "--tune-packing finds out what a trial should take of this machine: "
            "leave out the other options"
        )
    spec.check_data()
    packing = tune_packing(spec, plan, say=say)
    # A study that continues must not choose anew: the number of threads can change a result in its
    # last bits.
    invocation.replace_option("--tune-packing", packing.flags.split())
    return spec.model_copy(update={"resources": packing.resources})


def show_plan(
    options: Namespace, invocation: Invocation, spec: StudySpec, plan: Plan, store: Store
) -> int:
    """Print the plan, what is done and what it would cost."""
    from sweeps.estimate.plan_cost import describe_plan

    status = check_status(spec, plan, store, retry_failed=options.retry_failed, fresh=options.fresh)
    if options.json:
        invocation.output.update(status_as_json(spec, plan, status, store))
        invocation.output.update(plan_as_json(spec, plan, status, time_epochs=options.time_epochs))
    else:
        print(describe_plan(spec, plan, status, store, time_epochs=options.time_epochs))
    return DONE
