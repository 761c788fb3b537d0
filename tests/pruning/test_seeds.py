"""Seeds by purpose: pinned, because a trial that continues must draw what it would have drawn."""

import torch

from pruning.seeds import derive_seed, make_generator


def test_seeds_are_those_of_every_version() -> None:
    assert derive_seed(0) == 3456079177858693020
    assert derive_seed(7, "train", 3) == 1707331500321738691


def test_purposes_have_independent_streams() -> None:
    seeds = {derive_seed(seed, *names) for seed in (1, 2) for names in (("a",), ("a", 1), ("a", 2))}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    first, again = (torch.rand(3, generator=make_generator(1, "a")) for _ in range(2))
    assert torch.equal(first, again)
