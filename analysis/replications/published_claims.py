"""What the papers claim, with the tolerance of each claim: named before our studies ran, never
widened.

Tolerances: papers that give neither spread nor number of runs get 0.2 to 0.5 points of error, more
where the network is sparser; iterations of early stopping, which vary from run to run, a third or
so of their ratio; statements ("is worse") none, or the tenth of a point that ten test images are.
"""

from analysis.replications.claim import Claim
from analysis.replications.quantities import Cell, Difference, LastWhole, Ratio, Value

_LENET, _LENET5 = "lenet_300_100", "lenet5_caffe"
ITERATION, STOPPED, FINAL = "early_stop_iteration", "early_stop_test_top1", "test_top1"


def _round(number: int) -> float:
    """The sparsity of a round of lottery tickets, over all layers but the output."""
    return 1 - 0.8**number


def _ticket(number: int) -> Cell:
    return Cell(_LENET, "lottery_ticket", _round(number))


def _reinitialised(number: int) -> Cell:
    return Cell(_LENET, "lottery_ticket", _round(number), stage="reinitialised")


def _random(number: int) -> Cell:
    return Cell(_LENET, "random_ticket", _round(number))


_DENSE, _DENSE5 = Cell(_LENET, "dense"), Cell(_LENET5, "dense")
_LTH = "Frankle & Carbin 2019, section 2"

LTH_LENET = (
    Claim(
        "with 21.1 % of the weights, the winning ticket stops early 38 % earlier than the dense "
        "network",
        f"{_LTH}, figure 4a",
        Ratio(_ticket(7), _DENSE, ITERATION, percent_less=True),
        *("equals", 38, 15, 0),
    ),
    Claim(
        "with 13.5 %, its test accuracy at early stopping is more than 0.3 points above the dense "
        "network's",
        f"{_LTH}, figure 4b",
        Difference(_ticket(9), _DENSE, STOPPED),
        *("at least", 0.3, 0.15),
    ),
    Claim(
        "with 21 %, it reaches its smallest validation loss 2.51 times faster than re-initialised",
        f"{_LTH}, figure 4a",
        Ratio(_reinitialised(7), _ticket(7), ITERATION),
        *("equals", 2.51, 0.75),
    ),
    Claim(
        "with 21 %, it is half a point more accurate than re-initialised (at early stopping)",
        f"{_LTH}, figure 4b",
        Difference(_ticket(7), _reinitialised(7), STOPPED),
        *("equals", 0.5, 0.25),
    ),
    Claim(
        "with 21 %, the ticket is at least as accurate as the dense network at the end of training",
        f"{_LTH}, figure 4",
        Difference(_ticket(7), _DENSE, FINAL),
        *("at least", 0, 0.1),
    ),
    Claim(
        "re-initialised networks learn more slowly than the dense one, here with 21 %",
        f"{_LTH}, figure 4a",
        Ratio(_reinitialised(7), _DENSE, ITERATION),
        *("at least", 1, 0),
    ),
    Claim(
        "re-initialised networks lose test accuracy after little pruning, here with 21 % at early "
        "stopping",
        f"{_LTH}, figure 4b",
        Difference(_reinitialised(7), _DENSE, STOPPED),
        *("at most", 0, 0),
    ),
    Claim(
        "random sparse networks learn more slowly than winning tickets, here with 21 %",
        "Frankle & Carbin 2019, figure 1",
        Ratio(_random(7), _ticket(7), ITERATION),
        *("at least", 1, 0),
    ),
    Claim(
        "random sparse networks are less accurate at early stopping than winning tickets, here "
        "with 21 %",
        "Frankle & Carbin 2019, figure 1",
        Difference(_random(7), _ticket(7), STOPPED),
        *("at most", 0, 0),
    ),
    Claim(
        "tickets of more than 3.6 % do not fall below the dense network at early stopping, here "
        "with 7 % after twelve rounds",
        f"{_LTH}, figure 4b",
        Difference(_ticket(12), _DENSE, STOPPED),
        *("at least", 0, 0.1),
    ),
)

_SNIP = "Lee et al. 2019, table 1"


def _snip(model: str, sparsity: float) -> Value:
    return Value(Cell(model, "snip", sparsity), "error")


