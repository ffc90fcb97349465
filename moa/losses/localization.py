"""Object localisation: a subject's word looks at the subject's pixels. Both published forms."""

from jaxtyping import Float
from torch import Tensor


def object_loss(attention: Float[Tensor, "s h w"], mask: Float[Tensor, "s h w"]) -> Float[Tensor, " s"]:
    """|| (1 - M_s) A_s ||^2 a pixel, A_s the cross-attention at subject s's token.

    The form believed to be the paper's (2404.11565, section 3); it could not be checked.
    """
    return ((1 - mask) * attention).square().mean(dim=(1, 2))


def balanced_localization(attention: Float[Tensor, "s h w"], mask: Float[Tensor, "s h w"]) -> Float[Tensor, " s"]:
    """mean_background(A_s) - mean_foreground(A_s), FastComposer's form (2305.10431, section 4.3)."""
    outside = 1 - mask
    background = (attention * outside).sum(dim=(1, 2)) / outside.sum(dim=(1, 2)).clamp(min=1e-6)
    return background - (attention * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1e-6)
