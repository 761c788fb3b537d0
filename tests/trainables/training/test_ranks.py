"""What ranks have of their own and what must be equal at all of them."""

import torch

from tests.trainables.training.rank_threads import ThreadRanks, run_ranks
from trainables.training.ranks import ONE_RANK, RanksDifferError


def test_dropout_is_drawn_anew_at_each_rank_and_as_before_at_the_first() -> None:
    state = torch.Generator().manual_seed(5).get_state()
    states = run_ranks(3, lambda rank: rank.derive_random_state(state))
    assert torch.equal(states[0], state)
    assert len({bytes(one.numpy().tobytes()) for one in states}) == 3


def test_a_difference_between_ranks_is_named() -> None:
    def check(rank: ThreadRanks) -> str:
        try:
            rank.check_equal("the digest", "abc" if rank.part.rank < 2 else "xyz")
        except RanksDifferError as error:
            return str(error)
        return ""

    told = "the digest of rank 2 of 3 is xyz, of rank 0 abc: all ranks must compute the same"
    assert run_ranks(3, check) == [told, "", ""]
    ONE_RANK.check_equal("the digest", "abc")
