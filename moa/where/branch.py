"""The personalised branch: a trainable delta on each of the prior's four projections, zero at the start.

The paper's personalised expert is a copy of the prior's attention, trained (2404.11565, section 3). Written as a delta it
starts as exactly that copy, moves between finetunes of one architecture, and lets a LoRA underneath reach the subjects.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

OCTAVES = 2  # of the sines of a pixel's place
PLACE_WIDTH = 2 + 4 * OCTAVES


def pixel_places(grid: tuple[int, int], like: Tensor) -> Float[Tensor, "n f"]:
    """Where each pixel of an (h, w) grid lies: x and y in -1..1, and sines and cosines of them; as `like` in device and dtype."""
    h, w = grid
    y, x = (torch.linspace(1 / n - 1, 1 - 1 / n, n, device=like.device) for n in (h, w))
    xy = torch.cartesian_prod(y, x).flip(-1)
    angles = [math.pi * 2**octave * xy for octave in range(OCTAVES)]
    return torch.cat([xy, *(f(a) for a in angles for f in (torch.sin, torch.cos))], dim=-1).to(like.dtype)


class Delta(nn.Module):
    """A linear map (.. d_in) -> (.. d_out) that starts at zero: full rank, or `up @ down` of the given rank."""

    def __init__(self, d_in: int, d_out: int, rank: int | None):
        super().__init__()
        self.down = nn.Linear(d_in, rank, bias=False) if rank else None
        self.up = nn.Linear(rank or d_in, d_out, bias=False)
        if self.down is not None:
            nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x if self.down is None else self.down(x))


class Branch(nn.Module):
    """Deltas on the query, key, value and output projections of one attention layer.

    `query_width` and `context_width` are what queries and keys read, `inner_width` what the heads hold together. `rank`
    None is a full matrix. `share_out` blends before the prior's output projection and has no delta there. `position` lets
    queries know where their pixel lies, which the features of a small UNet do not tell (our choice): without it, words
    cannot tell which of two people stands on the left.
    """

    def __init__(
        self, query_width: int, context_width: int, inner_width: int, *, rank: int | None, share_out: bool, position: bool = False
    ):
        super().__init__()
        self.q_delta = Delta(query_width, inner_width, rank)
        self.k_delta = Delta(context_width, inner_width, rank)
        self.v_delta = Delta(context_width, inner_width, rank)
        self.out_delta = None if share_out else Delta(inner_width, query_width, rank)
        self.q_place = Delta(PLACE_WIDTH, inner_width, None) if position else None

    def place(self, grid: tuple[int, int], like: Tensor) -> Float[Tensor, "n kd"]:
        """What the places of a grid's pixels add to their queries."""
        return self.q_place(pixel_places(grid, like))
