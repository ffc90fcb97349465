"""The router loss: the background belongs to the prior."""

from jaxtyping import Float
from torch import Tensor


def router_loss(prior_weight: Float[Tensor, "b h w"], foreground: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """|| (1 - M)(1 - R) ||^2 a pixel: R the prior's weight averaged over layers, M the mask of all subjects.

    2404.11565, section 3. Background that is not the prior's is penalised; the foreground is free.
    """
    return ((1 - foreground) * (1 - prior_weight)).square().mean(dim=(1, 2))
