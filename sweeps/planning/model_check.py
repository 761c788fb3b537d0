"""Networks looked at before a study starts: what they cost, and whether those of the user fit the
data and can be trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from pruning.user_error import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGES = 2  # that a network is trained on for a try; batch-norm takes no single one


class Misfit(UserError):
    """A network that does not take the images of a data set, or cannot be trained on them."""


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

    from pruning.cost import layer_costs, macs

    try:
        network = build_once(model, image, classes).eval()
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


@lru_cache(maxsize=1)
def build_once(model: str, image: tuple[int, int, int], classes: int) -> nn.Module:
    """A network with fresh weights, the same object to all who look at it in turn."""
    from models.model_registry import build_model

    with seeded_apart():
        return build_model(model, image=image, classes=classes)


@lru_cache(maxsize=1)
def build_and_train(model: str, image: tuple[int, int, int], classes: int) -> nn.Module:
    """A network with fresh weights that has gone forward and backward once, in training mode.

    Raises:
        Misfit: it cannot be trained on such images; or see `count_macs_and_parameters`.
        UserError: there is no such network, or it is none.
    """
    count_macs_and_parameters(model, image, classes)
    with seeded_apart():
        network = build_once(model, image, classes)
        try:
            _go_backward(network.train(), model, image, classes)
        except Misfit:
            raise
        except (Exception, SystemExit) as error:
            size = "x".join(map(str, image))
            raise Misfit(
                f"model '{model}' cannot be trained on {size} images: {brief(error)}"
            ) from None
    network.zero_grad(set_to_none=True)
    return network


def _go_backward(network: nn.Module, model: str, image: tuple[int, int, int], classes: int) -> None:
    from torch.nn.functional import cross_entropy

    from trainables.training.logits import main_logits

    x, y = draw_images(image, classes)
    logits = main_logits(network(x))
    if tuple(logits.shape) != (IMAGES, classes):
        raise Misfit(
            f"model '{model}' must return logits [B, {classes}], alone or first, but for "
            f"{IMAGES} images in training mode the first tensor is {tuple(logits.shape)}"
        )
    cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]


def draw_images(image: tuple[int, int, int], classes: int) -> tuple[Tensor, Tensor]:
    """Random images, normalised, with the first and the last label."""
    import torch

    x = torch.randn(IMAGES, *image, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([0, classes - 1])


@contextmanager
def seeded_apart() -> Iterator[None]:
    """Torch's global generator is seeded inside, and as before afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def brief(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
