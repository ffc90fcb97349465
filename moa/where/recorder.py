"""Recording where the experts drew during one run: routing weights and the subjects' own maps."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from moa.where.context import ExpertContext, Trace, grid_of


def to_map(values: Float[Tensor, "b n e"], size: tuple[int, int]) -> Float[Tensor, "b e h w"]:
    """A layer's values per pixel as maps of the given size."""
    h, w = grid_of(values.shape[1], size)
    maps = rearrange(values, "b (h w) e -> b e h w", h=h, w=w)
    return maps if (h, w) == size else F.interpolate(maps, size=size, mode="bilinear")


class Recorder:
    """Gathers the traces of a run, call by call, into means; `full` keeps every layer and step.

    `attention_sites` are the cross-attention layers asked which pixel belongs to which subject; `rows` is the number of
    pictures (the conditional half of the batch comes last).
    """

    def __init__(self, experts: tuple[str, ...], rows: int, *, attention_sites: frozenset[str] = frozenset(), full: bool = False):
        self.experts, self.rows, self.attention_sites = experts, rows, attention_sites
        self.full: dict[tuple[int, str], Tensor] | None = {} if full else None
        self.total: Tensor | None = None
        self.count, self.calls = 0, 0
        self.subjects: dict[str, Tensor] = {}
        self._open: tuple[Trace, tuple[ExpertContext, ...], tuple[int, int]] | None = None

    def open(self, experts: tuple[ExpertContext, ...], size: tuple[int, int]) -> Trace:
        """A fresh trace for one UNet call; the call before it is folded in."""
        self.close()
        trace = Trace(self.attention_sites)
        self._open = trace, experts, size
        return trace

    def close(self) -> None:
        """Fold the last call in."""
        if self._open is None:
            return
        trace, experts, size = self._open
        self._open = None
        for site, weights in trace.weights.items():
            maps = to_map(self._by_expert(weights[-self.rows :].detach(), experts), size)
            self.total = maps if self.total is None else self.total + maps
            self.count += 1
            if self.full is not None:
                grid = grid_of(weights.shape[1], size)
                native = self._by_expert(weights[-self.rows :].detach(), experts)
                self.full[self.calls, site] = rearrange(native, "b (h w) e -> b e h w", h=grid[0])
        for (_, name), shown in trace.attention.items():
            maps = to_map(rearrange(shown.detach(), "r m n -> r n m"), size)
            self.subjects[name] = self.subjects.get(name, 0) + maps
        self.calls += 1

    def _by_expert(self, weights: Float[Tensor, "b n e"], experts: tuple[ExpertContext, ...]) -> Float[Tensor, "b n e2"]:
        """Columns in the order of `self.experts`; an expert with nothing to draw in this call has weight 0."""
        names = [e.name for e in experts]
        columns = [weights[..., names.index(n) + 1] if n in names else torch.zeros_like(weights[..., 0]) for n in self.experts]
        return torch.stack([weights[..., 0], *columns], dim=-1)

    def routing(self) -> Float[Tensor, "b e h w"] | None:
        """Mean weight of prior and experts over layers and steps."""
        self.close()
        return None if self.total is None else self.total / self.count