SNIP_LENET = (
    Claim("LeNet-300-100, dense: error 1.7 %", _SNIP, Value(_DENSE, "error"), "equals", 1.7, 0.3),
    Claim(
        "LeNet-300-100, SNIP at 95 %: error 1.6 %", _SNIP, _snip(_LENET, 0.95), "equals", 1.6, 0.3
    ),
    Claim(
        "LeNet-300-100, SNIP at 98 %: error 2.4 %", _SNIP, _snip(_LENET, 0.98), "equals", 2.4, 0.5
    ),
    Claim(
        "LeNet-300-100, SNIP at 95 % is as good as dense",
        _SNIP,
        Difference(Cell(_LENET, "snip", 0.95), _DENSE, "error"),
        *("at most", 0, 0.2),
    ),
    Claim("LeNet-5-Caffe, dense: error 0.9 %", _SNIP, Value(_DENSE5, "error"), "equals", 0.9, 0.2),
    Claim(
        "LeNet-5-Caffe, SNIP at 98 %: error 0.8 %", _SNIP, _snip(_LENET5, 0.98), "equals", 0.8, 0.2
    ),
    Claim(
        "LeNet-5-Caffe, SNIP at 99 %: error 1.1 %", _SNIP, _snip(_LENET5, 0.99), "equals", 1.1, 0.3
    ),
)

_HAN = "Han et al. 2015, table 1"
_REACH = {"reach": "requested"}


def _han(model: str) -> Cell:
    return Cell(model, "han_iterative", 0.92, knobs=_REACH)


HAN_LENET = (
    Claim("LeNet-300-100, dense: error 1.64 %", _HAN, Value(_DENSE, "error"), "equals", 1.64, 0.3),
    Claim(
        "LeNet-300-100 with 8 % of the weights: error 1.59 %",
        _HAN,
        Value(_han(_LENET), "error"),
        *("equals", 1.59, 0.3),
    ),
    Claim(
        "LeNet-300-100: 12 times fewer weights at no loss of accuracy",
        _HAN,
        Difference(_han(_LENET), _DENSE, "error"),
        *("at most", 0, 0.1),
    ),
    Claim("LeNet-5, dense: error 0.80 %", _HAN, Value(_DENSE5, "error"), "equals", 0.80, 0.2),
    Claim(
        "LeNet-5 with 8 % of the weights: error 0.77 %",
        _HAN,
        Value(_han(_LENET5), "error"),
        *("equals", 0.77, 0.2),
    ),
    Claim(
        "LeNet-5: 12 times fewer weights at no loss of accuracy",
        _HAN,
        Difference(_han(_LENET5), _DENSE5, "error"),
        *("at most", 0, 0.1),
    ),
)

_TANAKA = "Tanaka et al. 2020, figure 1"


def _collapse(says: str, method: str, other: str, steps: float) -> Claim:
    """One method keeps weights in every layer up to a larger compression than another, by so much
    of its decimal logarithm; the figure's compressions are 0.25 apart."""
    return Claim(says, _TANAKA, LastWhole("resnet20", method, other), "at least", steps, 0)


SYNFLOW_COLLAPSE = (
    _collapse(
        "SynFlow's layers hold longer, by a step of the figure, than magnitude's",
        "synflow",
        "magnitude_init",
        0.25,
    ),
    _collapse(
        "SynFlow's layers hold longer, by a step of the figure, than random's",
        "synflow",
        "random",
        0.25,
    ),
    _collapse(
        "SynFlow's layers hold longer, by a step of the figure, than SNIP's",
        "synflow",
        "snip",
        0.25,
    ),
    _collapse(
        "SynFlow's layers hold longer, by a step of the figure, than GraSP's",
        "synflow",
        "grasp",
        0.25,
    ),
    _collapse(
        "Magnitude at initialisation collapses no later than random", "random", "magnitude_init", 0
    ),
    _collapse(
        "Magnitude at initialisation collapses no later than SNIP", "snip", "magnitude_init", 0
    ),
    _collapse(
        "Magnitude at initialisation collapses no later than GraSP", "grasp", "magnitude_init", 0
    ),
)

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "lth_lenet": LTH_LENET,
    "snip_lenet": SNIP_LENET,
    "han_lenet": HAN_LENET,
    "synflow_collapse": SYNFLOW_COLLAPSE,
}
"""Of every replication, by the name of its preset."""
