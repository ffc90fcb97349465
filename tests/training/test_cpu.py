"""The quick layers are the library's layers."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from moa.training.cpu import QuickConv2d, QuickGroupNorm, align, quicken


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
    output.float().square().sum().backward()
    return [output.detach(), x.grad, layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize(("c", "k", "stride", "padding"), [(8, 3, 1, 1), (80, 3, 1, 1), (80, 3, 2, 0), (80, 3, 2, 1), (80, 1, 1, 0)])
def test_same_result_and_gradients(c: int, k: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(c, 16, k, stride, padding), torch.randn(2, c, 9, 9)
    usual = gradients(layer, x)
    assert type(quicken(nn.Sequential(layer))[0]) is QuickConv2d
    for quick, other in zip(gradients(layer, x), usual, strict=True):
        torch.testing.assert_close(quick.float(), other.float(), rtol=0.03, atol=0.03 * float(other.abs().max()))


def test_group_norm_is_float32_inside() -> None:
    layer = nn.GroupNorm(2, 8)
    x = 100 + torch.randn(2, 8, 9, 9)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = quicken(nn.Sequential(layer))(x)
    assert type(layer) is QuickGroupNorm and found.dtype == torch.bfloat16
    torch.testing.assert_close(found, exact.bfloat16())


def test_untouched_without_autocast() -> None:
    layer, x = nn.Conv2d(8, 8, 3), torch.randn(1, 8, 9, 9)
    usual = layer(x)
    torch.testing.assert_close(quicken(layer)(x), usual)
    assert layer.state_dict().keys() == {"weight", "bias"}


def test_grouped_convolutions_stay() -> None:
    layer = nn.Conv2d(8, 8, 3, groups=2)
    assert type(quicken(layer)) is nn.Conv2d


def test_weights_begin_where_products_round_alike() -> None:
    layer = nn.Conv2d(3, 4, 3)
    weight = torch.empty(4 * 3 * 9 + 1)[1:].view(4, 3, 3, 3).permute(0, 3, 1, 2)
    layer.weight.data = weight.copy_(layer.weight.data)
    assert layer.weight.data_ptr() % 64
    kept = layer.weight
    assert align(layer).weight is kept and kept.data_ptr() % 64 == 0
    assert torch.equal(kept, weight) and kept.stride() == weight.stride()


FAULTS = """
import resource, sys
import torch
from moa.training.cpu import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
for _ in range(3):
    torch.ones(2**23)  # 32 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    usual, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, word], env=environment, capture_output=True, text=True, check=True).stdout)
        for word in ("usual", "keep")
    )
    assert kept < usual / 2  # pages fetched anew from the system
