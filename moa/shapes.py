"""The shape alphabet of the project, once.

`b` batch, `c` channels, `h w` height and width, `n` pixels (h*w), `d` width, `e` experts, `k` heads, `l` prompt
tokens, `s` subjects, `t` diffusion steps, `m` subject tokens of one prompt (padded), `p` pictures of one subject.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Pixels = Float[Tensor, "b n d"]
Heads = Float[Tensor, "b n kd"]
Tokens = Float[Tensor, "b l d"]
Latents = Float[Tensor, "b c h w"]
Masks = Float[Tensor, "b s h w"]
Weights = Float[Tensor, "b n e"]

__all__ = ["Bool", "Float", "Heads", "Int", "Latents", "Masks", "Pixels", "Tensor", "Tokens", "Weights"]
