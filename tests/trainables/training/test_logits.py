"""The logits among what a network returns while it trains."""

from collections import namedtuple

import pytest
import torch

from trainables.training.logits import main_logits

Outputs = namedtuple("Outputs", ["logits", "aux"])


def test_the_first_tensor_is_the_logits() -> None:
    logits, other = torch.zeros(2, 3), torch.ones(2, 3)
    for output in (
        logits,
        (logits, other),
        [logits, None],
        Outputs(logits, other),
        {"out": logits, "aux": other},
        ((logits, other), other),
    ):
        assert main_logits(output) is logits


@pytest.mark.parametrize("output", [None, (), {}, "logits", (None, torch.zeros(1))])
def test_without_a_tensor_it_says_what_was_returned(output: object) -> None:
    with pytest.raises(TypeError, match="a network must return logits, but returned"):
        main_logits(output)
