"""One step is torch's own for matrices; kernels are matrices; state survives in any layout."""

import pytest
import torch
from torch import Tensor, nn

from moa.training.muon import Muon, owners

SETTINGS = dict(learning_rate=0.05, adam_learning_rate=0.01, weight_decay=0.1, momentum=0.9, betas=(0.9, 0.99))


def parameter(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def take_steps(optimizer: torch.optim.Optimizer, parameters: list[Tensor], first: int = 0) -> None:
    for number in range(first, first + 3):
        generator = torch.Generator().manual_seed(number)
        for p in parameters:
            grad = torch.randn(p.shape, generator=generator)
            p.grad = torch.empty_like(p).copy_(grad)
        optimizer.step()


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (12, 12)])
def test_a_matrix_steps_as_with_torch(shape: tuple[int, int]) -> None:
    """Theirs multiplies in bfloat16."""
    ours = parameter(*shape)
    theirs = parameter(*shape)
    start = ours.detach().clone()
    take_steps(Muon([ours], [], **SETTINGS), [ours])
    take_steps(torch.optim.Muon([theirs], lr=0.05, weight_decay=0.1, momentum=0.9), [theirs])
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_the_rest_steps_as_with_adamw() -> None:
    ours = [parameter(4, 6), parameter(6)]
    theirs = [parameter(4, 6), parameter(6)]
    take_steps(Muon([], ours, **SETTINGS), ours)
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:]}]
    adamw = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    take_steps(adamw, theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_is_the_matrix_of_its_outputs(layout: torch.memory_format) -> None:
    kernel = nn.Parameter(parameter(20, 3, 2, 2).detach().contiguous(memory_format=layout))
    matrix = nn.Parameter(parameter(20, 3, 2, 2).detach().flatten(1))
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(20, 3, 2, 2, generator=generator)
    kernel.grad = grad.contiguous(memory_format=layout)
    matrix.grad = grad.flatten(1)
    for p in (kernel, matrix):
        Muon([p], [], **SETTINGS).step()
    assert kernel.is_contiguous(memory_format=layout)
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=1e-4, atol=1e-6)


def test_moments_that_were_laid_out_anew_change_nothing() -> None:
    """Checkpoints store tensors row by row."""
    layout = torch.channels_last
    shapes = [(16, 8, 3, 3), (2, 5, 3, 3), (16, 8, 1, 1)]

    def start() -> tuple[Muon, list[Tensor]]:
        ps = [nn.Parameter(parameter(*s).detach().contiguous(memory_format=layout)) for s in shapes]
        return Muon(ps[:1], ps[1:], **SETTINGS), ps

    whole, expected = start()
    cut, found = start()
    for optimizer, parameters in ((whole, expected), (cut, found)):
        take_steps(optimizer, parameters)
    for p in found:
        cut.state[p] = {name: value.contiguous() for name, value in cut.state[p].items()}
    for optimizer, parameters in ((whole, expected), (cut, found)):
        take_steps(optimizer, parameters, first=3)
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
        assert all(torch.equal(whole.state[a][name], cut.state[b][name]) for name in cut.state[b])


def test_state_of_another_optimizer_is_refused() -> None:
    p = parameter(4, 6)
    take_steps(optimizer := Muon([p], [], **SETTINGS), [p])
    optimizer.state[p] = {"exp_avg": torch.zeros_like(p)}
    with pytest.raises(ValueError, match=r"comes with exp_avg; momentum_buffer is needed"):
        optimizer.step()


def test_what_has_no_gradient_stays() -> None:
    still, moved = parameter(4, 6), parameter(4, 6)
    optimizer = Muon([still, moved], [], **SETTINGS)
    moved.grad = torch.ones_like(moved)
    optimizer.step()
    assert torch.equal(still, parameter(4, 6)) and not torch.equal(moved, still)


def test_work_is_shared_out_evenly() -> None:
    assert owners([1, 8, 3, 4], 2) == [1, 0, 1, 1]
    assert owners([5], 3) == [0]
