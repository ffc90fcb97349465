"""Recording where the experts drew during one run: routing weights and the subjects' own maps."""

from collections.abc import Collection, Mapping

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

    `attention_sites` are the cross-attention layers asked which pixel belongs to which subject; `rows` is the number of pictures.
    `sites` are the layers that each expert sits on, where that is not every layer recorded.
    """

    def __init__(
        self,
        experts: tuple[str, ...],
        rows: int,
        *,
        attention_sites: frozenset[str] = frozenset(),
        sites: Mapping[str, Collection[str]] | None = None,
        full: bool = False,
    ):
        self.experts, self.rows, self.attention_sites, self.sites = experts, rows, attention_sites, sites or {}
        self.full: dict[tuple[int, str], Tensor] | None = {} if full else None
        self.calls = 0
        self._size: tuple[int, int] = (0, 0)
        self._weights: dict[str, tuple[Tensor, int]] = {}  # by site: their sum over calls, and how many
        self._attention: dict[tuple[str, str], Tensor] = {}  # by site and expert: their sum over calls
        self._open: tuple[Trace, tuple[ExpertContext, ...]] | None = None

    def open(self, experts: tuple[ExpertContext, ...], size: tuple[int, int]) -> Trace:
        """A fresh trace for one UNet call; the call before it is folded in."""
        self.close()
        trace = Trace(self.attention_sites)
        self._open, self._size = (trace, experts), size
        return trace

    def skip(self) -> None:
        """Count a UNet call in which no expert acts: the numbers of `full` are those of the run's calls."""
        self.close()
        self.calls += 1

    def close(self) -> None:
        """Fold the last call in."""
        if self._open is None:
            return
        (trace, experts), self._open = self._open, None
        for site, weights in trace.weights.items():
            weights = self._by_expert(weights.detach(), experts)
            total, count = self._weights.get(site, (0, 0))
            self._weights[site] = total + weights, count + 1
            if self.full is not None:
                h, w = grid_of(weights.shape[1], self._size)
                self.full[self.calls, site] = rearrange(weights, "b (h w) e -> b e h w", h=h, w=w)
        for key, shown in trace.attention.items():
            self._attention[key] = self._attention.get(key, 0) + shown.detach()
        self.calls += 1

    def _by_expert(self, weights: Float[Tensor, "b n e"], experts: tuple[ExpertContext, ...]) -> Float[Tensor, "b n e2"]:
        """Columns in the order of `self.experts`; an expert with nothing to draw in this call has weight 0."""
        names = tuple(e.name for e in experts)
        if names == self.experts:
            return weights
        columns = [weights[..., names.index(n) + 1] if n in names else torch.zeros_like(weights[..., 0]) for n in self.experts]
        return torch.stack([weights[..., 0], *columns], dim=-1)

    def routing(self) -> Float[Tensor, "b e h w"] | None:
        """Mean weight of prior and experts over layers and steps."""
        self.close()
        if not self._weights:
            return None
        return sum(to_map(total, self._size) for total, _ in self._weights.values()) / sum(count for _, count in self._weights.values())

    def claims(self) -> Float[Tensor, "b e h w"] | None:
        """Mean weight of each expert, without the prior, over the layers that it sits on and steps: adapters of few layers say as much."""
        self.close()
        if not self._weights:
            return None
        columns = []
        for column, name in enumerate(self.experts, start=1):
            own = [(total, count) for site, (total, count) in self._weights.items() if site in self.sites.get(name, self._weights)]
            columns.append(sum(to_map(total[..., column : column + 1], self._size) for total, _ in own) / sum(count for _, count in own))
        return torch.cat(columns, dim=1)

    def attention(self, expert: str) -> Float[Tensor, "r m h w"] | None:
        """How much each pixel looked at each subject token of an expert, summed over layers and steps."""
        self.close()
        maps = [to_map(rearrange(shown, "r m n -> r n m"), self._size) for (_, name), shown in self._attention.items() if name == expert]
        return sum(maps) if maps else None
