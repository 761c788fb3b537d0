"""A method as it is written in a notebook."""

from torch import Tensor

from pruning.method import Card, Method, PruneInput


class Largest(Method):
    """Keeps the largest weights."""

    card = Card(title="L", paper="-", summary="s", kind="unstructured", cost="c", when="w")

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}
