"""Layers that train fast in bfloat16 on a CPU, where the library's own gradient of a convolution's weight is 10 to 30 times slower than the
forward, and a memory allocator that suits them."""

import ctypes
import sys

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's mallopt
NARROW = 64  # input channels, measured on two cores with AMX


class QuickConv2d(nn.Conv2d):
    """A Conv2d whose weight gradient under CPU autocast is one matrix product over unfolded patches; elsewhere the usual one."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not torch.is_grad_enabled():
            return super().forward(input)
        dtype = torch.get_autocast_dtype("cpu")
        bias = None if self.bias is None else self.bias.to(dtype)
        output = _Convolution.apply(input.to(dtype), self.weight.to(dtype), self.stride[0], self.padding[0])
        return output if bias is None else output + rearrange(bias, "c -> c 1 1")


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _library_gradient(grad, x, weight, ctx.stride, ctx.padding, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(grad, x, weight, ctx.stride, ctx.padding)
        return of_x, of_weight, None, None


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Narrow layers fare better with the library's float32 gradient, wide ones with the matrix product."""
    if weight.shape[1] <= NARROW:
        tensors = (t.float() for t in (grad, x, weight))
        return _library_gradient(*tensors, stride, padding, [False, True, False])[1].to(weight.dtype)
    return weight_gradient(grad, x, weight.shape[-1], stride, padding)


def _library_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, which: list[bool]) -> tuple[Tensor | None, ...]:
    return torch.ops.aten.convolution_backward(grad, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, which)


def weight_gradient(grad: Tensor, x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """The gradient of a convolution's weight `(o c size size)` from that of its output `(b o h w)` and its input `(b c h w)`."""
    _, o, h, w = grad.shape
    padded = F.pad(rearrange(x, "b c h w -> b h w c"), (0, 0, padding, padding, padding, padding))
    shifts = [(i, j) for i in range(size) for j in range(size)]
    patches = [padded[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride] for i, j in shifts]
    columns = torch.cat(patches, dim=-1).flatten(0, 2)
    product = rearrange(grad, "b o h w -> (b h w) o").T @ columns
    return rearrange(product, "o (i j c) -> o c i j", i=size, j=size)


class QuickGroupNorm(nn.GroupNorm):
    """A GroupNorm that works in float32 under CPU autocast, where the library's own bfloat16 one is four times slower."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        return super().forward(input.float()).to(torch.get_autocast_dtype("cpu"))


def quicken(module: nn.Module) -> nn.Module:
    """Retypes the module's plain convolutions and group norms in place and lays its kernels out channels last; weights, names and results stay."""
    for layer in module.modules():
        if type(layer) is nn.GroupNorm:
            layer.__class__ = QuickGroupNorm
        if type(layer) is nn.Conv2d and layer.groups == 1 and layer.dilation == (1, 1) and isinstance(layer.padding[0], int):
            layer.__class__ = QuickConv2d
    return module.to(memory_format=torch.channels_last)


def align(module: nn.Module) -> nn.Module:
    """Moves weights on a CPU to memory of torch's own, which begins at multiples of 64 bytes.

    Weights read from a file lie where the file put them, and matrix products round by where their
    factors lie: a resumed run would not equal one that never stopped. Strides stay.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % 64:
            tensor.data = tensor.data.clone()
    return module


def keep_memory() -> None:
    """Lets glibc keep the blocks of freed tensors: by default it hands them back to the system after each layer and gets them anew, page by page."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)
