"""The short form is the plain one, and singular values come near one."""

import pytest
import torch
from torch import Tensor

from moa.training.newton_schulz import cost, in_products, in_steps, orthogonalised


def spread(rows: int, columns: int) -> Tensor:
    """A matrix whose singular values spread over six powers of ten."""
    generator = torch.Generator().manual_seed(rows + columns)
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    return (u * torch.logspace(0, -6, len(s), dtype=torch.float64)) @ v


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 40), (24, 216)])
def test_products_are_the_steps(rows: int, columns: int) -> None:
    x = spread(rows, columns)
    x = x / x.norm()
    exact = in_steps(x)
    torch.testing.assert_close(in_products(x), exact, rtol=0, atol=1e-9)
    torch.testing.assert_close(in_products(x.float()).double(), exact, rtol=0, atol=2e-3)
    rough = in_steps(x.bfloat16()).double()
    assert (rough - exact).norm() < 0.3 * exact.norm()


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 40), (40, 16)])
def test_singular_values_come_near_one(rows: int, columns: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrix.shape
    assert values[:-1].min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.mT @ found @ v.mT
    torch.testing.assert_close(inside, inside.diagonal().diag(), rtol=0, atol=1e-3)


def test_a_matrix_of_zeros_stays() -> None:
    assert torch.equal(orthogonalised(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_wide_and_tall_cost_the_same() -> None:
    assert cost(16, 40) == cost(40, 16) < cost(40, 40)
