"""Finding subjects in a picture: a heat map of their centres by kind, a box at each, a foreground mask, and the scene."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 8  # pixels of a cell of the heat map
UNIT = 64.0  # pixels in which box sides are predicted


class Finding(NamedTuple):
    """`heat` (b k h w) logits by kind; `boxes` (b 4 h w): left, top, right, bottom distances from the cell's middle, in `UNIT`s;
    `mask` (b 1 h2 w2) logits of any subject, on twice the grid; `scene` (b s) logits."""

    heat: Tensor
    boxes: Tensor
    mask: Tensor
    scene: Tensor


def convolution(inward: int, outward: int, *, stride: int = 1, groups: int = 8) -> nn.Sequential:
    """A 3 x 3 convolution, group norm, SiLU; no running statistics, so it reads one picture as it reads a thousand."""
    return nn.Sequential(nn.Conv2d(inward, outward, 3, stride, 1), nn.GroupNorm(groups, outward), nn.SiLU())


class Residual(nn.Module):
    """Two plain convolutions around an identity, silent at the start ("ReZero is All You Need", section 3, arXiv 2003.04887)."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))
        self.gain = nn.Conv2d(width, width, 1, groups=width, bias=False)
        nn.init.zeros_(self.gain.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.silu(x + self.gain(self.inner(x)))


class Detector(nn.Module):
    """Subjects as points with a box each, in the manner of CenterNet ("Objects as Points", section 3, arXiv 1904.07850).

    Reads pictures (b 3 h w) in -1..1 whose sides are multiples of 16.
    """

    def __init__(self, *, kinds: int, scenes: int, widths: tuple[int, int, int] = (32, 80, 128)):
        super().__init__()
        fine, middle, coarse = widths
        self.fine = nn.Sequential(convolution(3 * 16, fine), Residual(fine))
        self.middle = nn.Sequential(convolution(fine, middle, stride=2), Residual(middle))
        self.coarse = nn.Sequential(convolution(middle, coarse, stride=2), Residual(coarse))
        self.down = nn.Conv2d(coarse, middle, 1)
        self.joined = convolution(middle, middle)
        self.heat = nn.Conv2d(middle, kinds, 1)
        self.boxes = nn.Conv2d(middle, 4, 1)
        self.mask = nn.Sequential(convolution(fine + middle, fine), nn.Conv2d(fine, 1, 1))
        self.scene = nn.Linear(middle + coarse, scenes)
        nn.init.constant_(self.heat.bias, -4.0)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Finding:
        fine = self.fine(F.pixel_unshuffle(images, 4))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = self.joined(middle + self.down(F.interpolate(coarse, scale_factor=2.0)))
        mask = self.mask(torch.cat([fine, F.interpolate(joined, scale_factor=2.0)], dim=1))
        scene = self.scene(torch.cat([middle.mean((2, 3)), coarse.mean((2, 3))], dim=1))
        return Finding(self.heat(joined), F.softplus(self.boxes(joined)), mask, scene)


class Peaks(NamedTuple):
    """Subjects found in a batch, best first: picture, kind, score in 0..1, box (left, top, right, bottom) in pixels."""

    picture: Tensor
    kind: Tensor
    score: Tensor
    box: Float[Tensor, "p 4"]


def peaks(found: Finding, *, threshold: float = 0.35, overlap: float = 0.7) -> Peaks:
    """Local maxima of the heat above `threshold`; of boxes of one picture that overlap more than `overlap`, the best stays."""
    heat = found.heat.float().sigmoid()
    best, kind = heat.max(dim=1)
    top = (best == F.max_pool2d(best.unsqueeze(1), 3, stride=1, padding=1)[:, 0]) & (best > threshold)
    picture, row, column = top.nonzero(as_tuple=True)
    sides = found.boxes.float()[picture, :, row, column] * UNIT
    middle = (torch.stack([column, row, column, row], dim=1) + 0.5) * STRIDE
    height, width = (STRIDE * n for n in heat.shape[-2:])
    limit = torch.tensor([width, height, width, height], device=heat.device)
    box = (middle + sides * torch.tensor([-1, -1, 1, 1], device=heat.device)).clamp(min=torch.zeros_like(limit), max=limit)
    score = best[picture, row, column]
    order = torch.argsort(score, descending=True, stable=True)
    keep = _distinct(picture[order], box[order], overlap)
    chosen = order[keep]
    return Peaks(picture[chosen], kind[picture, row, column][chosen], score[chosen], box[chosen])


def _distinct(picture: Tensor, box: Float[Tensor, "p 4"], overlap: float) -> Tensor:
    """Which boxes, best first, are not the same thing as a better one."""
    close = (box_overlap(box, box) > overlap) & (rearrange(picture, "p -> p 1") == picture)
    keep = torch.zeros(len(box), dtype=torch.bool, device=box.device)
    for i in range(len(box)):
        keep[i] = not (close[i, :i] & keep[:i]).any()
    return keep


def box_overlap(a: Float[Tensor, "p 4"], b: Float[Tensor, "q 4"]) -> Float[Tensor, "p q"]:
    """Intersection over union of boxes."""
    low = torch.maximum(rearrange(a[:, :2], "p c -> p 1 c"), b[:, :2])
    high = torch.minimum(rearrange(a[:, 2:], "p c -> p 1 c"), b[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return shared / (rearrange(area_a, "p -> p 1") + area_b - shared).clamp(min=1e-6)
