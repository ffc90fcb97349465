"""Orthogonalised matrices: singular vectors stay, singular values come near one."""

import torch
from torch import Tensor

STEPS = 5
A, B, C = 3.4445, -4.7750, 2.0315
SMALLEST = 1e-7  # of the norm a matrix is divided by


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix `(r c)` after five steps X <- (A + B X X' + C (X X')^2) X.

    The quintic coefficients of "Muon: An optimizer for hidden layers in neural networks" (Jordan et
    al., 2024): in bfloat16 on a graphics card, elsewhere in float32, which costs half as much here.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.mT).mT
    x = matrix / matrix.norm().clamp(min=SMALLEST)
    return in_steps(x.bfloat16()) if matrix.is_cuda else in_products(x.float())


def in_steps(x: Tensor) -> Tensor:
    """The steps as they stand, for a matrix with r <= c of norm 1."""
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x


def in_products(x: Tensor) -> Tensor:
    """The same with two products of the wide matrix in all, for float32.

    A step multiplies X by a polynomial Q of X X', so that X X' becomes Q X X' Q: the polynomials
    are multiplied first. Small singular values drown in the rounding of X X', 2e-4 of the result in
    float32. Our choice.
    """
    gram = x @ x.mT
    product = factor = _polynomial(gram)
    for _ in range(STEPS - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram)
        product = factor @ product
    return product @ x


def _polynomial(gram: Tensor) -> Tensor:
    factor = torch.addmm(gram, gram, gram, beta=B, alpha=C)
    factor.diagonal().add_(A)
    return factor


def cost(rows: int, columns: int) -> int:
    """The multiplications that orthogonalising one matrix takes in float32."""
    r = min(rows, columns)
    return r * r * (2 * max(rows, columns) + (4 * STEPS - 3) * r)
