"""Routers: who draws this pixel. Each gives one logit a pixel against the prior's fixed 0.

The paper blends experts by a learned softmax over the hidden states (2404.11565, section 3). One logit per adapter
against a fixed prior logit is our choice: adapters trained apart then share one softmax without retraining.
"""

import math
from collections.abc import Sequence

import torch
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

Logits = Float[Tensor, "b n"]


class Router(nn.Module):
    """Hidden states (b n d) of a layer to logits (b n), in float32 whatever the UNet's precision.

    `hard` routers are blended by top-1 with a straight-through gradient; `drawn` routers have nothing to learn and need
    a region for every subject; `blind` routers weigh every pixel alike and so cannot say where a subject is.
    """

    hard = False
    drawn = False
    blind = False

    def forward(self, hidden: Float[Tensor, "b n d"], grid: tuple[int, int], timestep: Float[Tensor, " b"]) -> Logits:
        raise NotImplementedError

    def _apply(self, fn, recurse=True):
        """Move with the UNet, but never below float32: the softmax decides by small differences."""
        return super()._apply(lambda t: fn(t).float() if t.is_floating_point() else fn(t), recurse)


def _constant(layer: nn.Linear | nn.Conv2d, bias: float) -> nn.Linear | nn.Conv2d:
    """Start as a constant: every pixel's logit is -bias, whatever the hidden state. An even start (bias 0) is our choice: the expert is still
    the prior's copy then, so nothing changes yet, and half the gradient reaches it."""
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, -bias)
    return layer


class MLPRouter(Router):
    """LayerNorm, Linear, SiLU, Linear, as the paper's small network f; widths and start are our choice."""

    def __init__(self, width: int, *, hidden: int = 64, prior_bias: float = 0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.SiLU(),
            _constant(nn.Linear(hidden, 1), prior_bias),
        )

    def forward(self, hidden, grid, timestep):
        return self.net(hidden.float()).squeeze(-1)


class LinearRouter(Router):
    """One linear map of the normalised hidden state: the smallest router that can tell pixels apart (our choice)."""

    def __init__(self, width: int, *, prior_bias: float = 0.0):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), _constant(nn.Linear(width, 1), prior_bias))

    def forward(self, hidden, grid, timestep):
        return self.net(hidden.float()).squeeze(-1)


class ConvRouter(Router):
    """As `MLPRouter`, with a 3x3 convolution that sees the neighbours: smoother borders (our choice)."""

    def __init__(self, width: int, *, hidden: int = 64, prior_bias: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, hidden)
        self.look = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.decide = _constant(nn.Linear(hidden, 1), prior_bias)

    def forward(self, hidden, grid, timestep):
        h, w = grid
        features = rearrange(self.mix(self.norm(hidden.float())), "b (h w) d -> b d h w", h=h, w=w)
        features = rearrange(self.look(nn.functional.silu(features)), "b d h w -> b (h w) d")
        return self.decide(nn.functional.silu(features)).squeeze(-1)


class TimestepRouter(Router):
    """As `MLPRouter`, and also told the diffusion time, so that early steps may route otherwise than late ones."""

    def __init__(self, width: int, *, hidden: int = 64, prior_bias: float = 0.0, time_width: int = 64):
        super().__init__()
        self.time_width = time_width
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, hidden)
        self.time = nn.Linear(time_width, hidden)
        self.decide = _constant(nn.Linear(hidden, 1), prior_bias)

    def forward(self, hidden, grid, timestep):
        time = self.time(get_timestep_embedding(timestep.float(), self.time_width))
        features = self.mix(self.norm(hidden.float())) + rearrange(time, "b d -> b 1 d")
        return self.decide(nn.functional.silu(features)).squeeze(-1)


class HardRouter(MLPRouter):
    """An `MLPRouter` blended by top-1: each pixel belongs to one expert; the gradient is the softmax's (our choice)."""

    hard = True


class ConstantRouter(Router):
    """The same weight for every pixel and nothing to learn: the ablation without a router; 1 is a plain finetune.

    Errors: ValueError for a weight outside 0..1.
    """

    blind = True

    def __init__(self, width: int, *, weight: float = 0.5):
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError(f"The constant router got weight={weight}; it must lie between 0 (prior) and 1 (personalised).")
        self.logit = -1e4 if weight == 0 else 1e4 if weight == 1 else math.log(weight / (1 - weight))

    def forward(self, hidden, grid, timestep):
        return hidden.new_full(hidden.shape[:2], self.logit, dtype=torch.float32)


class MaskRouter(Router):
    """The user's masks and nothing else: the expert draws inside the regions given in `routing=`, the prior elsewhere."""

    drawn = True

    def __init__(self, width: int):
        super().__init__()

    def forward(self, hidden, grid, timestep):
        return hidden.new_full(hidden.shape[:2], -1e4, dtype=torch.float32)


# The names an adapter's JSON may use; a class path in a downloaded file would be code execution.
ROUTERS: dict[str, type[Router]] = {
    "mlp": MLPRouter,
    "linear": LinearRouter,
    "conv": ConvRouter,
    "timestep": TimestepRouter,
    "hard": HardRouter,
    "constant": ConstantRouter,
    "mask": MaskRouter,
}


def blend(logits: Float[Tensor, "b n experts"], hard: Sequence[bool]) -> Float[Tensor, "b n experts"]:
    """Logits of the experts to their weights, softmax([0, g_1, ..., g_E]) without its first: the rest up to 1 is the prior's.

    A pixel at whose top is a `hard` expert is that expert's alone; elsewhere hard experts have nothing, and the prior and the
    others share. Their gradient is the softmax's (our choice).
    """
    if logits.shape[-1] == 1 and not hard[0]:
        return logits.sigmoid()  # the softmax of two, in one operation
    weights = torch.cat([torch.zeros_like(logits[..., :1]), logits], dim=-1).softmax(dim=-1)
    if any(hard):
        weights = decide(weights.detach(), hard) + (weights - weights.detach())
    return weights[..., 1:]


def decide(weights: Float[Tensor, "b n e"], hard: Sequence[bool]) -> Float[Tensor, "b n e"]:
    """Weights of prior and experts with the hard ones at 1 or 0; `hard` counts the experts alone."""
    is_hard = weights.new_tensor([False, *hard], dtype=torch.bool)
    top = weights.argmax(-1, keepdim=True)
    soft = weights.masked_fill(is_hard, 0.0)
    soft = soft / soft.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return torch.where(is_hard[top], torch.zeros_like(weights).scatter(-1, top, 1.0), soft)


def override(
    weights: Float[Tensor, "b n experts"], drawn: Float[Tensor, "b n experts"], undrawn: Float[Tensor, "b experts"]
) -> Float[Tensor, "b n experts"]:
    """The experts' weights with drawn regions in their place: inside a region its expert, outside the learned weights that remain.

    `undrawn` is 0 where all of an expert's subjects are drawn: it then has no weight outside. Overlaps share.
    """
    drawn = drawn / drawn.sum(-1, keepdim=True).clamp(min=1)
    free = 1 - drawn.sum(-1, keepdim=True)
    return drawn + free * weights * rearrange(undrawn, "b e -> b 1 e")
