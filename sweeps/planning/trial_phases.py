"""The phases of the trials of a study, laid out before anything runs.

A network of the user is a file that runs when it is imported, so phases that depend on the network
are laid out last, when everything else is in order.
"""

from dataclasses import replace
from typing import NoReturn

from pruning.phases import Phase
from pruning.user_error import UserError
from sweeps.study_file.study import StudySpec
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
    return [
        phases or _lay_out(spec, may_build=True)
        for spec, phases in zip(specs, without_network, strict=True)
    ]


def _lay_out(spec: TrialSpec, *, may_build: bool) -> list[Phase]:
    """The phases of a trial; none where they depend on the network and it may not be built yet."""
    context = spec.phase_context()
    if not may_build:
        context = replace(context, build=_withhold_network)
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
