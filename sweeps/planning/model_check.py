"""Networks looked at before a study starts: what they cost, and whether those of the user fit the
data."""

from functools import cache

from pruning.user_error import UserError


class Misfit(UserError):
    """A network that does not take the images of a data set."""


@cache
def count_macs_and_parameters(
    model: str, image: tuple[int, int, int], classes: int
) -> tuple[int, int]:
    """Multiply-accumulates of one image and parameters of a network.

    Args:
        image: (channels, height, width).

    Raises:
        Misfit: it does not take such an image, or does not answer with one logit for each class.
        UserError: there is no such network, or it is none.
    """
    import torch

    from models.model_registry import build_model
    from pruning.cost import layer_costs, macs

    try:
        network = build_model(model, image=image, classes=classes).eval()
        with torch.no_grad():
            answer = network(torch.zeros(1, *image))
        if getattr(answer, "shape", None) != (1, classes):
            shape = (
                tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
            )
            raise Misfit(
                f"model '{model}' must return logits [B, {classes}], "
                f"but for one image returned {shape}"
            )
        return macs(layer_costs(network, image)), sum(
            parameter.numel() for parameter in network.parameters()
        )
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if ":" not in model:
            raise
        # The user's network may fail in any way, even by ending the program.
        size = "x".join(map(str, image))
        raise Misfit(
            f"model '{model}' does not take {size} images: {type(error).__name__}: {error}"
        ) from None
