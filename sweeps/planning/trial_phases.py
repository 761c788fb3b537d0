"""The phases of the trials of a study, laid out before anything runs.

A network of the user is a file that runs when it is imported, so phases that depend on the network
are laid out last, when everything else is in order.
"""

from dataclasses import replace
from typing import NoReturn

from pruning.phases import Phase
from pruning.user_error import UserError
from sweeps.planning.network_probe import check_trials
from sweeps.study_file.study import StudySpec
from trainables.data.data_size import guess_data_size
from trainables.trial_spec import TrialSpec


def list_phases(study: StudySpec, specs: list[TrialSpec]) -> list[list[Phase]]:
    """The phases of each trial, in the order of the trials.

    Raises:
        UserError: a method or a network refuses the study, or its data cannot be had.
    """
    without_network = [_lay_out(spec, may_build=False) for spec in specs]
    if any(
        not phases and ":" in spec.model
        for spec, phases in zip(specs, without_network, strict=True)
    ):
        study.check_data()
    try:
        return [
            phases or _lay_out(spec, may_build=True, data_dir=study.data_dir)
            for spec, phases in zip(specs, without_network, strict=True)
        ]
    except UserError:
        check_trials(study, specs)  # raises a line that also says which methods can run
        raise


def _lay_out(spec: TrialSpec, *, may_build: bool, data_dir: str | None = None) -> list[Phase]:
    """The phases of a trial; none where they depend on the network and it may not be built yet."""
    if may_build:
        size, _ = guess_data_size(spec.dataset, data_dir, spec.image_size)
        context = spec.phase_context(size.image, size.classes)
    else:
        context = replace(spec.phase_context(), build=_withhold_network)
    try:
        return spec.build_method().phases(spec.sparsities, context)
    except _NetworkWithheld:
        return []
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"method '{spec.method}': {error}") from None
    except (Exception, SystemExit) as error:
        if not may_build or ":" not in spec.model:
            raise
        # The user's network may fail in any way, even by ending the program.
        raise UserError(
            f"model '{spec.model}' cannot be built: {type(error).__name__}: {error}"
        ) from None


class _NetworkWithheld(Exception):
    """The phases depend on the network."""


def _withhold_network() -> NoReturn:
    raise _NetworkWithheld
