"""Routing: do the experts draw where the subjects are, and only there?"""

from dataclasses import dataclass

import numpy as np
from einops import reduce
from jaxtyping import Bool, Float


@dataclass(frozen=True, slots=True)
class Routing:
    """Mean weight of the experts on the subjects' pixels and off them, and the overlap of their thresholded map with the subjects."""

    inside: float
    outside: float
    overlap: float


def judge_map(weight: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "H W"], *, threshold: float = 0.5) -> Routing:
    """A map (weight of all experts, 0..1) against the subjects' pixels, at the map's own grid."""
    inside = shares(mask, weight.shape)
    chosen, figure = weight > threshold, inside > 0.5
    union = (chosen | figure).sum()
    return Routing(
        inside=float((weight * inside).sum() / max(inside.sum(), 1e-9)),
        outside=float((weight * (1 - inside)).sum() / max((1 - inside).sum(), 1e-9)),
        overlap=float((chosen & figure).sum() / union) if union else 1.0,
    )


def own_share(own: Float[np.ndarray, "h w"], figure: Bool[np.ndarray, "H W"], others: Bool[np.ndarray, "H W"]) -> float:
    """Of a subject's map on all figures, the share that lies on its own."""
    on_own, on_others = ((own * shares(mask, own.shape)).sum() for mask in (figure, others))
    return float(on_own / max(on_own + on_others, 1e-9))


def shares(mask: Bool[np.ndarray, "H W"], grid: tuple[int, ...]) -> Float[np.ndarray, "h w"]:
    """How much of each cell of a coarser grid a mask covers."""
    return reduce(mask.astype(np.float64), "(h a) (w b) -> h w", "mean", h=grid[0], w=grid[1])
