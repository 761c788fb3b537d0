"""The initial weights of the networks with batch-norm, and those of the classics."""

from torch import nn


def initialise(model: nn.Module) -> None:
    """Draw the initial weights in place, from torch's global generator.

    Convolutions: normal with variance 2 / fan_out (He et al. 2015, arXiv 1502.01852), biases 0.
    Batch-norm: weight 1, bias 0. Linear layers keep torch's default.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            # fan_out keeps the scale of the gradients from layer to layer; the scale of the
            # activations, which fan_in would keep, is batch-norm's business. It is also what
            # torchvision's networks use.
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            # Never 0 on the last one of a residual branch: scores taken at initialisation would be
            # 0 on all of it.
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def initialise_glorot(model: nn.Module) -> nn.Module:
    """Draw the weights of convolutions and linear layers in place, normal with variance 2 / (fan_in
    + fan_out) (Glorot & Bengio 2010), from torch's global generator; biases are 0.

    Returns:
        The model.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
