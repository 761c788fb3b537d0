"""Controls: the phases they take over, and which methods they refuse."""

from collections.abc import Callable

import pytest

from pruning.controls import Control
from pruning.phases import Measure, PhaseContext, Prune, Reinitialise, Rewind, Train
from pruning.registry import build_method, find_method_class
from pruning.user_error import UserError
from trainables.trial_spec import step_label

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)


def test_each_control_prunes_as_its_method_and_trains_in_full() -> None:
    train, measure = Train("train", 10), Measure(0.9)
    assert build_method("shuffled", {}).phases((0.9,), CONTEXT) == [
        Prune(0.9),
        Rewind(0),
        train,
        measure,
    ]
    assert build_method("reinitialised", {}).phases((0.9,), CONTEXT) == [
        Prune(0.9),
        Reinitialise(),
        train,
        measure,
    ]
    assert build_method("small_from_scratch", {}).phases((0.9,), CONTEXT) == [
        Prune(0.9),
        Reinitialise(),
        train,
        measure,
    ]
    assert build_method("shuffled", {"of": "sparsegpt"}).phases((0.9,), CONTEXT) == [
        Prune(0.9),
        Rewind(0),
        train,
        measure,
    ]
    assert step_label(Reinitialise(), 0) == "draw weights anew"


def test_a_ticket_is_found_in_rounds_before_its_control_begins() -> None:
    ticket = build_method("lottery_ticket", {}).phases((0.6,), CONTEXT)
    rounds = sum(isinstance(phase, Prune) for phase in ticket)
    assert rounds > 2
    phases = build_method("reinitialised", {"of": "lottery_ticket"}).phases((0.6,), CONTEXT)
    found = 3 * (rounds - 1) + 1
    assert phases == [*ticket[:found], Reinitialise(), Train("train", 10), Measure(0.6, rounds)]


def test_measurements_of_the_controlled_method_are_left_out(add_method: Callable[..., str]) -> None:
    twice = add_method(
        "control_of_twice", prunes="[Prune(0.3), Measure(0.3), Prune(sparsities[-1], 2)]"
    )
    assert build_method("reinitialised", {"of": twice}).phases((0.9,), CONTEXT) == [
        *(Rewind(0), Prune(0.3), Prune(0.9, 2), Reinitialise(), Train("train", 10), Measure(0.9, 2))
    ]


def test_what_a_control_cannot_take_is_refused_with_the_names_it_can(
    add_method: Callable[..., str],
) -> None:
    def refusal(control: str, of: str) -> str:
        with pytest.raises(UserError) as caught:
            build_method(control, {"of": of})
        assert str(caught.value).startswith(f"method '{control}': ")
        return str(caught.value)

    message = refusal("shuffled", "l1_filter")
    assert "'l1_filter' is structured, not unstructured; there are: " in message
    fitting = message.split("there are: ")[1].split(", ")
    assert {"magnitude", "lottery_ticket", "sparsegpt"} <= set(fitting)
    assert not {"random", "shuffled", "hrank", "dense", "l1_filter"} & set(fitting)
    assert "'magnitude' is unstructured, not structured; there are: " in refusal(
        "small_from_scratch", "magnitude"
    )
    assert "'hrank' prunes layer by layer" in refusal("small_from_scratch", "hrank")
    assert "'shuffled' is control" in refusal("reinitialised", "shuffled")
    assert "no method 'magnitud'; did you mean 'magnitude'?" in refusal("shuffled", "magnitud")
    moving = add_method("control_of_moving", updates=True)
    assert "changes masks while training" in refusal("shuffled", moving)
    free = add_method("control_of_free", reaches="own")
    assert "does not prune to a requested sparsity" in refusal("reinitialised", free)
    failing = add_method("control_of_failing", prunes="int('one')")
    assert "has no phases for one sparsity: invalid literal for int()" in refusal(
        "reinitialised", failing
    )
    late = add_method("control_of_late", prunes="[Prune(0.5)] * (context.train_epochs > 50)")
    assert build_method("reinitialised", {"of": late}).runs == (late,)
    idle = add_method("control_of_idle", prunes="[]")
    assert "has no prune" in refusal("reinitialised", idle)


def test_a_control_that_was_not_given_its_method_says_how_to_build_it() -> None:
    control = find_method_class("shuffled")()
    assert control.runs == ("magnitude",) and build_method("magnitude", {}).runs == ()
    with pytest.raises(TypeError, match="'magnitude' was not handed over: build a control by "):
        control.phases((0.5,), CONTEXT)


def test_a_method_that_runs_another_one_cannot_be_controlled() -> None:
    class Disguised(find_method_class("shuffled")):  # type: ignore[misc]
        card = find_method_class("magnitude").card

    control = build_method("reinitialised", {})
    assert isinstance(control, Control)
    assert control.find_misfit(Disguised) == "controls another method itself"
