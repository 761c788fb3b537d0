"""Calibration against explicit convolutions, explicit columns in fp64, and torch's own im2col."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.layerwise import layer_inputs
from pruning.layerwise.layer_inputs import (
    from_matrix,
    hessian,
    input_norms,
    layer_order,
    to_matrix,
    unfold,
)
from tests.networks.architectures import attention

torch.set_num_threads(1)

CONVS = {
    "plain": nn.Conv2d(4, 6, 3, padding=1, bias=False),
    "stride": nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
    "uneven": nn.Conv2d(4, 6, (1, 3), stride=(2, 1), padding=(0, 2), bias=False),
    "dilated": nn.Conv2d(4, 6, 3, dilation=2, padding=2, bias=False),
    "grouped": nn.Conv2d(4, 6, 3, groups=2, padding=1, bias=False),
    "depthwise": nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "same": nn.Conv2d(4, 6, (3, 5), padding="same", bias=False),
    "reflect": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False),
}


def pictures(count: int, *, channels: int = 4, size: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Two convolutions defined in the reverse of their execution order, batch-norm between them,
    and a classifier."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)
        self.second = nn.Conv2d(4, 8, 3, groups=groups, padding=1)
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.fill_(0.3)  # type: ignore[union-attr]
        self.norm.running_var.fill_(2.0)  # type: ignore[union-attr]
        self.reached: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.second(x))
        self.reached.append("after second")
        return self.fc(x.mean(dim=(2, 3)))

    @torch.no_grad()
    def input_of_second(self, x: Tensor, *, by_batch: bool) -> Tensor:
        """With batch-norm written out, by the statistics of this batch or by the running ones."""
        y = self.first(x)
        mean, variance = (
            y.mean((0, 2, 3), keepdim=True),
            y.var((0, 2, 3), unbiased=False, keepdim=True),
        )
        if not by_batch:
            mean, variance = (
                self.norm.running_mean.view(1, -1, 1, 1),
                self.norm.running_var.view(1, -1, 1, 1),
            )
        scale, shift = self.norm.weight.view(1, -1, 1, 1), self.norm.bias.view(1, -1, 1, 1)
        return torch.relu((y - mean) / (variance + self.norm.eps).sqrt() * scale + shift)


@pytest.mark.parametrize("name", CONVS)
def test_a_convolution_is_a_matrix_product_over_unfolded_inputs(name: str) -> None:
    layer = CONVS[name]
    x = pictures(3)
    rows = unfold(layer, x)
    product = rows @ to_matrix(layer.weight, layer.groups).mT  # [groups, n, out / groups]
    expected = layer(x)  # [B, out, H, W]
    product = product.permute(1, 0, 2).reshape(3, *expected.shape[2:], -1).movedim(-1, 1)
    torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-5)


def test_other_dimensions_unfold_too() -> None:
    for layer, x in (
        (nn.Conv1d(4, 6, 5, padding=2, bias=False), torch.randn(2, 4, 9)),
        (nn.Conv3d(2, 3, 2, bias=False), torch.randn(2, 2, 4, 4, 4)),
        (nn.Linear(5, 3, bias=False), torch.randn(2, 4, 5)),
    ):
        product = unfold(layer, x)[0] @ to_matrix(layer.weight)[0].T
        expected = layer(x) if isinstance(layer, nn.Linear) else layer(x).movedim(1, -1)
        torch.testing.assert_close(product, expected.reshape(product.shape), rtol=1e-5, atol=1e-5)


def test_columns_run_through_kernel_positions_and_then_input_channels() -> None:
    weight = torch.arange(2 * 3 * 2 * 2).float().view(2, 3, 2, 2)
    matrix = to_matrix(weight)
    for y in range(2):
        for x in range(2):
            for channel in range(3):
                assert torch.equal(
                    matrix[0, :, (y * 2 + x) * 3 + channel], weight[:, channel, y, x]
                )
    assert torch.equal(from_matrix(matrix, weight.shape), weight)
    grouped = torch.randn(6, 2, 3, 3)
    assert torch.equal(from_matrix(to_matrix(grouped, 3), grouped.shape), grouped)


def test_layer_order_is_the_order_of_execution() -> None:
    assert layer_order(Net(), pictures(1)) == ["first.weight", "second.weight", "fc.weight"]


def test_layer_order_names_layers_that_do_not_run_once() -> None:
    class Twice(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.first(x))

    class Never(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.first(x)

    with pytest.raises(ValueError, match=r"'first.weight' runs 2 times"):
        layer_order(Twice(), pictures(1))
    with pytest.raises(ValueError, match=r"'fc.weight' runs 0 times"):
        layer_order(Never(), pictures(1))


@pytest.mark.parametrize(("chunk", "strip"), [(1, 256), (700, 8), (2**24, 18)])
def test_hessian_is_the_second_moment_of_im2col_columns(
    chunk: int, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_inputs, "STRIP", strip)
    net, x = Net().double(), pictures(10).double()

    def columns_of(*parts: Tensor, by_batch: bool) -> Tensor:
        inputs = torch.cat([net.input_of_second(part, by_batch=by_batch) for part in parts])
        columns = nn.functional.unfold(inputs, 3, padding=1)  # [B, in * kh * kw, L]
        return columns.view(10, 4, 9, 49).permute(0, 3, 2, 1).reshape(490, 36)  # to (kh, kw, in)

    running = columns_of(x, by_batch=False)
    columns = columns_of(x[:3], x[3:], by_batch=True)
    expected = 2 / 490 * running.T @ running
    # fp32 in, three uneven batches: the sum must not depend on how it was cut
    found = hessian(
        net.float(), "second.weight", [x[:3].float(), x[3:4].float(), x[4:].float()], chunk=chunk
    )
    assert found.dtype == torch.float64
    assert found.shape == (1, 36, 36)
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)
    norms = input_norms(net, "second.weight", [x[:3].float(), x[3:].float()], chunk=chunk)
    torch.testing.assert_close(norms[0], columns.norm(dim=0), rtol=1e-5, atol=1e-6)


def test_grouped_convolution_has_one_hessian_per_group() -> None:
    net, x = Net(groups=2).double(), pictures(6).double()
    found = hessian(net, "second.weight", [x])
    assert found.shape == (2, 18, 18)
    norms = input_norms(net, "second.weight", [x])
    for group in range(2):
        running, by_batch = (
            nn.functional.unfold(
                net.input_of_second(x, by_batch=by_batch)[:, 2 * group : 2 * group + 2],
                3,
                padding=1,
            )
            .view(6, 2, 9, 49)
            .permute(0, 3, 2, 1)
            .reshape(-1, 18)
            for by_batch in (False, True)
        )
        torch.testing.assert_close(found[group], 2 / len(running) * running.T @ running)
        torch.testing.assert_close(norms[group], by_batch.norm(dim=0))


def test_linear_hessian_of_a_wide_layer_stays_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_inputs, "WIDE", 8)
    net = nn.Linear(16, 2)
    x = torch.randn(40, 16, generator=torch.Generator().manual_seed(3))
    found = hessian(net, "weight", x.split(13))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found[0].double(), 2 / 40 * x.double().T @ x.double(), rtol=1e-5, atol=1e-6
    )


def test_the_forward_pass_stops_at_the_layer_and_leaves_the_model_as_it_was() -> None:
    net = Net().train()
    net.norm.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    hessian(net, "second.weight", [pictures(4)])
    assert net.reached == []
    assert net.training
    assert not net.norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net(pictures(1))
    assert net.reached == ["after second"]


def test_autocast_does_not_reach_calibration() -> None:
    net, x = Net(), [pictures(8)]
    expected = hessian(net, "fc.weight", x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = hessian(net, "fc.weight", x)
    assert torch.equal(found, expected)


def test_mistakes_are_named() -> None:
    net = Net()
    with pytest.raises(ValueError, match=r"no prunable weight 'norm.weight'; there are: fc.weight"):
        hessian(net, "norm.weight", [pictures(1)])
    with pytest.raises(ValueError, match="at least one batch"):
        hessian(net, "fc.weight", [])

    class Short(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.first(x)

    with pytest.raises(ValueError, match=r"does not reach 'second.weight'"):
        hessian(Short(), "second.weight", [pictures(1)])


def test_a_network_in_fp64_is_seen_in_fp64() -> None:
    x = 1 + 1e-9 * pictures(5, channels=1, size=2).double().flatten(1)
    found = hessian(nn.Linear(4, 2).double(), "weight", [x])[0]
    torch.testing.assert_close(found, 2 / 5 * x.T @ x, rtol=1e-14, atol=0)


def test_inputs_of_projections_that_no_layer_is_called_for() -> None:
    """Of attention's packed projection and of its output projection, which run as functions."""
    torch.manual_seed(0)
    network = attention((1, 8, 8), 10).eval()
    images = torch.randn(6, 1, 8, 8)
    tokens = network.norm(network.embed(images[:, 0])).detach()
    rows = tokens.reshape(-1, 16)
    found = hessian(network, "attend.in_proj_weight", [images[:4], images[4:]])
    torch.testing.assert_close(
        found[0], (2 / len(rows) * rows.T @ rows).double(), rtol=1e-5, atol=1e-5
    )
    q, k, v = functional.linear(
        tokens, network.attend.in_proj_weight, network.attend.in_proj_bias
    ).chunk(3, -1)
    heads = [part.view(6, 8, 2, 8).transpose(1, 2) for part in (q, k, v)]
    joined = functional.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(-1, 16)
    norms = input_norms(network, "attend.out_proj.weight", [images])
    torch.testing.assert_close(norms[0], joined.detach().double().norm(dim=0), rtol=1e-5, atol=1e-5)
    assert layer_order(network, images[:1], only=["fc.weight", "attend.in_proj_weight"]) == [
        "attend.in_proj_weight",
        "fc.weight",
    ]
