"""Small networks that are no ReLU + batch-norm chains, and which of their channels can be cut."""

import torch
import torch.nn.utils.prune
from torch import nn
from torch.nn import functional

from tests.networks.channel_case_parts import Case, conv, gated, inplace, layers, pool

CASES = {
    "bias_along_the_map": Case(
        lambda m, x: m.fc(pool(m.b(m.l(m.a(x)).relu()).relu())),
        lambda: layers(a=conv(3, 8), l=nn.Linear(8, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "grouped_transposed": Case(
        lambda m, x: m.fc(pool(m.b(m.up(m.a(x)).relu()).relu())),
        lambda: layers(
            a=conv(3, 8),
            up=nn.ConvTranspose2d(8, 12, 2, groups=4),
            b=conv(12, 6),
            fc=nn.Linear(6, 5),
        ),
        {"b": 6},
    ),
    "group_norm": Case(
        lambda m, x: m.fc(pool(m.b(m.n(m.a(x)).relu()))),
        lambda: layers(a=conv(3, 8), n=nn.GroupNorm(4, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"a": 4, "b": 6},
    ),
    "group_norm_one": Case(
        lambda m, x: m.fc(pool(m.b(m.n(m.a(x)).relu()))),
        lambda: layers(a=conv(3, 8), n=nn.GroupNorm(1, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "instance_norm": Case(
        lambda m, x: m.fc(pool(m.n(m.a(x)).relu().square())),
        lambda: layers(a=conv(3, 8), n=nn.InstanceNorm2d(8, affine=True), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "instance_norm_tracked": Case(
        lambda m, x: m.fc(pool(m.n(m.a(x)).relu())),
        lambda: layers(
            a=conv(3, 8),
            n=nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
            fc=nn.Linear(8, 5),
        ),
        {"a": 8},
    ),
    "batch_norm_untracked": Case(
        lambda m, x: m.fc(pool(m.n(m.a(x)).relu())),
        lambda: layers(
            a=conv(3, 8), n=nn.BatchNorm2d(8, track_running_stats=False), fc=nn.Linear(8, 5)
        ),
        {"a": 8},
    ),
    "batch_norm_plain": Case(
        lambda m, x: m.fc(pool(m.n(m.a(x)).relu())),
        lambda: layers(a=conv(3, 8), n=nn.BatchNorm2d(8, affine=False), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "transposed": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x).relu()).relu())),
        lambda: layers(a=conv(3, 8), b=nn.ConvTranspose2d(8, 6, 2, 2), fc=nn.Linear(6, 5)),
        {"a": 8, "b": 6},
    ),
    "prelu": Case(
        lambda m, x: m.fc(pool(m.p(m.a(x)))),
        lambda: layers(a=conv(3, 8), p=nn.PReLU(8), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "conv1d": Case(
        lambda m, x: m.fc(m.b(m.a(x.flatten(2)).relu()).relu().mean(2)),
        lambda: layers(a=nn.Conv1d(3, 8, 3), b=nn.Conv1d(8, 6, 3), fc=nn.Linear(6, 5)),
        {"a": 8, "b": 6},
    ),
    "conv3d": Case(
        lambda m, x: m.fc(m.a(x[:, :, None].repeat(1, 1, 3, 1, 1)).relu().mean((2, 3, 4))),
        lambda: layers(a=nn.Conv3d(3, 8, 3), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "sigmoid": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x).sigmoid()).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "plus_one": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x) + 1).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "softplus": Case(
        lambda m, x: m.fc(pool(m.b(functional.softplus(m.a(x))).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "glu": Case(
        lambda m, x: m.fc(pool(functional.silu(m.a(x)) * m.b(x))),
        lambda: layers(a=conv(3, 8), b=conv(3, 8), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "chunk_glu": Case(
        lambda m, x: m.fc(pool(gated(*m.a(x).chunk(2, 1)))),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(4, 5)),
        {"a": 4},
    ),
    "torch_glu": Case(
        lambda m, x: m.fc(pool(m.b(functional.glu(m.a(x), 1)))),
        lambda: layers(a=conv(3, 8), b=conv(4, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "cat_input": Case(
        lambda m, x: m.fc(pool(m.b(torch.cat([x, m.a(x).relu()], 1)).relu())),
        lambda: layers(a=conv(3, 8), b=conv(11, 6), fc=nn.Linear(6, 5)),
        {"a": 8, "b": 6},
    ),
    "cat_flatten": Case(
        lambda m, x: m.fc(torch.cat([m.a(x), m.b(x).relu()], 1).flatten(1)),
        lambda: layers(a=conv(3, 4), b=conv(3, 6), fc=nn.Linear(640, 5)),
        {"a": 4, "b": 6},
    ),
    "slices": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x)[:, :4]).relu())),
        lambda: layers(a=conv(3, 8), b=conv(4, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "fixed_view": Case(
        lambda m, x: m.fc(m.a(x).view(-1, 512)),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(512, 5)),
        None,
    ),
    "twice": Case(
        lambda m, x: m.fc(pool(m.a(m.a(m.s(x)).relu()))),
        lambda: layers(s=conv(3, 8), a=conv(8, 8), fc=nn.Linear(8, 5)),
        {"s": 8},
    ),
    "tied": Case(
        lambda m, x: m.fc(functional.linear(functional.relu(m.a(pool(m.s(x)))), m.a.weight.t())),
        lambda: layers(s=conv(3, 8), a=nn.Linear(8, 6), fc=nn.Linear(8, 5)),
        {"s": 8, "a": 6},
    ),
    "weight_norm_old": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x).relu()).relu())),
        lambda: layers(a=nn.utils.weight_norm(conv(3, 8)), b=conv(8, 6), fc=nn.Linear(6, 5)),
        None,
    ),
    "weight_norm_new": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x).relu()).relu())),
        lambda: layers(
            a=nn.utils.parametrizations.weight_norm(conv(3, 8)), b=conv(8, 6), fc=nn.Linear(6, 5)
        ),
        {"b": 6},
    ),
    "spectral_norm": Case(
        lambda m, x: m.fc(pool(m.b(m.a(x).relu()).relu())),
        lambda: layers(
            a=nn.utils.parametrizations.spectral_norm(conv(3, 8)), b=conv(8, 6), fc=nn.Linear(6, 5)
        ),
        {"b": 6},
    ),
    "branch_on_values": Case(
        lambda m, x: m.fc(pool(m.a(x).relu() if x.sum() > -1e9 else x)),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "tuple": Case(
        lambda m, x: (m.fc(pool(m.a(x).relu())), x),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "mean_over_channels": Case(
        lambda m, x: m.fc(pool(m.a(x) * m.a(x).mean(1, keepdim=True))),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(8, 5)),
        None,
    ),
    "spatial_gate": Case(
        lambda m, x: m.fc(pool(m.a(x) * m.g(x).sigmoid())),
        lambda: layers(a=conv(3, 8), g=conv(3, 1), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "depth_multiplier": Case(
        lambda m, x: m.fc(pool(m.d(m.a(x).relu()).relu())),
        lambda: layers(a=conv(3, 4), d=conv(4, 8, groups=4), fc=nn.Linear(8, 5)),
        {"a": 4},
    ),
    "grouped_stem": Case(
        lambda m, x: m.fc(pool(m.d(x).relu())),
        lambda: layers(d=conv(3, 6, groups=3), fc=nn.Linear(6, 5)),
        None,
    ),
    "pixel_shuffle": Case(
        lambda m, x: m.fc(pool(m.b(functional.pixel_shuffle(m.a(x), 2)).relu())),
        lambda: layers(a=conv(3, 8), b=conv(2, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "lstm": Case(
        lambda m, x: m.fc(m.r(m.a(x).flatten(2).transpose(1, 2))[0][:, -1]),
        lambda: layers(a=conv(3, 8), r=nn.LSTM(8, 6, batch_first=True), fc=nn.Linear(6, 5)),
        None,
    ),
    "encoder": Case(
        lambda m, x: m.fc(m.e(m.a(x).flatten(2).transpose(1, 2)).mean(1)),
        lambda: layers(
            a=conv(3, 12),
            e=nn.TransformerEncoderLayer(12, 3, 20, batch_first=True),
            fc=nn.Linear(12, 5),
        ),
        {"e.self_attn.in_proj_weight": 3, "e.linear1": 20},
    ),
    "encoder_sequence_first": Case(
        lambda m, x: m.fc(m.e(m.a(x).flatten(2).permute(2, 0, 1)).mean(0)),
        lambda: layers(
            a=conv(3, 12),
            e=nn.TransformerEncoderLayer(12, 3, 20, norm_first=True),
            fc=nn.Linear(12, 5),
        ),
        {"e.self_attn.in_proj_weight": 3, "e.linear1": 20},
    ),
    "shuffle": Case(
        lambda m, x: m.fc(pool(m.b(functional.channel_shuffle(m.a(x), 2)).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "einsum": Case(
        lambda m, x: m.fc(torch.einsum("bchw,oc->bo", m.a(x).relu(), m.w)),
        lambda: layers(a=conv(3, 8), w=nn.Parameter(torch.randn(6, 8)), fc=nn.Linear(6, 5)),
        {"a": 8, "w": 6},
    ),
    "lone_parameter": Case(
        lambda m, x: m.fc(pool((m.a(x) + m.w).relu())),
        lambda: layers(a=conv(3, 8), w=nn.Parameter(torch.randn(8, 1, 1)), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "inner_product": Case(
        lambda m, x: (pool(m.a(x)) * pool(m.b(x))).sum(1, keepdim=True) * m.fc(pool(x)),
        lambda: layers(a=conv(3, 8), b=conv(3, 8), fc=nn.Linear(3, 5)),
        {"a": 8},
    ),
    "square_mean": Case(
        lambda m, x: m.fc(pool(m.a(x) / (m.a(x).square().mean(1, keepdim=True) + 1).sqrt())),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(8, 5)),
        None,
    ),
    "batch_flatten": Case(
        lambda m, x: m.fc(pool(m.a(x).reshape(-1, 8, 8).relu().reshape(len(x), -1, 8, 8))),
        lambda: layers(a=conv(3, 8), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
    "padding": Case(
        lambda m, x: m.fc(pool(m.b(functional.pad(m.a(x), (1, 1), value=2.0)).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "masked_layer": Case(
        lambda m, x: m.fc(pool(m.a(x).relu())),
        lambda: layers(
            a=nn.utils.prune.random_unstructured(conv(3, 8), "weight", 0.5), fc=nn.Linear(8, 5)
        ),
        None,
    ),
    "inplace_view": Case(
        lambda m, x: m.fc(pool(m.b(inplace(m.a(x))).relu())),
        lambda: layers(a=conv(3, 8), b=conv(8, 6), fc=nn.Linear(6, 5)),
        {"b": 6},
    ),
    "layer_scale": Case(
        lambda m, x: m.fc(pool(m.a(x) * m.w)),
        lambda: layers(a=conv(3, 8), w=nn.Parameter(torch.randn(8, 1, 1)), fc=nn.Linear(8, 5)),
        {"a": 8},
    ),
}
