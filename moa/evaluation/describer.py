"""Describing one subject: the picture inside its box, brought to one size, becomes words and an embedding of who it is."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from moa.evaluation.detector import Residual, convolution

SIZE = (96, 72)  # height and width in pixels that every box is brought to
MARGIN = 0.06  # of the box's sides, added on each


class Description(NamedTuple):
    """`logits` (p w) over the words of all heads; `embedding` (p d) of unit length."""

    logits: Tensor
    embedding: Tensor


def cut(
    images: Float[Tensor, "b c h w"], picture: Int[Tensor, " p"], boxes: Float[Tensor, "p 4"], size: tuple[int, int] = SIZE
) -> Float[Tensor, "p c h2 w2"]:
    """What is inside each box (left, top, right, bottom in pixels, plus `MARGIN`), scaled to `size`; the edge is repeated outside."""
    height, width = images.shape[-2:]
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (0.5 + MARGIN)
    steps = [(torch.arange(n, device=boxes.device) + 0.5) * 2 / n - 1 for n in size]
    across = (middle[:, :1] + half[:, :1] * steps[1]) * 2 / width - 1
    down = (middle[:, 1:] + half[:, 1:] * steps[0]) * 2 / height - 1
    grid = torch.stack(torch.broadcast_tensors(rearrange(across, "p w -> p 1 w"), rearrange(down, "p h -> p h 1")), dim=-1)
    return F.grid_sample(images[picture], grid, mode="bilinear", padding_mode="border", align_corners=False)


class Describer(nn.Module):
    """A small residual network over cut-outs (p 3 h w) in -1..1, `SIZE` large."""

    def __init__(self, *, words: int, embedding: int = 64, widths: tuple[int, int, int, int] = (32, 64, 128, 160), hidden: int = 256):
        super().__init__()
        stages = [convolution(3 * 4, widths[0])]
        stages += [nn.Sequential(convolution(a, b, stride=2), Residual(b)) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        self.stages = nn.Sequential(*stages)
        cells = (SIZE[0] // 16) * -(-SIZE[1] // 16)
        self.hidden = nn.Sequential(nn.Linear(widths[-1] * cells, hidden), nn.SiLU(), nn.LayerNorm(hidden))
        self.words = nn.Linear(hidden, words)
        self.embedding = nn.Linear(hidden, embedding)

    def forward(self, pieces: Float[Tensor, "p 3 h w"]) -> Description:
        seen = self.stages(rearrange(pieces, "p c (h a) (w b) -> p (c a b) h w", a=2, b=2))  # pixel_unshuffle fails without pieces
        hidden = self.hidden(rearrange(seen, "p c h w -> p (c h w)"))
        return Description(self.words(hidden), F.normalize(self.embedding(hidden).float(), dim=-1))
