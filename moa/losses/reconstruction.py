"""The denoising loss, weighted by where it matters."""

from jaxtyping import Float
from torch import Tensor


def masked_mse(
    prediction: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], weight: Float[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    """Squared error of each sample, averaged over pixels by weight; a sample of zero weight counts 0.

    The masked denoising loss of 2404.11565 (section 3) with a soft mask: background pixels keep the weight given to them.
    """
    error = (prediction.float() - target.float()).square().mean(dim=1)
    return (error * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1e-6)
