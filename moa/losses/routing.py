"""The router loss: the background belongs to the prior, the subjects to the experts."""

from jaxtyping import Float
from torch import Tensor


def router_loss(prior_weight: Float[Tensor, "b h w"], foreground: Float[Tensor, "b h w"], inside: float = 0.0) -> Float[Tensor, " b"]:
    """|| (1 - M)(1 - R) ||^2 + inside || M R ||^2 a pixel: R the prior's weight averaged over layers, M the mask of all subjects.

    The first term is the paper's (2404.11565, section 3); the second is our choice. Without it an expert that starts as the
    prior's copy has nothing to offer yet, and the router gives every pixel away before it has learned anything.
    """
    background = ((1 - foreground) * (1 - prior_weight)).square()
    return (background + inside * (foreground * prior_weight).square()).mean(dim=(1, 2))
