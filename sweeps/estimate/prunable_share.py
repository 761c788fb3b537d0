"""How many of a network's parameters methods can prune: what the sparsities of a study are of."""

from functools import cache

from models.sizes import PRUNABLE
from pruning import registry
from sweeps.estimate.time_per_trial import network_cost
from sweeps.study_file.study import StudySpec
from trainables.data.data_size import guess_data_size

SMALL_SHARE = 0.9  # of the parameters: where less can be pruned, the line says what is left


def describe_prunable_shares(spec: StudySpec) -> list[str]:
    """A line for each setting of a study whose network takes the images of its data set, and which
    has a method that prunes; what is left of all parameters, where few can be pruned.

    Raises:
        UserError: see `pruning.prunable_layers.select_weights`.
    """
    lines = []
    for setting in spec.settings:
        params = network_cost(setting.model, setting.dataset, spec.data_dir, setting.image_size)[1]
        kinds = [registry.find_method_class(method.name) for method in setting.methods]
        if not params or not any(kind.prunes for kind in kinds):
            continue
        size, _ = guess_data_size(setting.dataset, spec.data_dir, setting.image_size)
        prunable = _count(setting.model, size.image, size.classes, tuple(setting.exclude))
        without = f", without {', '.join(setting.exclude)}" if setting.exclude else ""
        lines.append(
            f"prunable: {prunable:,} of the {params:,} parameters ({100 * prunable / params:.1f} %)"
            f" of {setting.model} on {setting.dataset}{without}"
        )
        if prunable / params < SMALL_SHARE and (highest := max(setting.sparsities)):
            left = 100 * (1 - highest * prunable / params)
            lines[-1] += f"; sparsity {highest:g}, which is of these, leaves {left:.1f} % of all"
    return list(dict.fromkeys(lines))


@cache
def _count(model: str, image: tuple[int, int, int], classes: int, exclude: tuple[str, ...]) -> int:
    if not exclude and (known := PRUNABLE.get((model, image, classes))):
        return known
    from models.model_registry import build_model
    from pruning.masks import prunable
    from pruning.prunable_layers import select_weights

    network = build_model(model, image=image, classes=classes)
    names = select_weights(network, image, exclude=exclude).names
    return sum(weight.numel() for weight in prunable(network, only=names).values())
