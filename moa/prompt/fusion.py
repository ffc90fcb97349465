"""Fusing a subject's picture into its word: the multimodal prompt of MoA (2404.11565, section 3).

The image embedding is concatenated with the embedding of the subject's noun and passed through an MLP, then conditioned
on diffusion time and UNet layer in the manner of NeTI (2305.15391, section 3). What neither paper fixes is our choice.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn


class Resampler(nn.Module):
    """Patch features (p n d_image) to `tokens` learned summaries (p k d): queries that attend to the patches (our choice)."""

    def __init__(self, image_width: int, width: int, *, tokens: int, heads: int = 4, depth: int = 2):
        super().__init__()
        self.queries = nn.Embedding(tokens, width)
        nn.init.normal_(self.queries.weight, std=width**-0.5)
        self.inward = nn.Sequential(nn.LayerNorm(image_width), nn.Linear(image_width, width))
        layer = dict(nhead=heads, dim_feedforward=4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(width, **layer) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Float[Tensor, "p n d"]) -> Float[Tensor, "p k d2"]:
        patches = self.inward(features)
        tokens = repeat(self.queries.weight, "k d -> p k d", p=len(features))
        for layer in self.layers:
            tokens = layer(tokens, patches)
        return self.norm(tokens)


class SpaceTime(nn.Module):
    """An offset (t l d) for each diffusion time and UNet layer: LN(MLP(LN(PE(t, l)))).

    PE is NeTI's: 1024 fixed random frequencies over (t, layer) in radians with sigma_t = 0.03 and sigma_l = 2, [sin; cos],
    L2-normalised (2305.15391, section 3.1, and the authors' code), times `pitch` (adapters of format 1 have 2 pi). The last gain
    starts at zero, so that the offset does (our choice).
    """

    def __init__(self, layers: int, width: int, *, hidden: int = 128, frequencies: int = 1024, pitch: float = 1.0, seed: int = 0):
        super().__init__()
        self.layers = layers
        draw = torch.randn(frequencies, 2, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("frequency", draw * torch.tensor([0.03, 2.0]) * pitch, persistent=False)
        self.net = nn.Sequential(
            nn.LayerNorm(2 * frequencies),
            nn.Linear(2 * frequencies, hidden),
            nn.LayerNorm(hidden),
            nn.LeakyReLU(),
            nn.Linear(hidden, width),
        )
        self.gain = nn.LayerNorm(width)
        nn.init.zeros_(self.gain.weight)

    def forward(self, timesteps: Float[Tensor, " t"]) -> Float[Tensor, "t l d"]:
        grid = torch.cartesian_prod(timesteps.to(self.frequency), torch.arange(self.layers).to(self.frequency))
        angle = grid @ self.frequency.T
        code = F.normalize(torch.cat([angle.sin(), angle.cos()], dim=-1), dim=-1)
        return rearrange(self.gain(self.net(code)), "(t l) d -> t l d", l=self.layers)


class SubjectFusion(nn.Module):
    """Features of a subject's pictures and the text state of its noun to subject tokens, per time and layer.

    The first token takes the noun's place, further ones are appended; all start as the noun plus a share of the picture
    that is small but not lost in it (our choice).
    """

    def __init__(
        self,
        image_width: int,
        text_width: int,
        *,
        layers: int,
        tokens: int = 1,
        hidden: int = 512,
        space_time: bool = True,
        pitch: float = 1.0,
    ):
        super().__init__()
        self.resampler = Resampler(image_width, hidden, tokens=tokens)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden + text_width),
            nn.Linear(hidden + text_width, 2 * hidden),
            nn.GELU(),
            nn.Linear(2 * hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, text_width),
        )
        nn.init.normal_(self.mlp[-1].weight, std=0.7 * hidden**-0.5)
        nn.init.zeros_(self.mlp[-1].bias)
        self.space_time = SpaceTime(layers, text_width, pitch=pitch) if space_time else None
        self.layers, self.tokens = layers, tokens

    def _apply(self, fn, recurse=True):
        """Move with the UNet, but never below float32: it runs once a picture and feeds everything after it."""
        return super()._apply(lambda t: fn(t).float() if t.is_floating_point() else fn(t), recurse)

    def fuse(self, features: Float[Tensor, "s n d"], noun: Float[Tensor, "s d2"]) -> Float[Tensor, "s k d2"]:
        """Image and word into tokens: noun + MLP([image; noun])."""
        image = self.resampler(features.float())
        word = repeat(noun.float(), "s d -> s k d", k=self.tokens)
        return word + self.mlp(torch.cat([image, word], dim=-1))

    def offsets(self, timesteps: Float[Tensor, " t"]) -> Float[Tensor, "t l d2"]:
        """What diffusion time and layer add to every token; zero without space-time conditioning."""
        if self.space_time is None:
            width = self.mlp[-1].out_features
            return timesteps.new_zeros(len(timesteps), self.layers, width, dtype=torch.float32)
        return self.space_time(timesteps)
